package metadb

import (
	"context"
	"time"

	"stonevault/internal/peers"
	"stonevault/internal/vault"
)

const serverColumns = `id, place, name, counter, objects, settings, started_at, expires_at`

// Servers has those that are there, and those that were not removed yet.
func (tx *Tx) Servers(ctx context.Context) ([]peers.Server, error) {
	return all(ctx, tx, scanServer, `SELECT `+serverColumns+` FROM servers ORDER BY started_at, id`)
}

// InsertServer adds a server.
func (tx *Tx) InsertServer(ctx context.Context, s peers.Server) error {
	if err := checkServer(s); err != nil {
		return err
	}
	return tx.insert(ctx, vault.ErrExists, `INSERT INTO servers (`+serverColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		s.ID, s.Place, s.Name, s.Counter, s.Objects, s.Settings, milli(s.StartedAt), milli(s.ExpiresAt))
}

// RenewServer prolongs a server's row.
func (tx *Tx) RenewServer(ctx context.Context, id string, until time.Time) error {
	n, err := tx.exec(ctx, `UPDATE servers SET expires_at = $2 WHERE id = $1`, id, milli(until))
	if err == nil && n == 0 {
		return peers.ErrNotFound
	}
	return err
}

// DeleteServer removes a server with its leases.
func (tx *Tx) DeleteServer(ctx context.Context, id string) error {
	_, err := tx.exec(ctx, `DELETE FROM servers WHERE id = $1`, id)
	return err
}

// Holder is the id of the server that has a name.
func (tx *Tx) Holder(ctx context.Context, name string) (string, error) {
	return get(ctx, tx, peers.ErrNotFound, scanText, `SELECT server FROM leases WHERE name = $1`, name)
}

// PutLease gives a name to a server.
func (tx *Tx) PutLease(ctx context.Context, name, server string) error {
	return tx.insert(ctx, peers.ErrNotFound, `INSERT INTO leases (name, server, wanted) VALUES ($1, $2, 0)
		ON CONFLICT (name) DO UPDATE SET server = excluded.server, wanted = 0`, name, server)
}

// DeleteLease takes a name from a server, if it has it.
func (tx *Tx) DeleteLease(ctx context.Context, name, server string) error {
	_, err := tx.exec(ctx, `DELETE FROM leases WHERE name = $1 AND server = $2`, name, server)
	return err
}

// Want says that somebody else asks for a name.
func (tx *Tx) Want(ctx context.Context, name string) error {
	_, err := tx.exec(ctx, `UPDATE leases SET wanted = 1 WHERE name = $1 AND wanted = 0`, name)
	return err
}

// Wanted are the names of a server's that others ask for.
func (tx *Tx) Wanted(ctx context.Context, server string) ([]string, error) {
	return all(ctx, tx, scanText, `SELECT name FROM leases WHERE server = $1 AND wanted = 1 ORDER BY name`, server)
}

func scanServer(row scanner) (s peers.Server, err error) {
	var started, expires int64
	if err := row.Scan(&s.ID, &s.Place, &s.Name, &s.Counter, &s.Objects, &s.Settings, &started, &expires); err != nil {
		return peers.Server{}, err
	}
	s.StartedAt, s.ExpiresAt = moment(started), moment(expires)
	return s, stored(checkServer(s))
}

func checkServer(s peers.Server) error {
	return check("servers",
		rule{"id", isID(s.ID)},
		rule{"place", isID(s.Place)},
		rule{"name", s.Name != ""},
		rule{"started_at", isTime(s.StartedAt)},
		rule{"expires_at", isTime(s.ExpiresAt)},
	)
}

func scanText(row scanner) (text string, err error) {
	err = row.Scan(&text)
	return text, err
}
