// Package transittest is a stand-in for the transit engine of HashiCorp Vault and OpenBao, and for what logs in to
// it: the part of their documented HTTP API that package transit speaks, with keys that really encrypt, and faults.
// It is no such server, and what it does not document it does not know.
package transittest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// Root is a token that never ends.
	Root = "hvs.root-of-the-stand-in"
	// Mount and Key are what a new server has.
	Mount, Key = "transit", "stonevault"
	// RoleID and SecretID log in by AppRole.
	RoleID, SecretID = "5f0c8c4e-role-of-the-stand-in", "c0ffee00-secret-of-the-stand-in"
)

// Fault answers a request in the place of the server, and tells whether it did.
type Fault func(w http.ResponseWriter, r *http.Request) bool

// Server is one stand-in. Its fields may be changed through Change alone.
type Server struct {
	http *httptest.Server

	mu        sync.Mutex
	keys      map[string]*key      // by mount and name
	tokens    map[string]time.Time // and when they end; zero is never
	Namespace string               // that every request must name
	Lease     time.Duration        // of a login; zero is for ever
	NoRenewal bool                 // logins give tokens that cannot be renewed
	NoRole    bool                 // the secret id was destroyed
	NoRead    bool                 // the policy does not let keys be read
	NoDecrypt bool                 // the policy does not let anything be decrypted
	fault     Fault
	asked     map[string]int // requests that were answered, by method and last parts of the path
}

type key struct {
	kind     string
	derived  bool
	versions [][]byte
	oldest   int // min_decryption_version
}

// Start runs a server with one key, in clear, until the test ends.
func Start(t testing.TB) *Server { return start(t, httptest.NewServer) }

// StartTLS runs one with a certificate of its own.
func StartTLS(t testing.TB) *Server { return start(t, httptest.NewTLSServer) }

func start(t testing.TB, serve func(http.Handler) *httptest.Server) *Server {
	s := &Server{
		keys: map[string]*key{}, tokens: map[string]time.Time{Root: {}}, asked: map[string]int{},
	}
	s.Make(Mount, Key, "aes256-gcm96", false)
	s.http = serve(s)
	t.Cleanup(s.http.Close)
	return s
}

// Address is where the server is.
func (s *Server) Address() string { return s.http.URL }

// Certificate is what a server with TLS shows, in PEM's bytes.
func (s *Server) Certificate() []byte { return s.http.Certificate().Raw }

// Change changes fields of the server.
func (s *Server) Change(fn func(s *Server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(s)
}

// Break has a fault answer from now on; nil ends that.
func (s *Server) Break(f Fault) { s.Change(func(s *Server) { s.fault = f }) }

// Down closes each connection without an answer.
func Down(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// Say answers with a status and a body.
func Say(status int, kind, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		io.WriteString(w, body)
		return true
	}
}

// Refuse answers with a status as the API does.
func Refuse(status int, words ...string) Fault {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		refuse(w, status, words...)
		return true
	}
}

// Hang answers after so long, or never where the caller goes away before.
func Hang(d time.Duration) Fault {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		body, _ := io.ReadAll(r.Body) // or its end would not be noticed
		r.Body = io.NopCloser(bytes.NewReader(body))
		select {
		case <-time.After(d):
			return false
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// Asked tells how many requests to an endpoint were answered: "decrypt", "login", "renew-self".
func (s *Server) Asked(endpoint string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[endpoint]
}

// Make makes a key, or another one in the place of one.
func (s *Server) Make(mount, name, kind string, derived bool) {
	s.Change(func(s *Server) {
		s.keys[mount+"/"+name] = &key{kind: kind, derived: derived, versions: [][]byte{random(32)}, oldest: 1}
	})
}

// Rotate makes a new version of Key.
func (s *Server) Rotate() {
	s.Change(func(s *Server) {
		k := s.keys[Mount+"/"+Key]
		k.versions = append(k.versions, random(32))
	})
}

// Forbid lets versions of Key before the given one decrypt nothing any more.
func (s *Server) Forbid(before int) {
	s.Change(func(s *Server) { s.keys[Mount+"/"+Key].oldest = before })
}

// Delete deletes Key.
func (s *Server) Delete() { s.Change(func(s *Server) { delete(s.keys, Mount+"/"+Key) }) }

// Token makes a token that lasts so long; zero is for ever.
func (s *Server) Token(lasts time.Duration) string {
	token := "hvs." + base64.RawURLEncoding.EncodeToString(random(18))
	s.Change(func(s *Server) { s.tokens[token] = ending(lasts) })
	return token
}

// Revoke ends a token at once, or all of them without one.
func (s *Server) Revoke(tokens ...string) {
	s.Change(func(s *Server) {
		if len(tokens) == 0 {
			clear(s.tokens)
		}
		for _, token := range tokens {
			delete(s.tokens, token)
		}
	})
}

func ending(lasts time.Duration) time.Time {
	if lasts == 0 {
		return time.Time{}
	}
	return time.Now().Add(lasts)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func refuse(w http.ResponseWriter, status int, words ...string) {
	if words == nil {
		words = []string{}
	}
	answer(w, status, map[string]any{"errors": words})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// ServeHTTP answers a request, or has the fault do so.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	if !ok || r.Header.Get("X-Vault-Request") != "true" || r.Header.Get("X-Vault-Namespace") != s.Namespace {
		refuse(w, http.StatusNotFound)
		return
	}
	var body map[string]any
	text, err := io.ReadAll(io.LimitReader(r.Body, 32<<20))
	if err != nil || len(text) > 0 && json.Unmarshal(text, &body) != nil {
		refuse(w, http.StatusBadRequest, "error parsing JSON")
		return
	}
	if r.Method == http.MethodPost && path == "auth/approle/login" {
		s.asked["login"]++
		s.login(w, body)
		return
	}
	ends, known := s.tokens[r.Header.Get("X-Vault-Token")]
	if !known || !ends.IsZero() && time.Now().After(ends) {
		refuse(w, http.StatusForbidden, "permission denied")
		return
	}
	if r.Method == http.MethodPost && path == "auth/token/renew-self" {
		s.asked["renew-self"]++
		s.renew(w, r.Header.Get("X-Vault-Token"))
		return
	}
	parts := strings.Split(path, "/")
	if len(parts) < 3 {
		refuse(w, http.StatusNotFound)
		return
	}
	endpoint, name := parts[len(parts)-2], parts[len(parts)-1]
	k := s.keys[strings.Join(parts[:len(parts)-2], "/")+"/"+name]
	s.asked[endpoint]++
	switch {
	case r.Method == http.MethodGet && endpoint == "keys" && !s.NoRead:
		s.describe(w, name, k)
	case r.Method == http.MethodPost && endpoint == "encrypt":
		s.crypt(w, k, body, k.encrypt)
	case r.Method == http.MethodPost && endpoint == "decrypt" && !s.NoDecrypt:
		s.crypt(w, k, body, k.decrypt)
	default:
		refuse(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
	}
}

func (s *Server) login(w http.ResponseWriter, body map[string]any) {
	if body["role_id"] != RoleID || body["secret_id"] != SecretID || s.NoRole {
		refuse(w, http.StatusBadRequest, "invalid role or secret ID")
		return
	}
	token := "hvs." + base64.RawURLEncoding.EncodeToString(random(18))
	s.tokens[token] = ending(s.Lease)
	s.grant(w, token)
}

func (s *Server) renew(w http.ResponseWriter, token string) {
	if s.NoRenewal {
		refuse(w, http.StatusBadRequest, "lease is not renewable")
		return
	}
	s.tokens[token] = ending(s.Lease)
	s.grant(w, token)
}

func (s *Server) grant(w http.ResponseWriter, token string) {
	answer(w, http.StatusOK, map[string]any{"request_id": "stand-in", "data": nil, "auth": map[string]any{
		"client_token": token, "lease_duration": int(s.Lease / time.Second), "renewable": s.Lease > 0 && !s.NoRenewal,
	}})
}

func (s *Server) describe(w http.ResponseWriter, name string, k *key) {
	if k == nil {
		refuse(w, http.StatusNotFound)
		return
	}
	made := map[string]int64{}
	for i := range k.versions {
		made[strconv.Itoa(i+1)] = 1764230400
	}
	answer(w, http.StatusOK, map[string]any{"data": map[string]any{
		"name": name, "type": k.kind, "derived": k.derived, "keys": made, "latest_version": len(k.versions),
		"min_decryption_version": k.oldest, "min_encryption_version": 0, "deletion_allowed": false,
	}})
}

func (s *Server) crypt(w http.ResponseWriter, k *key, body map[string]any, do func(map[string][]byte, string) (map[string]any, string)) {
	if k == nil {
		refuse(w, http.StatusBadRequest, "encryption key not found")
		return
	}
	fields := map[string][]byte{}
	for name := range maps.Keys(body) {
		text, _ := body[name].(string)
		if name == "ciphertext" {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			refuse(w, http.StatusBadRequest, "failed to base64-decode "+name)
			return
		}
		fields[name] = b
	}
	if k.derived && len(fields["context"]) == 0 {
		refuse(w, http.StatusBadRequest, "missing 'context' for key derivation; the key was created using a derived key, which means additional, per-request information must be included in order to perform operations with the key")
		return
	}
	ciphertext, _ := body["ciphertext"].(string)
	data, wrong := do(fields, ciphertext)
	if wrong != "" {
		refuse(w, http.StatusBadRequest, wrong)
		return
	}
	answer(w, http.StatusOK, map[string]any{"request_id": "stand-in", "lease_id": "", "renewable": false, "lease_duration": 0, "data": data})
}

// sealer is the cipher of a version. What the key's type is called does not matter: it is AES-256 with GCM.
func (k *key) sealer(version int, context []byte) cipher.AEAD {
	secret := k.versions[version-1]
	if k.derived {
		var err error
		if secret, err = hkdf.Key(sha256.New, secret, nil, string(context), 32); err != nil {
			panic(err)
		}
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func (k *key) encrypt(fields map[string][]byte, _ string) (map[string]any, string) {
	version := len(k.versions)
	nonce := random(12)
	sealed := k.sealer(version, fields["context"]).Seal(nonce, nonce, fields["plaintext"], fields["associated_data"])
	return map[string]any{
		"ciphertext": fmt.Sprintf("vault:v%d:%s", version, base64.StdEncoding.EncodeToString(sealed)), "key_version": version,
	}, ""
}

func (k *key) decrypt(fields map[string][]byte, ciphertext string) (map[string]any, string) {
	numbered, ok := strings.CutPrefix(ciphertext, "vault:v")
	number, text, cut := strings.Cut(numbered, ":")
	version, err := strconv.Atoi(number)
	if !ok || !cut || err != nil {
		return nil, "invalid ciphertext: no prefix"
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	switch {
	case err != nil || len(sealed) < 12:
		return nil, "invalid ciphertext: could not decode base64"
	case version < k.oldest:
		return nil, "ciphertext or signature version is disallowed by policy (too old)"
	case version > len(k.versions):
		return nil, "invalid ciphertext: version is too new"
	}
	plain, err := k.sealer(version, fields["context"]).Open(nil, sealed[:12], sealed[12:], fields["associated_data"])
	if err != nil {
		return nil, "cipher: message authentication failed"
	}
	return map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)}, ""
}
