package auditlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"stonevault/audit"
	"stonevault/internal/access"
)

var (
	// ErrNotFound is what is not there, or not yet.
	ErrNotFound = errors.New("there is no such entry in the audit log")
	// ErrUnsigned, an ErrNotFound, is an event that no signed head covers yet.
	ErrUnsigned = fmt.Errorf("%w: no signed head covers the event yet", ErrNotFound)
	// ErrConflict is a change that somebody else's came before; nothing of it remains.
	ErrConflict = errors.New("the audit log was changed meanwhile")
	// ErrNoLog is a database in which no log was begun.
	ErrNoLog = errors.New("no audit log was begun here; start the server once, which begins it")
	// ErrBegun is a first log where there is one already.
	ErrBegun = errors.New("an audit log was begun here already")
	// ErrRewritten is a stored log that isn't the one whose head was signed. Nothing more is signed for it.
	ErrRewritten = errors.New("the stored audit log is not the one that was signed; stop the server and run: stonevaultd audit fsck")
	// ErrKeyAway is a master key that cannot be used at the moment. It says nothing about what it has sealed.
	ErrKeyAway = errors.New("the master key cannot be used")
	// ErrNotShredded says that a person was erased, and that copies in the database's files remain.
	ErrNotShredded = errors.New("the person is erased, but copies remain in the database's files; when nobody else uses the database, run: stonevaultd admin scrub")
	// ErrSelf is a person who would erase what is about the erasure.
	ErrSelf = errors.New("nobody can erase themselves: ask another administrator, or use stonevaultd admin erase on the server")
)

// slotCount is how many parts an event has, by audit.Slot.
const slotCount = len(audit.Record{}.Openings)

// MasterKey seals the log's secrets. A context binds a sealed value to its place. What is no more than ErrKeyAway
// must be that.
type MasterKey interface {
	Seal(context string, plaintext []byte) ([]byte, error)
	Open(context string, sealed []byte) ([]byte, error)
}

// Config is what the parts of this package share. All fields are required.
type Config struct {
	Database Database
	Master   MasterKey
	Rand     io.Reader
	Now      func() time.Time
}

// Database runs transactions of which the audit log is all there is. Update is serialisable and durable when
// it returns nil; when fn or the commit fails nothing of it remains, unless a crash brings back a commit that
// was reported as failed. View sees one snapshot of what is durable. fn may run more than once.
type Database interface {
	View(ctx context.Context, fn func(Store) error) error
	Update(ctx context.Context, fn func(Store) error) error
	// Sequence is an Update for who gives events their places: one at a time, and none while a log begins. It sees what
	// is committed when each statement runs, so that it and the Updates beside it need not be run again for each other.
	Sequence(ctx context.Context, fn func(Store) error) error
	// Shred is an Update that overwrites what it removes, in every file that the database keeps. Where the
	// change is durable and its traces couldn't be removed, the error is ErrNotShredded.
	Shred(ctx context.Context, fn func(Store) error) error
}

// Store is the audit log in one transaction. What is looked up and missing is ErrNotFound.
type Store interface {
	LogStore
	KeyStore
	EventStore
	TreeStore
	PeopleStore
}

// Log is a log that was begun here. The newest one is the current one, which events go to.
type Log struct {
	ID         int64 // 1, 2, …
	Origin     string
	Public     string // of its signing key: audit.PublicKey.Text
	SealedSeed []byte
	BegunAt    time.Time
}

// LogStore keeps logs.
type LogStore interface {
	InsertLog(ctx context.Context, l Log) error // with an empty tree
	CurrentLog(ctx context.Context) (Log, error)
}

// Key is a key that openings are sealed under: of a person, or the log's own, whose Person is empty.
type Key struct {
	Number int64 // 1, 2, …; never used again
	Person string
	Sealed []byte
}

// KeyStore keeps keys.
type KeyStore interface {
	NextKey(ctx context.Context) (number int64, err error)
	InsertKey(ctx context.Context, k Key) error
	KeysOf(ctx context.Context, persons ...string) ([]Key, error) // of those that have one; three at most
	Key(ctx context.Context, number int64) (Key, error)
	// EraseKey overwrites the key, and removes every part that is sealed under it.
	EraseKey(ctx context.Context, number int64) error
}

// Pending is the Index of an event that the tree does not have yet.
const Pending = -1

// Event is an event as it is stored.
type Event struct {
	ID    int64 // in the order of arrival
	Log   int64 // 0 where Index is Pending
	Index int64
	Leaf  []byte
	Parts [slotCount]Part // by audit.Slot
	// Group is the id of the group that the event is about, or empty, to find the event by. No commitment covers it:
	// what counts is the operational part.
	Group string
}

// Part is a sealed opening. Key is 0 under the log's own key. Both are zero where nothing is there.
type Part struct {
	Key    int64
	Sealed []byte
}

// Leaf is an event that waits for its index.
type Leaf struct {
	ID   int64
	Leaf []byte
}

// EventStore keeps events.
type EventStore interface {
	InsertEvent(ctx context.Context, e Event) (id int64, err error)       // without an index
	PendingEvents(ctx context.Context, limit int) ([]Leaf, error)         // by ID
	PlaceEvents(ctx context.Context, log, first int64, ids []int64) error // ErrConflict where one has a place
	Event(ctx context.Context, id int64) (Event, error)
	// Events are those of a log by index, from one on.
	Events(ctx context.Context, log, from int64, limit int) ([]Event, error)
	// EventsBefore are those with a smaller ID, the newest first: those with a part under a key, or all where
	// it is 0.
	EventsBefore(ctx context.Context, id, key int64, limit int) ([]Event, error)
	// EventsManaged are those with an ID of at least from and less than before, the newest first, that have a part
	// about the manager himself or about a member of a group that he manages, or are about such a group. Whether he
	// may see them is not looked at.
	EventsManaged(ctx context.Context, manager string, from, before int64, limit int) ([]Event, error)
	// PartsUnder are the parts of a log that are sealed under a key, as audit.PartNumber, ascending.
	PartsUnder(ctx context.Context, log, key int64) ([]int64, error)
}

// PeopleStore tells what people and groups are to one another now.
type PeopleStore interface {
	Role(ctx context.Context, person string) (access.Role, error) // ErrNotFound
	Acquaintance(ctx context.Context, asker, person string) (access.Acquaintance, error)
	ManagedGroups(ctx context.Context, person string) (ids []string, err error) // those that name him as a manager
}

// Checkpoint is a signed head.
type Checkpoint struct {
	Log      int64
	Size     int64
	Text     []byte
	SignedAt time.Time
}

// TreeStore keeps the trees of the logs.
type TreeStore interface {
	Head(ctx context.Context, log int64) (audit.Tree, error)
	MoveHead(ctx context.Context, log int64, from, to audit.Tree) error // ErrConflict where it is not from
	// Tiles gives each tile as it is stored, which may be wider, and ErrNotFound if one is narrower.
	Tiles(ctx context.Context, log int64, tiles []audit.Tile) ([][]byte, error)
	PutTiles(ctx context.Context, log int64, tiles []audit.TileData) error // ErrConflict where one doesn't grow
	// TilesAfter goes through all tiles by level and index.
	TilesAfter(ctx context.Context, log int64, level int, index int64, limit int) ([]audit.TileData, error)
	// PutCheckpoint keeps a checkpoint, and of each day before it the last alone. One of the same size stays.
	PutCheckpoint(ctx context.Context, c Checkpoint) error
	Checkpoint(ctx context.Context, log int64) (Checkpoint, error)    // the largest
	Checkpoints(ctx context.Context, log int64) ([]Checkpoint, error) // by size
}

// tiles is a log's tiles in one transaction.
type tiles struct {
	ctx   context.Context
	store TreeStore
	log   int64
}

var _ audit.TileReader = tiles{}

func (t tiles) ReadTiles(wanted []audit.Tile) ([][]byte, error) {
	return t.store.Tiles(t.ctx, t.log, wanted)
}
