package auditlog

import (
	"context"
	"fmt"

	"stonevault/audit"
)

// Latest is the newest signed head, of which both signatures were checked.
func (r *Reader) Latest(ctx context.Context) (checkpoint audit.Checkpoint, err error) {
	err = r.view(ctx, Viewer{}, func(s *snapshot) error { checkpoint = s.signed; return nil })
	return checkpoint, err
}

// ProveTree proves that the log of the first old events is the beginning of a tree, which is the newest signed
// head or an earlier one of the log's. It does not tell whether the tree is that: who verifies the proof does.
func (r *Reader) ProveTree(ctx context.Context, old int64, tree audit.Tree) (proof []audit.Hash, err error) {
	err = r.view(ctx, Viewer{}, func(s *snapshot) error {
		if tree.Size > s.signed.Tree.Size {
			return fmt.Errorf("%w: the tree has %d events, and %d are signed", ErrNotFound, tree.Size, s.signed.Tree.Size)
		}
		proof, err = tree.ProveConsistency(s.tiles, old)
		return damage(err)
	})
	return proof, err
}

// Heads shows the log to who writes its heads elsewhere.
type Heads struct{ Reader *Reader }

// Latest is the newest signed head.
func (h Heads) Latest(ctx context.Context) (audit.Checkpoint, error) { return h.Reader.Latest(ctx) }

// Consistency proves that the log of the first old events is the beginning of a tree of the log.
func (h Heads) Consistency(ctx context.Context, old int64, tree audit.Tree) ([]audit.Hash, error) {
	return h.Reader.ProveTree(ctx, old, tree)
}
