package httpapi

import (
	"net/http"
	"strings"
	"time"

	"stonevault/internal/access"
)

// What a route does that is no action of the table. A route that says nothing lets nobody in.
const (
	anybody  access.Action = "anybody" // needs no token
	signedIn access.Action = "session" // is about the session that asks, and not for an API token
)

// whileEnrolling are the routes of who must set up a second factor first, each about himself alone.
var whileEnrolling = map[string]bool{
	"DELETE /api/v1/sessions/current":    true,
	"GET /api/v1/me":                     true,
	"GET /api/v1/people/{person}/factor": true,
	"POST /api/v1/me/factor":             true,
	"POST /api/v1/me/factor/confirm":     true,
}

// pace says how long a request may take.
type pace int

const (
	// quick requests have 30 seconds in all.
	quick pace = iota
	// steady ones may take as long as bytes move: no more than patience between two of them.
	steady
)

// deadlines are what the paces mean; tests shorten them.
type deadlines struct{ quick, patience time.Duration }

const (
	jsonLimit    = 64 << 10
	exportLimit  = 1 << 20 // public keys take 6 KiB each
	contentLimit = 1 << 40 // a stone has at most 2^20 segments of 1 MiB
)

// route is a row of the table.
type route struct {
	method  string
	pattern string // of http.ServeMux
	body    int64  // most bytes of a body; 0 where none belongs
	pace    pace
	action  access.Action
	handle  func(*API, *call) error
}

// routes is the whole interface.
var routes = []route{
	{"POST", "/api/v1/sessions", jsonLimit, quick, anybody, (*API).signIn},
	{"POST", "/api/v1/sessions/refresh", jsonLimit, quick, anybody, (*API).refresh},
	{"DELETE", "/api/v1/sessions/current", 0, quick, signedIn, (*API).signOut},
	{"GET", "/api/v1/me", 0, quick, access.ProfileSee, (*API).me},
	{"POST", "/api/v1/me/password", jsonLimit, quick, access.PasswordChange, (*API).changePassword},
	{"POST", "/api/v1/me/factor", 0, quick, access.FactorsEnrol, (*API).beginFactor},
	{"POST", "/api/v1/me/factor/confirm", jsonLimit, quick, access.FactorsEnrol, (*API).confirmFactor},
	{"POST", "/api/v1/me/factor/codes", jsonLimit, quick, access.FactorsEnrol, (*API).drawRecoveryCodes},
	{"GET", "/api/v1/people/{person}/factor", 0, quick, access.SessionsSee, (*API).factor},
	{"POST", "/api/v1/people/{person}/factor/removal", jsonLimit, quick, access.FactorsRemove, (*API).removeFactor},
	{"POST", "/api/v1/me/tokens", jsonLimit, quick, access.TokensCreate, (*API).createToken},
	{"GET", "/api/v1/people/{person}/sessions", 0, quick, access.SessionsSee, (*API).listSessions},
	{"DELETE", "/api/v1/people/{person}/sessions", 0, quick, access.SessionsEnd, (*API).endSessions},
	{"DELETE", "/api/v1/people/{person}/sessions/{session}", 0, quick, access.SessionsEnd, (*API).endSession},
	{"GET", "/api/v1/people/{person}/tokens", 0, quick, access.TokensSee, (*API).listTokens},
	{"DELETE", "/api/v1/people/{person}/tokens/{token}", 0, quick, access.TokensRevoke, (*API).revokeToken},
	{"PATCH", "/api/v1/me", jsonLimit, quick, access.ProfileChange, (*API).changeMe},
	{"GET", "/api/v1/people", 0, quick, access.PeopleSee, (*API).people},
	{"POST", "/api/v1/people", jsonLimit, quick, access.AccountsCreate, (*API).addPerson},
	{"GET", "/api/v1/people/lookup", 0, quick, access.PeopleFind, (*API).findPerson},
	{"GET", "/api/v1/people/{person}", 0, quick, access.PeopleSee, (*API).person},
	{"PATCH", "/api/v1/people/{person}", jsonLimit, quick, access.AccountsRename, (*API).changePerson},
	{"DELETE", "/api/v1/people/{person}", 0, steady, access.AccountsErase, (*API).erasePerson},
	{"POST", "/api/v1/people/{person}/reset", 0, quick, access.AccountsReset, (*API).resetPerson},
	{"POST", "/api/v1/people/{person}/hand-over", jsonLimit, steady, access.AccountsHandOver, (*API).handOver},
	{"GET", "/api/v1/invitations", 0, quick, access.PeopleInvite, (*API).invitations},
	{"POST", "/api/v1/invitations", jsonLimit, quick, access.PeopleInvite, (*API).invite},
	{"DELETE", "/api/v1/invitations/{id}", 0, quick, access.PeopleInvite, (*API).withdraw},
	{"POST", "/api/v1/links/look", jsonLimit, quick, anybody, (*API).lookAtLink},
	{"POST", "/api/v1/links/join", jsonLimit, quick, anybody, (*API).join},
	{"POST", "/api/v1/links/reset", jsonLimit, quick, anybody, (*API).setPasswordByLink},
	{"POST", "/api/v1/registrations", jsonLimit, quick, anybody, (*API).makeOwnAccount},
	{"GET", "/api/v1/settings", 0, quick, access.SettingsSee, (*API).settings},
	{"PUT", "/api/v1/settings", jsonLimit, quick, access.SettingsChange, (*API).changeSettings},
	{"GET", "/api/v1/vault", 0, quick, anybody, (*API).about},
	{"PUT", "/api/v1/content/{path...}", contentLimit, steady, access.FilesWrite, (*API).putContent},
	{"GET", "/api/v1/content/{path...}", 0, steady, access.FilesRead, (*API).content},
	{"HEAD", "/api/v1/content/{path...}", 0, steady, access.FilesRead, (*API).content},
	{"GET", "/api/v1/files", 0, quick, access.FilesSee, (*API).list},
	{"GET", "/api/v1/files/lookup", 0, quick, access.FilesSee, (*API).stat},
	{"GET", "/api/v1/files/{id}", 0, quick, access.FilesSee, (*API).stat},
	{"PATCH", "/api/v1/files/{id}", jsonLimit, quick, access.FilesWrite, (*API).move},
	{"DELETE", "/api/v1/files/{id}", 0, steady, access.FilesDelete, (*API).remove},
	{"GET", "/api/v1/files/{id}/content", 0, steady, access.FilesRead, (*API).content},
	{"HEAD", "/api/v1/files/{id}/content", 0, steady, access.FilesRead, (*API).content},
	{"GET", "/api/v1/files/{id}/versions", 0, quick, access.FilesSee, (*API).versions},
	{"POST", "/api/v1/files/{id}/verify", 0, steady, access.FilesVerify, (*API).verify},
	{"POST", "/api/v1/files/{id}/export", exportLimit, steady, access.FilesExport, (*API).export},
	{"POST", "/api/v1/folders", jsonLimit, quick, access.FilesCreate, (*API).makeFolder},
	{"GET", "/api/v1/find", 0, quick, access.FilesSee, (*API).find},
	{"GET", "/api/v1/archive", 0, steady, access.FilesRead, (*API).archive},
	{"OPTIONS", "/api/v1/uploads", 0, quick, anybody, (*API).uploadOptions},
	{"POST", "/api/v1/uploads", contentLimit, steady, access.UploadsUse, tus((*API).createUpload)},
	{"GET", "/api/v1/uploads", 0, quick, access.UploadsUse, (*API).listUploads},
	{"HEAD", "/api/v1/uploads/{id}", 0, steady, access.UploadsUse, tus((*API).headUpload)},
	{"PATCH", "/api/v1/uploads/{id}", contentLimit, steady, access.UploadsUse, tus((*API).patchUpload)},
	{"DELETE", "/api/v1/uploads/{id}", 0, steady, access.UploadsUse, tus((*API).cancelUpload)},
	{"GET", "/api/v1/groups", 0, quick, access.GroupsSee, (*API).listGroups},
	{"POST", "/api/v1/groups", jsonLimit, quick, access.GroupsCreate, (*API).createGroup},
	{"GET", "/api/v1/groups/{group}", 0, quick, access.GroupsSee, (*API).group},
	{"PATCH", "/api/v1/groups/{group}", jsonLimit, quick, access.GroupsChange, (*API).renameGroup},
	{"DELETE", "/api/v1/groups/{group}", 0, quick, access.GroupsDelete, (*API).deleteGroup},
	{"GET", "/api/v1/groups/{group}/members", 0, quick, access.GroupsSee, (*API).listMembers},
	{"PUT", "/api/v1/groups/{group}/members/{person}", jsonLimit, quick, access.GroupsMembers, (*API).putMember},
	{"DELETE", "/api/v1/groups/{group}/members/{person}", 0, quick, access.GroupsLeave, (*API).removeMember},
	{"GET", "/api/v1/groups/{group}/quota", 0, quick, access.GroupsQuotasSee, (*API).groupQuota},
	{"PUT", "/api/v1/groups/{group}/quota", jsonLimit, quick, access.GroupsQuotasChange, (*API).putGroupQuota},
	{"GET", "/api/v1/people/{person}/quota", 0, quick, access.QuotasSee, (*API).personQuota},
	{"PUT", "/api/v1/people/{person}/quota", jsonLimit, quick, access.QuotasChange, (*API).putPersonQuota},
	{"GET", "/api/v1/audit", 0, quick, access.AuditTree, (*API).auditLog},
	{"GET", "/api/v1/audit/events", 0, quick, access.AuditSee, (*API).auditEvents},
	{"GET", "/api/v1/audit/events/{event}", 0, quick, access.AuditSee, (*API).auditEvent},
	{"GET", "/api/v1/audit/events/{event}/receipt", 0, quick, access.AuditSee, (*API).auditReceipt},
	{"GET", "/api/v1/audit/receipts/{index}", 0, quick, access.AuditSee, (*API).auditReceiptAt},
	{"GET", "/api/v1/audit/records", 0, quick, access.AuditSee, (*API).auditRecords},
	{"GET", "/api/v1/audit/checkpoint", 0, quick, access.AuditTree, (*API).auditCheckpoint},
	{"GET", "/api/v1/audit/tile/{path...}", 0, quick, access.AuditTree, (*API).auditTile},
	{"GET", "/api/v1/audit/consistency", 0, quick, access.AuditTree, (*API).auditConsistency},
	{"GET", "/api/v1/audit/anchors", 0, quick, access.AuditTree, (*API).auditAnchors},
	{"GET", "/api/v1/webhooks", 0, quick, access.WebhooksSee, (*API).listWebhooks},
	{"POST", "/api/v1/webhooks", jsonLimit, quick, access.WebhooksChange, (*API).createWebhook},
	{"GET", "/api/v1/webhooks/{webhook}", 0, quick, access.WebhooksSee, (*API).getWebhook},
	{"PATCH", "/api/v1/webhooks/{webhook}", jsonLimit, quick, access.WebhooksChange, (*API).changeWebhook},
	{"DELETE", "/api/v1/webhooks/{webhook}", 0, quick, access.WebhooksChange, (*API).deleteWebhook},
	{"POST", "/api/v1/webhooks/{webhook}/secret", 0, quick, access.WebhooksChange, (*API).renewWebhookSecret},
	{"POST", "/api/v1/webhooks/{webhook}/test", 0, quick, access.WebhooksChange, (*API).testWebhook},
	{"GET", "/api/v1/webhooks/{webhook}/deliveries", 0, quick, access.WebhooksSee, (*API).listDeliveries},
	{"GET", "/api/v1/quantum/sessions", 0, quick, access.QuantumUse, (*API).listQuantumSessions},
	{"POST", "/api/v1/quantum/sessions", jsonLimit, quick, access.QuantumUse, (*API).startQuantumSession},
	{"GET", "/api/v1/quantum/sessions/{id}", 0, quick, access.QuantumUse, (*API).quantumSession},
	{"GET", "/api/v1/quantum/pools", 0, quick, access.QuantumUse, (*API).listQuantumPools},
	{"POST", "/api/v1/quantum/laboratory", jsonLimit, quick, access.QuantumUse, (*API).experiment},
	{"GET", "/api/v1/quantum/eavesdroppers", 0, quick, access.QuantumUse, (*API).listEavesdroppers},
	{"PUT", "/api/v1/quantum/eavesdroppers/{person}/and/{other}", jsonLimit, quick, access.QuantumEavesdrop, (*API).putEavesdropper},
	{"DELETE", "/api/v1/quantum/eavesdroppers/{person}/and/{other}", 0, quick, access.QuantumEavesdrop, (*API).removeEavesdropper},
	{"GET", "/api/v1/quantum/rates", 0, quick, access.QuantumUse, (*API).quantumRates},
	{"GET", "/api/v1/setup", 0, quick, anybody, (*API).setupState},
	{"POST", "/api/v1/setup", jsonLimit, quick, anybody, (*API).setUp},
	{"POST", "/api/v1/setup/recovery", jsonLimit, quick, access.RecoveryConfirm, (*API).confirmRecovery},
	{"GET", "/api/v1/openapi.json", 0, quick, anybody, (*API).openAPI},
	{"GET", "/api/v1/docs", 0, quick, anybody, (*API).reference},
	{"GET", "/problems/{code}", 0, quick, anybody, (*API).problem},
	{"GET", "/livez", 0, quick, anybody, (*API).live},
	{"GET", "/readyz", 0, quick, anybody, (*API).ready},
	{"GET", "/{$}", 0, quick, anybody, (*API).home},
}

// name is the route's label in logs and metrics, and its path in the description.
func (r *route) name() string {
	return strings.NewReplacer("...}", "}", "{$}", "").Replace(r.pattern)
}

// IsDownload tells whether content leaves by a route, as events name it.
func IsDownload(method, name string) bool {
	for i := range routes {
		if r := &routes[i]; r.method == method && r.name() == name {
			return r.action == access.FilesRead || r.action == access.FilesExport
		}
	}
	return false
}

// register puts the table on the mux.
func (a *API) register() {
	for i := range routes {
		rt := &routes[i]
		label := rt.name()
		a.classes[rt] = rt.class()
		a.mux.HandleFunc(rt.method+" "+rt.pattern, func(w http.ResponseWriter, r *http.Request) {
			w.(*reply).route = label
			a.serve(rt, w.(*reply), r)
		})
		// Without a row of its own, the mux would redirect here from the path without its last slash.
		if parent, _, ok := strings.Cut(rt.pattern, "/{path...}"); ok {
			a.mux.HandleFunc(rt.method+" "+parent, func(w http.ResponseWriter, r *http.Request) {
				a.answer(w.(*reply), r, fail("not-found", ""))
			})
		}
	}
}
