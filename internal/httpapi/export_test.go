package httpapi

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"

	"stonevault/api"
	"stonevault/identity"
	"stonevault/stone"
)

func exportBody(recipients ...string) string {
	quoted := make([]string, len(recipients))
	for i, r := range recipients {
		quoted[i] = quote(r)
	}
	return `{"recipients":[` + strings.Join(quoted, ",") + `]}`
}

var exportScenarios = []scenario{
	{"POST /api/v1/files/{id}/export", "for oneself", func(s *scene) (string, any, []string) {
		me := decode[api.Profile](s.t, s.do("owner", "GET", "/api/v1/me", nil))
		return "/api/v1/files/" + s.file.ID + "/export", exportBody(me.PublicKey), jsonBody
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), ok(200), func(t *testing.T, _ *scene, a *answer) {
		if a.Header.Get("Content-Disposition") != `attachment; filename="file.txt.stone"; filename*=UTF-8''file.txt.stone` ||
			a.ContentLength != int64(len(a.body)) || bytes.Contains(a.body, sceneBytes) {
			t.Errorf("%v", a.Header)
		}
	}},
	{"POST /api/v1/files/{id}/export", "a folder", func(s *scene) (string, any, []string) {
		return "/api/v1/files/" + s.folder.ID + "/export", `{"passphrase":"twelve good words"}`, jsonBody
	}, no("unauthenticated"), no("not-found"), no("not-found"), no("not-found"), no("invalid"), nil},
}

// What was exported opens with the recipient's secret, and with nothing of the vault.
func TestExport(t *testing.T) {
	w := newWorld(t)
	body := noise(2*segment + 17)
	f := w.put("owner", "/f", body)
	w.put("owner", "/f", []byte("second"))
	target := "/api/v1/files/" + f.ID + "/export"
	friend, err := identity.Generate(rand.Reader, identity.SuiteHybrid)
	if err != nil {
		t.Fatal(err)
	}
	key := friend.Public().Text()
	for query, want := range map[string][]byte{"": []byte("second"), "?version=1": body} {
		a := w.do("owner", "POST", target+query, exportBody(key), jsonBody...)
		if a.StatusCode != 200 || a.err != nil {
			t.Fatalf("%d %v %s", a.StatusCode, a.err, a.body)
		}
		sealed := bytes.NewReader(a.body)
		env, err := stone.ReadEnvelope(sealed, sealed.Size())
		if err != nil {
			t.Fatal(err)
		}
		fileKey, err := env.KeyFor(friend)
		if err != nil {
			t.Fatal(err)
		}
		unlocked, err := env.Unlock(fileKey)
		if err != nil {
			t.Fatal(err)
		}
		r, err := stone.OpenBody(sealed, env.BodySize, unlocked)
		if err != nil {
			t.Fatal(err)
		}
		var plain bytes.Buffer
		if err := r.Stream(t.Context(), &plain, 0, r.Size()); err != nil || !bytes.Equal(plain.Bytes(), want) {
			t.Errorf("%s: %d bytes, %v", query, plain.Len(), err)
		}
	}
	for _, row := range []struct{ body, problem, field string }{
		{`{}`, "invalid", "recipients"},
		{`{"recipients":[]}`, "invalid", "recipients"},
		{`{"recipients":"` + key + `"}`, "invalid", "recipients"},
		{`{"recipients":[1]}`, "invalid", "recipients"},
		{`{"recipients":[null]}`, "invalid", "recipients"},
		{`{"recipients":[["` + key + `"]]}`, "invalid", "recipients"},
		{`{"recipients":[{}]}`, "invalid", "recipients"},
		{`{"recipients":["` + key + `"`, "bad-request", ""},
		{exportBody("svpub1nonsense"), "invalid", "recipients"},
		{exportBody(key[:len(key)-1]), "invalid", "recipients"},
		{exportBody(friend.SecretText()), "invalid", "recipients"},
		{exportBody(key, key), "invalid", "recipients"},
		{`{"passphrase":["a"]}`, "invalid", "passphrase"},
		{`{"passphrase":"a","recipients":["` + key + `"]}`, "invalid", "passphrase"},
		{`{"passphrase":"` + strings.Repeat("a", 1025) + `"}`, "invalid", "passphrase"},
		{`{"recipients":["` + strings.Repeat("a", exportLimit) + `"]}`, "too-large", ""},
	} {
		p := wantProblem(t, w.do("owner", "POST", target, row.body, jsonBody...), row.problem)
		if row.field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != row.field) {
			t.Errorf("%.60s: %+v, want %s", row.body, p.Errors, row.field)
		}
	}
	if log := w.log.String(); strings.Contains(log, friend.SecretText()) || strings.Contains(log, key) {
		t.Error("the log has a key")
	}

	w.flip(f.FileID+".body", 100)
	wantProblem(t, w.do("owner", "POST", target+"?version=1", exportBody(key), jsonBody...), "refused")
	g := w.put("owner", "/g", body)
	w.flip(g.FileID+".body", segment+segment/2)
	if a := w.do("owner", "POST", "/api/v1/files/"+g.ID+"/export", exportBody(key), jsonBody...); a.StatusCode != 200 || a.err == nil {
		t.Errorf("%d, and the stone ends cleanly after %d bytes", a.StatusCode, len(a.body))
	}
}
