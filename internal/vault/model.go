package vault

import (
	"time"

	"stonevault/identity"
	"stonevault/stone"
)

// Ids are 16 random bytes in lower-case hex, each kind with a type of its own.
type (
	PersonID   string
	GroupID    string
	LinkID     string
	IdentityID string
	// NodeID names a folder or a document. The root folder of every person is the empty NodeID.
	NodeID string
)

// Role is what a person may do in the vault as a whole.
type Role string

const (
	RoleAdmin   Role = "admin"
	RoleManager Role = "manager"
	RoleUser    Role = "user"
)

func (r Role) valid() bool { return r == RoleAdmin || r == RoleManager || r == RoleUser }

// Person is an account.
type Person struct {
	ID           PersonID
	Name         string // as typed, NFC
	NameKey      string // case-folded, unique
	Role         Role
	DisplayName  string // what the person wants to be called; may be empty
	PasswordHash string // PHC string; empty until its one-time link was used, and then nobody can sign in
	Epoch        int64  // raised to revoke every access token at once
	Active       bool
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// PersonEntry is a person as lists show one.
type PersonEntry struct {
	Person       Person
	Fingerprint  identity.Fingerprint // of the newest key in use
	SecondFactor bool
	Groups       []InGroup // that whoever looks may know of, by name
	Bytes, Files int64     // used
	// Limits of the person's own; nil is none. Without OwnLimits the vault's settings limit.
	OwnLimits              bool
	BytesLimit, FilesLimit *int64
	Private                bool // the use, the limits and the second factor may be shown; filled by the use cases
}

// Viewer is who looks at a list.
type Viewer struct {
	Person  PersonID
	Manages bool // the groups that Person is a manager of count
	All     bool // sees everything
}

// PeopleFilter narrows a list; zero fields do not.
type PeopleFilter struct {
	NameContains string // case-insensitive for ASCII
	Role         Role
	Active       *bool
	Group        GroupID
}

// PeopleQuery asks for one page, as ListQuery does.
type PeopleQuery struct {
	Viewer Viewer
	Filter PeopleFilter
	Sort   []SortKey
	After  []any
	Limit  int
}

// LinkKind says what a one-time link does.
type LinkKind string

const (
	LinkInvitation LinkKind = "invitation" // makes an account, perhaps in a group
	LinkReset      LinkKind = "reset"      // sets a person's password, also the first one
)

// Link is a one-time link as it is kept: of its text, only the SHA-256.
type Link struct {
	ID        LinkID
	Hash      []byte
	Kind      LinkKind
	Person    PersonID // whose password a LinkReset sets, otherwise empty
	Group     GroupID  // where a LinkInvitation leads, or empty
	MadeBy    PersonID // empty where nobody with an account made it
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Invitation is a link as lists show it.
type Invitation struct {
	Link       Link
	GroupName  string
	MadeByName string
}

// InvitationQuery asks for one page of the invitations that are good at a time, as ListQuery does. Whoever does not
// see all sees those into the groups that he manages.
type InvitationQuery struct {
	Viewer Viewer
	At     time.Time
	Group  GroupID // or all
	Sort   []SortKey
	After  []any
	Limit  int
}

// IdentityKind says whose keys an identity's are.
type IdentityKind string

const (
	KindRoot     IdentityKind = "root"
	KindRecovery IdentityKind = "recovery"
	KindPerson   IdentityKind = "person"
	KindVault    IdentityKind = "vault"
	KindGroup    IdentityKind = "group"
)

// Identity is one version of a certified key pair. WrappedSeeds is nil where somebody else holds the
// seeds (the recovery identity).
type Identity struct {
	ID           IdentityID
	Kind         IdentityKind
	Person       PersonID // empty unless Kind is KindPerson
	Group        GroupID  // empty unless Kind is KindGroup
	Version      int
	Suite        identity.Suite
	Fingerprint  identity.Fingerprint
	Public       []byte
	Certificate  []byte
	WrappedSeeds []byte
	CreatedAt    time.Time
	RetiredAt    time.Time // zero while in use
}

// Group is people who belong together.
type Group struct {
	ID        GroupID
	Name      string // as typed, NFC
	NameKey   string // case-folded, unique
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Membership is what a person is in a group: Member, Manager or both.
type Membership struct {
	Group   GroupID
	Person  PersonID
	Member  bool
	Manager bool
	Since   time.Time
}

// GroupEntry is a group as somebody sees it: how many are in it, and what he is himself.
type GroupEntry struct {
	Group
	Members  int
	Managers int
	Member   bool
	Manager  bool
}

// GroupScope says which groups a list has.
type GroupScope int

const (
	GroupsBelongedTo GroupScope = iota // of which somebody is a member
	GroupsOwn                          // of which he is a member or a manager
	GroupsAll
)

// MemberEntry is somebody in a group.
type MemberEntry struct {
	Membership
	Name string
}

// InGroup is a group with what a person is in it.
type InGroup struct {
	Group   GroupID
	Name    string
	Member  bool
	Manager bool
}

// NamesQuery asks for one page of what has a name, in the order of the names' keys, each of which is there once.
type NamesQuery struct {
	NameContains string // case-insensitive for ASCII
	Descending   bool
	After        string // the name key of the last row seen; empty for the first page
	Limit        int
}

// NodeKind tells folders from documents.
type NodeKind string

const (
	NodeFolder NodeKind = "folder"
	NodeFile   NodeKind = "file"
)

// Node is a place in somebody's tree. Size, MediaType and ModifiedAt repeat the current version's, so
// that lists can be sorted by an index; they are zero for folders.
type Node struct {
	ID         NodeID
	Owner      PersonID
	Parent     NodeID
	Name       string
	Kind       NodeKind
	Current    stone.FileID // the current version; zero for folders
	Size       int64
	MediaType  string
	ModifiedAt time.Time
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Version is one stone: the row repeats what its manifest states.
type Version struct {
	FileID         stone.FileID
	Document       NodeID
	Number         int
	Owner          PersonID
	Revision       int64
	ManifestDigest []byte
	Signer         identity.Fingerprint
	Size           int64 // plaintext bytes
	BodySize       int64 // sealed bytes of the body object
	MediaType      string
	Class          string
	Mode           uint32    // permission bits, 0 to 0777
	ModifiedAt     time.Time // milliseconds
	SealedAt       time.Time // milliseconds
}

// Entry is a node with its current version; Version is the zero value for folders.
type Entry struct {
	Node    Node
	Version Version
	Path    string // absolute, as the caller sees it; filled by the use cases, not by the database
}

// IntentKind says what an unfinished change was about to do with a file's objects.
type IntentKind string

const (
	// IntentPut is written before a file's first object and removed by the commit that makes the file
	// visible. Whoever finds one left over removes the objects.
	IntentPut IntentKind = "put"
	// IntentDelete is written by the commit that makes a file invisible. Whoever finds one removes the
	// objects.
	IntentDelete IntentKind = "delete"
	// IntentRewrite is written by the commit of a change whose envelope, in Envelope, is not yet at its
	// place. Whoever finds one puts it there.
	IntentRewrite IntentKind = "rewrite"
)

// Intent says what is still to be done to a file's objects. There is at most one for a file.
type Intent struct {
	FileID    stone.FileID
	Kind      IntentKind
	Envelope  []byte // of IntentRewrite, otherwise nil
	CreatedAt time.Time
	Server    string // that is at an IntentPut; empty where there is one
}

// Upload is a file that is still coming, in pieces. Its part holds the whole segments, whose rows of the
// index are kept apart; Provisional holds the segment in which the content stops for now, so that it is
// replaced in the same commit that counts it.
type Upload struct {
	ID          stone.FileID
	Owner       PersonID
	Path        string
	MediaType   string // empty until the content has been looked at
	Class       string
	Mode        uint32
	ModifiedAt  time.Time
	Replace     bool           // may take the place of a file at Path
	SealedKey   []byte         // the file key, under the master key
	Suite       identity.Suite // of the body, from its beginning to its end
	Size        int64          // bytes of content, or -1 while it is not known
	Offset      int64          // bytes of content that are durable
	Part        int64          // bytes of the part that are durable
	Segments    int            // whole ones
	Provisional []byte         // row and sealed bytes; nil where the content stops at a segment's end, and in lists
	CreatedAt   time.Time
	ExpiresAt   time.Time
}

// SortField is a column that lists can be sorted by.
type SortField string

const (
	SortName       SortField = "name"
	SortSize       SortField = "size"
	SortMediaType  SortField = "media_type"
	SortModifiedAt SortField = "modified_at"
	SortCreatedAt  SortField = "created_at"
	SortRole       SortField = "role"
	SortExpiresAt  SortField = "expires_at"
)

// SortKey is one term of an order.
type SortKey struct {
	Field      SortField
	Descending bool
}

// ListFilter narrows a list; zero fields do not.
type ListFilter struct {
	NameContains string // case-insensitive for ASCII
	MediaType    string // exact, or a prefix that ends in "/"
	Kind         NodeKind
}

// ListQuery asks for one page of a folder. The order is Sort and then the node id; After holds the
// values of the last row seen, one for each sort key and then the id: strings for name and media type,
// int64 for size and times (Unix milliseconds).
type ListQuery struct {
	Owner  PersonID
	Folder NodeID
	Filter ListFilter
	Sort   []SortKey
	After  []any
	Limit  int
}
