package webhook

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	// Overlap is how long a secret that Rotate has replaced signs beside the new one.
	Overlap = 24 * time.Hour
	// maxFormer is how many such secrets sign at most; of more, the newest.
	maxFormer = 3
)

// Former is a secret that was replaced, and still signs.
type Former struct {
	ID      int64
	Webhook string
	Secret  []byte // sealed
	Until   time.Time
}

// Sign returns the signature header of a job that is sent at a time: by the present secret, and by those that it has
// replaced not long ago.
func (j Job) Sign(at time.Time) string {
	signatures := []string{j.Secret.Sign(j.Message, at, j.Body)}
	for _, s := range j.Formers {
		signatures = append(signatures, s.Sign(j.Message, at, j.Body))
	}
	return strings.Join(signatures, " ")
}

// Rotate draws another secret for each webhook. The one before signs beside it for a day, so that receivers can change
// over. show is given each webhook with its new secret before that is used, and stops the rotation when it fails: so a
// secret that nobody has seen signs nothing.
func (s *Service) Rotate(ctx context.Context, by Asker, show func(Webhook) error) error {
	list, err := s.List(ctx, by)
	if err != nil {
		return err
	}
	for _, w := range list {
		sealed := []byte(nil)
		if w.Secret, sealed, err = s.draw(w.ID); err != nil {
			return err
		}
		if err := show(w); err != nil {
			return fmt.Errorf("webhook: the new secret of %s was not shown, and not used: %w", w.ID, err)
		}
		if err := s.supersede(ctx, by, w.ID, sealed); err != nil {
			return err
		}
	}
	return nil
}

// supersede puts another secret in the place of a webhook's, which goes on signing for a while.
func (s *Service) supersede(ctx context.Context, by Asker, id string, sealed []byte) error {
	return s.change(ctx, func(tx Tx) error {
		row, err := tx.Webhook(ctx, id)
		if err != nil {
			return err
		}
		now := s.now()
		if err := tx.InsertFormer(ctx, Former{Webhook: id, Secret: row.Secret, Until: now.Add(Overlap)}); err != nil {
			return err
		}
		formers, err := tx.Formers(ctx, id)
		if err != nil {
			return err
		}
		for i, f := range formers {
			if i >= maxFormer || !now.Before(f.Until) {
				if err := tx.DeleteFormer(ctx, f.ID); err != nil {
					return err
				}
			}
		}
		row.Secret, row.UpdatedAt = sealed, now
		if err := tx.Update(ctx, row); err != nil {
			return err
		}
		return s.record(ctx, tx, &by, row, "secret")
	})
}

// formers opens the secrets that still sign for a webhook. One that cannot be opened keeps no message from being sent.
func (s *Service) formers(ctx context.Context, tx Tx, w Row, now time.Time) (secrets []Secret, err error) {
	all, err := tx.Formers(ctx, w.ID)
	for _, f := range all {
		if key, err := s.sealer.Open(SecretContext(w.ID), f.Secret); err == nil && now.Before(f.Until) {
			secrets = append(secrets, Secret{key})
		}
	}
	return secrets, err
}

// endFormers removes the secrets that a webhook had before, whose end has come.
func endFormers(ctx context.Context, tx Tx, webhook string, ended func(Former) bool) error {
	all, err := tx.Formers(ctx, webhook)
	if err != nil {
		return err
	}
	for _, f := range all {
		if ended(f) {
			if err := tx.DeleteFormer(ctx, f.ID); err != nil {
				return err
			}
		}
	}
	return nil
}
