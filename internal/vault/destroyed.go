package vault

import (
	"context"
	"fmt"
	"io"
)

// settingDestroyed is another value whenever secrets were destroyed, so that each process that serves the vault forgets
// what it has opened of them.
const settingDestroyed = "secrets_destroyed"

// noteDestroyed belongs into the transaction in which secrets are destroyed.
func (v *Vault) noteDestroyed(ctx context.Context, tx Tx) error {
	var mark [16]byte
	if _, err := io.ReadFull(v.rand, mark[:]); err != nil {
		return fmt.Errorf("vault: no randomness: %w", err)
	}
	return tx.Settings().Put(ctx, settingDestroyed, mark[:])
}

// FollowDestroyed forgets what was opened with the master key, where secrets were destroyed since it was called last, by
// whatever process. It tells whether that is so: others may remember keys as well.
func (v *Vault) FollowDestroyed(ctx context.Context) (forgot bool, err error) {
	var mark []byte
	err = v.db.View(ctx, func(tx Tx) (err error) {
		if mark, err = tx.Settings().Get(ctx, settingDestroyed); isMissing(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return false, err
	}
	if last, _ := v.destroyed.Swap(string(mark)).(string); last == string(mark) {
		return false, nil
	}
	v.keys.forget()
	return true, nil
}
