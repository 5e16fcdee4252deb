package masterkey

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// ErrUnknown is a key that a ring does not have.
var ErrUnknown = errors.New("this master key is not known here")

// Ring holds the keys of a vault: one that seals, and further ones that open what was sealed under them. Keys are
// told apart by their checks. It may be used by many goroutines.
type Ring struct{ keys atomic.Pointer[[]*Key] } // the one that seals is first

// NewRing makes a ring of keys, of which the first seals until Use says otherwise.
func NewRing(first *Key, further ...*Key) *Ring {
	r := &Ring{}
	r.keys.Store(&[]*Key{first})
	for _, k := range further {
		r.Add(k)
	}
	return r
}

// String never shows a key.
func (r *Ring) String() string { return "[redacted]" }

// GoString never shows a key.
func (r *Ring) GoString() string { return "[redacted]" }

// change replaces the keys by what fn makes of a copy.
func (r *Ring) change(fn func(keys []*Key) []*Key) {
	for {
		was := r.keys.Load()
		next := fn(slices.Clone(*was))
		if r.keys.CompareAndSwap(was, &next) {
			return
		}
	}
}

func (r *Ring) find(check []byte) *Key {
	for _, k := range *r.keys.Load() {
		if bytes.Equal(k.check, check) {
			return k
		}
	}
	return nil
}

// Add has a further key open what was sealed under it.
func (r *Ring) Add(k *Key) {
	r.change(func(keys []*Key) []*Key {
		if slices.ContainsFunc(keys, func(other *Key) bool { return bytes.Equal(other.check, k.check) }) {
			return keys
		}
		return append(keys, k)
	})
}

// Knows tells whether the ring has a key.
func (r *Ring) Knows(check []byte) bool { return r.find(check) != nil }

// Use has a key seal from now on; the others go on opening.
func (r *Ring) Use(check []byte) error {
	k := r.find(check)
	if k == nil {
		return ErrUnknown
	}
	r.change(func(keys []*Key) []*Key {
		keys = slices.DeleteFunc(keys, func(other *Key) bool { return other == k })
		return append([]*Key{k}, keys...)
	})
	return nil
}

// Forget drops a key, unless it is the one that seals.
func (r *Ring) Forget(check []byte) {
	r.change(func(keys []*Key) []*Key {
		rest := slices.DeleteFunc(keys[1:], func(k *Key) bool { return bytes.Equal(k.check, check) })
		return keys[:1+len(rest)]
	})
}

// Check is that of the key that seals.
func (r *Ring) Check() []byte { return (*r.keys.Load())[0].Check() }

// Tag is what a sealed value begins with where it was sealed under the key with a check.
func (r *Ring) Tag(check []byte) []byte { return bytes.Clone(check[:min(TagSize, len(check))]) }

// Seal seals under the key that seals.
func (r *Ring) Seal(context string, plaintext []byte) ([]byte, error) {
	return (*r.keys.Load())[0].Seal(context, plaintext)
}

// Open opens what was sealed under any key of the ring.
func (r *Ring) Open(context string, sealed []byte) ([]byte, error) {
	keys := *r.keys.Load()
	if i := slices.IndexFunc(keys, func(k *Key) bool { return bytes.HasPrefix(sealed, k.tag()) }); i >= 0 {
		return keys[i].Open(context, sealed)
	}
	var err error
	for _, k := range keys {
		var plain []byte
		if plain, err = k.Open(context, sealed); err == nil || !errors.Is(err, ErrOpen) {
			return plain, err
		}
	}
	return nil, err
}

// wrapContext binds a wrapped key to what it is.
func wrapContext(check []byte) string { return "stonevault.v1/master/key/" + hex.EncodeToString(check) }

// Wrap seals one key under another: whoever has the later one opens what was sealed under the earlier.
func (r *Ring) Wrap(check, under []byte) ([]byte, error) {
	k, outer := r.find(check), r.find(under)
	if k == nil || outer == nil {
		return nil, ErrUnknown
	}
	secret, err := k.reveal()
	if err != nil {
		return nil, err
	}
	defer clear(secret[:])
	return outer.Seal(wrapContext(check), secret[:])
}

// Unwrap adds a key that Wrap has sealed.
func (r *Ring) Unwrap(check, under, wrapped []byte) error {
	outer := r.find(under)
	if outer == nil {
		return ErrUnknown
	}
	secret, err := outer.Open(wrapContext(check), wrapped)
	if err != nil {
		return err
	}
	return r.Accept(check, secret)
}

// Secret is a key itself, to be handed to another process of the same vault.
func (r *Ring) Secret(check []byte) (secret [keySize]byte, err error) {
	k := r.find(check)
	if k == nil {
		return secret, ErrUnknown
	}
	return k.reveal()
}

// Accept adds the key that is given by its secret, where it is the one with the check.
func (r *Ring) Accept(check, secret []byte) error {
	k, err := newKey(secret)
	if err != nil {
		return err
	}
	if !bytes.Equal(k.check, check) {
		return fmt.Errorf("%w: another one was given", ErrUnknown)
	}
	r.Add(k)
	return nil
}
