package vault

import (
	"context"
	"errors"
	"io"
	"time"

	"stonevault/identity"
	"stonevault/internal/auditlog"
	"stonevault/internal/once"
	"stonevault/qkd/kme"
	"stonevault/stone"
)

// Database runs transactions. Update is serialisable and durable when it returns nil; when fn or the
// commit fails nothing of it remains. Several Updates may share one commit. View sees one snapshot.
// fn may run more than once, must not act on anything but the transaction, and must not call Update. A
// statement that is refused (ErrExists) ends the transaction, whatever fn returns.
type Database interface {
	View(ctx context.Context, fn func(Tx) error) error
	Update(ctx context.Context, fn func(Tx) error) error
	// Shred is an Update that overwrites what it removes, and what was removed before, in every file that the
	// database keeps. Where the change is durable and traces remain, the error is auditlog.ErrNotShredded.
	Shred(ctx context.Context, fn func(Tx) error) error
}

// Tx is one transaction's stores. What is looked up and missing is ErrNotFound; what breaks a
// uniqueness rule is ErrExists.
type Tx interface {
	People() PeopleStore
	Identities() IdentityStore
	Nodes() NodeStore
	Versions() VersionStore
	Intents() IntentStore
	Uploads() UploadStore
	Settings() SettingStore
	MasterKeys() MasterKeyStore
	Groups() GroupStore
	Quotas() QuotaStore
	Links() LinkStore
	QuantumKeys() kme.Tx
	Audit() auditlog.Store
	Once() once.Tx
}

// PeopleStore keeps accounts.
type PeopleStore interface {
	Insert(ctx context.Context, p Person) error
	Update(ctx context.Context, p Person) error
	ByID(ctx context.Context, id PersonID) (Person, error)
	ByNameKey(ctx context.Context, key string) (Person, error)
	Count(ctx context.Context, role Role) (int, error) // active ones
	// List is a page of those whom q.Viewer knows: at most q.Limit, in order.
	List(ctx context.Context, q PeopleQuery) ([]PersonEntry, error)
	// Entry is one of them, whether viewer knows the person or not; its groups are those that viewer knows.
	Entry(ctx context.Context, viewer Viewer, id PersonID) (PersonEntry, error)
	// EndSessions ends those that stand at a time, and tells how many.
	EndSessions(ctx context.Context, id PersonID, at time.Time) (int, error)
	// RevokeTokens revokes the API tokens that are good at a time, and tells how many.
	RevokeTokens(ctx context.Context, id PersonID, at time.Time) (int, error)
	// Erase removes an account with its keys and sessions.
	Erase(ctx context.Context, id PersonID) error
}

// LinkStore keeps one-time links by the SHA-256 of their text.
type LinkStore interface {
	Insert(ctx context.Context, l Link) error
	ByHash(ctx context.Context, hash []byte) (Link, error)
	ByID(ctx context.Context, id LinkID) (Link, error)
	MadeBy(ctx context.Context, person PersonID) ([]Link, error)
	Delete(ctx context.Context, id LinkID) error
	DeleteOf(ctx context.Context, person PersonID) error // none is no error
	DeleteExpired(ctx context.Context, at time.Time) error
	Invitations(ctx context.Context, q InvitationQuery) ([]Invitation, error) // at most q.Limit, in order
}

// IdentityStore keeps certified key pairs.
type IdentityStore interface {
	Insert(ctx context.Context, id Identity) error
	ByFingerprint(ctx context.Context, f identity.Fingerprint) (Identity, error)
	// Current is the newest one of a kind that is not retired; person is empty unless kind is KindPerson.
	Current(ctx context.Context, kind IdentityKind, person PersonID) (Identity, error)
	// OfGroup is Current for a group.
	OfGroup(ctx context.Context, group GroupID) (Identity, error)
	// OfKind are all of a kind, retired or not, by version.
	OfKind(ctx context.Context, kind IdentityKind) ([]Identity, error)
	// Certify replaces the certificate of one that is not retired.
	Certify(ctx context.Context, id IdentityID, certificate []byte) error
	// Retire sets RetiredAt; the row stays, so that what its keys sealed and signed can be read.
	Retire(ctx context.Context, id IdentityID, at time.Time) error
	// InUse are those that are not retired.
	InUse(ctx context.Context) ([]Identity, error)
	// Outlived are those that are retired, have seeds, and have one in use in their place.
	Outlived(ctx context.Context) ([]Identity, error)
	// DestroySeeds removes the seeds of one that is retired; ErrConflict where there are none to remove.
	DestroySeeds(ctx context.Context, id IdentityID) error
}

// GroupStore keeps groups and who is in them.
type GroupStore interface {
	Insert(ctx context.Context, g Group) error
	Update(ctx context.Context, g Group) error
	// Delete removes a group with its memberships, invitations and quota. Its identities stay.
	Delete(ctx context.Context, id GroupID) error
	// ByID is a group as a person sees it, who need not be in it.
	ByID(ctx context.Context, id GroupID, by PersonID) (GroupEntry, error)
	List(ctx context.Context, by PersonID, s GroupScope, q NamesQuery) ([]GroupEntry, error)
	Members(ctx context.Context, id GroupID, q NamesQuery) ([]MemberEntry, error)
	Membership(ctx context.Context, id GroupID, person PersonID) (Membership, error)
	// Put adds a membership or takes the place of what the person was in the group.
	Put(ctx context.Context, m Membership) error
	Remove(ctx context.Context, id GroupID, person PersonID) error
	// OfPerson has the groups that a person is in, by name.
	OfPerson(ctx context.Context, person PersonID) ([]InGroup, error)
	// OtherManagers counts those who manage a group beside a person: active ones whose role lets them.
	OtherManagers(ctx context.Context, id GroupID, beside PersonID) (int, error)
	// Acquainted tells whether one person manages a group that the other belongs to, and whether both belong to one.
	Acquainted(ctx context.Context, one, other PersonID) (manages, together bool, err error)
}

// QuotaStore keeps what people and groups may use, and knows what they do.
type QuotaStore interface {
	// Bounds are the quotas that bound a person: his own first, also where nobody set one, and those of the groups
	// that he is a member of. The upload beside does not count.
	Bounds(ctx context.Context, person PersonID, beside stone.FileID) ([]Bound, error)
	// OfGroup is a group's quota, also where nobody set one.
	OfGroup(ctx context.Context, id GroupID) (Bound, error)
	SetPerson(ctx context.Context, id PersonID, l Limits) error
	SetGroup(ctx context.Context, id GroupID, l Limits) error
	UnsetPerson(ctx context.Context, id PersonID) error // where nobody set one is no error
}

// NodeStore keeps the trees.
type NodeStore interface {
	Insert(ctx context.Context, n Node) error
	Update(ctx context.Context, n Node) error
	// Give is Update for a file that gets another owner, and with it another place.
	Give(ctx context.Context, n Node, was PersonID) error
	Delete(ctx context.Context, id NodeID) error
	ByID(ctx context.Context, id NodeID) (Node, error)
	Child(ctx context.Context, owner PersonID, parent NodeID, name string) (Node, error)
	// HasChildren tells whether anything lies in a folder.
	HasChildren(ctx context.Context, owner PersonID, parent NodeID) (bool, error)
	List(ctx context.Context, q ListQuery) ([]Entry, error) // at most q.Limit, in order
	// Below measures what lies in a folder: how many names deep it goes, and how many bytes the longest
	// path from the folder on has, with a "/" before each name.
	Below(ctx context.Context, owner PersonID, folder NodeID) (names, length int, err error)
}

// VersionStore keeps the rows of stones.
type VersionStore interface {
	Insert(ctx context.Context, v Version) error
	// Update replaces the row of v.FileID whose revision is still was; otherwise ErrConflict.
	Update(ctx context.Context, v Version, was int64) error
	// Give is Update for a version that gets another owner.
	Give(ctx context.Context, v Version, owner PersonID, was int64) error
	ByID(ctx context.Context, id stone.FileID) (Version, error)
	// Latest is the version of a document with the highest number.
	Latest(ctx context.Context, document NodeID) (Version, error)
	OfDocument(ctx context.Context, document NodeID) ([]Version, error) // oldest first
	// After goes through all of them, by file id: at most limit, from the first id above the given one.
	After(ctx context.Context, id stone.FileID, limit int) ([]Version, error)
	DeleteOfDocument(ctx context.Context, document NodeID) error
	// SignedBy has the files whose envelope is signed with a key, by file id: at most limit, from the first above one.
	SignedBy(ctx context.Context, signer identity.Fingerprint, after stone.FileID, limit int) ([]stone.FileID, error)
	CountSignedBy(ctx context.Context, signer identity.Fingerprint) (int, error)
	// Protections counts all of them by suite, version and use of the keys that signed their envelopes.
	Protections(ctx context.Context) ([]Protection, error)
}

// IntentStore keeps intents.
type IntentStore interface {
	Insert(ctx context.Context, i Intent) error
	Delete(ctx context.Context, id stone.FileID) error // missing is no error
	ByID(ctx context.Context, id stone.FileID) (Intent, error)
	Before(ctx context.Context, t time.Time, limit int) ([]Intent, error)
	// Rewrites has the files of a person whose envelopes are on their way to their places.
	Rewrites(ctx context.Context, owner PersonID) ([]stone.FileID, error)
}

// UploadStore keeps uploads in progress.
type UploadStore interface {
	Insert(ctx context.Context, u Upload) error
	// Update replaces the row of u.ID whose offset is still was; otherwise ErrConflict.
	Update(ctx context.Context, u Upload, was int64) error
	ByID(ctx context.Context, id stone.FileID) (Upload, error)
	OfPerson(ctx context.Context, owner PersonID) ([]Upload, error) // oldest first
	Expired(ctx context.Context, at time.Time, limit int) ([]Upload, error)
	Delete(ctx context.Context, id stone.FileID) error // with its rows; missing is no error
	// AddRows keeps the index rows of whole segments from number first on; it refuses the same number twice.
	AddRows(ctx context.Context, id stone.FileID, first int, rows []byte) error
	Rows(ctx context.Context, id stone.FileID) ([]byte, error) // all of them, in order
}

// SettingStore keeps small named values (vault id, suite, key check).
type SettingStore interface {
	Get(ctx context.Context, name string) ([]byte, error)
	Put(ctx context.Context, name string, value []byte) error
	Delete(ctx context.Context, name string) error // missing is no error
}

// Objects keeps sealed bytes under names of the form "<32 hex digits>.body" or ".env". Whatever returns
// nil is durable. A missing object is ErrNotFound, a full disk ErrNoSpace.
type Objects interface {
	// Create starts an object that nobody sees until Commit. size is the expected number of bytes, or -1.
	Create(ctx context.Context, name string, size int64) (ObjectWriter, error)
	// Commit ends writers of this store as their own Commit does, and may cost less than one after the other.
	// When it fails, some of the objects may be there.
	Commit(writers ...ObjectWriter) error
	// Replace puts data at name at once, whether or not something is there.
	Replace(ctx context.Context, name string, data []byte) error
	Open(ctx context.Context, name string) (Object, error)
	Delete(ctx context.Context, name string) error // missing is no error
	// Walk calls fn for every object, in no order.
	Walk(ctx context.Context, fn func(name string, size int64) error) error
}

// ObjectWriter receives one object. Exactly one of Commit and Abort ends it; Abort after Commit does
// nothing. Commit refuses with ErrExists to replace.
type ObjectWriter interface {
	io.Writer
	Commit() error
	Abort()
}

// Object is an open object.
type Object interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Parts keeps objects that grow over days, below the names of Objects. A part is known by its file's id,
// is seen by Objects only once it is finished, and survives a crash as far as it was synced.
type Parts interface {
	// OpenPart opens a part at the length of its last Sync or of the one before, making it where at is 0, and
	// cuts what lies behind; that it was opened there counts as a Sync. A part that is missing or shorter is
	// ErrNotFound. One user at a time.
	OpenPart(ctx context.Context, id stone.FileID, at int64) (Part, error)
	// FinishPart gives a synced part an object's name, durably; where the part is gone and the object is
	// there already, it has been done before. It never replaces an object.
	FinishPart(ctx context.Context, id stone.FileID, name string) error
	DeletePart(ctx context.Context, id stone.FileID) error // missing is no error
	WalkParts(ctx context.Context, fn func(id stone.FileID, size int64) error) error
}

// PartHead is how many bytes of a part's beginning can be read back from every store.
const PartHead = 2 << 20

// ErrPartSent is what ReadAt of a Part returns for what its store has taken and does not give back yet.
var ErrPartSent = errors.New("this part of the upload has been sent to the store, which gives it back only when all of it is there")

// Part is an open part. Write appends; ReadAt reads what was written, and may refuse what lies behind the first
// PartHead bytes, with ErrPartSent. Close drops what was not synced or keeps it, as it pleases.
type Part interface {
	io.Writer
	io.ReaderAt
	// Sync makes all that was written durable. After a failure the part is reopened at a length that
	// was synced before.
	Sync() error
	// BeginSync is a Sync of what was written before it, and of no more as far as OpenPart is concerned; Write may
	// go on while another goroutine waits. wait is called once, before the next BeginSync and before Close.
	BeginSync() (wait func() error)
	Close() error
}
