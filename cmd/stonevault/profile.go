package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"stonevault/internal/client"
	"stonevault/internal/keyring"
)

// profile is what the client remembers of one server, beside the session. It holds no secret.
type profile struct {
	Server string `json:"server"`
	User   string `json:"user"`
	// Root is the fingerprint of the vault's root, in hex, as it was first seen, or as former roots led to it.
	Root string `json:"root"`
	// FormerRoots are those that led to it.
	FormerRoots    []string `json:"former_roots,omitempty"`
	AllowClassical bool     `json:"allow_classical,omitempty"`
	// CAFile and Fingerprint say by what the server's certificate is known.
	CAFile      string `json:"ca_file,omitempty"`
	Fingerprint string `json:"tls_fingerprint,omitempty"`
}

var profileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// home is the directory of the client's configuration.
func home() (string, error) {
	if dir := os.Getenv("STONEVAULT_HOME"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("there is no folder for the client's configuration: %w; set STONEVAULT_HOME", err)
	}
	return filepath.Join(dir, "stonevault"), nil
}

func (a *app) profilePath() (string, error) {
	if !profileName.MatchString(a.profile) {
		return "", misuse("--profile work", "a profile's name has up to 64 letters, digits, \"-\" and \"_\", unlike %s", shown(a.profile))
	}
	dir, err := home()
	return filepath.Join(dir, a.profile+".json"), err
}

// loadProfile returns a zero profile where there is none yet.
func (a *app) loadProfile() (*profile, error) {
	path, err := a.profilePath()
	if err != nil {
		return nil, err
	}
	p := new(profile)
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, nil
	case err != nil:
		return nil, fileError("read", path, err)
	}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w); remove it and sign in again", shown(path), err)
	}
	return p, nil
}

func (a *app) saveProfile(p *profile) error {
	path, err := a.profilePath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fileError("make", filepath.Dir(path), err)
	}
	var b bytes.Buffer
	if err := writeJSON(&b, p); err != nil {
		return err
	}
	return a.writePrivate(path, b.Bytes())
}

// secrets keeps a profile's session in the system's keyring, which is asked only where somebody can answer.
type secrets struct{ *keyring.Secret }

var _ client.Secrets = secrets{}

func (a *app) secrets() (secrets, error) {
	dir, err := home()
	if err != nil {
		return secrets{}, err
	}
	ring := &keyring.Keyring{Dir: dir, Attended: a.attended(), InFile: func(path string) {
		a.warn("there is no keyring of the system to keep the session in; it is in %s, as safe as this account is", shown(path))
	}}
	return secrets{ring.Secret(a.profile)}, nil
}

// devices keeps by what the profile's server knows this device, where the session is kept.
func (a *app) devices() (secrets, error) {
	dir, err := home()
	if err != nil {
		return secrets{}, err
	}
	ring := &keyring.Keyring{Dir: dir, Attended: a.attended()}
	return secrets{ring.Secret(a.profile + ".device")}, nil
}

func (a *app) attended() bool {
	if a.noInput {
		return false
	}
	t, err := a.openTerminal()
	if err != nil {
		return false
	}
	t.close()
	return true
}

func (s secrets) Load() ([]byte, error) {
	b, err := s.Secret.Load()
	return b, signedOut(err)
}

func (s secrets) Update(ctx context.Context, fn func([]byte) ([]byte, error)) error {
	return signedOut(s.Secret.Update(ctx, fn))
}

// signedOut says what a missing secret means here.
func signedOut(err error) error {
	switch {
	case errors.Is(err, keyring.ErrNotFound):
		return client.ErrNotSignedIn
	case errors.Is(err, keyring.ErrUnattended):
		return &unattended{}
	}
	return err
}

// unattended is a session that only a person at a terminal can use.
type unattended struct{}

func (*unattended) Error() string {
	return "the session is in the system's keyring, which may ask for a password, and there is no terminal to ask on; " +
		"sign in again here, with \"stonevault login --password-stdin\", and STONEVAULT_HOME set to a folder of its own"
}

func (*unattended) Is(target error) bool { return target == client.ErrNotSignedIn }

// newClient makes a client for a profile, with its session.
func (a *app) newClient(p *profile) (*client.Client, error) { return a.newClientWith(p, "") }

// newClientWith makes a client for a profile, with an API token where there is one.
func (a *app) newClientWith(p *profile, token client.Token) (*client.Client, error) {
	s, err := a.secrets()
	if err != nil {
		return nil, err
	}
	d, err := a.devices()
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{
		Server: p.Server, AllowClassical: p.AllowClassical, Trust: client.Trust{CAFile: p.CAFile, Fingerprint: p.Fingerprint},
		UserAgent: "stonevault/" + version, Secrets: s, Devices: d, Token: token, Now: a.now,
		Patience: a.patience, Waiting: a.waiting,
	})
}

// connect makes a client for whoever is signed in, once the vault's audit log has been found to be the one that is
// remembered.
func (a *app) connect(ctx context.Context) (*client.Client, *profile, error) {
	c, p, err := a.signedIn(ctx)
	if err != nil {
		return nil, nil, err
	}
	_, err = a.checkPin(ctx, c, p)
	return c, p, err
}

// signedIn makes a client for whoever is signed in, or for an API token, without a look at the audit log.
func (a *app) signedIn(ctx context.Context) (*client.Client, *profile, error) {
	token, err := a.apiToken()
	if err != nil {
		return nil, nil, err
	}
	if token == "" {
		return a.inSession()
	}
	p, err := a.tokenProfile(ctx)
	if err != nil {
		return nil, nil, err
	}
	c, err := a.newClientWith(p, token)
	return c, p, err
}

// inSession makes a client for whoever is signed in, and asks nothing.
func (a *app) inSession() (*client.Client, *profile, error) {
	p, err := a.loadProfile()
	if err != nil {
		return nil, nil, err
	}
	if p.Server == "" {
		return nil, nil, client.ErrNotSignedIn
	}
	c, err := a.newClient(p)
	return c, p, err
}
