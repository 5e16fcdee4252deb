package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"strings"

	"stonevault/identity"
)

// maxKeyFile bounds a file of keys in bytes: a thousand recipients fit.
const maxKeyFile = 16 << 20

func (a *app) readKeyFile(path string) ([]byte, error) {
	f := a.stdin
	if path != pipeName {
		var err error
		if f, _, err = openFile(path); err != nil {
			return nil, err
		}
		defer f.Close()
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	switch {
	case err != nil:
		return nil, fileError("read", path, err)
	case len(b) > maxKeyFile:
		return nil, fmt.Errorf("%s is too large for a file of keys", shown(path))
	}
	return b, nil
}

// identity reads an identity file, asking for its passphrase only where it has one.
func (a *app) identity(path, passphraseFile string) (*identity.Identity, error) {
	text, err := a.readKeyFile(path)
	if err != nil {
		return nil, err
	}
	return a.parseIdentity(path, text, passphraseFile)
}

func (a *app) parseIdentity(path string, text []byte, passphraseFile string) (*identity.Identity, error) {
	id, err := identity.ParseIdentityFile(text, nil)
	if errors.Is(err, identity.ErrNeedsPassphrase) {
		var secret []byte
		if secret, err = a.passphrase("passphrase of "+shown(path), passphraseFile, false); err != nil {
			return nil, err
		}
		id, err = identity.ParseIdentityFile(text, secret)
	}
	switch {
	case errors.Is(err, identity.ErrPassphrase):
		return nil, fmt.Errorf("the passphrase does not open %s: %w", shown(path), err)
	case err != nil:
		return nil, fmt.Errorf("%s is no identity file; make one with \"stonevault keygen -o FILE\": %w", shown(path), err)
	}
	return id, nil
}

// publicKeys reads a file of public keys, one to a line, or the public key of an identity file.
func (a *app) publicKeys(path, passphraseFile string) ([]*identity.Public, error) {
	text, err := a.readKeyFile(path)
	if err != nil {
		return nil, err
	}
	var keys []*identity.Public
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		switch {
		case line == "", strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "-----BEGIN"), strings.HasPrefix(strings.ToUpper(line), "SVSEC1"):
			id, err := a.parseIdentity(path, bytes.TrimSpace(text), passphraseFile)
			if err != nil {
				return nil, err
			}
			return []*identity.Public{id.Public()}, nil
		}
		key, err := identity.ParsePublic(line)
		if err != nil {
			return nil, fmt.Errorf("line %d of %s is no public key: %w", n, shown(path), err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no public key; print one into it with \"stonevault keygen --public IDENTITY\"", shown(path))
	}
	return keys, nil
}

// publicKey reads a key that was given as text or as the name of a file with keys.
func (a *app) keysFrom(keyOrFile string) ([]*identity.Public, error) {
	if !strings.HasPrefix(keyOrFile, "svpub1") {
		return a.publicKeys(keyOrFile, "")
	}
	key, err := identity.ParsePublic(keyOrFile)
	if err != nil {
		return nil, err
	}
	return []*identity.Public{key}, nil
}

// recipients reads the keys of -r and -R, each once.
func (a *app) recipients(texts, files []string) ([]*identity.Public, error) {
	var keys []*identity.Public
	for _, text := range texts {
		key, err := identity.ParsePublic(text)
		if err != nil {
			return nil, fmt.Errorf("-r: %w; a file of keys is given with -R", err)
		}
		keys = append(keys, key)
	}
	for _, path := range files {
		more, err := a.publicKeys(path, "")
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
	}
	return distinct(keys), nil
}

// distinct leaves out keys that are named twice.
func distinct(keys []*identity.Public) []*identity.Public {
	seen := make(map[identity.Fingerprint]bool, len(keys))
	var once []*identity.Public
	for _, k := range keys {
		if !seen[k.Fingerprint()] {
			seen[k.Fingerprint()] = true
			once = append(once, k)
		}
	}
	return once
}

// checkPipes refuses a command line that reads standard input twice.
func checkPipes(try string, names ...string) error {
	n := 0
	for _, name := range names {
		if name == pipeName {
			n++
		}
	}
	if n > 1 {
		return misuse(try, "only one thing can be read from the pipe \"-\"")
	}
	return nil
}
