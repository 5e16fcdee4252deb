package auth

import "stonevault/internal/access"

var (
	anyScope   = [][]Scope{{}}
	filesRead  = [][]Scope{{ScopeFilesRead}}
	filesWrite = [][]Scope{{ScopeFilesWrite}}
	filesShare = [][]Scope{{ScopeFilesRead, ScopeFilesWrite}} // who may share may let somebody else read
	auditRead  = [][]Scope{{ScopeAuditRead}}
	byAdmins   = [][]Scope{{ScopeAdmin}}
	neverToken = [][]Scope(nil)
)

// scopesFor says for every action which scopes it takes: one of the sets, all of it. What could turn a token
// into more than it is takes a person who is signed in: passwords, factors, tokens, roles, and the files of
// somebody else.
var scopesFor = map[access.Action][][]Scope{
	access.PeopleFind:   {{ScopeAdmin}, {ScopeFilesRead, ScopeFilesWrite}},
	access.PeopleSee:    byAdmins,
	access.PeopleInvite: byAdmins,

	access.ProfileSee:     anyScope,
	access.ProfileChange:  neverToken,
	access.PasswordChange: neverToken,
	access.FactorsEnrol:   neverToken,
	access.FactorsRemove:  neverToken,
	access.SessionsSee:    byAdmins,
	access.SessionsEnd:    byAdmins,
	access.TokensSee:      byAdmins,
	access.TokensCreate:   neverToken,
	access.TokensRevoke:   byAdmins,

	access.AccountsCreate:     byAdmins,
	access.AccountsRename:     byAdmins,
	access.AccountsRole:       neverToken,
	access.AccountsReset:      neverToken,
	access.AccountsDeactivate: byAdmins,
	access.AccountsReactivate: byAdmins,
	access.AccountsErase:      byAdmins,
	access.AccountsHandOver:   neverToken,

	access.QuotasSee:    byAdmins,
	access.QuotasChange: byAdmins,

	access.GroupsSee:          byAdmins,
	access.GroupsCreate:       byAdmins,
	access.GroupsChange:       byAdmins,
	access.GroupsDelete:       byAdmins,
	access.GroupsMembers:      byAdmins,
	access.GroupsManagers:     byAdmins,
	access.GroupsJoin:         neverToken,
	access.GroupsLeave:        byAdmins,
	access.GroupsQuotasSee:    byAdmins,
	access.GroupsQuotasChange: byAdmins,

	access.FilesSee:      {{ScopeFilesRead}, {ScopeFilesWrite}},
	access.FilesRead:     filesRead,
	access.FilesVerify:   filesRead,
	access.FilesExport:   filesRead,
	access.FilesCreate:   filesWrite,
	access.FilesWrite:    filesWrite,
	access.FilesDelete:   filesWrite,
	access.FilesShare:    filesShare,
	access.SharesSee:     filesRead,
	access.SharesEnd:     filesWrite,
	access.SharesDecline: filesWrite,
	access.UploadsUse:    filesWrite,

	access.AuditSee:  auditRead,
	access.AuditTree: anyScope, // so that every program can see that the log continues

	access.VaultSee:        anyScope,
	access.SettingsSee:     byAdmins,
	access.SettingsChange:  byAdmins,
	access.RecoveryConfirm: neverToken,
	access.WebhooksSee:     byAdmins,
	access.WebhooksChange:  byAdmins,
	access.QuantumUse:      neverToken,

	access.QuantumEavesdrop: neverToken,
}
