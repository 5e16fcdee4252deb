package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"stonevault/audit"
	"stonevault/identity"
	"stonevault/stone"
)

const (
	// rotateWorkers is how many envelopes are rewritten at once. They wait for the disk more than they compute.
	rotateWorkers = 8
	// rotateNote is how often the progress is written down.
	rotateNote = time.Second
)

// ErrRotating is a rotation that has not ended.
var ErrRotating = errors.New("a rotation of this is under way")

// RotationKind is what is replaced.
type RotationKind string

const (
	RotateRecovery RotationKind = "recovery"
	RotateMaster   RotationKind = "master"
	RotateIdentity RotationKind = "identity"
	RotateRoot     RotationKind = "root"
)

// RotationKinds are all of them, in the order in which a server goes on with those under way.
var RotationKinds = []RotationKind{RotateMaster, RotateRoot, RotateRecovery, RotateIdentity}

// setting is the name of the setting that holds a Rotation.
func (k RotationKind) setting() string { return string(k) + "_rotation" }

// Rotation says how far the change from one key to the next has come.
type Rotation struct {
	Running bool `json:"running"`
	Total   int  `json:"total"`  // envelopes, or values under the master key, that there were when the counting began
	Done    int  `json:"done"`   // looked at, and under the new key
	Failed  int  `json:"failed"` // that do not verify, and were left as they are
}

// NewRecovery makes a recovery identity and changes nothing. Whoever has its sheet passes it to
// BeginRotation: in this order a crash leaves a sheet for nothing, and never a vault without a sheet.
func (v *Vault) NewRecovery() (*Recovery, error) {
	r := v.reign()
	secret, err := identity.Generate(v.rand, r.suite)
	return &Recovery{secret, r.print}, err
}

// BeginRotation makes next the recovery identity of all that is sealed from now on, and leaves it to Rotate
// to rewrite what has been sealed before.
func (v *Vault) BeginRotation(ctx context.Context, a Actor, next *Recovery) error {
	return v.change(ctx, func(tx Tx) error {
		state, err := rotation(ctx, tx, RotateRecovery)
		if err != nil {
			return err
		}
		if state.Running {
			return ErrRotating
		}
		old, err := tx.Identities().Current(ctx, KindRecovery, "")
		if err != nil {
			return err
		}
		row, err := v.certify(KindRecovery, "", old.Version+1, next.Secret.Public())
		if err != nil {
			return err
		}
		return v.replaceRecovery(ctx, tx, a, old, row)
	})
}

// replaceRecovery puts a recovery identity in the place of another.
func (v *Vault) replaceRecovery(ctx context.Context, tx Tx, a Actor, old, row Identity) error {
	if err := tx.Identities().Retire(ctx, old.ID, millis(v.now())); err != nil {
		return err
	}
	if err := v.insertKey(ctx, tx, row); err != nil {
		return err
	}
	if err := v.recordKey(ctx, tx, audit.KeyRetired, &a, old, Person{}); err != nil {
		return err
	}
	if err := v.recordKey(ctx, tx, audit.KeyPublished, &a, row, Person{}); err != nil {
		return err
	}
	if err := v.recordRotation(ctx, tx, &a, row, Rotation{Running: true}); err != nil {
		return err
	}
	return noteRotation(ctx, tx, RotateRecovery, Rotation{Running: true})
}

// RotationState tells how far the last rotation of a kind has come, by whichever process.
func (v *Vault) RotationState(ctx context.Context, kind RotationKind) (Rotation, error) {
	var state Rotation
	err := v.db.View(ctx, func(tx Tx) (err error) {
		state, err = rotation(ctx, tx, kind)
		return err
	})
	return state, err
}

func rotation(ctx context.Context, tx Tx, kind RotationKind) (Rotation, error) {
	text, err := tx.Settings().Get(ctx, kind.setting())
	if isMissing(err) {
		return Rotation{}, nil
	}
	if err != nil {
		return Rotation{}, err
	}
	var state Rotation
	if err := json.Unmarshal(text, &state); err != nil {
		return Rotation{}, fmt.Errorf("vault: setting %s is damaged: %w", kind.setting(), err)
	}
	return state, nil
}

func noteRotation(ctx context.Context, tx Tx, kind RotationKind, state Rotation) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return tx.Settings().Put(ctx, kind.setting(), text)
}

// progress is how far a run of Rotate has come.
type progress struct {
	v      *Vault
	kind   RotationKind
	report func(Rotation)
	mu     sync.Mutex // guards what follows
	state  Rotation   // as it is shown
	noted  time.Time
}

// set changes what is shown.
func (p *progress) set(fn func(*Rotation)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn(&p.state)
}

// note writes the progress down, now or if it has not been for a while.
func (p *progress) note(ctx context.Context, now bool) error {
	p.mu.Lock()
	at := p.v.now()
	if !now && at.Sub(p.noted) < rotateNote && !at.Before(p.noted) {
		p.mu.Unlock()
		return nil
	}
	p.noted = at
	state := p.state
	p.mu.Unlock()
	p.report(state)
	return p.v.db.Update(ctx, func(tx Tx) error { return noteRotation(ctx, tx, p.kind, state) })
}

// Rotate goes on with a rotation that is under way, until nothing is under the former key. It may be interrupted at
// any time and called again: whatever is to be rewritten shows by itself whether it is. One process at a time may call
// it, as for all that touches envelopes (see lockFiles); others read and write meanwhile. report may be nil; it is called
// at most once a second.
func (v *Vault) Rotate(ctx context.Context, kind RotationKind, report func(Rotation)) (Rotation, error) {
	if kind == RotateRecovery || kind == RotateIdentity {
		// What they rewrite would have to be rewritten again, after a change of roots that has not come to its end.
		if _, err := v.rotate(ctx, RotateRoot, nil); err != nil {
			return Rotation{Running: true}, err
		}
	}
	return v.rotate(ctx, kind, report)
}

func (v *Vault) rotate(ctx context.Context, kind RotationKind, report func(Rotation)) (Rotation, error) {
	state, err := v.RotationState(ctx, kind)
	if err != nil || !state.Running {
		return state, err
	}
	if report == nil {
		report = func(Rotation) {}
	}
	p := &progress{v: v, kind: kind, report: report, state: state, noted: v.now()}
	switch kind {
	case RotateMaster:
		err = v.rotateMaster(ctx, p)
	case RotateIdentity:
		err = v.rotateIdentities(ctx, p)
	case RotateRoot:
		err = v.rotateRoot(ctx, p)
	default:
		err = v.rotateRecovery(ctx, p)
	}
	return p.state, err
}

// rotateRecovery rewrites every envelope that has a grant to another than the recovery identity in use. Whose recovery
// identity an envelope is for, it alone says: so all objects are looked at.
func (v *Vault) rotateRecovery(ctx context.Context, p *progress) error {
	p.state = Rotation{Running: true}
	r := &rotator{progress: p, envelopes: v.walkEnvelopes}
	err := r.envelopes(ctx, func(stone.FileID) error {
		r.state.Total++
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.run(ctx); err != nil {
		return err
	}
	r.state.Running, r.state.Done, r.state.Failed = false, r.done, r.failed
	r.report(r.state)
	return v.db.Update(ctx, func(tx Tx) error {
		row, err := tx.Identities().Current(ctx, KindRecovery, "")
		if err != nil {
			return err
		}
		if err := v.recordRotation(ctx, tx, nil, row, r.state); err != nil {
			return err
		}
		return noteRotation(ctx, tx, r.kind, r.state)
	})
}

// walkEnvelopes hands out the files of all envelopes that there are.
func (v *Vault) walkEnvelopes(ctx context.Context, hand func(stone.FileID) error) error {
	return v.objects.Walk(ctx, func(name string, _ int64) error {
		text, kind, _ := strings.Cut(name, ".")
		id, err := stone.ParseFileID(text)
		if err != nil || kind != "env" {
			return err
		}
		return hand(id)
	})
}

// rotator rewrites envelopes until each is for its present holders alone.
type rotator struct {
	*progress
	// envelopes hands out the files whose envelopes are to be looked at, in each pass anew.
	envelopes func(ctx context.Context, hand func(stone.FileID) error) error
	dwindling bool // those that are done are not handed out again
	done      int  // envelopes of this pass or, where they dwindle, of all; as the next two
	failed    int
	wrote     int // or still to be written, in the next one
}

// run makes passes until one finds nothing to do. A directory that changes while it is read may leave something out;
// but what is committed since the rotation began is for the present holders, so that this pass is the last one.
func (r *rotator) run(ctx context.Context) error {
	for first := true; first || r.wrote > 0; first = false {
		r.failed, r.wrote = 0, 0
		if !r.dwindling {
			r.done = 0
		}
		feed := func(hand func(stone.FileID) error) error { return r.envelopes(ctx, hand) }
		if err := each(ctx, rotateWorkers, feed, r.file); err != nil {
			return errors.Join(err, r.note(context.WithoutCancel(ctx), true))
		}
	}
	return nil
}

// recordRotation records that a rotation to a recovery identity begins, or that it is done.
func (v *Vault) recordRotation(ctx context.Context, tx Tx, by *Actor, row Identity, s Rotation) error {
	state := "done"
	if s.Running {
		state = "begun"
	}
	return v.record(ctx, tx, audit.RecoveryRotated, by, audit.Values{
		"version": row.Version, "fingerprint": row.Fingerprint.Hex(), "state": state, "rewritten": s.Done,
	}, nil)
}

// file brings one envelope up to date. One that does not verify is counted, and stays.
func (r *rotator) file(ctx context.Context, id stone.FileID) error {
	wrote, err := false, errReplan
	for attempt := 0; attempt < planAttempts && errors.Is(err, errReplan); attempt++ {
		wrote, err = r.v.rotateFile(ctx, id)
	}
	r.mu.Lock()
	switch {
	case err == nil:
		r.done++
	case errors.Is(err, ErrRefused):
		r.failed++
	}
	if wrote || errors.Is(err, errReplan) { // somebody else is at it all the time; the next pass finds it
		r.wrote++
	}
	// A later pass does not begin to count anew for those who watch.
	r.state.Done, r.state.Failed = max(r.state.Done, r.done), max(r.state.Failed, r.failed)
	r.mu.Unlock()
	if errors.Is(err, ErrRefused) {
		r.v.log.WarnContext(ctx, "an envelope keeps its grant to a former key", "file_id", id.String(), "reason", err.Error())
	} else if err != nil && !errors.Is(err, errReplan) {
		return err
	}
	return r.note(ctx, false)
}

// rotateFile rewrites a version's envelope for the present holders, unless it is for them already.
func (v *Vault) rotateFile(ctx context.Context, id stone.FileID) (wrote bool, err error) {
	var e Entry
	defer func() {
		if v.overtaken(ctx, e, err) {
			err = errReplan
		}
	}()
	var state keyState
	var h holders
	err = v.db.View(ctx, func(tx Tx) error {
		var err error
		if e.Version, err = tx.Versions().ByID(ctx, id); err != nil {
			return err
		}
		if e.Node, err = tx.Nodes().ByID(ctx, e.Version.Document); err != nil {
			return err
		}
		if e.Path, err = pathOf(ctx, tx, e.Node); err != nil {
			return err
		}
		if state, err = v.keyState(ctx, tx, e); err != nil {
			return err
		}
		h, err = v.holdersOf(ctx, tx, e.Node.Owner)
		return err
	})
	if isMissing(err) {
		return false, nil // removed, or not committed yet; then its commit is for the present holders
	}
	if err != nil {
		return false, err
	}
	if state.rewrite != nil {
		// Somebody's change is on its way. It may still be taken back, with the envelope of before.
		if err := v.settle(ctx, id); err != nil {
			return false, err
		}
		return false, errReplan
	}
	raw, err := v.envelope(ctx, id, state)
	if err != nil {
		return false, err
	}
	env, err := stone.ParseEnvelopeCached(raw, &v.keys.public)
	if err != nil {
		return false, hide(err)
	}
	if err := v.compareEnvelope(e, env, state.signer); err != nil {
		return false, err
	}
	if h.hold(env) {
		return false, nil
	}
	metadata := func(m stone.Metadata) stone.Metadata {
		if e.Node.Current != id {
			return m // an earlier version keeps the name and place that it had
		}
		return e.metadata()
	}
	r, err := v.rewrite(ctx, e, e, state, h, metadata, func(ctx context.Context, tx Tx, _, e Entry) error {
		return v.recordResealed(ctx, tx, nil, e.Version, "rotation", placeOf(e.Node.Owner, e.Path))
	})
	if err != nil {
		return false, err
	}
	ctx, unlock, err := v.lockFiles(ctx, id)
	if err != nil {
		return false, err
	}
	defer unlock()
	err = v.db.Update(ctx, func(tx Tx) error {
		now, err := tx.Nodes().ByID(ctx, e.Node.ID)
		if err != nil && !isMissing(err) {
			return err
		}
		if err != nil || now != e.Node {
			return errReplan
		}
		return v.commitRewrite(ctx, tx, r)
	})
	if err != nil {
		return false, err
	}
	return true, v.finishRewrite(ctx, r)
}

// hold tells whether an envelope is for the holders, and for nobody else.
func (h holders) hold(e *stone.Envelope) bool {
	return len(e.Grants) == 2 && e.GrantTo(h.owner.Fingerprint) != nil && e.GrantTo(h.recovery.Fingerprint) != nil
}
