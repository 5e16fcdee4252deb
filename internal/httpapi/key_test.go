package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"stonevault/internal/vault"
)

// TestKeyAway: while the master key cannot be used, every route refuses but those that watch the server, to whoever asks.
func TestKeyAway(t *testing.T) {
	w := newWorld(t)
	for name := range people {
		w.token(name)
	}
	var away error
	w.api.KeyReady = func() error { return away }
	me := func() {
		t.Helper()
		if a := w.do("owner", "GET", "/api/v1/me", nil); a.StatusCode != http.StatusOK {
			t.Errorf("with the key: %d %.300s", a.StatusCode, a.body)
		}
	}
	me()
	away = fmt.Errorf("%w: https://transit.example: secret reasons", vault.ErrUnavailable)
	always := map[string]bool{
		"GET /api/v1/openapi.json": true, "GET /api/v1/docs": true, "GET /problems/{code}": true, "GET /livez": true, "GET /readyz": true, "GET /": true,
	}
	for i := range routes {
		rt := &routes[i]
		target := strings.NewReplacer("{code}", "unavailable", "{path...}", "letter", "{$}", "", "{", "", "}", "").Replace(rt.pattern)
		for _, who := range []string{"anonymous", "owner", "admin"} {
			a := w.do(who, rt.method, target, nil, "Tus-Resumable: 1.0.0")
			if name := rt.method + " " + rt.name(); always[name] {
				if a.StatusCode != http.StatusOK {
					t.Errorf("%s for %q: %d %.300s", name, who, a.StatusCode, a.body)
				}
			} else if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || strings.Contains(string(a.body), "transit") {
				t.Errorf("%s for %q: %d %.300s", name, who, a.StatusCode, a.body)
			}
		}
	}
	away = nil
	me()
}
