package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"unicode/utf8"

	"golang.org/x/term"

	"stonevault/internal/auth"
	"stonevault/internal/config"
	"stonevault/internal/datadir"
	"stonevault/internal/masterkey"
	"stonevault/internal/masterkey/transit"
)

// keyring finds the master key of a data directory.
type keyring struct {
	places
	config config.Config
	ask    func(prompt string) (string, error)

	asked  string          // the passphrase, so that it is asked for once
	holder *transit.Holder // keeps the key where transit wraps it; nil otherwise
}

// path is where a key file lies.
func (k *keyring) path() string {
	if k.config.MasterKey.Path != "" {
		return k.config.MasterKey.Path
	}
	return k.dir.DefaultKeyFile()
}

// find opens the key and changes nothing. It returns nil where create must make one, which is only for a
// directory without data.
func (k *keyring) find(state datadir.State) (*masterkey.Key, error) {
	switch k.config.MasterKey.Kind {
	case config.KeyFromFile:
		return k.fromFile(state)
	case config.KeyFromPassphrase:
		return k.fromPassphrase(state)
	case config.KeyFromTransit:
		return k.fromTransit(state)
	}
	key, err := masterkey.Parse(string(k.config.MasterKeyText))
	if err != nil {
		return nil, fmt.Errorf("STONEVAULT_MASTER_KEY: %w; set it to the line of a master key file", err)
	}
	return key, nil
}

func (k *keyring) fromFile(state datadir.State) (*masterkey.Key, error) {
	path := k.path()
	if err := k.outside(path); err != nil {
		return nil, err
	}
	key, err := masterkey.ReadFile(path)
	if errors.Is(err, masterkey.ErrMalformed) && isWrapped(path) {
		return nil, fmt.Errorf("the master key at %s is wrapped by transit; start with --master-key transit", path)
	}
	if !errors.Is(err, masterkey.ErrMissing) {
		return key, err
	}
	if state != datadir.InUse {
		return nil, nil
	}
	if _, err := k.dir.Salt(); err == nil && k.config.MasterKey.Path == "" {
		return nil, fmt.Errorf("%s was sealed under a passphrase; start with --master-key passphrase", k.places)
	}
	return nil, fmt.Errorf("%s was sealed under a master key that is not at %s; put it back from where you keep a copy, or name its place with --master-key file:PATH", k.places, path)
}

func (k *keyring) fromPassphrase(state datadir.State) (*masterkey.Key, error) {
	if state != datadir.InUse {
		return nil, k.choosePassphrase()
	}
	salt, err := k.dir.Salt()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s was not sealed under a passphrase, or the file master.salt is not in %s; start with the --master-key that it was made with, or put the file back from a backup", k.places, k.dir.Path())
	case err != nil:
		return nil, err
	}
	passphrase, err := k.passphrase("Passphrase of the vault: ")
	if err != nil {
		return nil, err
	}
	return masterkey.FromPassphrase([]byte(passphrase), salt)
}

func (k *keyring) passphrase(prompt string) (string, error) {
	if k.config.Passphrase != "" {
		return string(k.config.Passphrase), nil
	}
	if k.asked == "" {
		text, err := k.ask(prompt)
		if err != nil {
			return "", err
		}
		if text == "" {
			return "", errors.New("the passphrase is empty; type it again")
		}
		k.asked = text
	}
	return k.asked, nil
}

// choosePassphrase gets the passphrase of a new vault.
func (k *keyring) choosePassphrase() error {
	known := k.asked != ""
	passphrase, err := k.passphrase("Passphrase for the new vault: ")
	if err != nil {
		return err
	}
	if utf8.RuneCountInString(passphrase) < auth.MinPasswordRunes {
		return fmt.Errorf("the passphrase is shorter than %d characters; choose a longer one, such as six random words", auth.MinPasswordRunes)
	}
	if k.config.Passphrase != "" || known {
		return nil
	}
	again, err := k.ask("The same again: ")
	if err != nil {
		return err
	}
	if again != passphrase {
		return errors.New("the two passphrases differ; start again")
	}
	return nil
}

// create makes the key of a new vault, after find has returned none. The lock must be held.
func (k *keyring) create() (*masterkey.Key, error) {
	switch k.config.MasterKey.Kind {
	case config.KeyFromFile:
		return masterkey.CreateFile(k.path())
	case config.KeyFromTransit:
		return k.createWrapped()
	}
	salt, err := k.dir.CreateSalt(masterkey.SaltSize)
	if err != nil {
		return nil, err
	}
	passphrase, err := k.passphrase("")
	if err != nil {
		return nil, err
	}
	return masterkey.FromPassphrase([]byte(passphrase), salt)
}

// ask reads a line from the terminal without showing it.
func (a *app) ask(prompt string) (string, error) {
	fd := int(a.stdin.Fd())
	if !term.IsTerminal(fd) {
		return "", errors.New("there is no terminal to ask for the passphrase; name a file that holds it with --master-passphrase-file FILE")
	}
	fmt.Fprint(a.stderr, prompt)
	text, err := term.ReadPassword(fd)
	fmt.Fprintln(a.stderr)
	if errors.Is(err, io.EOF) {
		return "", nil
	}
	return string(text), err
}
