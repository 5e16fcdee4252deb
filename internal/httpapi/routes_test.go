package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stonevault/api"
)

// The table and the description are the same interface.
func TestRoutesAreDescribed(t *testing.T) {
	type operation struct {
		OperationID string                 `json:"operationId"`
		Security    *[]map[string][]string `json:"security"`
		RequestBody any                    `json:"requestBody"`
		Parameters  []any                  `json:"parameters"`
		Responses   map[string]any         `json:"responses"`
	}
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(api.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	described := map[string]operation{}
	for path, members := range doc.Paths {
		for method, raw := range members {
			if method == "parameters" {
				continue
			}
			var op operation
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			described[strings.ToUpper(method)+" "+path] = op
		}
	}
	ids := map[string]bool{}
	for i := range routes {
		name := routes[i].method + " " + routes[i].name()
		op, ok := described[name]
		if !ok {
			t.Errorf("%s is not in openapi.yaml", name)
			continue
		}
		delete(described, name)
		if ids[op.OperationID] {
			t.Errorf("%s: the operation id %s is there twice", name, op.OperationID)
		}
		ids[op.OperationID] = true
		if public := op.Security != nil && len(*op.Security) == 0; public != (routes[i].action == anybody) {
			t.Errorf("%s: described as public %v, served as %v", name, public, routes[i].action == anybody)
		}
		if (op.RequestBody != nil) != (routes[i].body > 0) {
			t.Errorf("%s: the description and the table differ about a body", name)
		}
		if _, ok := op.Responses["401"]; !ok && routes[i].action != anybody && routes[i].method != "HEAD" {
			t.Errorf("%s: 401 is not described", name)
		}
	}
	for name := range described {
		t.Errorf("%s is in openapi.yaml and not served", name)
	}
}

// Every problem is described, unique and reachable by the type that documents carry.
func TestProblemTable(t *testing.T) {
	description, err := os.ReadFile(filepath.Join("..", "..", "api", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	seen := map[string]bool{}
	for i := range kinds {
		k := &kinds[i]
		if seen[k.code] || kindOf(k.code) != k {
			t.Errorf("%s is there twice", k.code)
		}
		seen[k.code] = true
		if k.title == "" || !strings.HasSuffix(k.about, ".") || k.status < 400 {
			t.Errorf("%s: %+v", k.code, k)
		}
		if a := w.do("anonymous", "GET", k.uri(), nil); a.StatusCode != 200 || !strings.Contains(string(a.body), "<h1>"+k.title+"</h1>") {
			t.Errorf("%s: %d", k.uri(), a.StatusCode)
		}
		// Those that any path may give are not listed with each.
		general := []string{"cross-origin", "method-not-allowed", "internal", "forbidden", "timeout"}
		if !slices.Contains(general, k.code) && !strings.Contains(string(description), "`"+k.code+"`") {
			t.Errorf("openapi.yaml does not mention %s", k.code)
		}
	}
	// Every code that the package names exists: fail would otherwise panic when it is needed.
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	named := regexp.MustCompile(`(?:fail|kindOf)\("([a-z-]+)"`)
	count := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(b), -1) {
			if count++; !seen[m[1]] {
				t.Errorf("%s names the problem %q, which is not in the table", file, m[1])
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d names were found", count)
	}
}

func TestUnknownErrorsStayInside(t *testing.T) {
	f := classify(errors.New("pq: password authentication failed for user root"))
	rec := httptest.NewRecorder()
	writeProblem(rec, f, "abc")
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "pq") || !strings.Contains(rec.Body.String(), `"request_id":"abc"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// No path is answered with a redirect, none has two names, and what is not there is said as a problem.
func TestPathsAndMethods(t *testing.T) {
	w := newWorld(t)
	w.put("owner", "/a/b", []byte("x"))
	for _, row := range []struct {
		method, target, problem, allow string
	}{
		{"GET", "/nothing", "not-found", ""},
		{"GET", "/api/v1", "not-found", ""},
		{"GET", "/api/v1/", "not-found", ""},
		{"GET", "/api/v1/content", "not-found", ""},
		{"PUT", "/api/v1/content", "not-found", ""},
		{"GET", "/api/v1/content/", "invalid", ""},
		{"GET", "/api/v1/content/a", "invalid", ""},
		{"GET", "/api/v1/content/a/", "invalid", ""},
		{"GET", "/api/v1/content//a", "not-found", ""},
		{"GET", "/api/v1/content/a//b", "not-found", ""},
		{"GET", "/api/v1/content/./a/b", "not-found", ""},
		{"GET", "/api/v1/content/a/../a/b", "not-found", ""},
		{"GET", "/api/v1/content/%2e%2e/a/b", "invalid", ""},
		{"GET", "/api/v1/content/a%2F%2Fb", "invalid", ""},
		{"GET", "/api/v1/content/%2Fa", "invalid", ""},
		{"GET", "/api/v1/content/a%00b", "invalid", ""},
		{"GET", "/api/v1/content/%FF", "invalid", ""},
		{"GET", "//api/v1/me", "not-found", ""},
		{"GET", "/api/v1/me/", "not-found", ""},
		{"GET", "/api/v1/./me", "not-found", ""},
		{"GET", "/api/v1/files/", "not-found", ""},
		{"GET", "/api/v1/files/LOOKUP", "invalid", ""},
		{"GET", "/api/v1/files/00000000000000000000000000000000", "not-found", ""},
		{"GET", "/api/v1/files/0000000000000000000000000000000G", "invalid", ""},
		{"GET", "/api/v1/files/%20", "invalid", ""},
		{"GET", "/metrics", "not-found", ""},
		{"POST", "/api/v1/me", "method-not-allowed", "GET, HEAD, PATCH"},
		{"OPTIONS", "/api/v1/files", "method-not-allowed", "GET, HEAD"},
		{"POST", "/api/v1/content/a", "method-not-allowed", "GET, HEAD, PUT"},
		{"PUT", "/api/v1/sessions/current", "method-not-allowed", "DELETE"},
		{"BREW", "/livez", "method-not-allowed", "GET, HEAD"},
	} {
		t.Run(row.method+" "+row.target, func(t *testing.T) {
			a := w.do("owner", row.method, row.target, nil)
			wantProblem(t, a, row.problem)
			if allow := a.Header.Get("Allow"); allow != row.allow {
				t.Errorf("Allow: %q, want %q", allow, row.allow)
			}
		})
	}
	for _, target := range []string{"/api/v1/content/a/b", "/api/v1/content/a%2Fb", "/api/v1/content/%61/%62"} {
		if a := w.do("owner", "GET", target, nil); a.StatusCode != 200 || string(a.body) != "x" {
			t.Errorf("%s: %d %s", target, a.StatusCode, a.body)
		}
	}
}

func TestOtherSitesAreTurnedAway(t *testing.T) {
	w := newWorld(t)
	for _, header := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example"} {
		a := w.do("owner", "PUT", "/api/v1/content/a", "x", header)
		wantProblem(t, a, "cross-origin")
		if a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Error("another site may read the answer")
		}
	}
	if a := w.do("owner", "PUT", "/api/v1/content/a", "x", "Sec-Fetch-Site: same-origin"); a.StatusCode != 201 {
		t.Errorf("this site's own: %d %s", a.StatusCode, a.body)
	}
}

func TestReadiness(t *testing.T) {
	w := newWorld(t)
	w.notUp = errors.New("the database at /secret/place is gone")
	a := w.do("anonymous", "GET", "/readyz", nil)
	wantProblem(t, a, "not-ready")
	if a.Header.Get("Retry-After") == "" || strings.Contains(string(a.body), "secret") {
		t.Errorf("%v %s", a.Header, a.body)
	}
	if a := w.do("anonymous", "GET", "/livez", nil); a.StatusCode != 200 {
		t.Errorf("alive: %d", a.StatusCode)
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	f := w.put("owner", "/a/b", []byte("12345"))
	w.do("owner", "GET", "/api/v1/content/a/b", nil)
	w.do("anonymous", "GET", "/nowhere", nil)
	w.flip(f.FileID+".body", 40)
	w.do("owner", "GET", "/api/v1/content/a/b", nil)
	rec := httptest.NewRecorder()
	w.api.Metrics().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	text, _ := io.ReadAll(rec.Body)
	for _, line := range []string{
		`stonevault_http_requests_total{method="PUT",route="/api/v1/content/{path}",status="201"} 1`,
		`stonevault_http_requests_total{method="GET",route="/api/v1/content/{path}",status="200"} 1`,
		`stonevault_http_requests_total{method="GET",route="/api/v1/content/{path}",status="409"} 1`,
		`stonevault_http_requests_total{method="GET",route="none",status="404"} 1`,
		`stonevault_http_received_bytes_total{route="/api/v1/content/{path}"} 5`,
		`stonevault_http_request_seconds_count{route="/api/v1/content/{path}"} 3`,
		`stonevault_refused_total 1`,
		`stonevault_http_in_flight 0`,
		`stonevault_build_info{go="go1.`,
		`version="1.2.3-test"`,
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	if rec.Code != http.StatusOK || strings.Contains(string(text), "/a/b") {
		t.Error("the metrics name a file")
	}
}
