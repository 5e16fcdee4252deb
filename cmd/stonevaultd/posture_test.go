package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPosture looks at a vault before and after keys are replaced, beside a server and without.
func TestPosture(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if r := run(t, "", "posture", "--data", data); r.code != 1 || !strings.Contains(r.stderr, "there is no vault") {
		t.Errorf("of nothing: %+v", r)
	}
	makeVault(t, data)
	look := func() (p posture) {
		t.Helper()
		r := run(t, "", "posture", "--data", data, "--json", "--tls-generate", "--require-pq")
		if r.code != 0 {
			t.Fatalf("%+v", r)
		}
		check(t, json.Unmarshal([]byte(r.stdout), &p))
		return p
	}
	if p := look(); p.Stones != 0 || len(p.ByKey) != 0 || p.Suite != 1 || p.Master.Version != 1 || p.Recovery.Confirmed || !p.Recovery.Exists ||
		p.Recovery.Version != 1 || !p.TLS.On || p.TLS.How != "made" || !p.TLS.PostQuantumRequired || p.Master.Secrets == 0 || p.Master.Secrets != p.Master.SecretsNow {
		t.Errorf("at first: %+v", p)
	}
	server := start(t, data)
	for _, name := range []string{"ann", "bob"} {
		c := signIn(t, server.addr, name)
		for i := range 3 {
			c.must(c.put(fmt.Sprintf("/%d", i), []byte("x"))).want(t, http.StatusCreated)
		}
	}
	if p := look(); p.Stones != 6 || len(p.ByKey) != 1 || p.ByKey[0] != (protection{1, 1, true, 6, 1}) {
		t.Errorf("with files: %+v", p)
	}
	if r := run(t, "", "rotate", "identity", "ann", "--data", data); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if p := look(); p.Stones != 6 || len(p.ByKey) != 2 || p.ByKey[0] != (protection{1, 1, true, 3, 0.5}) || p.ByKey[1] != (protection{1, 2, true, 3, 0.5}) || p.Outlived != 0 {
		t.Errorf("after a rotation: %+v", p)
	}
	r := run(t, "", "posture", "--data", data)
	for _, want := range []string{"suite 1, version 2 of their owners' keys, in use: 3", "version 1 since", "nobody has confirmed", "this machine alone"} {
		if r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("%q is not in %+v", want, r)
		}
	}
	server.stop()
	a := &app{stdout: broken{}, stderr: &output{}, now: time.Now}
	if code := a.main(t.Context(), []string{"posture", "--data", data}); code != 1 {
		t.Errorf("without paper: exit code %d", code)
	}
}
