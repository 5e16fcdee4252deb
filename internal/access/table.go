package access

// Action is what a request wants to do. Its text is stable: logs, events and tokens name it.
type Action string

const (
	PeopleFind   Action = "people.find"
	PeopleSee    Action = "people.see"
	PeopleInvite Action = "people.invite"

	ProfileSee     Action = "profile.see"
	ProfileChange  Action = "profile.change"
	PasswordChange Action = "password.change"
	FactorsEnrol   Action = "factors.enrol"
	FactorsRemove  Action = "factors.remove"
	SessionsSee    Action = "sessions.see"
	SessionsEnd    Action = "sessions.end"
	TokensSee      Action = "tokens.see"
	TokensCreate   Action = "tokens.create"
	TokensRevoke   Action = "tokens.revoke"

	AccountsCreate     Action = "accounts.create"
	AccountsRename     Action = "accounts.rename"
	AccountsRole       Action = "accounts.role"
	AccountsReset      Action = "accounts.reset"
	AccountsDeactivate Action = "accounts.deactivate"
	AccountsReactivate Action = "accounts.reactivate"
	AccountsErase      Action = "accounts.erase"
	AccountsHandOver   Action = "accounts.hand-over"

	QuotasSee    Action = "quotas.see"
	QuotasChange Action = "quotas.change"

	GroupsSee          Action = "groups.see"
	GroupsCreate       Action = "groups.create"
	GroupsChange       Action = "groups.change"
	GroupsDelete       Action = "groups.delete"
	GroupsMembers      Action = "groups.members"
	GroupsManagers     Action = "groups.managers"
	GroupsJoin         Action = "groups.join"
	GroupsLeave        Action = "groups.leave"
	GroupsQuotasSee    Action = "groups.quotas.see"
	GroupsQuotasChange Action = "groups.quotas.change"

	FilesSee      Action = "files.see"
	FilesRead     Action = "files.read"
	FilesVerify   Action = "files.verify"
	FilesExport   Action = "files.export"
	FilesCreate   Action = "files.create"
	FilesWrite    Action = "files.write"
	FilesDelete   Action = "files.delete"
	FilesShare    Action = "files.share"
	SharesSee     Action = "shares.see"
	SharesEnd     Action = "shares.end"
	SharesDecline Action = "shares.decline"

	UploadsUse Action = "uploads.use"

	AuditSee  Action = "audit.see"
	AuditTree Action = "audit.tree"

	VaultSee        Action = "vault.see"
	SettingsSee     Action = "settings.see"
	SettingsChange  Action = "settings.change"
	RecoveryConfirm Action = "recovery.confirm"
	WebhooksSee     Action = "webhooks.see"
	WebhooksChange  Action = "webhooks.change"
	QuantumUse      Action = "quantum.use"

	QuantumEavesdrop Action = "quantum.eavesdrop"
)

// Kind is a sort of thing, with the actions on it.
type Kind struct {
	Name    string
	See     Action // whoever may not do this does not know that the thing is there; "" where everybody knows
	Meaning [relations]string
	Rows    []Row
}

// Row is an action with its verdicts: six letters for each role, in the order of the relations.
//
//	y allowed   s by share   f forbidden   a absent   - does not arise, so absent
type Row struct {
	Action               Action
	Does                 string // completes "may …"
	admin, manager, user string
}

func verdict(letter byte) Verdict {
	switch letter {
	case 'y':
		return Allowed
	case 's':
		return ByShare
	case 'f':
		return Forbidden
	default:
		return Absent
	}
}

// Kinds is the whole table.
var Kinds = []Kind{
	{
		Name: "People", See: PeopleSee,
		Meaning: [relations]string{
			Own:     "oneself",
			Shared:  "somebody who shares something with me, or with whom I do",
			Managed: "a person, not an admin, in a group that I manage; for an invitation, the group itself",
			Member:  "a person in a group that I belong to, or an admin in a group that I manage",
			Else:    "anybody else",
			Vault:   "all people, and new ones",
		},
		Rows: []Row{
			{PeopleFind, "find a person by the exact name, to share with: name, id and public key", "-----y", "-----y", "-----y"},
			{PeopleSee, "see a profile: name, role, groups, key and fingerprint; of the vault: list everybody", "yyyyyy", "yyyyaf", "yyayaf"},
			{PeopleInvite, "make a one-time link by which somebody makes an account, as a user", "--y--y", "--y--f", "--a--f"},
			{ProfileSee, "see one's own profile, groups and use", "yffff-", "yfffa-", "yfafa-"},
			{ProfileChange, "change one's own profile", "yffff-", "yfffa-", "yfafa-"},
			{PasswordChange, "change one's own password", "yffff-", "yfffa-", "yfafa-"},
			{FactorsEnrol, "set up a second factor and draw recovery codes", "yffff-", "yfffa-", "yfafa-"},
			{FactorsRemove, "take a second factor away", "yyyyy-", "yfffa-", "yfafa-"},
			{SessionsSee, "see sessions and devices", "yyyyy-", "yfyfa-", "yfafa-"},
			{SessionsEnd, "end sessions", "yyyyy-", "yfyfa-", "yfafa-"},
			{TokensSee, "see API tokens: name, scopes, expiry and last use, never the token", "yyyyy-", "yfyfa-", "yfafa-"},
			{TokensCreate, "make an API token", "yffff-", "yfffa-", "yfafa-"},
			{TokensRevoke, "revoke API tokens", "yyyyy-", "yfyfa-", "yfafa-"},
			{AccountsCreate, "make an account, as a user", "-----y", "-----f", "-----f"},
			{AccountsRename, "change an account's name", "yyyyy-", "ffffa-", "ffafa-"},
			{AccountsRole, "change a role; the last admin keeps his", "yyyyy-", "ffffa-", "ffafa-"},
			{AccountsReset, "make a one-time link that sets a new password", "fyyyy-", "ffffa-", "ffafa-"},
			{AccountsDeactivate, "switch an account off; the last admin's stays on", "yyyyy-", "ffffa-", "ffafa-"},
			{AccountsReactivate, "switch an account on", "fyyyy-", "ffffa-", "ffafa-"},
			{AccountsErase, "erase an account with its files", "fyyyy-", "ffffa-", "ffafa-"},
			{AccountsHandOver, "hand a deactivated person's files over to somebody, without reading them", "fyyyy-", "ffffa-", "ffafa-"},
			{QuotasSee, "see a person's quota and use", "yyyyy-", "yfyfa-", "yfafa-"},
			{QuotasChange, "change a person's quota", "yyyyy-", "ffyfa-", "ffafa-"},
		},
	},
	{
		Name: "Groups", See: GroupsSee,
		Meaning: [relations]string{
			Managed: "a group of which I am a manager",
			Member:  "a group of which I am a member",
			Else:    "any other group",
			Vault:   "all groups, and new ones",
		},
		Rows: []Row{
			{GroupsSee, "see a group, its members and its managers; of the vault: list all", "--yyyy", "--yyaf", "--ayaf"},
			{GroupsCreate, "make a group", "-----y", "-----y", "-----f"},
			{GroupsChange, "change a group's name", "--yyy-", "--yfa-", "--afa-"},
			{GroupsDelete, "delete a group", "--yyy-", "--yfa-", "--afa-"},
			{GroupsMembers, "add and remove other members", "--yyy-", "--yfa-", "--afa-"},
			{GroupsManagers, "name and dismiss managers", "--yyy-", "--yfa-", "--afa-"},
			{GroupsJoin, "add oneself", "--yff-", "--yfa-", "--afa-"},
			{GroupsLeave, "leave", "--fyf-", "--fya-", "--aya-"},
			{GroupsQuotasSee, "see a group's quota and use", "--yyy-", "--yya-", "--aya-"},
			{GroupsQuotasChange, "change a group's quota", "--yyy-", "--yfa-", "--afa-"},
		},
	},
	{
		Name: "Files and folders", See: FilesSee,
		Meaning: [relations]string{
			Own:     "a file that I own, and my own tree",
			Shared:  "a file that is shared with me",
			Managed: "a file of a person in a group that I manage",
			Member:  "a file that is shared with a group that I belong to",
			Else:    "any other file",
		},
		Rows: []Row{
			{FilesSee, "see that it is there: name, size, times, versions", "ysasa-", "ysasa-", "ysasa-"},
			{FilesRead, "read the content, alone or in an archive", "ysasa-", "ysasa-", "ysasa-"},
			{FilesVerify, "have it read and checked in the vault", "ysasa-", "ysasa-", "ysasa-"},
			{FilesExport, "take it out as a stone for other recipients", "ysasa-", "ysasa-", "ysasa-"},
			{FilesCreate, "make files and folders", "ysasa-", "ysasa-", "ysasa-"},
			{FilesWrite, "replace, rename and move", "ysasa-", "ysasa-", "ysasa-"},
			{FilesDelete, "delete", "ysasa-", "ysasa-", "ysasa-"},
			{FilesShare, "share with people, groups and links", "ysasa-", "ysasa-", "ysasa-"},
			{SharesSee, "see with whom it is shared", "ysasa-", "ysasa-", "ysasa-"},
			{SharesEnd, "end shares that others have", "ysasa-", "ysasa-", "ysasa-"},
			{SharesDecline, "give back what was shared with me alone", "-yafa-", "-yafa-", "-yafa-"},
		},
	},
	{
		Name: "Uploads in progress", See: UploadsUse,
		Meaning: [relations]string{
			Own:  "an upload that I began",
			Else: "any other upload",
		},
		Rows: []Row{
			{UploadsUse, "see, go on with and cancel an upload", "y---a-", "y---a-", "y---a-"},
		},
	},
	{
		Name: "The audit log",
		Meaning: [relations]string{
			Own:     "an event of which I am the actor or the subject",
			Managed: "an event about a group that I manage, or about a person, not an admin, in it; not what files are called",
			Else:    "any other event",
			Vault:   "the log as a whole: all events, or its tree",
		},
		Rows: []Row{
			{AuditSee, "see an event, its record and its receipt; of the vault: list all events", "y-y-yy", "y-y-af", "y-a-af"},
			{AuditTree, "read tiles, checkpoints, consistency proofs and anchors, which say nothing about anybody", "-----y", "-----y", "-----y"},
		},
	},
	{
		Name:    "The vault",
		Meaning: [relations]string{Vault: "the vault itself"},
		Rows: []Row{
			{VaultSee, "see suite, version and the root's public key", "-----y", "-----y", "-----y"},
			{SettingsSee, "see the settings", "-----y", "-----f", "-----f"},
			{SettingsChange, "change the settings", "-----y", "-----f", "-----f"},
			{RecoveryConfirm, "confirm that the recovery sheet is kept", "-----y", "-----f", "-----f"},
			{WebhooksSee, "see webhooks and their deliveries, never their secrets", "-----y", "-----f", "-----f"},
			{WebhooksChange, "make, change and delete webhooks", "-----y", "-----f", "-----f"},
			{QuantumEavesdrop, "put a simulated eavesdropper between two people, and take it away", "-----y", "-----f", "-----f"},
			{QuantumUse, "run a session for quantum keys with another person, see one's own sessions and pools, admins all, and experiment", "-----y", "-----y", "-----y"},
		},
	},
}

var rows = index()

func index() map[Action]Row {
	m := map[Action]Row{}
	for _, kind := range Kinds {
		for _, row := range kind.Rows {
			m[row.Action] = row
		}
	}
	return m
}

// Actions lists every action in the order of the table.
func Actions() (all []Action) {
	for _, kind := range Kinds {
		for _, row := range kind.Rows {
			all = append(all, row.Action)
		}
	}
	return all
}
