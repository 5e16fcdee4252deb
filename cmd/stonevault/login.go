package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
)

const loginExample = "stonevault login --server https://vault.example.org --user ann"

type loginFlags struct {
	server         string
	user           string
	passwordStdin  bool
	codeStdin      bool
	insecureHTTP   bool
	allowClassical bool
	caFile         string
	fingerprint    string
	acceptNewVault bool
}

func newLogin(a *app) *cobra.Command {
	var f loginFlags
	cmd := &cobra.Command{
		Use:   "login --server URL --user NAME",
		Short: "Sign in",
		Long: `Signs in and keeps the session, in the system's keyring or else in a file that only you can read. The
server and the name are remembered, so that the next time "stonevault login" is enough.

The first time, the fingerprint of the vault's root is shown and remembered: compare it with the recovery sheet
or with what an administrator reads to you. Another vault at the same address is refused from then on.

Where the account has a second factor, a code of the authenticator app is asked for, or a recovery code.

A server whose certificate it has made itself is known by that certificate, with --ca-file, or by its fingerprint,
which the server's log shows, with --tls-fingerprint. Either is remembered too.`,
		Example: "  " + loginExample + "\n  stonevault login --server http://127.0.0.1:8080 --user admin --password-stdin < password.txt",
		Args:    operands(0, 0, "the server with --server", loginExample),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.login(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.server, "server", "", "the server's address `URL`; https unless it is this machine")
	flags.StringVar(&f.user, "user", "", "the account's `NAME`")
	addPasswordStdin(cmd, &f.passwordStdin)
	flags.BoolVar(&f.codeStdin, "code-stdin", false, "read the code of a second factor from the next line of standard input")
	flags.BoolVar(&f.insecureHTTP, "allow-insecure-http", false, "send the password unprotected through the network")
	flags.BoolVar(&f.allowClassical, "allow-classical", false, "accept a connection that a quantum computer could read later")
	flags.StringVar(&f.caFile, "ca-file", "", "a `FILE` with the certificates, in PEM, by which the server is known, instead of the system's")
	flags.StringVar(&f.fingerprint, "tls-fingerprint", "", "the `SHA256` of the server's certificate, by which it is known")
	flags.BoolVar(&f.acceptNewVault, "accept-new-vault", false, "remember the vault that is there now instead of the one before")
	return cmd
}

func (a *app) login(ctx context.Context, f loginFlags) error {
	p, err := a.loadProfile()
	if err != nil {
		return err
	}
	if f.server != "" {
		server, err := client.CheckServer(f.server, f.insecureHTTP)
		if err != nil {
			return misuse(loginExample, "%v", err)
		}
		if server != p.Server {
			*p = profile{Server: server}
		}
		p.AllowClassical = f.allowClassical
	}
	if err := f.trust(p); err != nil {
		return err
	}
	if f.user != "" {
		p.User = f.user
	}
	if p.Server == "" || p.User == "" {
		return misuse(loginExample, "say which server, and who you are there")
	}
	c, err := a.newClient(p)
	if err != nil {
		return err
	}
	vault, err := c.Vault(ctx)
	if err != nil {
		return err
	}
	known := p.Root == vault.RootFingerprint
	steps, err := a.followRoot(p, vault)
	if err != nil && !f.acceptNewVault {
		return err
	}
	person, enrol, err := a.signIn(ctx, c, p.User, f)
	if err != nil {
		return err
	}
	p.User = person.Name
	p.setRoot(vault.RootFingerprint, steps)
	if err := a.saveProfile(p); err != nil {
		return err
	}
	a.say("Signed in at %s as %s.", p.Server, shown(person.Name))
	for _, s := range steps {
		a.say("The vault's root was replaced on %s; the one that was known here says which one follows it.", s.IssuedAt.Format(time.DateOnly))
	}
	if !known {
		a.say("The vault's root, to compare with the recovery sheet: %s", vault.RootFingerprintSpoken)
	}
	if os.Getenv(tokenVariable) != "" {
		a.warn("%s is set: other verbs use that API token, and not this session", tokenVariable)
	}
	if enrol {
		a.warn("this account must have a second factor, and can do nothing before; set it up with: %s", factorExample)
		return nil
	}
	_, err = a.checkPin(ctx, c, p)
	return err
}

// codeTries is how often a person may type a code before the password is asked for again.
const codeTries = 3

// signIn asks for the password, and for a code where the server wants one.
func (a *app) signIn(ctx context.Context, c *client.Client, name string, f loginFlags) (*api.Person, bool, error) {
	password, err := a.password("password of "+shown(name), f.passwordStdin, false, loginExample+" --password-stdin < FILE")
	if err != nil {
		return nil, false, err
	}
	device, err := os.Hostname()
	if err != nil {
		device = "unnamed"
	}
	by := client.Credentials{Name: name, Password: password, Client: "stonevault on " + device}
	person, enrol, err := c.SignIn(ctx, by)
	for try := 1; errors.Is(err, client.ErrSecondFactor) || errors.Is(err, client.ErrWrongCode); try++ {
		if try > 1 {
			if f.codeStdin || try > codeTries {
				return nil, false, fmt.Errorf("%w: %w", client.ErrSecondFactor, err)
			}
			a.say("That code is wrong, or was used before; the app shows another one soon.")
		}
		by.Code, err = a.password("code of the authenticator app or recovery code", f.codeStdin, false,
			loginExample+" --password-stdin --code-stdin < FILE")
		if err != nil {
			return nil, false, err
		}
		person, enrol, err = c.SignIn(ctx, by)
	}
	return person, enrol, err
}

// trust notes by what the server is known. Who names the server says it anew.
func (f *loginFlags) trust(p *profile) (err error) {
	switch {
	case f.caFile != "" && f.fingerprint != "":
		return misuse(loginExample+" --ca-file FILE", "a server is known by --ca-file or by --tls-fingerprint; give one of them")
	case f.caFile == "" && f.fingerprint == "" && f.server == "":
		return nil
	case f.caFile+f.fingerprint != "" && strings.HasPrefix(p.Server, "http:"):
		return misuse(loginExample+" --ca-file FILE", "%s has no certificate; ask for it by https", p.Server)
	}
	p.CAFile, p.Fingerprint = "", ""
	if f.caFile != "" {
		if p.CAFile, err = filepath.Abs(f.caFile); err != nil {
			return fileError("find", f.caFile, err)
		}
	}
	if f.fingerprint != "" {
		if p.Fingerprint, err = client.ParseFingerprint(f.fingerprint); err != nil {
			return misuse(loginExample+" --tls-fingerprint SHA256", "%v", err)
		}
	}
	return nil
}

func newLogout(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "Sign out",
		Long:  "Ends the session on the server and forgets it here. The server's address and root are remembered.",
		Args:  operands(0, 0, "nothing", "stonevault logout"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, p, err := a.inSession() // which can be ended whatever became of the log
			if err != nil {
				return err
			}
			if err := c.SignOut(cmd.Context()); errors.Is(err, client.ErrUnreachable) {
				return fmt.Errorf("forgotten here, but still open on the server until it ends by itself: %w", err)
			} else if err != nil {
				return err
			}
			a.say("Signed out at %s.", p.Server)
			return nil
		},
	}
}

func newWhoami(a *app) *cobra.Command {
	var asJSON bool
	var called string
	cmd := &cobra.Command{
		Use:   "whoami",
		Short: "Show who is signed in, and the key that files are sealed to",
		Long: `Shows who is signed in: the name, the role and the groups, how much the files take, whether signing in takes a second
factor, and the fingerprint of the key that files are sealed to. With --display-name it says first how others see one;
the name to sign in with stays.`,
		Example: "  stonevault whoami\n  stonevault whoami --display-name 'Ann Lee'",
		Args:    operands(0, 0, "nothing", "stonevault whoami"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, p, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("display-name") {
				if err := c.ChangeMe(cmd.Context(), api.ProfileChange{DisplayName: called}); err != nil {
					return err
				}
			}
			me, err := c.Me(cmd.Context())
			if err != nil {
				return err
			}
			factor, err := c.Factor(cmd.Context(), client.Self)
			if err != nil && !errors.Is(err, client.ErrOutOfScope) { // which not every API token may see
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, struct {
					Server string `json:"server"`
					*api.Profile
					Factor *api.Factor `json:"factor,omitempty"`
				}{p.Server, me, factor})
			}
			return a.showMe(p, me, factor)
		},
	}
	cmd.Flags().StringVar(&called, "display-name", "", "be called `NAME` by others; an empty one takes it away")
	addJSON(cmd, &asJSON)
	return cmd
}

func (a *app) showMe(p *profile, me *api.Profile, factor *api.Factor) error {
	t := newTable(a.stdout)
	t.row("name", "%s", shown(me.Name))
	if me.DisplayName != "" {
		t.row("called", "%s", shown(me.DisplayName))
	}
	t.row("role", "%s", me.Role)
	t.row("server", "%s", p.Server)
	if factor != nil {
		t.row("second factor", "%s", factorState(factor))
	}
	if me.BytesUsed != nil && me.FilesUsed != nil {
		t.use(*me.BytesUsed, me.BytesLimit, *me.FilesUsed, me.FilesLimit)
	}
	for _, g := range me.Groups {
		t.row("group", "%s", inGroup(g.Name, g.Member, g.Manager))
	}
	t.row("fingerprint", "%s", me.FingerprintSpoken)
	return t.Flush()
}
