package kme

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"stonevault/qkd"
)

const (
	// KeyBytes is the length in bytes of a key in a pool, KeySize its size in bits.
	KeyBytes = 32
	KeySize  = 8 * KeyBytes

	// mostSize and mostStored bound what Limits may say.
	mostSize   = 64 * KeySize
	mostStored = 1 << 20
)

// Pair is an ordered pair of SAEs. Keys of one pair never serve the reverse one.
type Pair struct{ Master, Slave string }

// Maker makes keys for a pair by a session.
type Maker interface {
	// Make runs one session, which should yield n keys and may yield fewer or more, and returns the session's id. *Aborted
	// is a session that ended with none.
	Make(ctx context.Context, pair Pair, n int) (keys [][KeyBytes]byte, session string, err error)
}

// Aborted is a session that ended without keys.
type Aborted struct {
	Session string
	Reason  string // a sentence for the SAE that has asked
}

func (a *Aborted) Error() string { return "the session ended without a key: " + a.Reason }

// Sealer seals what is kept, such as a vault's master key. What was sealed for one context opens for no other.
type Sealer interface {
	Seal(context string, plaintext []byte) ([]byte, error)
	Open(context string, sealed []byte) ([]byte, error)
}

// Limits are what the KMEs tell SAEs by their status, and the like. Zero values are replaced by the defaults.
type Limits struct {
	MinSize, MaxSize int           // of a key that is asked for, in bits, multiples of 8; 64 and 1024
	MaxPerRequest    int           // keys; 64
	MaxStored        int           // keys in the pool of a pair, enough for the largest request; 256
	MaxSAEs          int           // further slaves of one request; 8, negative for none
	PerSession       int           // keys that a session is asked for, unless a request needs more; 8
	KeepFor          time.Duration // how long a key waits for its slaves before Expire destroys it; 0 is for ever
}

// DefaultLimits are those of a Config that says nothing.
var DefaultLimits = Limits{MinSize: 64, MaxSize: 1024, MaxPerRequest: 64, MaxStored: 256, MaxSAEs: 8, PerSession: 8}

// Delivery is keys of a pair that one end gets: the master, or the slave where they are fetched. Keys for several slaves are a
// delivery for each of them.
type Delivery struct {
	Pair
	Fetched bool
	Keys    int
	Bits    int // of all together
}

// Config is what a pair of KMEs consists of. All but Limits and Record must be there.
type Config struct {
	Source, Target string // the ids of the KMEs: the one that masters ask, and the one that slaves ask
	Store          Store
	Sealer         Sealer
	Maker          Maker
	// Known tells whether an SAE may get keys, and others keys for it.
	Known func(ctx context.Context, sae string) (bool, error)
	// Record is told of each delivery in its transaction; where it fails, nothing is delivered. It may be nil.
	Record func(ctx context.Context, tx Tx, d Delivery) error
	Random io.Reader // for ids of keys
	Now    func() time.Time
	Limits Limits
}

// KMEs are a simulated pair of KMEs. They may be used by many goroutines.
type KMEs struct {
	Config
	mu      sync.Mutex
	running map[Pair]*turn // under mu; sessions, and who waits for them
}

// New checks a configuration.
func New(c Config) (*KMEs, error) {
	l, d := &c.Limits, DefaultLimits
	for _, v := range []struct {
		value *int
		is    int
	}{{&l.MinSize, d.MinSize}, {&l.MaxSize, d.MaxSize}, {&l.MaxPerRequest, d.MaxPerRequest}, {&l.MaxStored, d.MaxStored},
		{&l.MaxSAEs, d.MaxSAEs}, {&l.PerSession, d.PerSession}} {
		if *v.value == 0 {
			*v.value = v.is
		}
	}
	l.MaxSAEs = max(l.MaxSAEs, 0)
	switch {
	case c.Store == nil || c.Sealer == nil || c.Maker == nil || c.Known == nil || c.Random == nil || c.Now == nil:
		return nil, errors.New("kme: a part of the configuration is missing")
	case !qkd.ValidSAE(c.Source) || !qkd.ValidSAE(c.Target) || c.Source == c.Target:
		return nil, errors.New("kme: the two KMEs need ids of their own")
	case l.MinSize < 8 || l.MinSize%8 != 0 || l.MaxSize%8 != 0 || l.MinSize > KeySize || l.MaxSize < KeySize || l.MaxSize > mostSize:
		return nil, fmt.Errorf("kme: sizes of %d to %d bits: multiples of 8 are needed, with %d between them and at most %d", l.MinSize, l.MaxSize, KeySize, mostSize)
	case l.MaxPerRequest < 1 || l.PerSession < 1 || l.KeepFor < 0:
		return nil, errors.New("kme: a limit is negative")
	case l.MaxStored > mostStored || l.MaxStored < l.MaxPerRequest*parts(l.MaxSize):
		return nil, fmt.Errorf("kme: a pool of %d keys: the largest request needs %d, and %d are the most", l.MaxStored, l.MaxPerRequest*parts(l.MaxSize), mostStored)
	}
	return &KMEs{Config: c, running: map[Pair]*turn{}}, nil
}

// parts is how many keys of a pool a key of a size is made of.
func parts(size int) int { return (size + KeySize - 1) / KeySize }

// SAE is what one SAE has of the KMEs. What it does not know of, its methods refuse.
func (k *KMEs) SAE(id string) qkd.Source { return sae{k, id} }

type sae struct {
	kmes *KMEs
	id   string
}

func (s sae) Status(ctx context.Context, slave string) (qkd.Status, error) {
	return s.kmes.status(ctx, Pair{s.id, slave})
}

func (s sae) Take(ctx context.Context, slave string, r qkd.Request) ([]qkd.Key, error) {
	if err := s.kmes.knownPair(ctx, Pair{s.id, slave}); err != nil {
		return nil, err
	}
	o, err := s.kmes.order(Pair{s.id, slave}, r)
	if err != nil {
		return nil, err
	}
	if err := s.kmes.knownFurther(ctx, r.Additional); err != nil {
		return nil, err
	}
	return s.kmes.take(ctx, o)
}

func (s sae) Fetch(ctx context.Context, master string, ids ...qkd.KeyID) (keys []qkd.Key, err error) {
	if err := s.kmes.admit(ctx, s.id); err != nil {
		return nil, err
	}
	err = s.kmes.Store.UpdateQuantumKeys(ctx, func(tx Tx) (err error) {
		keys, err = s.kmes.FetchIn(ctx, tx, Pair{master, s.id}, ids...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// admit refuses an SAE that may have nothing.
func (k *KMEs) admit(ctx context.Context, id string) error {
	if known, err := k.known(ctx, id); err != nil || known {
		return err
	}
	return qkd.ErrUnauthorised
}

func (k *KMEs) known(ctx context.Context, id string) (bool, error) {
	if !qkd.ValidSAE(id) {
		return false, nil
	}
	return k.Known(ctx, id)
}

// knownPair refuses a pair that is none.
func (k *KMEs) knownPair(ctx context.Context, p Pair) error {
	if err := k.admit(ctx, p.Master); err != nil {
		return err
	}
	if p.Master == p.Slave {
		return refuse("slave_SAE_ID shall be another SAE than the one that asks", "slave_SAE_ID", p.Slave)
	}
	return k.knownSlave(ctx, "slave_SAE_ID", p.Slave)
}

// knownFurther refuses further slaves that are none.
func (k *KMEs) knownFurther(ctx context.Context, slaves []string) error {
	for _, slave := range slaves {
		if err := k.knownSlave(ctx, "additional_slave_SAE_IDs", slave); err != nil {
			return err
		}
	}
	return nil
}

// knownAll refuses a pair and further slaves that are none.
func (k *KMEs) knownAll(ctx context.Context, p Pair, further []string) error {
	if err := k.knownPair(ctx, p); err != nil {
		return err
	}
	return k.knownFurther(ctx, further)
}

// knownSlave refuses an SAE that a parameter names and that may have no keys.
func (k *KMEs) knownSlave(ctx context.Context, parameter, id string) error {
	if known, err := k.known(ctx, id); err != nil || known {
		return err
	}
	return refuse(parameter+" names an SAE that is not known", parameter, id)
}

// refuse is a bad request, with the parameter that is meant.
func refuse(message, name string, value any) error {
	return &qkd.Refusal{Kind: qkd.ErrBadRequest, Message: message, Details: []map[string]any{{name: value}}}
}

func (k *KMEs) status(ctx context.Context, p Pair) (qkd.Status, error) {
	if err := k.knownPair(ctx, p); err != nil {
		return qkd.Status{}, err
	}
	s := qkd.Status{
		SourceKME: k.Source, TargetKME: k.Target, Master: p.Master, Slave: p.Slave, KeySize: KeySize,
		MaxStored: k.Limits.MaxStored, MaxPerRequest: k.Limits.MaxPerRequest,
		MinKeySize: k.Limits.MinSize, MaxKeySize: k.Limits.MaxSize, MaxSAEs: k.Limits.MaxSAEs,
	}
	err := k.Store.ViewQuantumKeys(ctx, func(tx Tx) (err error) {
		s.Stored, err = tx.Pooled(ctx, p)
		return err
	})
	return s, err
}
