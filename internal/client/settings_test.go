package client

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"stonevault/api"
)

// Settings are changed only while they are those that were looked at; otherwise it is said in words that somebody else
// came between.
func TestSettingsChangedMeanwhile(t *testing.T) {
	etag := `"1"`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/api/v1/sessions":
			opened(w, "", false)
		case r.Method == http.MethodGet:
			w.Header().Set("ETag", etag)
			json.NewEncoder(w).Encode(api.Settings{Registration: api.SettingsRegistrationClosed})
		case r.Header.Get("If-Match") != etag:
			problem(w, http.StatusPreconditionFailed, "precondition-failed")
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer s.Close()
	c := newClient(t, s.URL, new(memorySecrets))
	if _, _, err := c.SignIn(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name      string
		meanwhile string
		want      error
	}{{"as they were", `"1"`, nil}, {"changed meanwhile", `"2"`, ErrSettingsChanged}} {
		etag = `"1"`
		got, seen, err := c.Settings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		etag = row.meanwhile
		if err := c.ChangeSettings(t.Context(), got, seen); !errors.Is(err, row.want) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}
