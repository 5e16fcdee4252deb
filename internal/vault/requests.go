package vault

import (
	"fmt"
	"io"
	"strings"
	"time"

	"stonevault/identity"
)

// Actor is who asks. Every use case takes one and decides by Person and Role; the rest is what the audit log
// says of it.
type Actor struct {
	Person PersonID // empty for who works at the machine itself
	Role   Role

	Name    string
	Session string
	Client  string // what the device or the program calls itself
	Address string // empty for the machine itself
}

// Ref names a file or folder of the actor: by Node, or by Path where Node is empty.
type Ref struct {
	Node    NodeID
	Path    string
	Version int // 0 is the current one
}

// PutRequest is a file on its way in.
type PutRequest struct {
	Path         string
	Body         io.Reader
	Size         int64  // bytes, or -1 where unknown
	MediaType    string // empty to look at the content
	Mode         uint32 // permission bits
	ModifiedAt   time.Time
	Class        string // normal where empty
	MustNotExist bool
	IfMatch      string // an If-Match header, or empty
}

// ListRequest asks for a page of a folder.
type ListRequest struct {
	Folder string // path
	Filter ListFilter
	Sort   string // "-created_at,name"; by name where empty
	Cursor string // Page.Next of the page before
	Limit  int    // 1 to 1,000; 100 where 0
}

// Page is a part of a list. Next is empty at the end.
type Page struct {
	Items []Entry
	Next  string
}

// MoveRequest gives a file or folder another place or name.
type MoveRequest struct {
	Path    string
	IfMatch string
}

// Report is what Verify found.
type Report struct {
	Entry    Entry
	OK       bool
	Segments int   // verified
	Bytes    int64 // of content, verified
	Suite    identity.Suite
	Signer   identity.Fingerprint
	SealedAt time.Time
}

// Profile is what a person knows about himself.
type Profile struct {
	Person      Person
	Suite       identity.Suite
	Fingerprint identity.Fingerprint
	Public      *identity.Public
	Groups      []InGroup
	Quota       Bound
}

// About is what a vault says of itself.
type About struct {
	VaultID         string
	Suite           identity.Suite
	RootFingerprint identity.Fingerprint
	RootKey         []byte // verifying key
	// Successions are the statements of the roots before about the next one, the oldest first: whoever trusts one of
	// them comes to the root in use by identity.FollowRoots.
	Successions [][]byte
}

// ETag is a strong entity tag, quoted. A file's changes with every revision.
func (e Entry) ETag() string {
	if e.Node.Kind == NodeFolder {
		return fmt.Sprintf(`"%s-%d"`, e.Node.ID, e.Node.UpdatedAt.UnixMilli())
	}
	return fmt.Sprintf(`"%s-%d"`, e.Version.FileID, e.Version.Revision)
}

// matches evaluates an If-Match header against an existing entry.
func (e Entry) matches(header string) bool { return ifMatch(header, e.ETag()) }

// ifMatch evaluates an If-Match header (RFC 9110, section 13.1.1) against the ETag of something that exists.
func ifMatch(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == etag {
			return true
		}
	}
	return false
}
