package metadb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"math"
	"time"

	"stonevault/internal/once"
	"stonevault/internal/vault"
)

const answerColumns = `person, key, request, status, header, body, event, created_at`

// Answer is what a person's request with a key was answered with.
func (tx *Tx) Answer(ctx context.Context, person string, key [sha256.Size]byte) (once.Row, error) {
	return get(ctx, tx, once.ErrNotFound, scanAnswer, `SELECT `+answerColumns+` FROM answers WHERE person = $1 AND key = $2`, person, key[:])
}

// PutAnswer keeps an answer, and of all the person's the newest ones.
func (tx *Tx) PutAnswer(ctx context.Context, r once.Row, most int) error {
	if err := checkAnswer(r); err != nil {
		return err
	}
	header, err := json.Marshal(r.Header)
	if err != nil {
		return err
	}
	err = tx.insert(ctx, vault.ErrConflict, `INSERT INTO answers (`+answerColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (person, key) DO UPDATE SET request = excluded.request, status = excluded.status, header = excluded.header,
			body = excluded.body, event = excluded.event, created_at = excluded.created_at`,
		r.Person, r.Key[:], r.Request[:], int64(r.Status), string(header), append([]byte{}, r.Body...), orNull(r.Event == 0, r.Event), milli(r.CreatedAt))
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `DELETE FROM answers WHERE person = $1 AND key IN (
		SELECT key FROM answers WHERE person = $1 ORDER BY created_at DESC, key DESC LIMIT $3 OFFSET $2)`, r.Person, int64(most), int64(math.MaxInt64))
	return err
}

// DeleteAnswers removes old ones.
func (tx *Tx) DeleteAnswers(ctx context.Context, before time.Time, limit int) (int64, error) {
	return tx.exec(ctx, `DELETE FROM answers WHERE (person, key) IN
		(SELECT person, key FROM answers WHERE created_at < $1 ORDER BY created_at LIMIT $2)`, milli(before), int64(limit))
}

func scanAnswer(row scanner) (r once.Row, err error) {
	var key, request []byte
	var header string
	var event sql.NullInt64
	var created int64
	if err := row.Scan(&r.Person, &key, &request, &r.Status, &header, &r.Body, &event, &created); err != nil {
		return once.Row{}, err
	}
	if len(key) != len(r.Key) || len(request) != len(r.Request) {
		return once.Row{}, stored(errors.New("metadb: an answer has a digest of another length"))
	}
	copy(r.Key[:], key)
	copy(r.Request[:], request)
	if err := json.Unmarshal([]byte(header), &r.Header); err != nil {
		return once.Row{}, stored(err)
	}
	if len(r.Body) == 0 {
		r.Body = nil
	}
	r.Event, r.CreatedAt = event.Int64, moment(created)
	return r, stored(checkAnswer(r))
}

func checkAnswer(r once.Row) error {
	return check("answers",
		rule{"person", isID(r.Person)},
		rule{"status", r.Status >= 200 && r.Status <= 299},
		rule{"event", r.Event >= 0},
		rule{"created_at", isTime(r.CreatedAt)},
	)
}
