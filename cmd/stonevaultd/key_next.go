package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"stonevault/internal/config"
	"stonevault/internal/masterkey"
)

// errWrapped is a master key that is not replaced here.
var errWrapped = errors.New("the master key is wrapped by transit: make a new version of the key there, and then type stonevaultd key rewrap; what is wrapped cannot be replaced yet")

// nextPath is where the key file lies that is to take the place of the one in use.
func (k *keyring) nextPath() string { return k.path() + ".next" }

// nextFile reads that file, or returns nil where there is none. One that is no key was being written when the command
// was killed: nothing is sealed under it.
func (k *keyring) nextFile() (*masterkey.Key, error) {
	key, err := masterkey.ReadFile(k.nextPath())
	if errors.Is(err, masterkey.ErrMissing) || errors.Is(err, masterkey.ErrMalformed) {
		return nil, nil
	}
	return key, err
}

func (k *keyring) nextFromEnvironment() (*masterkey.Key, error) {
	if k.config.NextKeyText == "" {
		return nil, nil
	}
	key, err := masterkey.Parse(string(k.config.NextKeyText))
	if err != nil {
		return nil, fmt.Errorf("STONEVAULT_MASTER_KEY_NEXT: %w; set it to the line of a master key file", err)
	}
	return key, nil
}

// next returns the key that lies ready to take the place of the one in use, or nil.
func (k *keyring) next() (*masterkey.Key, error) {
	switch k.config.MasterKey.Kind {
	case config.KeyFromFile:
		return k.nextFile()
	case config.KeyFromEnvironment:
		return k.nextFromEnvironment()
	case config.KeyFromTransit:
		return nil, nil
	}
	salt, check, err := k.dir.NextSalt()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	passphrase, err := k.nextPassphrase()
	if err != nil {
		return nil, err
	}
	key, err := masterkey.FromPassphrase([]byte(passphrase), salt)
	if err != nil || !bytes.Equal(key.Check(), check) {
		return nil, err // another one than was typed before; nothing is sealed under that yet
	}
	return key, nil
}

// makeNext makes a key to take the place of the one in use, and keeps it durably where every later start finds it.
func (k *keyring) makeNext() (*masterkey.Key, error) {
	switch k.config.MasterKey.Kind {
	case config.KeyFromFile:
		if err := os.Remove(k.nextPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		key, err := masterkey.CreateFile(k.nextPath())
		if err != nil {
			return nil, fmt.Errorf("the new master key cannot be written beside the old one: %w", err)
		}
		return key, nil
	case config.KeyFromTransit:
		return nil, errWrapped
	case config.KeyFromEnvironment:
		key, err := k.nextFromEnvironment()
		if err == nil && key == nil {
			err = errors.New("set STONEVAULT_MASTER_KEY_NEXT to the line of a new master key, which stonevaultd key create makes")
		}
		return key, err
	}
	passphrase, err := k.nextPassphrase()
	if err != nil {
		return nil, err
	}
	salt := make([]byte, masterkey.SaltSize)
	rand.Read(salt)
	key, err := masterkey.FromPassphrase([]byte(passphrase), salt)
	if err != nil {
		return nil, err
	}
	return key, k.dir.KeepNextSalt(salt, key.Check())
}

// keepNext keeps a key that was handed to this process as if it had been made here.
func (k *keyring) keepNext(secret, salt, check []byte) error {
	switch k.config.MasterKey.Kind {
	case config.KeyFromFile:
		if next, err := k.nextFile(); err != nil || next != nil && bytes.Equal(next.Check(), check) {
			return err
		}
		if err := os.Remove(k.nextPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return masterkey.KeepFile(k.nextPath(), secret)
	case config.KeyFromPassphrase:
		if _, there, err := k.dir.NextSalt(); err == nil && bytes.Equal(there, check) {
			return nil
		}
		return k.dir.KeepNextSalt(salt, check)
	}
	return nil // the environment is not this program's to change
}

// saltOf is the salt by which a passphrase gives the key with a check, or nil where keys come from elsewhere.
func (k *keyring) saltOf(check []byte) ([]byte, error) {
	if k.config.MasterKey.Kind != config.KeyFromPassphrase {
		return nil, nil
	}
	salt, there, err := k.dir.NextSalt()
	if err == nil && bytes.Equal(there, check) {
		return salt, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return k.dir.Salt()
}

// nextPassphrase gets the passphrase that takes the place of the one in use.
func (k *keyring) nextPassphrase() (string, error) {
	passphrase := string(k.config.NextPassphrase)
	if passphrase == "" {
		passphrase = k.askedNext
	}
	if passphrase != "" {
		return passphrase, longEnough(passphrase)
	}
	passphrase, err := k.ask("New passphrase for the vault: ")
	if err != nil {
		return "", err
	}
	if err := errors.Join(longEnough(passphrase), k.again(passphrase)); err != nil {
		return "", err
	}
	k.askedNext = passphrase
	return passphrase, nil
}

// waits tells whether something lies ready to take the place of the key before.
func (k *keyring) waits() (bool, error) {
	var err error
	switch k.config.MasterKey.Kind {
	case config.KeyFromFile:
		_, err = os.Lstat(k.nextPath())
	case config.KeyFromPassphrase:
		_, _, err = k.dir.NextSalt()
	default:
		return false, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// promote has the key that lies ready take the place of the one before, where it is the one in use; the one before is
// then gone from here. It may be done again at any time.
func (k *keyring) promote(inUse []byte) error {
	switch k.config.MasterKey.Kind {
	case config.KeyFromFile:
		next, err := k.nextFile()
		if err != nil || next == nil || !bytes.Equal(next.Check(), inUse) {
			return err
		}
		if err := masterkey.MoveFile(k.nextPath(), k.path()); err != nil {
			return fmt.Errorf("the new master key is in use and lies in %s, and cannot take the place of the old one: %w", k.nextPath(), err)
		}
	case config.KeyFromPassphrase:
		_, check, err := k.dir.NextSalt()
		if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Equal(check, inUse) {
			return nil
		}
		if err != nil {
			return err
		}
		return k.dir.UseNextSalt()
	}
	return nil
}
