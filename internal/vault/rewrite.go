package vault

import (
	"context"
	"errors"

	"stonevault/stone"
)

// rewrite is the next revision of a file's envelope on its way: sealed by Vault.rewrite, committed with an
// intent that holds it, and put in its place by finishRewrite. From its commit on, whoever touches the file's
// envelope object has its lock: see lockFiles. A vault in one data directory is opened by one process that does.
type rewrite struct {
	was, e        Entry // e has the row of the new envelope
	holders       holders
	before, after []byte // envelopes
	// record writes the event of the change from one entry to the other.
	record func(ctx context.Context, tx Tx, was, e Entry) error
}

// rewrite seals the same body and key, for and by the present holders, with what metadata makes of what was
// stated before.
func (v *Vault) rewrite(ctx context.Context, was, e Entry, s keyState, h holders, metadata func(stone.Metadata) stone.Metadata,
	record func(ctx context.Context, tx Tx, was, e Entry) error) (*rewrite, error) {
	before, err := v.envelope(ctx, was.Version.FileID, s)
	if err != nil {
		return nil, err
	}
	u, err := v.unlockRaw(was, s, before)
	if err != nil {
		return nil, err
	}
	signer, err := v.secret(h.owner)
	if err != nil {
		return nil, err
	}
	grants, err := v.grants(h, u.FileID, u.Key())
	if err != nil {
		return nil, err
	}
	e.Version.Revision, e.Version.Signer = was.Version.Revision+1, h.owner.Fingerprint
	after, err := stone.SealEnvelope(stone.EnvelopeParams{
		Body: u.Body(), Key: u.Key(), Revision: e.Version.Revision, Previous: u.PreviousFor(signer.Suite()), Time: millis(v.now()),
		Signer: signer, Certificate: h.owner.Certificate, Grants: grants, Metadata: metadata(u.Metadata), Rand: v.rand,
	})
	if err != nil {
		return nil, err
	}
	e.Version.ManifestDigest, err = stone.ManifestDigest(after)
	return &rewrite{was, e, h, before, after, record}, err
}

// commitRewrite refuses an envelope that is not the next one of the file as it is, that is for others than
// the present holders, or that comes while another is still on its way to its place.
func (v *Vault) commitRewrite(ctx context.Context, tx Tx, r *rewrite) error {
	if err := r.holders.still(ctx, tx); err != nil {
		return err
	}
	err := tx.Versions().Update(ctx, r.e.Version, r.was.Version.Revision)
	if errors.Is(err, ErrConflict) || isMissing(err) {
		return errReplan
	}
	if err != nil {
		return err
	}
	err = replanIfExists(tx.Intents().Insert(ctx, Intent{
		FileID: r.e.Version.FileID, Kind: IntentRewrite, Envelope: r.after, CreatedAt: v.now(),
	}))
	if err != nil {
		return err
	}
	return r.record(ctx, tx, r.was, r.e)
}

// finishRewrite puts a committed envelope in its place, under the lock that it was committed under. A failure there may have put it in place all the
// same, so that taking the change back means to put the former envelope there, now or by the collector;
// until then readers use the one in the intent.
func (v *Vault) finishRewrite(ctx context.Context, r *rewrite) error {
	id := r.e.Version.FileID
	failed := v.objects.Replace(ctx, envelopeName(id), r.after)
	if failed == nil {
		if err := v.dropIntent(ctx, id, IntentRewrite); err != nil {
			v.log.WarnContext(ctx, "a finished intent is left to the collector", "file_id", id.String(), "error", err)
		}
		return nil
	}
	undo := v.change(ctx, func(tx Tx) error {
		// What has been built on the change meanwhile is not taken back with it.
		if now, err := tx.Nodes().ByID(ctx, r.was.Node.ID); err != nil {
			return err
		} else if now != r.e.Node {
			return errReplan
		}
		if err := tx.Nodes().Update(ctx, r.was.Node); err != nil {
			return err
		}
		if err := tx.Versions().Update(ctx, r.was.Version, r.e.Version.Revision); err != nil {
			return err
		}
		if err := tx.Intents().Delete(ctx, id); err != nil {
			return err
		}
		err := tx.Intents().Insert(ctx, Intent{FileID: id, Kind: IntentRewrite, Envelope: r.before, CreatedAt: v.now()})
		if err != nil {
			return err
		}
		return r.record(ctx, tx, r.e, r.was)
	})
	if undo == nil {
		return failed
	}
	v.log.ErrorContext(ctx, "an envelope waits to be put in its place", "file_id", id.String(), "error", errors.Join(failed, undo))
	if errors.Is(undo, ErrConflict) || isMissing(undo) {
		return nil // the change stands, and more has followed
	}
	// It stands now; but what was to take it back may come back with a restart.
	return errors.Join(failed, undo)
}
