package kme

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"stonevault/qkd"
)

// ErrShort is a pool that has fewer keys than a request needs. Only TakeIn returns it.
var ErrShort = fmt.Errorf("%w: the pool has too few, and a session has to run first", qkd.ErrNoKeys)

// order is a request that was looked at.
type order struct {
	Pair
	number, size int
	slaves       []string // all of them, that of the pair first
}

// needs is how many keys of the pool it takes.
func (o order) needs() int { return o.number * parts(o.size) }

// order checks a request but for who the SAEs are.
func (k *KMEs) order(p Pair, r qkd.Request) (order, error) {
	o := order{Pair: p, number: r.Number, size: r.Size, slaves: append([]string{p.Slave}, r.Additional...)}
	if o.number == 0 {
		o.number = 1
	}
	if o.size == 0 {
		o.size = KeySize
	}
	l := k.Limits
	switch {
	case !qkd.ValidSAE(p.Master) || !qkd.ValidSAE(p.Slave) || p.Master == p.Slave:
		return o, refuse("slave_SAE_ID shall be another SAE than the one that asks", "slave_SAE_ID", p.Slave)
	case o.number < 1 || o.number > l.MaxPerRequest:
		return o, refuse(fmt.Sprintf("number shall be 1 to %d", l.MaxPerRequest), "number", o.number)
	case o.size%8 != 0:
		return o, refuse(qkd.TextSize, "size", o.size)
	case o.size < l.MinSize || o.size > l.MaxSize:
		return o, refuse(fmt.Sprintf("size shall be %d to %d", l.MinSize, l.MaxSize), "size", o.size)
	case len(r.Additional) > l.MaxSAEs:
		return o, refuse(fmt.Sprintf("additional_slave_SAE_IDs shall be at most %d", l.MaxSAEs), "additional_slave_SAE_IDs", len(r.Additional))
	}
	for i, slave := range r.Additional {
		if !qkd.ValidSAE(slave) {
			return o, refuse("an id of an SAE is none", "additional_slave_SAE_IDs", slave)
		}
		if slave == p.Master || slices.Contains(o.slaves[:i+1], slave) {
			return o, refuse("an SAE is named twice", "additional_slave_SAE_IDs", slave)
		}
	}
	return o, nil
}

// TakeIn takes keys in a transaction of the caller's, so that they are gone if and only if what they are taken for is
// kept. It runs no session: ErrShort where there are too few, and nothing is taken. Whether the SAEs are known is the
// caller's to look at.
func (k *KMEs) TakeIn(ctx context.Context, tx Tx, p Pair, r qkd.Request) ([]qkd.Key, error) {
	o, err := k.order(p, r)
	if err != nil {
		return nil, err
	}
	return k.deliver(ctx, tx, o)
}

// deliver hands keys of the pool to the master, and leaves them for each slave.
func (k *KMEs) deliver(ctx context.Context, tx Tx, o order) ([]qkd.Key, error) {
	stored, err := tx.Pooled(ctx, o.Pair)
	if err != nil {
		return nil, err
	}
	if stored < o.needs() {
		return nil, ErrShort
	}
	rows, err := tx.TakePooled(ctx, o.Pair, o.needs())
	if err != nil {
		return nil, err
	}
	if len(rows) != o.needs() {
		return nil, fmt.Errorf("kme: %d keys came out of a pool of %d, and not %d", len(rows), stored, o.needs())
	}
	keys := make([]qkd.Key, 0, o.number)
	for of := range slices.Chunk(rows, parts(o.size)) {
		key, err := k.join(of, o.size)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
		d := Delivered{ID: key.ID, Master: o.Master, Slaves: o.slaves, Session: of[0].Session, At: millis(k.Now())}
		if err := tx.InsertDelivered(ctx, d); err != nil {
			return nil, err
		}
		for _, slave := range o.slaves {
			w := Waiting{ID: key.ID, Pair: Pair{o.Master, slave}}
			if w.Sealed, err = k.Sealer.Seal(WaitingContext(w.ID.String(), w.Master, w.Slave), key.Secret); err != nil {
				return nil, err
			}
			if err := tx.InsertWaiting(ctx, w); err != nil {
				return nil, err
			}
		}
	}
	for _, slave := range o.slaves {
		if err := k.record(ctx, tx, Delivery{Pair: Pair{o.Master, slave}}, keys); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// record tells of keys that are delivered.
func (k *KMEs) record(ctx context.Context, tx Tx, d Delivery, keys []qkd.Key) error {
	if k.Record == nil {
		return nil
	}
	d.Keys = len(keys)
	for _, key := range keys {
		d.Bits += 8 * len(key.Secret)
	}
	return k.Record(ctx, tx, d)
}

// join makes one key of keys of the pool, one behind the other, cut to a size. It has the id of the first; what is cut
// off is destroyed with its row.
func (k *KMEs) join(rows []Pooled, size int) (qkd.Key, error) {
	key := qkd.Key{ID: rows[0].ID, Secret: make([]byte, 0, len(rows)*KeyBytes)}
	for _, row := range rows {
		part, err := k.Sealer.Open(PoolContext(row.ID.String(), row.Master, row.Slave), row.Sealed)
		if err != nil {
			return qkd.Key{}, fmt.Errorf("kme: key %s of the pool does not open: %w", row.ID, err)
		}
		if len(part) != KeyBytes {
			return qkd.Key{}, fmt.Errorf("kme: key %s of the pool has %d bytes", row.ID, len(part))
		}
		key.Secret = append(key.Secret, part...)
		clear(part)
	}
	clear(key.Secret[size/8:])
	key.Secret = key.Secret[: size/8 : size/8]
	return key, nil
}

// FetchIn fetches keys for the slave of a pair in a transaction of the caller's, so that they are gone if and only if
// what is made of them is kept. When it fails the caller must not commit: some of the keys may have been removed.
func (k *KMEs) FetchIn(ctx context.Context, tx Tx, p Pair, ids ...qkd.KeyID) ([]qkd.Key, error) {
	switch {
	case len(ids) == 0:
		return nil, refuse("key_IDs shall have at least one key_ID", "key_IDs", 0)
	case len(ids) > k.Limits.MaxPerRequest:
		return nil, refuse(fmt.Sprintf("key_IDs shall be at most %d", k.Limits.MaxPerRequest), "key_IDs", len(ids))
	}
	seen := make(map[qkd.KeyID]bool, len(ids))
	var missing []map[string]any
	for _, id := range ids {
		if seen[id] {
			return nil, refuse("a key_ID is there twice", "key_ID", id.String())
		}
		seen[id] = true
		d, err := tx.Delivered(ctx, id)
		switch {
		case err == nil && !slices.Contains(d.Slaves, p.Slave):
			return nil, qkd.ErrUnauthorised
		case errors.Is(err, ErrNotFound), err == nil && d.Master != p.Master:
			missing = append(missing, map[string]any{"key_ID": id.String()})
		case err != nil:
			return nil, err
		}
	}
	keys := make([]qkd.Key, 0, len(ids))
	for _, id := range ids {
		if len(missing) > 0 {
			break
		}
		w, err := tx.TakeWaiting(ctx, id, p.Slave)
		if errors.Is(err, ErrNotFound) {
			missing = append(missing, map[string]any{"key_ID": id.String()})
			continue
		}
		if err != nil {
			return nil, err
		}
		secret, err := k.Sealer.Open(WaitingContext(w.ID.String(), w.Master, w.Slave), w.Sealed)
		if err != nil {
			return nil, fmt.Errorf("kme: key %s does not open: %w", id, err)
		}
		keys = append(keys, qkd.Key{ID: id, Secret: secret})
	}
	if len(missing) > 0 {
		return nil, &qkd.Refusal{Kind: qkd.ErrNotFound, Message: qkd.TextNotFound, Details: missing}
	}
	if err := k.record(ctx, tx, Delivery{Pair: p, Fetched: true}, keys); err != nil {
		return nil, err
	}
	return keys, nil
}

const (
	// keepNames is how long it is known whom a key was for that all have fetched.
	keepNames = 30 * 24 * time.Hour
	// expireBatch is how many rows go at once, so few that nobody's change waits for it.
	expireBatch = 500
)

// Expire destroys the keys that have waited for longer than Limits.KeepFor, and tells how many there were. It also
// forgets whom keys were for that all have fetched, after 30 days. It is called every now and then.
func (k *KMEs) Expire(ctx context.Context) (destroyed int64, err error) {
	now := k.Now()
	if _, err := k.expire(ctx, now.Add(-keepNames), true); err != nil || k.Limits.KeepFor == 0 {
		return 0, err
	}
	return k.expire(ctx, now.Add(-k.Limits.KeepFor), false)
}

func (k *KMEs) expire(ctx context.Context, before time.Time, fetched bool) (total int64, err error) {
	for {
		var n int64
		err := k.Store.UpdateQuantumKeys(ctx, func(tx Tx) (err error) {
			n, err = tx.DeleteDelivered(ctx, millis(before), fetched, expireBatch)
			return err
		})
		if total += n; err != nil || n < expireBatch {
			return total, err
		}
	}
}

func millis(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// PoolContext is what a key in a pool is sealed for. Whoever replaces the sealing key needs it.
func PoolContext(id, master, slave string) string { return sealContext("pool", id, master, slave) }

// WaitingContext is what a key is sealed for that waits for a slave.
func WaitingContext(id, master, slave string) string {
	return sealContext("waiting", id, master, slave)
}

func sealContext(place, id, master, slave string) string {
	return fmt.Sprintf("stonevault.v1/qkd/%s/%s/%d:%s/%d:%s", place, id, len(master), master, len(slave), slave)
}
