package qkd

import (
	"context"
	"errors"
)

// Source is where one SAE gets keys: its own end of a pair of KMEs. Implementations may be used by many goroutines.
type Source interface {
	// Status tells what there is for this SAE as the master and another as the slave.
	Status(ctx context.Context, slave string) (Status, error)
	// Take gets new keys, all or none. ErrNoKeys where there are too few.
	Take(ctx context.Context, slave string, r Request) ([]Key, error)
	// Fetch gets the keys that a master took for this SAE, in the order of their ids, all or none. ErrNotFound where one of
	// them is not there, or not any more; ErrUnauthorised where one was never for this SAE.
	Fetch(ctx context.Context, master string, ids ...KeyID) ([]Key, error)
}

// Request says what Take shall get. The zero value is one key of the KME's usual size, for the slave alone.
type Request struct {
	Number     int      // of keys; 0 is 1
	Size       int      // of each, in bits; 0 is Status.KeySize
	Additional []string // further SAEs that may fetch the same keys
}

// Status is what a KME says about a pair of SAEs (ETSI GS QKD 014, clause 6.1). Sizes are in bits.
type Status struct {
	SourceKME, TargetKME   string
	Master, Slave          string
	KeySize                int
	Stored, MaxStored      int // keys of KeySize
	MaxPerRequest          int // keys
	MinKeySize, MaxKeySize int
	MaxSAEs                int // further SAEs of one request
}

var (
	// ErrKeyID is a text that is no UUID.
	ErrKeyID = errors.New("this is not a key id")
	// ErrBadRequest is a request that the KME refuses as it is.
	ErrBadRequest = errors.New("the key-management entity refuses the request")
	// ErrNotFound is a key that is not at the KME, perhaps because it was fetched before.
	ErrNotFound = errors.New("one or more keys are not at the key-management entity")
	// ErrUnauthorised is an SAE that the KME does not know, or that a key is not for.
	ErrUnauthorised = errors.New("the key-management entity does not give this to us")
	// ErrNoKeys is a KME that has too few keys, or cannot give them now.
	ErrNoKeys = errors.New("the key-management entity has no keys to give")
)

// Texts that ETSI GS QKD 014 fixes for refusals.
const (
	TextSize     = "size shall be a multiple of 8"
	TextNotFound = "one or more keys specified are not found on KME"
)

// Refusal is what a KME says to an SAE in place of keys.
type Refusal struct {
	Kind    error            // one of the errors above
	Message string           // for the SAE
	Details []map[string]any // about what, perhaps
}

func (r *Refusal) Error() string { return r.Kind.Error() + ": " + r.Message }

func (r *Refusal) Unwrap() error { return r.Kind }
