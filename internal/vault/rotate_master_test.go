package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stonevault/audit"
	"stonevault/internal/masterkey"
	"stonevault/internal/quantum"
	"stonevault/internal/vault"
	"stonevault/qkd"
	"stonevault/qkd/kme"
	"stonevault/stone"
)

// nextMaster makes a key that is to take the place of the house's, and announces it.
func (h *house) nextMaster() *masterkey.Key {
	h.t.Helper()
	h.made++
	key, err := masterkey.CreateFile(filepath.Join(h.dir, fmt.Sprintf("master.key.%d", h.made)))
	if err != nil {
		h.t.Fatal(err)
	}
	h.master.Add(key)
	if err := h.AnnounceMaster(ctx, vault.Actor{}, key.Check()); err != nil {
		h.t.Fatal(err)
	}
	return key
}

// withKeys opens the house anew as a process that has these keys alone.
func (h *house) withKeys(key *masterkey.Key, further ...*masterkey.Key) error {
	h.master = masterkey.NewRing(key, further...)
	h.config.Master, h.config.Audit = h.master, h.recorder()
	v, err := vault.Open(ctx, h.config)
	if err == nil {
		h.Vault = v
		h.SetGrace(0)
	}
	return err
}

// checkMaster wants everything under the key with a check, and nothing of another one.
func (h *house) checkMaster(check []byte) {
	h.t.Helper()
	err := h.db.View(ctx, func(tx vault.Tx) error {
		for _, place := range vault.SealedPlaces {
			all, tagged, err := tx.MasterKeys().Count(ctx, place, h.master.Tag(check))
			if err != nil {
				return err
			}
			if all != tagged {
				h.t.Errorf("%s: %d of %d values are under the new master key", place, tagged, all)
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	versions, err := h.MasterVersions(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, m := range versions {
		if current := bytes.Equal(m.Check, check); current != m.DestroyedAt.IsZero() || m.Wrapped != nil {
			h.t.Errorf("version %d: destroyed at %v, in use %v", m.Number, m.DestroyedAt, current)
		}
	}
}

func TestRotateMaster(t *testing.T) {
	h := newHouse(t)
	old, err := masterkey.ReadFile(filepath.Join(h.dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	h.SetGrace(0)
	a := h.person("ada")
	h.put(a, "/a", []byte("content"))
	up := h.begin(a, "/up", 10, stone.ClassNormal)
	if err := h.goOn(a, up.ID, []byte("01234")); err != nil {
		t.Fatal(err)
	}
	if state, err := h.Rotate(ctx, vault.RotateMaster, nil); err != nil || state != (vault.Rotation{}) {
		t.Errorf("nothing is announced: %+v, %v", state, err)
	}
	if err := h.TurnMaster(ctx); err != nil {
		t.Errorf("nothing is announced: %v", err)
	}

	withdrawn := h.nextMaster()
	if err := h.AnnounceMaster(ctx, vault.Actor{}, old.Check()); !errors.Is(err, vault.ErrRotating) {
		t.Errorf("a second one: %v, want ErrRotating", err)
	}
	if err := h.withKeys(withdrawn); !errors.Is(err, vault.ErrWrongMasterKey) {
		t.Errorf("a key that is announced alone: %v, want ErrWrongMasterKey", err)
	}
	if err := h.withKeys(old); err != nil {
		t.Fatal(err)
	}
	if err := h.TurnMaster(ctx); !errors.Is(err, vault.ErrNextMasterKey) {
		t.Errorf("a key that is not known: %v, want ErrNextMasterKey", err)
	}
	if err := h.WithdrawMaster(ctx); err != nil {
		t.Fatal(err)
	}
	next := h.nextMaster()
	if check, err := h.NextMaster(ctx); err != nil || !bytes.Equal(check, next.Check()) {
		t.Errorf("announced is %x, %v", check, err)
	}
	if err := h.TurnMaster(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.WithdrawMaster(ctx); !errors.Is(err, vault.ErrRotating) {
		t.Errorf("withdrawn while in use: %v, want ErrRotating", err)
	}
	b := h.person("ben") // under the new key
	// A process that was away finds everything by the new key alone, and nothing by the old one.
	if err := h.withKeys(old); !errors.Is(err, vault.ErrWrongMasterKey) {
		t.Errorf("the old key: %v, want ErrWrongMasterKey", err)
	}
	if err := h.withKeys(next); err != nil {
		t.Fatal(err)
	}
	h.mustGet(a, "/a", []byte("content"))
	h.put(b, "/b", []byte("of ben"))

	state, err := h.Rotate(ctx, vault.RotateMaster, nil)
	if err != nil || state.Running || state.Done == 0 || state.Done != state.Total {
		t.Fatalf("%+v, %v", state, err)
	}
	h.checkMaster(next.Check())
	if h.master.Knows(old.Check()) {
		t.Error("the old key is not forgotten")
	}
	if err := h.withKeys(next); err != nil {
		t.Fatal(err)
	}
	h.mustGet(a, "/a", []byte("content"))
	h.mustGet(b, "/b", []byte("of ben"))
	if err := h.goOn(a, up.ID, []byte("0123456789")); err != nil {
		t.Errorf("an upload from before: %v", err)
	}
	h.mustGet(a, "/up", []byte("0123456789"))
	if got := h.recorded(audit.KeyRotated); len(got) != 4 {
		t.Errorf("recorded were %v", got)
	}
	third := h.nextMaster()
	if err := h.TurnMaster(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Rotate(ctx, vault.RotateMaster, nil); err != nil {
		t.Fatal(err)
	}
	h.checkMaster(third.Check())
}

// TestRotateMasterLate refuses what was sealed under a key that is gone before it could be committed.
func TestRotateMasterLate(t *testing.T) {
	h := newHouse(t)
	h.SetGrace(0)
	stale := masterkey.NewRing(mustRead(t, filepath.Join(h.dir, "master.key")))
	config := h.config
	config.Master = stale
	other, err := vault.Open(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	h.nextMaster()
	if err := h.TurnMaster(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := other.CreatePerson(ctx, vault.Actor{}, "early", vault.RoleUser, "hash"); err != nil {
		t.Errorf("while the old key is there: %v", err)
	}
	if _, err := h.Rotate(ctx, vault.RotateMaster, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := other.CreatePerson(ctx, vault.Actor{}, "late", vault.RoleUser, "hash"); !errors.Is(err, vault.ErrMasterKeyClosed) {
		t.Errorf("once it is gone: %v, want ErrMasterKeyClosed", err)
	}
	h.checkMaster(h.master.Check())
}

// TestRotateMasterDamaged keeps the old key where something opens under neither.
func TestRotateMasterDamaged(t *testing.T) {
	h := newHouse(t)
	h.SetGrace(0)
	a := h.person("ada")
	up := h.begin(a, "/up", 10, stone.ClassNormal)
	var good vault.SealedValue
	damage := func(value func() []byte) {
		err := h.db.Update(ctx, func(tx vault.Tx) error {
			found, err := tx.MasterKeys().Beside(ctx, vault.SealedUploads, []byte("nothing."), "", 1)
			if err != nil || len(found) != 1 {
				return errors.Join(err, errors.New("there is no upload"))
			}
			if good.Value == nil {
				good = found[0]
			}
			return tx.MasterKeys().Reseal(ctx, found[0], value())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	damage(func() []byte { b := bytes.Clone(good.Value); b[20] ^= 1; return b })
	h.nextMaster()
	if err := h.TurnMaster(ctx); err != nil {
		t.Fatal(err)
	}
	if state, err := h.Rotate(ctx, vault.RotateMaster, nil); err == nil || !state.Running {
		t.Fatalf("%+v, %v", state, err)
	}
	damage(func() []byte { return good.Value }) // restored
	if state, err := h.Rotate(ctx, vault.RotateMaster, nil); err != nil || state.Running {
		t.Fatalf("%+v, %v", state, err)
	}
	if err := h.goOn(a, up.ID, []byte("0123456789")); err != nil {
		t.Error(err)
	}
}

func mustRead(t *testing.T, path string) *masterkey.Key {
	t.Helper()
	key, err := masterkey.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestRotateMasterFaults lets every step that writes fail in turn, both ways, and goes on as a process that finds the
// keys that lie there.
func TestRotateMasterFaults(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			f := &faults{at: at, after: after}
			h := newHouse(t)
			old := mustRead(t, filepath.Join(h.dir, "master.key"))
			a := h.person("ada")
			h.put(a, "/a", []byte("content"))
			next := h.nextMaster()
			sound := h.config
			h.config.Database = faultyDatabase{h.db, f}
			reopenUncounted(h, f)
			h.SetGrace(0)
			err := h.TurnMaster(ctx)
			if err == nil {
				_, err = h.Rotate(ctx, vault.RotateMaster, nil)
			}
			ended := f.count() < at
			if ended && err != nil {
				t.Errorf("without a fault: %v", err)
			}
			h.config = sound
			if err := h.withKeys(old, next); err != nil {
				t.Fatalf("step %d: %v", at, err)
			}
			if err := h.TurnMaster(ctx); err != nil {
				t.Fatalf("step %d: %v", at, err)
			}
			if err := h.withKeys(next); err != nil { // its file has taken the place of the old one's
				t.Fatalf("step %d: %v", at, err)
			}
			h.mustGet(a, "/a", []byte("content"))
			if state, err := h.Rotate(ctx, vault.RotateMaster, nil); err != nil || state.Running {
				t.Fatalf("step %d: %+v, %v", at, state, err)
			}
			h.checkMaster(next.Check())
			h.mustGet(a, "/a", []byte("content"))
			if ended {
				break
			}
		}
	}
}

// TestRotateMasterBesides rotates again and again while people come, put and read.
func TestRotateMasterBesides(t *testing.T) {
	h := newHouse(t)
	h.SetGrace(time.Second)
	a := h.person("ada")
	h.put(a, "/a", []byte("content"))
	stop := make(chan struct{})
	var made atomic.Int64
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				p, _, err := h.CreatePerson(ctx, vault.Actor{}, fmt.Sprintf("p %d %d", n, i), vault.RoleUser, "hash")
				if err != nil {
					t.Errorf("beside the rotation: %v", err)
					return
				}
				who := vault.Actor{Person: p.ID, Name: p.Name}
				if _, _, err := h.Put(ctx, who, request("/x", []byte("x"))); err != nil {
					t.Errorf("beside the rotation: %v", err)
				}
				if got, err := h.get(who, vault.Ref{Path: "/x"}); err != nil || string(got) != "x" {
					t.Errorf("beside the rotation: %q, %v", got, err)
				}
				made.Add(1)
			}
		})
	}
	for range 3 {
		h.nextMaster()
		if err := h.TurnMaster(ctx); err != nil {
			t.Fatal(err)
		}
		if state, err := h.Rotate(ctx, vault.RotateMaster, nil); err != nil || state.Running {
			t.Fatalf("%+v, %v", state, err)
		}
	}
	close(stop)
	wg.Wait()
	h.checkMaster(h.master.Check())
	if made.Load() == 0 {
		t.Error("nobody came")
	}
}

// TestRotateMasterServers: no server seals under a new key before all of them know it.
func TestRotateMasterServers(t *testing.T) {
	s := newServers(t, 0)
	a := s.person("ada")
	s.put(a, "/a", []byte("content"))
	old := mustRead(t, filepath.Join(s.dir, "master.key"))
	var rings []*masterkey.Ring
	for i := range 3 {
		s.master = masterkey.NewRing(old)
		s.config.Master, s.config.Audit = s.master, s.recorder()
		rings = append(rings, s.master)
		s.add(i)
		s.all[i].SetGrace(0)
	}
	next, err := masterkey.CreateFile(filepath.Join(s.dir, "next.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.all[0].AnnounceMaster(ctx, vault.Actor{}, next.Check()); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := s.all[0].TurnMaster(ctx); !errors.Is(err, vault.ErrNextMasterKey) {
			t.Fatalf("with the key at %d servers: %v, want ErrNextMasterKey", i, err)
		}
		if wanted, err := s.all[i].FollowMaster(ctx); err != nil || !bytes.Equal(wanted, next.Check()) {
			t.Errorf("server %d wants %x, %v", i, wanted, err)
		}
		rings[i].Add(next)
		if wanted, err := s.all[i].FollowMaster(ctx); err != nil || wanted != nil {
			t.Errorf("server %d wants %x, %v", i, wanted, err)
		}
	}
	if err := s.all[0].TurnMaster(ctx); err != nil {
		t.Fatal(err)
	}
	// What one seals under the new key, another reads that has not followed yet; and the other way round.
	for i, v := range s.all {
		if _, _, err := v.CreatePerson(ctx, vault.Actor{}, fmt.Sprintf("made at %d", i), vault.RoleUser, "hash"); err != nil {
			t.Error(err)
		}
		for j := range s.all {
			c, err := s.all[j].Content(ctx, a, vault.Ref{Path: "/a"})
			if err != nil {
				t.Errorf("server %d: %v", j, err)
				continue
			}
			c.Close()
		}
	}
	// One that comes now wants the key in use.
	late := masterkey.NewRing(old)
	if err := s.db.View(ctx, func(tx vault.Tx) error { return vault.UseMaster(ctx, tx, late) }); !errors.Is(err, vault.ErrWrongMasterKey) {
		t.Errorf("one that comes with the old key: %v", err)
	}
	for i, v := range s.all {
		if wanted, err := v.FollowMaster(ctx); err != nil || wanted != nil || !bytes.Equal(rings[i].Check(), next.Check()) {
			t.Errorf("server %d wants %x, %v", i, wanted, err)
		}
	}
	if state, err := s.all[1].Rotate(ctx, vault.RotateMaster, nil); err != nil || state.Running {
		t.Fatalf("%+v, %v", state, err)
	}
	if _, err := s.all[2].FollowMaster(ctx); err != nil || rings[2].Knows(old.Check()) {
		t.Errorf("server 2 has not forgotten the old key: %v", err)
	}
}

// TestRotateMasterQuantumKeys has quantum keys in a pool, and on their way, come under the new key, where both ends get
// the same ones.
func TestRotateMasterQuantumKeys(t *testing.T) {
	h := newHouse(t)
	h.config.SealContexts = map[vault.SealedPlace]func(of []string) string{
		vault.SealedPool:    func(of []string) string { return kme.PoolContext(of[0], of[1], of[2]) },
		vault.SealedWaiting: func(of []string) string { return kme.WaitingContext(of[1], of[2], of[3]) },
		vault.SealedSecrets: func(of []string) string { return quantum.SecretContext(of[0], of[1], of[2]) },
	}
	h.reopen()
	h.SetGrace(0)
	kmes := h.kmes()
	take := func() qkd.Key {
		t.Helper()
		keys, err := kmes.SAE("ada").Take(ctx, "ben", qkd.Request{Additional: []string{"Zoë 2"}})
		if err != nil {
			t.Fatal(err)
		}
		return keys[0]
	}
	before := take()
	pair := quantum.Between(string(h.person("ann").Person), string(h.person("bob").Person))
	secret := quantum.Secret{Session: "0123456789abcdef0123456789abcdef", People: pair}
	var err error
	if secret.Sealed, err = h.master.Seal(quantum.SecretContext(secret.Session, pair[0], pair[1]), []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if err := h.db.UpdateQuantum(ctx, func(tx quantum.Tx) error { return tx.PutSecret(ctx, secret) }); err != nil {
		t.Fatal(err)
	}
	next := h.nextMaster()
	if err := h.TurnMaster(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Rotate(ctx, vault.RotateMaster, nil); err != nil {
		t.Fatal(err)
	}
	h.checkMaster(next.Check())
	if err := h.db.UpdateQuantum(ctx, func(tx quantum.Tx) error { secret, err = tx.TakeSecret(ctx, pair[1], pair[0]); return err }); err != nil {
		t.Fatal(err)
	}
	if plain, err := h.master.Open(quantum.SecretContext(secret.Session, pair[0], pair[1]), secret.Sealed); err != nil || string(plain) != "secret" {
		t.Errorf("a secret of sessions: %q, %v", plain, err)
	}
	for _, key := range []qkd.Key{before, take()} {
		for _, slave := range []string{"ben", "Zoë 2"} {
			got, err := kmes.SAE(slave).Fetch(ctx, "ada", key.ID)
			if err != nil || !bytes.Equal(got[0].Secret, key.Secret) {
				t.Errorf("%s gets another key, or none: %v", slave, err)
			}
		}
	}
}

// kmes are KMEs that know everybody.
func (h *house) kmes() *kme.KMEs {
	h.t.Helper()
	kmes, err := kme.New(kme.Config{
		Source: "kme-a", Target: "kme-b", Store: h.db, Sealer: h.master, Maker: oneSession{}, Random: rand.Reader, Now: h.clock,
		Known: func(context.Context, string) (bool, error) { return true, nil },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return kmes
}

// TestRestartEmptiesPools: a database that was restored has keys in its pools that were delivered after it was copied.
// What waits for somebody stays, since shares need it.
func TestRestartEmptiesPools(t *testing.T) {
	h := newHouse(t)
	kmes := h.kmes()
	keys, err := kmes.SAE("ada").Take(ctx, "ben", qkd.Request{})
	if err != nil {
		t.Fatal(err)
	}
	stored := func(want int) {
		t.Helper()
		if s, err := kmes.SAE("ada").Status(ctx, "ben"); err != nil || s.Stored != want {
			t.Errorf("%d keys in the pool, want %d; %v", s.Stored, want, err)
		}
	}
	stored(1)
	if err := h.RestartLog(ctx, vault.Actor{}, ""); err != nil {
		t.Fatal(err)
	}
	stored(0)
	if _, err := kmes.SAE("ben").Fetch(ctx, "ada", keys[0].ID); err != nil {
		t.Error(err)
	}
}

// oneSession yields two keys.
type oneSession struct{}

func (oneSession) Make(context.Context, kme.Pair, int) ([][kme.KeyBytes]byte, string, error) {
	var keys [2][kme.KeyBytes]byte
	rand.Read(keys[0][:])
	rand.Read(keys[1][:])
	return keys[:], "", nil
}
