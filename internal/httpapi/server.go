package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stonevault/identity"
	"stonevault/internal/auditlog"
	"stonevault/internal/auth"
	"stonevault/internal/cache"
	"stonevault/internal/once"
	"stonevault/internal/vault"
	"stonevault/stone"
)

// Vault is what the handlers need of a vault.
type Vault interface {
	Put(ctx context.Context, a vault.Actor, r vault.PutRequest) (e vault.Entry, created bool, err error)
	List(ctx context.Context, a vault.Actor, r vault.ListRequest) (vault.Page, error)
	Stat(ctx context.Context, a vault.Actor, ref vault.Ref) (vault.Entry, error)
	Versions(ctx context.Context, a vault.Actor, id vault.NodeID) ([]vault.Entry, error)
	Content(ctx context.Context, a vault.Actor, ref vault.Ref) (*vault.Content, error)
	Move(ctx context.Context, a vault.Actor, id vault.NodeID, r vault.MoveRequest) (vault.Entry, error)
	Delete(ctx context.Context, a vault.Actor, id vault.NodeID, ifMatch string) error
	Verify(ctx context.Context, a vault.Actor, ref vault.Ref) (vault.Report, error)
	BeginUpload(ctx context.Context, a vault.Actor, r vault.UploadRequest) (vault.Upload, error)
	Uploads(ctx context.Context, a vault.Actor) ([]vault.Upload, error)
	Upload(ctx context.Context, a vault.Actor, id stone.FileID) (vault.Upload, error)
	AppendUpload(ctx context.Context, a vault.Actor, id stone.FileID, r vault.Append) (vault.Upload, *vault.Entry, error)
	CancelUpload(ctx context.Context, a vault.Actor, id stone.FileID) error
	Export(ctx context.Context, a vault.Actor, ref vault.Ref, r vault.ExportRequest) (*vault.Export, error)
	Me(ctx context.Context, a vault.Actor) (vault.Profile, error)
	About(ctx context.Context) (vault.About, error)
	MakeFolder(ctx context.Context, a vault.Actor, path string) (vault.MadeFolder, error)
	DeleteAll(ctx context.Context, a vault.Actor, id vault.NodeID, ifMatch string) error
	Find(ctx context.Context, a vault.Actor, r vault.ListRequest) (vault.Page, error)
	Walk(ctx context.Context, a vault.Actor, path string, fn func(vault.Entry) error) error
	Admins(ctx context.Context) (int, error)
	CreateFirstAdmin(ctx context.Context, a vault.Actor, name, passwordHash string) (vault.Person, *vault.Recovery, error)
	RecoveryState(ctx context.Context) (exists, confirmed bool, err error)
	ConfirmRecovery(ctx context.Context, a vault.Actor, secret *identity.Identity) error
	Groups
	Quotas
	People
}

// Auth is what the handlers need to know who asks.
type Auth interface {
	SignIn(ctx context.Context, c auth.Credentials) (auth.Grant, error)
	Refresh(ctx context.Context, token, address string) (auth.Grant, error)
	SignOut(ctx context.Context, p auth.Principal, address string) error
	Authenticate(ctx context.Context, token string) (auth.Principal, error)
	ChangePassword(ctx context.Context, by auth.Principal, current, next, address string) error
	Factor(ctx context.Context, by auth.Principal, person string) (auth.FactorState, error)
	BeginFactor(ctx context.Context, by auth.Principal) (secret auth.TOTPSecret, uri string, err error)
	ConfirmFactor(ctx context.Context, by auth.Principal, code, address string) ([]auth.RecoveryCode, error)
	DrawRecoveryCodes(ctx context.Context, by auth.Principal, password, address string) ([]auth.RecoveryCode, error)
	RemoveFactor(ctx context.Context, by auth.Principal, person, password, address string) error
	Sessions(ctx context.Context, by auth.Principal, person string, r auth.PageRequest) (auth.Page[auth.Session], error)
	EndSession(ctx context.Context, by auth.Principal, person, id, address string) error
	EndSessions(ctx context.Context, by auth.Principal, person string, keep bool, address string) error
	APITokens(ctx context.Context, by auth.Principal, person string, r auth.PageRequest) (auth.Page[auth.APIToken], error)
	CreateAPIToken(ctx context.Context, by auth.Principal, name string, scopes []string, expires time.Time, address string) (auth.APITokenText, auth.APIToken, error)
	RevokeAPIToken(ctx context.Context, by auth.Principal, person, id, address string) error
	Stands(ctx context.Context, p auth.Principal) error
	HashPassword(ctx context.Context, p auth.Policy, password string) (string, error)
}

var (
	_ Vault = (*vault.Vault)(nil)
	_ Auth  = (*auth.Service)(nil)
)

// Config is what an API is made of. All fields but Anchors, Limiter, KeyReady, Now, SetupCode and Page are required.
type Config struct {
	Vault    Vault
	Auth     Auth
	AuditLog AuditLog
	// AwaitEvent waits until a signed head of the audit log covers an event.
	AwaitEvent func(ctx context.Context, id int64) (index int64, err error)
	Tally      *auditlog.Tally // of requests that are refused
	Webhooks   Webhooks
	Quantum    Quantum
	Answers    *once.Keeper  // to requests with a key
	Anchors    Anchors       // nil where heads are not anchored
	Limiter    cache.Limiter // counts requests; nil where they are not limited
	RequestLimits
	Version string                          // of the program
	Ready   func(ctx context.Context) error // nil while requests can be served
	// KeyReady is nil while the master key can be used; nothing is answered without, but what watches the server. Where
	// the func is nil the key always can be.
	KeyReady func() error
	Log      *slog.Logger
	Now      func() time.Time // the clock that requests are timed with; time.Now where nil
	// SetupCode lets the first admin in; nil where nobody may set the vault up over HTTP.
	SetupCode *auth.SetupCode
	// Page answers GET and HEAD of every path that is not the API's. Where it is nil, a plain page says what
	// this is.
	Page http.Handler
}

// API serves the interface.
type API struct {
	Config
	times   deadlines
	mux     *http.ServeMux
	metrics *metrics
	pages   *pages
	origins *http.CrossOriginProtection
	classes map[*route]class
}

// New makes an API.
func New(c Config) (*API, error) {
	if c.Vault == nil || c.Auth == nil || c.AuditLog == nil || c.AwaitEvent == nil || c.Tally == nil || c.Webhooks == nil || c.Answers == nil || c.Version == "" || c.Ready == nil || c.Log == nil {
		return nil, errors.New("httpapi: the vault, the sign-in, the audit log, the webhooks, the keeper of answers, the version, the readiness check and the log are required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &API{
		Config: c, times: deadlines{quick: 30 * time.Second, patience: 60 * time.Second}, mux: http.NewServeMux(), metrics: newMetrics(c.Version),
		origins: http.NewCrossOriginProtection(), classes: map[*route]class{},
	}
	var err error
	if a.pages, err = newPages(); err != nil {
		return nil, fmt.Errorf("httpapi: pages: %w", err)
	}
	a.register()
	return a, nil
}

// Metrics serves Prometheus' text format. It belongs on a listener of its own.
func (a *API) Metrics() http.Handler { return a.metrics.handler() }

// Register adds what others count to the metrics.
func (a *API) Register(c ...prometheus.Collector) { a.metrics.registry.MustRegister(c...) }

// Limits sets what a server needs around the handler: nobody may hold a connection by sending headers
// slowly or by sending nothing. Bodies and replies have deadlines of their own, for each request. Requests know their
// connection, whose queue is dropped when their caller is shut out.
func Limits(s *http.Server) {
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	s.ReadHeaderTimeout = 10 * time.Second
	s.IdleTimeout = 2 * time.Minute
	s.MaxHeaderBytes = 64 << 10
}
