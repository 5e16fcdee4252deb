package metadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
	"stonevault/internal/auditlog"
)

// auditStore is the audit log in a transaction.
type auditStore struct{ tx *Tx }

var _ auditlog.Store = auditStore{}

// Audit is the audit log in this transaction.
func (tx *Tx) Audit() auditlog.Store { return auditStore{tx} }

const (
	logColumns        = `id, origin, public, sealed_seed, begun_at`
	auditKeyColumns   = `number, person, sealed`
	eventColumns      = `id, log, leaf_index, leaf, operational, actor_key, actor, subject_key, subject, grp`
	tileColumns       = `level, position, hashes`
	checkpointColumns = `log, size, text, signed_at`
)

func (s auditStore) InsertLog(ctx context.Context, l auditlog.Log) error {
	if err := checkLog(l); err != nil {
		return err
	}
	if err := s.tx.keepSealed(ctx, l.SealedSeed); err != nil {
		return err
	}
	err := s.tx.insert(ctx, auditlog.ErrNotFound, `INSERT INTO audit_logs (`+logColumns+`) VALUES ($1, $2, $3, $4, $5)`,
		l.ID, l.Origin, l.Public, l.SealedSeed, milli(l.BegunAt))
	if err != nil {
		return err
	}
	empty := audit.EmptyTree()
	return s.tx.insert(ctx, auditlog.ErrNotFound, `INSERT INTO audit_heads (log, size, root) VALUES ($1, $2, $3)`,
		l.ID, empty.Size, empty.Root[:])
}

func (s auditStore) CurrentLog(ctx context.Context) (auditlog.Log, error) {
	return get(ctx, s.tx, auditlog.ErrNotFound, scanLog, `SELECT `+logColumns+` FROM audit_logs ORDER BY id DESC LIMIT 1`)
}

func (s auditStore) NextKey(ctx context.Context) (int64, error) {
	return get(ctx, s.tx, auditlog.ErrNotFound, scanInt, `SELECT coalesce(max(number), 0) + 1 FROM audit_keys`)
}

func (s auditStore) InsertKey(ctx context.Context, k auditlog.Key) error {
	if err := checkAuditKey(k); err != nil {
		return err
	}
	if err := s.tx.keepSealed(ctx, k.Sealed); err != nil {
		return err
	}
	return s.tx.insert(ctx, auditlog.ErrNotFound, `INSERT INTO audit_keys (`+auditKeyColumns+`) VALUES ($1, $2, $3)`,
		k.Number, k.Person, k.Sealed)
}

func (s auditStore) KeysOf(ctx context.Context, persons ...string) ([]auditlog.Key, error) {
	if len(persons) == 0 || len(persons) > 3 {
		return nil, fmt.Errorf("metadb: keys of %d persons at once", len(persons))
	}
	if known := s.knownKeys(persons); known != nil {
		return known, s.tx.usable(ctx)
	}
	args := make([]any, 3) // one statement for all
	for i := range args {
		args[i] = persons[min(i, len(persons)-1)]
	}
	found, err := all(ctx, s.tx, scanAuditKey, `SELECT `+auditKeyColumns+` FROM audit_keys WHERE person IN ($1, $2, $3)`, args...)
	if err == nil && s.tx.writes {
		if s.tx.session.auditKeys == nil {
			s.tx.session.auditKeys = map[string]auditlog.Key{}
		}
		for _, k := range found {
			s.tx.session.auditKeys[k.Person] = k
		}
	}
	return found, err
}

// knownKeys are the keys of persons if the write transaction has found all of them before.
func (s auditStore) knownKeys(persons []string) []auditlog.Key {
	if !s.tx.writes || s.tx.over {
		return nil
	}
	known := make([]auditlog.Key, 0, len(persons))
	for i, p := range persons {
		k, ok := s.tx.session.auditKeys[p]
		if !ok {
			return nil
		}
		if !slices.Contains(persons[:i], p) {
			known = append(known, k)
		}
	}
	return known
}

func (s auditStore) Key(ctx context.Context, number int64) (auditlog.Key, error) {
	return get(ctx, s.tx, auditlog.ErrNotFound, scanAuditKey,
		`SELECT `+auditKeyColumns+` FROM audit_keys WHERE number = $1 AND person NOT LIKE '`+erasedPrefix+`%'`, number)
}

// erasedPrefix begins the name of an erased key, which is as long as a person's id and cannot be one.
const erasedPrefix = "erased-"

func (s auditStore) EraseKey(ctx context.Context, number int64) error {
	k, err := s.Key(ctx, number)
	if err != nil {
		return err
	}
	s.tx.session.forgetKeys()
	for _, text := range []string{
		`UPDATE audit_events SET actor = NULL, actor_key = NULL WHERE actor_key = $1`,
		`UPDATE audit_events SET subject = NULL, subject_key = NULL WHERE subject_key = $1`,
	} {
		if _, err := s.tx.exec(ctx, text, number); err != nil {
			return err
		}
	}
	return s.tx.change(ctx, auditlog.ErrNotFound, `UPDATE audit_keys SET sealed = $2, person = $3 WHERE number = $1`,
		number, make([]byte, len(k.Sealed)), fmt.Sprintf("%s%0*d", erasedPrefix, 32-len(erasedPrefix), number))
}

func (s auditStore) InsertEvent(ctx context.Context, e auditlog.Event) (int64, error) {
	if err := checkEvent(e); err != nil {
		return 0, err
	}
	p := e.Parts
	id, err := s.tx.insertRow(ctx, `INSERT INTO audit_events (leaf, operational, actor_key, actor, subject_key, subject, grp) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		e.Leaf, p[audit.Operational].Sealed, orNull(p[audit.Actor].Key == 0, p[audit.Actor].Key), orNull(p[audit.Actor].Sealed == nil, p[audit.Actor].Sealed),
		orNull(p[audit.Subject].Key == 0, p[audit.Subject].Key), orNull(p[audit.Subject].Sealed == nil, p[audit.Subject].Sealed),
		orNull(e.Group == "", e.Group))
	if errors.Is(err, errReference) {
		return 0, fmt.Errorf("%w: %w", auditlog.ErrNotFound, err)
	}
	return id, err
}

func (s auditStore) PendingEvents(ctx context.Context, limit int) ([]auditlog.Leaf, error) {
	return all(ctx, s.tx, func(row scanner) (l auditlog.Leaf, err error) { return l, row.Scan(&l.ID, &l.Leaf) },
		`SELECT id, leaf FROM audit_events WHERE log IS NULL AND leaf_index IS NULL ORDER BY id LIMIT $1`, int64(limit))
}

// PlaceEvents needs a statement for each run of ids without a gap, which most often is one for all.
func (s auditStore) PlaceEvents(ctx context.Context, log, first int64, ids []int64) error {
	for len(ids) > 0 {
		n := 1
		for n < len(ids) && ids[n] == ids[n-1]+1 {
			n++
		}
		placed, err := s.tx.exec(ctx, `UPDATE audit_events SET log = $1, leaf_index = id + $2 WHERE id BETWEEN $3 AND $4 AND leaf_index IS NULL`,
			log, first-ids[0], ids[0], ids[n-1])
		if err != nil {
			return err
		}
		if placed != int64(n) {
			return s.tx.fail(fmt.Errorf("%w: %d of %d events were placed", auditlog.ErrConflict, placed, n))
		}
		first += int64(n)
		ids = ids[n:]
	}
	return nil
}

func (s auditStore) Event(ctx context.Context, id int64) (auditlog.Event, error) {
	return get(ctx, s.tx, auditlog.ErrNotFound, scanEvent, `SELECT `+eventColumns+` FROM audit_events WHERE id = $1`, id)
}

func (s auditStore) Events(ctx context.Context, log, from int64, limit int) ([]auditlog.Event, error) {
	return all(ctx, s.tx, scanEvent,
		`SELECT `+eventColumns+` FROM audit_events WHERE log = $1 AND leaf_index >= $2 ORDER BY leaf_index LIMIT $3`, log, from, int64(limit))
}

func (s auditStore) EventsBefore(ctx context.Context, id, key int64, limit int) ([]auditlog.Event, error) {
	if key == 0 {
		return all(ctx, s.tx, scanEvent, `SELECT `+eventColumns+` FROM audit_events WHERE id < $1 ORDER BY id DESC LIMIT $2`, id, int64(limit))
	}
	side := func(column string) string {
		return `SELECT id FROM (SELECT id FROM audit_events WHERE ` + column + ` = $2 AND id < $1 ORDER BY id DESC LIMIT $3) AS found`
	}
	return all(ctx, s.tx, scanEvent, `SELECT `+eventColumns+` FROM audit_events WHERE id IN (`+side("actor_key")+` UNION `+side("subject_key")+`)
		ORDER BY id DESC LIMIT $3`, id, key, int64(limit))
}

// managedKeys are those of the person $1 and of the members of groups that he manages.
const managedKeys = `(SELECT number FROM audit_keys WHERE person = $1
	UNION ALL SELECT k.number FROM group_members own
		JOIN group_members other ON other.grp = own.grp AND other.member = 1
		JOIN audit_keys k ON k.person = other.person
		WHERE own.person = $1 AND own.manager = 1)`

// EventsManaged goes along an index that holds the keys and the group of each event, so that of those which do not fit
// no more is read.
func (s auditStore) EventsManaged(ctx context.Context, manager string, from, before int64, limit int) ([]auditlog.Event, error) {
	return all(ctx, s.tx, scanEvent, `SELECT `+eventColumns+` FROM audit_events WHERE id IN (SELECT id FROM (
			SELECT id FROM audit_events WHERE id >= $2 AND id < $3
				AND (actor_key IN `+managedKeys+` OR subject_key IN `+managedKeys+`
					OR grp IN (SELECT grp FROM group_members WHERE person = $1 AND manager = 1))
			ORDER BY id DESC LIMIT $4) AS found)
		ORDER BY id DESC`, manager, from, before, int64(limit))
}

func (s auditStore) PartsUnder(ctx context.Context, log, key int64) ([]int64, error) {
	var parts []int64
	for column, slot := range map[string]audit.Slot{"actor_key": audit.Actor, "subject_key": audit.Subject} {
		found, err := all(ctx, s.tx, scanInt, `SELECT leaf_index FROM audit_events WHERE `+column+` = $2 AND log = $1`, log, key)
		if err != nil {
			return nil, err
		}
		for _, index := range found {
			parts = append(parts, audit.PartNumber(index, slot))
		}
	}
	slices.Sort(parts)
	return parts, nil
}

func (s auditStore) Role(ctx context.Context, person string) (access.Role, error) {
	return get(ctx, s.tx, auditlog.ErrNotFound, func(row scanner) (r access.Role, err error) {
		err = row.Scan(&r)
		return r, err
	}, `SELECT role FROM people WHERE id = $1`, person)
}

func (s auditStore) Acquaintance(ctx context.Context, asker, person string) (access.Acquaintance, error) {
	return s.tx.Acquaintance(ctx, asker, person)
}

func (s auditStore) ManagedGroups(ctx context.Context, person string) ([]string, error) {
	return all(ctx, s.tx, func(row scanner) (id string, err error) {
		err = row.Scan(&id)
		return id, err
	}, `SELECT grp FROM group_members WHERE person = $1 AND manager = 1`, person)
}

func (s auditStore) Head(ctx context.Context, log int64) (audit.Tree, error) {
	return get(ctx, s.tx, auditlog.ErrNotFound, scanTree, `SELECT size, root FROM audit_heads WHERE log = $1`, log)
}

func (s auditStore) MoveHead(ctx context.Context, log int64, from, to audit.Tree) error {
	if err := checkTree(to, to.Size > from.Size); err != nil {
		return err
	}
	err := s.tx.change(ctx, auditlog.ErrConflict, `UPDATE audit_heads SET size = $4, root = $5 WHERE log = $1 AND size = $2 AND root = $3`,
		log, from.Size, from.Root[:], to.Size, to.Root[:])
	if errors.Is(err, auditlog.ErrConflict) {
		return s.tx.fail(err) // nothing of the batch may be committed
	}
	return err
}

func (s auditStore) Tiles(ctx context.Context, log int64, tiles []audit.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, t := range tiles {
		tile, err := get(ctx, s.tx, auditlog.ErrNotFound, scanTile,
			`SELECT `+tileColumns+` FROM audit_tiles WHERE log = $1 AND level = $2 AND position = $3`, log, int64(t.Level), t.Index)
		if err != nil {
			return nil, err
		}
		if tile.Width < t.Width {
			return nil, fmt.Errorf("%w: %s has %d hashes", auditlog.ErrNotFound, t.Path(), tile.Width)
		}
		data[i] = tile.Data
	}
	return data, nil
}

func (s auditStore) PutTiles(ctx context.Context, log int64, tiles []audit.TileData) error {
	for _, t := range tiles {
		if err := checkTile(t); err != nil {
			return err
		}
		err := s.tx.change(ctx, auditlog.ErrConflict, `INSERT INTO audit_tiles (log, level, position, hashes) VALUES ($1, $2, $3, $4)
			ON CONFLICT (log, level, position) DO UPDATE SET hashes = excluded.hashes WHERE length(audit_tiles.hashes) < length(excluded.hashes)`,
			log, int64(t.Level), t.Index, t.Data)
		if errors.Is(err, auditlog.ErrConflict) {
			return s.tx.fail(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s auditStore) TilesAfter(ctx context.Context, log int64, level int, index int64, limit int) ([]audit.TileData, error) {
	return all(ctx, s.tx, scanTile, `SELECT `+tileColumns+` FROM audit_tiles WHERE log = $1 AND (level, position) > ($2, $3)
		ORDER BY level, position LIMIT $4`, log, int64(level), index, int64(limit))
}

func (s auditStore) PutCheckpoint(ctx context.Context, c auditlog.Checkpoint) error {
	if err := checkCheckpoint(c); err != nil {
		return err
	}
	const day = 24 * 60 * 60 * 1000
	midnight := milli(c.SignedAt) / day * day
	if _, err := s.tx.exec(ctx, `DELETE FROM audit_checkpoints WHERE log = $1 AND size < $2 AND signed_at BETWEEN $3 AND $4`,
		c.Log, c.Size, midnight, midnight+day-1); err != nil {
		return err
	}
	return s.tx.insert(ctx, auditlog.ErrNotFound,
		`INSERT INTO audit_checkpoints (`+checkpointColumns+`) VALUES ($1, $2, $3, $4) ON CONFLICT (log, size) DO NOTHING`,
		c.Log, c.Size, c.Text, milli(c.SignedAt))
}

func (s auditStore) Checkpoint(ctx context.Context, log int64) (auditlog.Checkpoint, error) {
	return get(ctx, s.tx, auditlog.ErrNotFound, scanCheckpoint,
		`SELECT `+checkpointColumns+` FROM audit_checkpoints WHERE log = $1 ORDER BY size DESC LIMIT 1`, log)
}

func (s auditStore) Checkpoints(ctx context.Context, log int64) ([]auditlog.Checkpoint, error) {
	return all(ctx, s.tx, scanCheckpoint, `SELECT `+checkpointColumns+` FROM audit_checkpoints WHERE log = $1 ORDER BY size`, log)
}

func scanLog(row scanner) (l auditlog.Log, err error) {
	var begun int64
	if err := row.Scan(&l.ID, &l.Origin, &l.Public, &l.SealedSeed, &begun); err != nil {
		return auditlog.Log{}, err
	}
	l.BegunAt = moment(begun)
	return l, stored(checkLog(l))
}

func scanAuditKey(row scanner) (k auditlog.Key, err error) {
	if err := row.Scan(&k.Number, &k.Person, &k.Sealed); err != nil {
		return auditlog.Key{}, err
	}
	return k, stored(checkAuditKey(k))
}

// scanEvent gives an event as it lies there: what reads it holds it against signed hashes.
func scanEvent(row scanner) (e auditlog.Event, err error) {
	var log, index, actor, subject sql.NullInt64
	var group sql.NullString
	p := &e.Parts
	if err := row.Scan(&e.ID, &log, &index, &e.Leaf, &p[audit.Operational].Sealed, &actor, &p[audit.Actor].Sealed,
		&subject, &p[audit.Subject].Sealed, &group); err != nil {
		return auditlog.Event{}, err
	}
	e.Log, e.Index, e.Group = log.Int64, auditlog.Pending, group.String
	if index.Valid {
		e.Index = index.Int64
	}
	p[audit.Actor].Key, p[audit.Subject].Key = actor.Int64, subject.Int64
	return e, nil
}

func scanTree(row scanner) (t audit.Tree, err error) {
	var root []byte
	if err := row.Scan(&t.Size, &root); err != nil {
		return audit.Tree{}, err
	}
	copy(t.Root[:], root)
	return t, stored(checkTree(t, len(root) == audit.HashSize))
}

// scanTile gives a tile as it lies there, as scanEvent does.
func scanTile(row scanner) (t audit.TileData, err error) {
	if err := row.Scan(&t.Level, &t.Index, &t.Data); err != nil {
		return audit.TileData{}, err
	}
	t.Width = len(t.Data) / audit.HashSize
	return t, nil
}

func scanCheckpoint(row scanner) (c auditlog.Checkpoint, err error) {
	var signed int64
	if err := row.Scan(&c.Log, &c.Size, &c.Text, &signed); err != nil {
		return auditlog.Checkpoint{}, err
	}
	c.SignedAt = moment(signed)
	return c, stored(checkCheckpoint(c))
}

func checkLog(l auditlog.Log) error {
	return check("audit_logs",
		rule{"id", l.ID > 0},
		rule{"origin", l.Origin != "" && len(l.Origin) <= audit.MaxOrigin},
		rule{"public", l.Public != ""},
		rule{"sealed_seed", len(l.SealedSeed) > 0},
		rule{"begun_at", isTime(l.BegunAt)},
	)
}

func checkAuditKey(k auditlog.Key) error {
	return check("audit_keys",
		rule{"number", k.Number > 0},
		rule{"person", k.Person == "" || isID(k.Person)},
		rule{"sealed", len(k.Sealed) > 0},
	)
}

// checkEvent is asked of new events alone; see scanEvent.
func checkEvent(e auditlog.Event) error {
	own := e.Parts[audit.Operational]
	rules := []rule{
		{"id", e.ID == 0},
		{"leaf_index", e.Log == 0 && e.Index == auditlog.Pending},
		{"leaf", len(e.Leaf) == audit.LeafSize},
		{"operational", own.Key == 0 && len(own.Sealed) > 0},
		{"grp", e.Group == "" || isID(e.Group)},
	}
	for _, slot := range []audit.Slot{audit.Actor, audit.Subject} {
		p := e.Parts[slot]
		rules = append(rules, rule{slot.String(), p.Key >= 0 && (p.Key == 0 || len(p.Sealed) > 0) && (p.Sealed == nil || len(p.Sealed) > 0)})
	}
	return check("audit_events", rules...)
}

func checkTree(t audit.Tree, ok bool) error {
	return check("audit_heads", rule{"size", t.Size >= 0 && t.Size <= audit.MaxSize}, rule{"root", ok})
}

func checkTile(t audit.TileData) error {
	return check("audit_tiles",
		rule{"level", t.Level >= 0 && t.Level <= 5},
		rule{"position", t.Index >= 0},
		rule{"hashes", t.Width >= 1 && t.Width <= audit.TileWidth && len(t.Data) == t.Width*audit.HashSize},
	)
}

func checkCheckpoint(c auditlog.Checkpoint) error {
	return check("audit_checkpoints",
		rule{"log", c.Log > 0},
		rule{"size", c.Size >= 0 && c.Size <= audit.MaxSize},
		rule{"text", len(c.Text) > 0 && len(c.Text) <= audit.MaxCheckpoint},
		rule{"signed_at", isTime(c.SignedAt) && c.SignedAt.After(time.Time{})},
	)
}
