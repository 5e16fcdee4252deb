package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/stone"
)

// The settings that limit whom no quota of his own does: whole numbers in JSON. Where one is missing, there is no limit.
const (
	settingDefaultBytes = "default_bytes"
	settingDefaultFiles = "default_files"
)

// NoLimit is what a limit is that limits nothing.
const NoLimit = -1

// Limits are what a quota allows.
type Limits struct {
	Bytes int64 // of the plaintext of all versions
	Files int64 // documents
}

// Use is what somebody's files take, or those of a group's members.
type Use struct {
	Bytes     int64 // of the plaintext of all versions
	Files     int64 // documents
	Uploading int64 // bytes that uploads in progress have come to
}

// Bound is a quota that bounds a person, with what is used of it.
type Bound struct {
	Group  GroupID // empty where it is the person's own
	Name   string  // the group's
	Set    bool    // somebody set it; a person's own that nobody set is the vault's setting
	Limits Limits
	Used   Use
}

// left is how many bytes more fit.
func (b Bound) left() int64 {
	if b.Limits.Bytes == NoLimit {
		return math.MaxInt64
	}
	return max(b.Limits.Bytes-b.Used.Bytes-b.Used.Uploading, 0)
}

// ErrQuota says that a quota leaves no room. The error is a *QuotaError.
var ErrQuota = errors.New("a quota leaves no room for this")

// QuotaError is the quota that leaves no room.
type QuotaError struct {
	Bound
	Files bool // it is one file too many, and not bytes
}

func (e *QuotaError) Is(target error) bool { return target == ErrQuota }

// Error is a sentence for the person whose quota it is, or who belongs to the group.
func (e *QuotaError) Error() string {
	whose, together, ask := "Your quota", "", "an administrator or a manager of your group"
	if e.Group != "" {
		whose, together, ask = fmt.Sprintf("The quota of the group %q", e.Name), " to its members together", "a manager of the group"
	}
	if e.Files {
		return fmt.Sprintf("%s allows %d files%s, and there are %d. Delete some, or ask %s for more.", whose, e.Limits.Files, together, e.Used.Files, ask)
	}
	uploading := ""
	if e.Used.Uploading > 0 {
		uploading = fmt.Sprintf(", and uploads in progress take %s", amount(e.Used.Uploading))
	}
	return fmt.Sprintf("%s allows %s%s; %s are used%s. Delete files with all their versions, or ask %s for more.",
		whose, amount(e.Limits.Bytes), together, amount(e.Used.Bytes), uploading, ask)
}

// amount is a number of bytes for people.
func amount(n int64) string {
	if n < 10_000 {
		return fmt.Sprintf("%d bytes", n)
	}
	f, unit := float64(n)/1024, "KiB"
	for _, next := range []string{"MiB", "GiB", "TiB", "PiB"} {
		if f < 1000 {
			break
		}
		f, unit = f/1024, next
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}

// bounds are the quotas that bound a person, his own first. An upload of his does not count, since it is what asks.
func bounds(ctx context.Context, tx Tx, person PersonID, beside stone.FileID) ([]Bound, error) {
	all, err := tx.Quotas().Bounds(ctx, person, beside)
	if err != nil || all[0].Set {
		return all, err
	}
	if all[0].Limits.Bytes, err = vaultLimit(ctx, tx, settingDefaultBytes); err != nil {
		return nil, err
	}
	all[0].Limits.Files, err = vaultLimit(ctx, tx, settingDefaultFiles)
	return all, err
}

func vaultLimit(ctx context.Context, tx Tx, name string) (int64, error) {
	text, err := tx.Settings().Get(ctx, name)
	if isMissing(err) {
		return NoLimit, nil
	}
	if err != nil {
		return 0, err
	}
	var n int64
	if err := json.Unmarshal(text, &n); err != nil || n < 0 {
		return 0, errors.Join(fmt.Errorf("vault: setting %s is damaged", name), err)
	}
	return n, nil
}

// fits is a *QuotaError where bytes more, or one more file, are too much for one of the bounds.
func fits(all []Bound, bytes int64, file bool) error {
	for _, b := range all {
		if bytes > 0 && bytes > b.left() {
			return &QuotaError{Bound: b}
		}
		if file && b.Limits.Files != NoLimit && b.Used.Files >= b.Limits.Files {
			return &QuotaError{Bound: b, Files: true}
		}
	}
	return nil
}

// narrowest is how many bytes more fit into all of the bounds, and what is said of one more.
func narrowest(all []Bound) (left int64, full error) {
	left = math.MaxInt64
	for _, b := range all {
		if n := b.left(); n < left {
			left, full = n, &QuotaError{Bound: b}
		}
	}
	return left, full
}

// bounded reads no more than there is room for: the first byte above it is an error.
type bounded struct {
	src  io.Reader
	left int64
	full error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 && len(p) > 0 {
		var more [1]byte
		n, err := io.ReadFull(b.src, more[:])
		if n > 0 {
			err = b.full
		}
		return 0, err
	}
	n, err := b.src.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// PersonQuota returns what bounds a person alone, and what he uses of it.
func (v *Vault) PersonQuota(ctx context.Context, a Actor, id PersonID) (b Bound, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		if _, _, err := personFor(ctx, tx, a, id, access.QuotasSee); err != nil {
			return err
		}
		b, err = ownBound(ctx, tx, id)
		return err
	})
	return b, err
}

func ownBound(ctx context.Context, tx Tx, id PersonID) (Bound, error) {
	all, err := bounds(ctx, tx, id, stone.FileID{})
	if err != nil {
		return Bound{}, err
	}
	return all[0], nil
}

// GroupQuota returns what bounds a group's members together, and what they use of it.
func (v *Vault) GroupQuota(ctx context.Context, a Actor, id GroupID) (b Bound, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		if _, _, err := groupFor(ctx, tx, a, id, access.GroupsQuotasSee); err != nil {
			return err
		}
		b, err = tx.Quotas().OfGroup(ctx, id)
		return err
	})
	return b, err
}

// check refuses what no quota can be.
func (l Limits) check() error {
	for field, n := range map[string]int64{"bytes": l.Bytes, "files": l.Files} {
		if n < NoLimit || n > audit.MaxCount {
			return &InvalidError{field, fmt.Sprintf("is not a whole number from 0 to %d", int64(audit.MaxCount))}
		}
	}
	return nil
}

// SetPersonQuota limits a person; nil is what the vault's setting says.
func (v *Vault) SetPersonQuota(ctx context.Context, a Actor, id PersonID, l *Limits) (b Bound, err error) {
	if l != nil {
		if err := l.check(); err != nil {
			return Bound{}, err
		}
	}
	err = v.change(ctx, func(tx Tx) error {
		_, p, err := personFor(ctx, tx, a, id, access.QuotasChange)
		if err != nil {
			return err
		}
		if l == nil {
			err = tx.Quotas().UnsetPerson(ctx, id)
		} else {
			err = tx.Quotas().SetPerson(ctx, id, *l)
		}
		if err != nil {
			return err
		}
		if b, err = ownBound(ctx, tx, id); err != nil {
			return err
		}
		return v.recordQuota(ctx, tx, a, b, accountOf(p))
	})
	return b, err
}

// SetGroupQuota limits the members of a group together.
func (v *Vault) SetGroupQuota(ctx context.Context, a Actor, id GroupID, l Limits) (b Bound, err error) {
	if err := l.check(); err != nil {
		return Bound{}, err
	}
	err = v.change(ctx, func(tx Tx) error {
		if _, _, err := groupFor(ctx, tx, a, id, access.GroupsQuotasChange); err != nil {
			return err
		}
		if err := tx.Quotas().SetGroup(ctx, id, l); err != nil {
			return err
		}
		if b, err = tx.Quotas().OfGroup(ctx, id); err != nil {
			return err
		}
		return v.recordQuota(ctx, tx, a, b, nil)
	})
	return b, err
}

// recordQuota records what a quota allows now.
func (v *Vault) recordQuota(ctx context.Context, tx Tx, a Actor, b Bound, subject audit.Values) error {
	return v.record(ctx, tx, audit.QuotaChanged, &a, audit.Values{
		"group": string(b.Group), "limited_bytes": b.Limits.Bytes != NoLimit, "bytes": max(b.Limits.Bytes, 0),
		"limited_files": b.Limits.Files != NoLimit, "files": max(b.Limits.Files, 0),
	}, subject)
}
