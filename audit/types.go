package audit

import (
	"cmp"
	"fmt"
	"slices"
)

// Type is what happened, as a number that leaves hold.
type Type uint16

// The types are numbered in groups of sixteen. A number is never used again.
const (
	LogBegun     Type = 1
	LogAnchored  Type = 2
	PersonErased Type = 3

	ServerStarted    Type = 16
	ServerStopped    Type = 17
	ServerConfigured Type = 18
	ServerMigrated   Type = 19
	VaultRecovered   Type = 20
	SettingsChanged  Type = 21
	WebhookChanged   Type = 22

	AccountCreated  Type = 32
	AccountChanged  Type = 33
	AccountInvited  Type = 34
	AccountReset    Type = 35
	FactorChanged   Type = 36
	QuotaChanged    Type = 37
	FilesHandedOver Type = 38

	KeyPublished      Type = 48
	KeyRetired        Type = 49
	RecoveryConfirmed Type = 50
	RecoveryRotated   Type = 51
	KeyRotated        Type = 52
	KeyDestroyed      Type = 53

	SessionOpened  Type = 64
	SessionRefused Type = 65
	SessionEnded   Type = 66
	TokenReused    Type = 67
	AccessRefused  Type = 68
	SetupRefused   Type = 69
	TokenCreated   Type = 70
	TokenRevoked   Type = 71

	FilePut       Type = 80
	FileMoved     Type = 81
	FileDeleted   Type = 82
	FolderCreated Type = 83
	UploadBegun   Type = 84
	UploadEnded   Type = 85
	DownloadBegun Type = 86
	DownloadEnded Type = 87
	FileExported  Type = 88
	FileVerified  Type = 89
	FileResealed  Type = 90

	GroupCreated  Type = 96
	GroupChanged  Type = 97
	GroupDeleted  Type = 98
	MemberChanged Type = 99
	MemberRemoved Type = 100

	QuantumSession      Type = 112
	QuantumDelivered    Type = 113
	QuantumRefused      Type = 114
	QuantumEavesdropper Type = 115
)

// Kind is the type of a field's value.
type Kind string

const (
	Text     Kind = "text"  // string
	Count    Kind = "count" // int64, 0 to MaxCount
	Flag     Kind = "flag"  // bool
	PartList Kind = "parts" // []int64, see PartNumber
)

// Field is one member of a slot's JSON. None is optional.
type Field struct {
	Name  string
	Kind  Kind
	Max   int      // bytes of a Text that has no Among
	Among []string // the only texts allowed
}

// Definition is a row of the table of types: what an event of this type and version says. Operational
// fields are about the vault and its files; Actor and Subject hold what is about a person. A slot without
// fields is always empty; Actor and Subject may be empty in any event.
type Definition struct {
	Type    Type
	Version uint8
	Name    string
	Doc     string
	Fields  [slotCount][]Field // by Slot
}

func text(name string, most int) Field { return Field{Name: name, Kind: Text, Max: most} }
func count(name string) Field          { return Field{Name: name, Kind: Count} }
func flag(name string) Field           { return Field{Name: name, Kind: Flag} }
func among(name string, choices ...string) Field {
	return Field{Name: name, Kind: Text, Among: choices}
}
func id(name string) Field                          { return text(name, 32) }
func digest(name string) Field                      { return text(name, 96) } // of either suite, in hex
func with(fields []Field, further ...Field) []Field { return slices.Concat(fields, further) }

// Who acted. An empty person is somebody on the machine itself, or nobody known; an empty address is the
// machine's.
var actor = []Field{id("person"), text("name", 255), id("session"), text("client", 200), text("address", 64)}

// Whose account or key it is.
var account = []Field{id("person"), text("name", 255)}

// Whose file or folder it is, and where.
var place = []Field{id("person"), text("path", 4096)}

// The stone that was made or rewritten.
var sealed = []Field{id("file"), count("revision"), digest("manifest")}

// The version that was read.
var version = []Field{id("file"), id("document"), count("version")}

var publishedKey = []Field{
	among("kind", "root", "recovery", "person", "vault", "group", "log"), id("identity"), count("version"), count("suite"),
	digest("fingerprint"),
}

// repeated events stand for several alike: how many, and since when, in milliseconds.
var repeated = []Field{count("count"), count("since")}

// definitions is the table. A row that was ever used stays as it is: other fields are a further row of the
// same type with the next version, behind it.
var definitions = []Definition{
	{LogBegun, 1, "log.begun", "The first event of a log; after a restore it carries the head of the log before.", [slotCount][]Field{
		{text("origin", MaxOrigin), among("reason", "first", "restored", "recovered"), text("previous_checkpoint", MaxCheckpoint), text("previous_anchor", 4096)}, nil, nil}},
	{LogAnchored, 1, "log.anchored", "A head of the log is final on a chain.", [slotCount][]Field{
		{count("chain"), text("contract", 42), text("transaction", 66), count("block"), count("size"), text("root", 64)}, nil, nil}},
	{PersonErased, 1, "person.erased", "Openings about a person were destroyed: those that `parts` lists.", [slotCount][]Field{
		{{Name: "parts", Kind: PartList}, count("piece"), count("pieces")}, actor, nil}},

	{ServerStarted, 1, "server.started", "A server began to serve; `settings` is the digest of its configuration.", [slotCount][]Field{
		{text("software", 64), count("suite"), text("settings", 64)}, actor, nil}},
	{ServerStopped, 1, "server.stopped", "A server ended in order.", [slotCount][]Field{
		{among("reason", "asked", "failed")}, nil, nil}},
	{ServerConfigured, 1, "server.configured", "The configuration is another than at the start before.", [slotCount][]Field{
		{text("settings", 64), text("previous", 64), text("changed", 4096)}, actor, nil}},
	{ServerMigrated, 1, "server.migrated", "The database was brought to another schema.", [slotCount][]Field{
		{count("from"), count("to"), text("software", 64)}, nil, nil}},
	{VaultRecovered, 1, "vault.recovered", "A vault was rebuilt from its objects and the recovery secret.", [slotCount][]Field{
		{count("documents"), count("versions"), count("refused"), digest("root")}, actor, nil}},

	{SettingsChanged, 1, "settings.changed", "A setting of the vault was changed; `value` is its new value as JSON.", [slotCount][]Field{
		{text("name", 64), text("value", 1024)}, actor, nil}},
	{WebhookChanged, 1, "webhook.changed", "A webhook was made, changed or deleted; its secret is never shown.", [slotCount][]Field{
		{id("webhook"), among("what", "created", "changed", "secret", "deleted"), text("host", 255), text("events", 1024), flag("active")}, actor, nil}},

	{AccountCreated, 1, "account.created", "An account was made.", [slotCount][]Field{
		{among("role", "admin", "manager", "user"), among("by", "command", "page", "recovery", "admin")}, actor, account}},
	{AccountCreated, 2, "account.created", "An account was made.", [slotCount][]Field{
		{among("role", "admin", "manager", "user"), among("by", "command", "page", "recovery", "admin", "invitation", "registration")}, actor, account}},
	{AccountChanged, 1, "account.changed", "An account was changed; a password is never shown.", [slotCount][]Field{
		{among("what", "password", "role", "name", "active"), text("value", 16)}, actor, account}},
	{AccountChanged, 2, "account.changed", "An account was changed; a password is never shown.", [slotCount][]Field{
		{among("what", "password", "role", "name", "active", "profile"), text("value", 16), among("by", "self", "link", "admin", "command")}, actor, account}},
	{AccountInvited, 1, "account.invited", "A one-time link for a new account was made, withdrawn or used.", [slotCount][]Field{
		{id("invitation"), among("what", "created", "withdrawn", "used"), id("group"), count("expires")}, actor, account}},
	{AccountReset, 1, "account.reset", "A one-time link that sets a new password was made or used.", [slotCount][]Field{
		{among("what", "created", "used"), count("expires")}, actor, account}},
	{FactorChanged, 1, "factor.changed", "A second factor was set up or taken away, or recovery codes were drawn or used.", [slotCount][]Field{
		{among("what", "enrolled", "removed", "codes-drawn", "code-used"), count("codes_left")}, actor, account}},
	{QuotaChanged, 1, "quota.changed", "A quota was set: of a person, who is the subject, or of a group. Without `limited_…` there is no limit.", [slotCount][]Field{
		{id("group"), flag("limited_bytes"), count("bytes"), flag("limited_files"), count("files")}, actor, account}},
	{FilesHandedOver, 1, "files.handed-over", "All files of the subject went to the person `to`, below the folder `folder`.", [slotCount][]Field{
		{id("to"), text("folder", 255), count("documents"), count("bytes")}, actor, account}},

	{KeyPublished, 1, "key.published", "A public key came into use.", [slotCount][]Field{publishedKey, actor, account}},
	{KeyRetired, 1, "key.retired", "A public key went out of use.", [slotCount][]Field{publishedKey, actor, account}},
	{RecoveryConfirmed, 1, "recovery.confirmed", "Somebody showed that the recovery secret is kept.", [slotCount][]Field{
		{count("version"), digest("fingerprint")}, actor, nil}},
	{RecoveryRotated, 1, "recovery.rotated", "The recovery secret was replaced; `done` once no envelope is for the old one.", [slotCount][]Field{
		{count("version"), digest("fingerprint"), among("state", "begun", "done"), count("rewritten")}, actor, nil}},
	{KeyRotated, 1, "key.rotated", "Keys are replaced: `begun` when the new one is used, `done` when nothing needs the old one; a master key is `announced` before.", [slotCount][]Field{
		{among("what", "master", "identity", "root", "suite", "tokens"), among("state", "announced", "begun", "done"), count("version"), digest("fingerprint"), count("rewritten")}, actor, account}},
	{KeyDestroyed, 1, "key.destroyed", "The secret half of a retired key was destroyed: nothing was left to open with it.", [slotCount][]Field{publishedKey, actor, account}},

	{SessionOpened, 1, "session.opened", "Somebody signed in.", [slotCount][]Field{
		{among("method", "password")}, actor, nil}},
	{SessionOpened, 2, "session.opened", "Somebody signed in; `new_device` from a device that had not been used for it before.", [slotCount][]Field{
		{among("method", "password", "totp", "recovery-code"), flag("new_device")}, actor, nil}},
	{SessionRefused, 1, "session.refused", "Signing in failed; the subject is the account, where there is one of that name.", [slotCount][]Field{
		with(repeated, among("reason", "credentials", "limit")), actor, account}},
	{SessionRefused, 2, "session.refused", "Signing in failed; the subject is the account, where there is one of that name.", [slotCount][]Field{
		with(repeated, among("reason", "credentials", "limit", "second-factor")), actor, account}},
	{SessionEnded, 1, "session.ended", "A session ended before its time.", [slotCount][]Field{
		{among("reason", "signed-out", "token-reused", "password-changed", "revoked")}, actor, account}},
	{SessionEnded, 2, "session.ended", "Sessions ended before their time: one, or all of a person's but the one that asked.", [slotCount][]Field{
		{among("reason", "signed-out", "token-reused", "password-changed", "revoked", "deactivated"), flag("all")}, actor, account}},
	{TokenReused, 1, "token.reused", "A refresh token was used twice: it, or the one after it, was stolen.", [slotCount][]Field{
		{id("session")}, actor, account}},
	{AccessRefused, 1, "access.refused", "A request was refused.", [slotCount][]Field{
		with(repeated, text("method", 16), text("route", 255), count("status")), actor, nil}},
	{SetupRefused, 1, "setup.refused", "A wrong code was typed on the first-run page.", [slotCount][]Field{repeated, actor, nil}},
	{TokenCreated, 1, "token.created", "An API token was made; the token itself is never shown.", [slotCount][]Field{
		{id("token"), text("scopes", 255), count("expires")}, actor, account}},
	{TokenRevoked, 1, "token.revoked", "API tokens were revoked: one, or all of a person's.", [slotCount][]Field{
		{id("token"), flag("all"), among("reason", "revoked", "deactivated")}, actor, account}},

	{FilePut, 1, "file.put", "A version of a file was stored.", [slotCount][]Field{
		with(sealed, id("document"), count("version"), count("size"), among("class", "normal", "restricted"), among("by", "put", "upload")), actor, place}},
	{FileMoved, 1, "file.moved", "A file or folder got another name or place.", [slotCount][]Field{
		with(sealed, id("node"), among("kind", "file", "folder")), actor, with(account[:1], text("from", 4096), text("to", 4096))}},
	{FileDeleted, 1, "file.deleted", "A file with all its versions, or a folder, was removed.", [slotCount][]Field{
		{id("node"), among("kind", "file", "folder"), count("versions")}, actor, place}},
	{FolderCreated, 1, "folder.created", "A folder was made.", [slotCount][]Field{{id("node")}, actor, place}},
	{UploadBegun, 1, "upload.begun", "An upload in pieces was begun; the `file.put` at its end has the same file id.", [slotCount][]Field{
		{id("file"), count("size"), flag("size_known")}, actor, place}},
	{UploadEnded, 1, "upload.ended", "An upload in pieces was given up.", [slotCount][]Field{
		{id("file"), count("offset"), among("reason", "cancelled", "expired")}, actor, place}},
	{DownloadBegun, 1, "download.begun", "Content is about to leave, before its first byte.", [slotCount][]Field{
		with(version, id("download"), count("size"), among("by", "content", "archive")), actor, place}},
	{DownloadEnded, 1, "download.ended", "What began under this `download` ended; `bytes` have left.", [slotCount][]Field{
		with(version, id("download"), among("outcome", "complete", "broken-off"), count("bytes")), actor, place}},
	{FileExported, 1, "file.exported", "A stone of its own is about to leave; its end is a `download.ended`.", [slotCount][]Field{
		with(version, id("download"), digest("manifest"), count("recipients"), flag("passphrase")), actor, place}},
	{FileVerified, 1, "file.verified", "A file was read and checked as a whole.", [slotCount][]Field{
		with(version, flag("ok"), count("segments"), count("bytes")), actor, place}},
	{FileResealed, 1, "file.resealed", "An envelope was replaced without a change to its file.", [slotCount][]Field{
		with(sealed, among("reason", "rotation")), actor, place}},
	{FileResealed, 2, "file.resealed", "An envelope was replaced without a change to its file; where files are handed over, that of each earlier version.", [slotCount][]Field{
		with(sealed, among("reason", "rotation", "hand-over")), actor, place}},

	{GroupCreated, 1, "group.created", "A group was made.", [slotCount][]Field{{id("group"), text("name", 255)}, actor, nil}},
	{GroupChanged, 1, "group.changed", "A group got another name.", [slotCount][]Field{{id("group"), text("name", 255)}, actor, nil}},
	{GroupDeleted, 1, "group.deleted", "A group was deleted.", [slotCount][]Field{{id("group")}, actor, nil}},
	{MemberChanged, 1, "member.changed", "A person was added to a group, or is now another thing in it.", [slotCount][]Field{
		{id("group"), flag("member"), flag("manager")}, actor, account}},
	{MemberRemoved, 1, "member.removed", "A person is no longer in a group.", [slotCount][]Field{
		{id("group"), among("reason", "removed", "left", "erased")}, actor, account}},

	{QuantumSession, 1, "quantum.session", "A simulated session for quantum keys ended, of the actor with the subject; `qber` is errors in a million bits, `keys` what it made, of which a pool keeps what it has room for.", [slotCount][]Field{
		{id("session"), among("state", "done", "aborted", "failed"), among("reason", "none", "few", "qber", "length", "verification", "broken-off"),
			count("secret_bits"), count("qber"), count("keys"), flag("eavesdropper")}, actor, account}},
	{QuantumDelivered, 1, "quantum.delivered", "Quantum keys left the pool: the actor took them for the subject, or fetched what the subject had taken; `bits` is of all together.", [slotCount][]Field{
		{among("what", "taken", "fetched"), count("keys"), count("bits")}, actor, account}},
	{QuantumRefused, 1, "quantum.refused", "A program got no quantum keys: its certificate is of nobody who may have any, the keys are not for it, or it asked too often. The subject is whose keys it asked for.", [slotCount][]Field{
		with(repeated, among("reason", "nobody", "foreign", "limit")), actor, account}},
	{QuantumEavesdropper, 1, "quantum.eavesdropper", "A simulated eavesdropper came between the subject and somebody else, does something else, or is gone; `share` is attacked pulses in a million. There is an event for each of the two.", [slotCount][]Field{
		{among("what", "on", "changed", "off"), among("attack", "intercept", "breidbart", "pns"), count("share")}, actor, account}},
}

type typeVersion struct {
	t Type
	v uint8
}

// layout is a row with each slot's fields in the order that their JSON has.
type layout struct {
	Definition
	members [slotCount][]Field
}

var byVersion, newest, byName = lookups(definitions)

func lookups(table []Definition) (map[typeVersion]*layout, map[Type]*layout, map[string]Type) {
	versions, types, names := map[typeVersion]*layout{}, map[Type]*layout{}, map[string]Type{}
	for _, d := range table {
		l := &layout{Definition: d}
		for i, fields := range d.Fields {
			// RFC 8785 orders by UTF-16, which for ASCII is the order of bytes.
			l.members[i] = slices.SortedFunc(slices.Values(fields), func(a, b Field) int { return cmp.Compare(a.Name, b.Name) })
		}
		versions[typeVersion{d.Type, d.Version}], types[d.Type], names[d.Name] = l, l, d.Type
	}
	return versions, types, names
}

// Definitions returns the table, for whoever shows or documents it.
func Definitions() []Definition { return slices.Clone(definitions) }

// Define returns the row of a type and version; version 0 is the newest.
func Define(t Type, version uint8) (*Definition, error) {
	l, err := define(t, version)
	if err != nil {
		return nil, err
	}
	return &l.Definition, nil
}

func define(t Type, version uint8) (*layout, error) {
	l := byVersion[typeVersion{t, version}]
	if version == 0 {
		l = newest[t]
	}
	if l == nil {
		return nil, fmt.Errorf("%w: type %d, version %d is not known here", ErrEvent, uint16(t), version)
	}
	return l, nil
}

// ParseType reads a type's name.
func ParseType(name string) (Type, error) {
	t, ok := byName[name]
	if !ok {
		return 0, fmt.Errorf("%w: there is no type %q", ErrEvent, name)
	}
	return t, nil
}

// String is the type's name, or its number where this program is older than the event.
func (t Type) String() string {
	if d := newest[t]; d != nil {
		return d.Name
	}
	return fmt.Sprintf("type %d", uint16(t))
}
