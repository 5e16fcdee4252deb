package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

// newPassword draws 125 bits as five groups of five letters and digits.
func newPassword() string {
	text := strings.ToLower(rand.Text())
	var groups []string
	for i := range 5 {
		groups = append(groups, text[5*i:5*i+5])
	}
	return strings.Join(groups, "-")
}

// readPassword reads one line.
func readPassword(r io.Reader) (string, error) {
	line, err := bufio.NewReaderSize(io.LimitReader(r, 64<<10), 4096).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	if line == "" {
		return "", errors.New("no password came on standard input; pipe it in as one line, or use --generate-password")
	}
	return line, nil
}

// createPerson makes an account. The recovery identity is returned with the first one.
func createPerson(ctx context.Context, v *vault.Vault, name string, role vault.Role, hash string) (*vault.Recovery, error) {
	_, recovery, err := v.CreatePerson(ctx, atMachine, name, role, hash)
	var invalid *vault.InvalidError
	switch {
	case errors.Is(err, vault.ErrExists):
		return nil, fmt.Errorf("there is an account %q already; choose another name, or give it a new password with: stonevaultd admin reset", name)
	case errors.As(err, &invalid):
		return nil, fmt.Errorf("the %w; choose another name", err)
	}
	return recovery, err
}

// hashPassword checks a new password of an account as well.
func hashPassword(name, password string) (string, error) {
	hash, err := auth.Policy{Name: name}.Hash(rand.Reader, password)
	var invalid *auth.InvalidError
	if errors.As(err, &invalid) {
		return "", fmt.Errorf("the %w; --generate-password makes one", err)
	}
	return hash, err
}

// account is what is printed of a new account, once.
type account struct {
	name     string
	password string          // empty where the person knows it
	recovery *vault.Recovery // nil but for the first account
	confirm  string          // the command that confirms the recovery sheet
}

// String keeps it out of every log.
func (account) String() string { return "[redacted]" }

// GoString keeps it out of every log.
func (account) GoString() string { return "[redacted]" }

func printAccount(w io.Writer, a account) error {
	var b strings.Builder
	if a.password != "" {
		fmt.Fprintf(&b, "Name:      %s\nPassword:  %s\n\nThe password is not shown again.\n", a.name, a.password)
	}
	if a.recovery != nil {
		if a.password != "" {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, recoverySheet, sheetLines(a.recovery.Secret.SecretSheet()), spokenLines(a.recovery.RootFingerprint.Spoken()), a.confirm)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("the account %q was made, and what had to be printed once could not be: %w", a.name, err)
	}
	return nil
}

const recoverySheet = `-------------------------- RECOVERY SHEET --------------------------
This secret opens every file of this vault, also when the server, its
database and its master key are lost. It is shown this once. Print
this sheet, keep it where you keep what matters most, and keep it off
this machine. Who has it and a copy of the files can read them all.

Recovery secret:
%s
Fingerprint of the vault's root key, to know the right vault by:
%s
When it is on paper, confirm it by typing it in from the paper, and
end with Ctrl-D:
  %s
--------------------------------------------------------------------
`

// sheetLines breaks the groups of a secret into lines of eight.
func sheetLines(sheet string) string { return inLines(strings.Split(sheet, "-"), 8, "-") }

// spokenLines breaks the groups of a fingerprint into lines of six.
func spokenLines(spoken string) string { return inLines(strings.Fields(spoken), 6, " ") }

func inLines(groups []string, perLine int, separator string) string {
	var b strings.Builder
	for len(groups) > 0 {
		n := min(perLine, len(groups))
		fmt.Fprintf(&b, "  %s\n", strings.Join(groups[:n], separator))
		groups = groups[n:]
	}
	return b.String()
}
