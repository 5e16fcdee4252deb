package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/term"

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

	asked     string          // the passphrase, so that it is asked for once
	askedNext string          // the one that takes its place
	holder    *transit.Holder // keeps the key where transit wraps it; nil otherwise
}

// path is where a key file lies.
func (k *keyring) path() string {
	if k.config.MasterKey.Path != "" {
		return k.config.MasterKey.Path
	}
	return k.dir.DefaultKeyFile()
}

// find opens the key and changes nothing. Where another one lies beside it to take its place, it opens both: which one
// is in use, the database says. It returns nil where create must make one, which is only for a directory without data.
func (k *keyring) find(state datadir.State) (*masterkey.Ring, error) {
	switch k.config.MasterKey.Kind {
	case config.KeyFromFile:
		return k.fromFile(state)
	case config.KeyFromPassphrase:
		return k.fromPassphrase(state)
	case config.KeyFromTransit:
		key, err := k.fromTransit(state)
		return ringOf(key, nil), err
	}
	key, err := masterkey.Parse(string(k.config.MasterKeyText))
	if err != nil {
		return nil, fmt.Errorf("STONEVAULT_MASTER_KEY: %w; set it to the line of a master key file", err)
	}
	next, err := k.nextFromEnvironment()
	return ringOf(key, next), err
}

// ringOf makes a ring of the keys that there are.
func ringOf(key, next *masterkey.Key) *masterkey.Ring {
	switch {
	case key == nil && next == nil:
		return nil
	case key == nil:
		return masterkey.NewRing(next)
	case next == nil:
		return masterkey.NewRing(key)
	}
	return masterkey.NewRing(key, next)
}

func (k *keyring) fromFile(state datadir.State) (*masterkey.Ring, error) {
	path := k.path()
	if err := k.outside(path); err != nil {
		return nil, err
	}
	key, err := masterkey.ReadFile(path)
	if errors.Is(err, masterkey.ErrMalformed) && isWrapped(path) {
		return nil, fmt.Errorf("the master key at %s is wrapped by transit; start with --master-key transit", path)
	}
	if err != nil && !errors.Is(err, masterkey.ErrMissing) {
		return nil, err
	}
	next, err := k.nextFile()
	if ring := ringOf(key, next); ring != nil || err != nil {
		return ring, err
	}
	if state != datadir.InUse {
		return nil, nil
	}
	if _, err := k.dir.Salt(); err == nil && k.config.MasterKey.Path == "" {
		return nil, fmt.Errorf("%s was sealed under a passphrase; start with --master-key passphrase", k.places)
	}
	return nil, fmt.Errorf("%s was sealed under a master key that is not at %s; put it back from where you keep a copy, or name its place with --master-key file:PATH", k.places, path)
}

func (k *keyring) fromPassphrase(state datadir.State) (*masterkey.Ring, error) {
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
	key, err := masterkey.FromPassphrase([]byte(passphrase), salt)
	if err != nil {
		return nil, err
	}
	// Which of two passphrases it is shows in the end.
	next, _, err := k.dir.NextSalt()
	if errors.Is(err, fs.ErrNotExist) {
		return masterkey.NewRing(key), nil
	}
	if err != nil {
		return nil, err
	}
	other, err := masterkey.FromPassphrase([]byte(passphrase), next)
	return ringOf(key, other), err
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
	if err := longEnough(passphrase); err != nil || k.config.Passphrase != "" || known {
		return err
	}
	return k.again(passphrase)
}

// again has a new passphrase typed twice.
func (k *keyring) again(passphrase string) error {
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
func (k *keyring) create() (*masterkey.Ring, error) {
	switch k.config.MasterKey.Kind {
	case config.KeyFromFile:
		key, err := masterkey.CreateFile(k.path())
		return ringOf(key, nil), err
	case config.KeyFromTransit:
		key, err := k.createWrapped()
		return ringOf(key, nil), err
	}
	salt, err := k.dir.CreateSalt(masterkey.SaltSize)
	if err != nil {
		return nil, err
	}
	passphrase, err := k.passphrase("")
	if err != nil {
		return nil, err
	}
	key, err := masterkey.FromPassphrase([]byte(passphrase), salt)
	return ringOf(key, nil), err
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
