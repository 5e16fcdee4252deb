package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"stonevault/identity"
	"stonevault/internal/vault"
)

// A command that makes a new master key hands it to servers that have no other way to it: those that were started with a
// passphrase, and those on other machines. Each offers a public key that is made for this and stays in its memory, and
// the command seals the new key for it. Both pass through the database, sealed under the master key that is in use:
// without that nobody puts another public key in the place of a server's. Whoever has it, and a copy of the database,
// has no more.
const (
	settingOffers = "master_key_offers"
	settingHanded = "master_key_handed"
)

func offerContext(check []byte) string {
	return "stonevault.v1/master/offer/" + hex.EncodeToString(check)
}
func handedContext(check []byte) string {
	return "stonevault.v1/master/handed/" + hex.EncodeToString(check)
}

// handedID binds the handed key to its check, in the place of a file's id.
func handedID(check []byte) [16]byte { return [16]byte(check) }

// letters are what was left for each server, by its id.
type letters map[string][]byte

func readLetters(ctx context.Context, tx vault.Tx, setting string) (letters, error) {
	l := letters{}
	text, err := tx.Settings().Get(ctx, setting)
	if errors.Is(err, vault.ErrNotFound) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &l)
	}
	return l, err
}

func (l letters) leave(ctx context.Context, tx vault.Tx, setting string) error {
	if len(l) == 0 {
		return tx.Settings().Delete(ctx, setting)
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return tx.Settings().Put(ctx, setting, text)
}

// exchange changes what is left for servers and by them.
func (s *store) exchange(ctx context.Context, change func(offers, handed letters)) error {
	return s.db.Update(ctx, func(tx vault.Tx) error {
		offers, err := readLetters(ctx, tx, settingOffers)
		if err != nil {
			return err
		}
		handed, err := readLetters(ctx, tx, settingHanded)
		if err != nil {
			return err
		}
		change(offers, handed)
		return errors.Join(offers.leave(ctx, tx, settingOffers), handed.leave(ctx, tx, settingHanded))
	})
}

// receive takes over a master key that a command hands to this process; vault.ErrNextMasterKey until then.
func (s *store) receive(ctx context.Context, check []byte) error {
	id := s.peers.ID()
	if s.offered == nil {
		offered, err := identity.Generate(rand.Reader, identity.SuiteHybrid)
		if err != nil {
			return err
		}
		sealed, err := s.key.Seal(offerContext(check), offered.Public().Bytes())
		if err != nil {
			return err
		}
		err = s.exchange(ctx, func(offers, handed letters) {
			offers[id] = sealed
			delete(handed, id)
		})
		if err != nil {
			return err
		}
		s.offered, s.offeredAs = offered, id
		return vault.ErrNextMasterKey
	}
	if id != s.offeredAs { // others thought this server gone
		s.offered = nil
		return vault.ErrNextMasterKey
	}
	var handed letters
	err := s.db.View(ctx, func(tx vault.Tx) (err error) {
		handed, err = readLetters(ctx, tx, settingHanded)
		return err
	})
	if err != nil {
		return err
	}
	sealed, there := handed[id]
	if !there {
		return vault.ErrNextMasterKey
	}
	salt, err := s.accept(check, sealed)
	s.offered = nil // what does not open was for another key; another offer follows
	if err != nil {
		return err
	}
	err = s.exchange(ctx, func(offers, handed letters) {
		delete(offers, id)
		delete(handed, id)
	})
	return errors.Join(err, s.keepHanded(check, salt))
}

// accept opens what a command has sealed for this process.
func (s *store) accept(check, sealed []byte) (salt []byte, err error) {
	handed, err := s.key.Open(handedContext(check), sealed)
	if err != nil {
		return nil, err
	}
	grant, salt, err := identity.ParseGrant(identity.SuiteHybrid, handed)
	if err != nil {
		return nil, err
	}
	wrapping, err := s.offered.OpenWrappingKey(grant)
	if err != nil {
		return nil, err
	}
	secret, err := wrapping.Unwrap(grant, handedID(check))
	if err != nil {
		return nil, err
	}
	return salt, s.key.Accept(check, secret[:])
}

// keepHanded keeps a handed key where the next start of this server finds it.
func (s *store) keepHanded(check, salt []byte) error {
	err := s.exclusively(func() error {
		secret, err := s.key.Secret(check)
		if err != nil {
			return err
		}
		return s.keys.keepNext(secret[:], salt, check)
	})
	if err != nil {
		return fmt.Errorf("the new master key is known, and could not be kept for the next start; put it in its place before: %w", err)
	}
	return nil
}

// hand gives a master key to the servers that ask for it.
func (s *store) hand(ctx context.Context, check []byte) error {
	salt, err := s.keys.saltOf(check)
	if err != nil {
		return err
	}
	secret, err := s.key.Secret(check)
	if err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx vault.Tx) error {
		offers, err := readLetters(ctx, tx, settingOffers)
		if err != nil || len(offers) == 0 {
			return err
		}
		handed, err := readLetters(ctx, tx, settingHanded)
		if err != nil {
			return err
		}
		for id, sealed := range offers {
			if _, there := handed[id]; there {
				continue
			}
			offered, err := s.key.Open(offerContext(check), sealed)
			if err != nil {
				continue // it is for an earlier announcement; the server makes another
			}
			public, err := identity.PublicFromBytes(identity.SuiteHybrid, offered)
			if err != nil {
				return err
			}
			wrapping, err := identity.NewWrappingKey(rand.Reader, public)
			if err != nil {
				return err
			}
			grant, err := wrapping.Wrap(rand.Reader, handedID(check), &secret)
			if err != nil {
				return err
			}
			if handed[id], err = s.key.Seal(handedContext(check), append(grant.Bytes(), salt...)); err != nil {
				return err
			}
		}
		return handed.leave(ctx, tx, settingHanded)
	})
}
