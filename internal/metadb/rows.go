package metadb

import (
	"fmt"
	"slices"
	"time"

	"stonevault/identity"
	"stonevault/internal/auth"
	"stonevault/internal/vault"
	"stonevault/internal/webhook"
	"stonevault/stone"
)

// Every row is held against the same rules before it is written and after it is read: what this program
// would not write it does not believe either.

// rule is one column and whether its value is acceptable.
type rule struct {
	column string
	ok     bool
}

func check(table string, rules ...rule) error {
	for _, r := range rules {
		if !r.ok {
			return fmt.Errorf("metadb: the value of %s.%s is out of range", table, r.column)
		}
	}
	return nil
}

// stored marks a broken rule in a row that was read as damage.
func stored(err error) error {
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrCorrupt, err)
	}
	return nil
}

// isID accepts 16 bytes in lower-case hex.
func isID[S ~string](s S) bool {
	if len(s) != 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// isDigest accepts what a suite's digest can be.
func isDigest[B ~string | ~[]byte](b B) bool { return len(b) == 32 || len(b) == 48 }

// Times are kept as milliseconds since 1970 in UTC; the zero Time is the first millisecond of year 1.
const (
	firstMilli = -62135596800000
	lastMilli  = 253402300799999 // 9999-12-31, the last that RFC 3339 can write
)

func milli(t time.Time) int64   { return t.UnixMilli() }
func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
func isTime(t time.Time) bool   { ms := milli(t); return ms >= firstMilli && ms <= lastMilli }
func flag(b bool) int64         { return map[bool]int64{true: 1}[b] }
func orNull(empty bool, v any) any {
	if empty {
		return nil
	}
	return v
}

var (
	roles         = map[vault.Role]bool{vault.RoleAdmin: true, vault.RoleManager: true, vault.RoleUser: true}
	identityKinds = map[vault.IdentityKind]bool{vault.KindRoot: true, vault.KindRecovery: true, vault.KindPerson: true, vault.KindVault: true, vault.KindGroup: true}
	nodeKinds     = map[vault.NodeKind]bool{vault.NodeFolder: true, vault.NodeFile: true}
	intentKinds   = map[vault.IntentKind]bool{vault.IntentPut: true, vault.IntentDelete: true, vault.IntentRewrite: true}
	classes       = map[stone.Class]bool{stone.ClassNormal: true, stone.ClassRestricted: true}
)

func checkPerson(p vault.Person) error {
	return check("people",
		rule{"id", isID(p.ID)},
		rule{"name", p.Name != ""},
		rule{"name_key", p.NameKey != ""},
		rule{"role", roles[p.Role]},
		rule{"epoch", p.Epoch >= 0},
		rule{"created_at", isTime(p.CreatedAt)},
		rule{"updated_at", isTime(p.UpdatedAt)},
	)
}

func checkIdentity(i vault.Identity) error {
	return check("identities",
		rule{"id", isID(i.ID)},
		rule{"kind", identityKinds[i.Kind]},
		rule{"person", (i.Kind == vault.KindPerson) == isID(i.Person) && (i.Person == "" || isID(i.Person))},
		rule{"grp", (i.Kind == vault.KindGroup) == isID(i.Group) && (i.Group == "" || isID(i.Group))},
		rule{"version", i.Version >= 1},
		rule{"suite", i.Suite.Valid()},
		rule{"fingerprint", i.Suite.Valid() && len(i.Fingerprint) == i.Suite.DigestSize()},
		rule{"public", len(i.Public) > 0},
		rule{"created_at", isTime(i.CreatedAt)},
		rule{"retired_at", isTime(i.RetiredAt)},
	)
}

func checkGroup(g vault.Group) error {
	return check("groups",
		rule{"id", isID(g.ID)},
		rule{"name", g.Name != ""},
		rule{"name_key", g.NameKey != ""},
		rule{"created_at", isTime(g.CreatedAt)},
		rule{"updated_at", isTime(g.UpdatedAt)},
	)
}

func checkMembership(m vault.Membership) error {
	return check("group_members",
		rule{"grp", isID(m.Group)},
		rule{"person", isID(m.Person)},
		rule{"member", m.Member || m.Manager},
		rule{"since", isTime(m.Since)},
	)
}

func checkNode(n vault.Node) error {
	file := n.Kind == vault.NodeFile
	return check("nodes",
		rule{"id", isID(n.ID)},
		rule{"owner", isID(n.Owner)},
		rule{"parent", (n.Parent == "" || isID(n.Parent)) && n.Parent != n.ID},
		rule{"name", len(n.Name) >= 1 && len(n.Name) <= 255},
		rule{"kind", nodeKinds[n.Kind]},
		rule{"current", file != n.Current.IsZero()},
		rule{"size", n.Size >= 0 && (file || n.Size == 0)},
		rule{"media_type", file || n.MediaType == ""},
		rule{"modified_at", isTime(n.ModifiedAt) && (file || n.ModifiedAt.IsZero())},
		rule{"created_at", isTime(n.CreatedAt)},
		rule{"updated_at", isTime(n.UpdatedAt)},
	)
}

func checkVersion(v vault.Version) error {
	return check("versions",
		rule{"file_id", !v.FileID.IsZero()},
		rule{"document", isID(v.Document)},
		rule{"number", v.Number >= 1},
		rule{"owner", isID(v.Owner)},
		rule{"revision", v.Revision >= 0},
		rule{"manifest_digest", isDigest(v.ManifestDigest)},
		rule{"signer", isDigest(v.Signer)},
		rule{"size", v.Size >= 0},
		rule{"body_size", v.BodySize >= 0},
		rule{"class", classes[stone.Class(v.Class)]},
		rule{"mode", v.Mode <= 0o777},
		rule{"modified_at", isTime(v.ModifiedAt)},
		rule{"sealed_at", isTime(v.SealedAt)},
	)
}

func checkIntent(i vault.Intent) error {
	return check("intents",
		rule{"file_id", !i.FileID.IsZero()},
		rule{"kind", intentKinds[i.Kind]},
		rule{"envelope", (i.Kind == vault.IntentRewrite) == (len(i.Envelope) > 0)},
		rule{"created_at", isTime(i.CreatedAt)},
	)
}

func checkUpload(u vault.Upload) error {
	return check("uploads",
		rule{"id", !u.ID.IsZero()},
		rule{"owner", isID(u.Owner)},
		rule{"path", u.Path != ""},
		rule{"class", classes[stone.Class(u.Class)]},
		rule{"mode", u.Mode <= 0o777},
		rule{"modified_at", isTime(u.ModifiedAt)},
		rule{"sealed_key", len(u.SealedKey) > 0},
		rule{"suite", u.Suite.Valid()},
		rule{"size", u.Size >= -1},
		rule{"position", u.Offset >= 0 && (u.Size < 0 || u.Offset <= u.Size)},
		rule{"part", u.Part >= 0},
		rule{"segments", u.Segments >= 0},
		rule{"created_at", isTime(u.CreatedAt)},
		rule{"expires_at", isTime(u.ExpiresAt)},
	)
}

func checkSession(s auth.Session) error {
	return check("sessions",
		rule{"id", s.ID != ""},
		rule{"person", isID(s.Person)},
		rule{"created_at", isTime(s.CreatedAt)},
		rule{"last_used_at", isTime(s.LastUsedAt)},
		rule{"expires_at", isTime(s.ExpiresAt)},
		rule{"revoked_at", isTime(s.RevokedAt)},
		rule{"device", s.Device == nil || len(s.Device) == 32},
	)
}

func checkRefresh(t auth.RefreshToken) error {
	return check("refresh_tokens",
		rule{"hash", len(t.Hash) == 32},
		rule{"session", t.Session != ""},
		rule{"created_at", isTime(t.CreatedAt)},
		rule{"expires_at", isTime(t.ExpiresAt)},
		rule{"used_at", isTime(t.UsedAt)},
	)
}

func checkTokenKey(k auth.TokenKey) error {
	return check("token_keys",
		rule{"id", k.ID != ""},
		rule{"sealed", len(k.Sealed) > 0},
		rule{"created_at", isTime(k.CreatedAt)},
		rule{"retired_at", isTime(k.RetiredAt)},
	)
}

func checkWebhook(w webhook.Row) error {
	known := func(k webhook.Kind) bool { return slices.Contains(webhook.Kinds, k) }
	return check("webhooks",
		rule{"id", isID(w.ID)},
		rule{"url", w.URL != ""},
		rule{"secret", len(w.Secret) > 0},
		rule{"events", len(w.Events) > 0 && !slices.ContainsFunc(w.Events, func(k webhook.Kind) bool { return !known(k) })},
		rule{"created_at", isTime(w.CreatedAt)},
		rule{"updated_at", isTime(w.UpdatedAt)},
	)
}

func checkDelivery(d webhook.Delivery) error {
	return check("webhook_deliveries",
		rule{"message", d.Message != ""},
		rule{"webhook", isID(d.Webhook)},
		rule{"type", d.Kind != ""},
		rule{"event", d.Event >= 0},
		rule{"person", d.Person == "" || isID(d.Person)},
		rule{"by_person", d.By == "" || isID(d.By)},
		rule{"body", len(d.Body) > 0},
		rule{"created_at", isTime(d.CreatedAt)},
		rule{"tries", d.Tries >= 0},
		rule{"next_at", isTime(d.NextAt)},
		rule{"ended_at", isTime(d.EndedAt) && d.EndedAt.IsZero() != d.NextAt.IsZero()},
		rule{"status", d.Status >= 0 && d.Status < 1000},
	)
}

// suiteOf reads a suite without letting a large number wrap round to a valid one.
func suiteOf(n int64) (identity.Suite, error) {
	if s := identity.Suite(n); n >= 0 && n <= 255 && s.Valid() {
		return s, nil
	}
	return 0, fmt.Errorf("metadb: suite %d is not known", n)
}
