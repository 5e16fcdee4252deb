package webhook

import (
	"context"
	"errors"
	"time"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/once"
)

var (
	// ErrNotFound is a webhook that is not there.
	ErrNotFound = errors.New("there is no such webhook")
	// ErrForbidden is what the asker's role does not allow.
	ErrForbidden = errors.New("webhooks are for administrators of the vault")
	// ErrTooMany is one webhook more than there may be.
	ErrTooMany = errors.New("there are 50 webhooks already; delete one first")
	// ErrOff is a test of a webhook that is switched off.
	ErrOff = errors.New("the webhook is switched off; switch it on first")
)

// InvalidError is a value that cannot be accepted.
type InvalidError struct{ Field, Reason string }

func (e *InvalidError) Error() string { return e.Field + " " + e.Reason }

// Kind is what a message tells of.
type Kind string

const (
	SignInRefused   Kind = "sign-in.refused"
	DeviceNew       Kind = "device.new"
	RoleChanged     Kind = "role.changed"
	DownloadRefused Kind = "download.refused"
	Test            Kind = "test" // is sent by request, and to be subscribed to by nobody
)

// Kinds are those that a webhook can be told of.
var Kinds = []Kind{SignInRefused, DeviceNew, RoleChanged, DownloadRefused}

// Row is a webhook as it is kept.
type Row struct {
	ID        string
	URL       string
	Secret    []byte // sealed
	Events    []Kind // of Kinds, at least one
	Active    bool
	Problem   string // why the newest try failed, or empty
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Delivery is one message to one webhook. It waits while NextAt is set, and has ended where EndedAt is: delivered,
// or given up where there is a Problem.
type Delivery struct {
	ID        int64
	Message   string // the id that the receiver sees
	Webhook   string
	Kind      Kind
	Event     int64  // of the audit log, or 0
	Person    string // whom the message names, or empty: with that person's account it goes
	By        string // as Person
	Body      []byte
	CreatedAt time.Time
	Tries     int64
	NextAt    time.Time
	EndedAt   time.Time
	Status    int // of the last reply, or 0
	Problem   string
}

// State is what has become of a delivery.
type State string

const (
	Waiting   State = "waiting"
	Delivered State = "delivered"
	GivenUp   State = "given-up"
)

// States are all of them.
var States = []State{Waiting, Delivered, GivenUp}

// State tells what has become of it.
func (d Delivery) State() State {
	switch {
	case d.EndedAt.IsZero():
		return Waiting
	case d.Problem == "":
		return Delivered
	default:
		return GivenUp
	}
}

// Store runs transactions; its semantics are those of vault.Database.
type Store interface {
	ViewWebhooks(ctx context.Context, fn func(Tx) error) error
	UpdateWebhooks(ctx context.Context, fn func(Tx) error) error
}

// Tx is the part of one transaction that webhooks use. What is looked up or changed and missing is ErrNotFound.
type Tx interface {
	Insert(ctx context.Context, w Row) error
	Webhook(ctx context.Context, id string) (Row, error)
	Webhooks(ctx context.Context) ([]Row, error) // the oldest first
	Update(ctx context.Context, w Row) error
	Delete(ctx context.Context, id string) error // with its deliveries

	InsertFormer(ctx context.Context, f Former) error
	Formers(ctx context.Context, webhook string) ([]Former, error) // the newest first; of all webhooks where it is empty
	DeleteFormer(ctx context.Context, id int64) error              // missing is no error

	// InsertDelivery keeps one; people who are no longer there, it does not name.
	InsertDelivery(ctx context.Context, d Delivery) (id int64, err error)
	Delivery(ctx context.Context, id int64) (Delivery, error)
	UpdateDelivery(ctx context.Context, d Delivery) error // Tries, NextAt, EndedAt, Status and Problem
	// Deliveries are those of a webhook with smaller ids, the newest first; an empty state is all.
	Deliveries(ctx context.Context, webhook string, before int64, state State, limit int) ([]Delivery, error)
	// Due are those that wait no longer than until a time, the ones that wait longest first.
	Due(ctx context.Context, webhook string, at time.Time, limit int) ([]Delivery, error)
	// Waiting counts those of a webhook that wait, or of all where it is empty, up to a limit.
	Waiting(ctx context.Context, webhook string, limit int) (int64, error)
	// EndWaiting gives up all of a webhook that wait.
	EndWaiting(ctx context.Context, webhook string, at time.Time, problem string) error
	// DeleteEnded removes those that ended before a time, up to a limit, and tells how many.
	DeleteEnded(ctx context.Context, before time.Time, limit int) (int64, error)

	// Audit is the audit log in this transaction.
	Audit() auditlog.Store
	// Once are the answers that are kept.
	Once() once.Tx
}

// Sealer seals secrets; a context binds what is sealed to its place.
type Sealer interface {
	Seal(context string, plaintext []byte) ([]byte, error)
	Open(context string, sealed []byte) ([]byte, error)
}

// Recorder writes events of the audit log into the transactions of the changes that they are about.
type Recorder interface {
	Record(ctx context.Context, store auditlog.Store, e audit.Event) (id int64, err error)
}

var _ Recorder = (*auditlog.Recorder)(nil)
