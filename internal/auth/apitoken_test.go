package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"stonevault/internal/access"
)

var tokenTime = time.Date(2026, 11, 21, 9, 0, 30, 0, time.UTC)

func newAPIToken(t testing.TB, scopes ...Scope) (string, APIToken) {
	t.Helper()
	text, row, err := NewAPIToken(rand.Reader, annID, "backup", scopes, tokenTime, tokenTime.Add(MaxAPITokenLife))
	if err != nil {
		t.Fatal(err)
	}
	return text.Text(), row
}

func TestAPIToken(t *testing.T) {
	text, row := newAPIToken(t, ScopeFilesWrite, ScopeFilesRead)
	if !regexp.MustCompile(`^svp_[0-9A-Za-z]{49}$`).MatchString(text) || !IsAPIToken(text) {
		t.Fatalf("it looks like %s", text)
	}
	sum := sha256.Sum256([]byte(text))
	if !bytes.Equal(row.Hash, sum[:]) || len(row.ID) != 32 || row.Person != annID || row.Name != "backup" ||
		!slices.Equal(row.Scopes, Scopes{ScopeFilesRead, ScopeFilesWrite}) || !row.LastUsedAt.IsZero() || !row.RevokedAt.IsZero() {
		t.Errorf("%+v", row)
	}
	hash, err := ParseAPIToken(text)
	if err != nil || row.Verify(hash, tokenTime) != nil {
		t.Errorf("not accepted: %v", err)
	}
	other, _ := newAPIToken(t, ScopeAdmin)
	otherHash, _ := ParseAPIToken(other)
	revoked, unscoped, damaged := row, row, row
	revoked.RevokedAt, unscoped.Scopes, damaged.Hash = tokenTime, nil, nil
	for name, err := range map[string]error{
		"another token":   row.Verify(otherHash, tokenTime),
		"no hash":         row.Verify(nil, tokenTime),
		"at its end":      row.Verify(hash, row.ExpiresAt),
		"revoked":         revoked.Verify(hash, tokenTime),
		"without scopes":  unscoped.Verify(hash, tokenTime),
		"a damaged row":   damaged.Verify(nil, tokenTime),
		"the hash halved": row.Verify(hash[:16], tokenTime),
	} {
		if !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The form is fixed: scanners know it.
func TestAPITokenVector(t *testing.T) {
	zeros := bytes.NewReader(make([]byte, 64))
	text, _, err := NewAPIToken(zeros, annID, "x", Scopes{ScopeAdmin}, tokenTime, tokenTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if want := "svp_" + strings.Repeat("0", 43) + "0PzH9u"; text.Text() != want { // the checksum as zlib computes it
		t.Errorf("%s, want %s", text.Text(), want)
	}
	most := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	back := new(big.Int)
	for _, c := range []byte(digits62(new(big.Int).Set(most), apiDigits)) {
		back.Add(back.Mul(back, big.NewInt(62)), big.NewInt(int64(strings.IndexByte(base62, c))))
	}
	if back.Cmp(most) != 0 {
		t.Error("32 bytes do not fit into the digits")
	}
}

func TestAPITokenTyposAreTold(t *testing.T) {
	text, _ := newAPIToken(t, ScopeFilesRead)
	for i := len(apiPrefix); i < len(text); i++ {
		c := byte('0')
		if text[i] == c {
			c = '1'
		}
		if _, err := ParseAPIToken(text[:i] + string(c) + text[i+1:]); !errors.Is(err, ErrMistyped) {
			t.Errorf("character %d changed: %v", i, err)
		}
	}
	for name, row := range map[string]struct {
		token    string
		mistyped bool
	}{
		"cut":              {text[:40], true},
		"prefix alone":     {apiPrefix, true},
		"longer":           {text + "0", false},
		"very long":        {text + strings.Repeat("0", 1<<20), false},
		"empty":            {"", false},
		"capitals":         {strings.ToUpper(text), false},
		"another kind":     {"svr_" + text[4:], false},
		"a space":          {text[:20] + " " + text[21:], false},
		"a line break":     {text[:len(text)-1] + "\n", false},
		"base64url":        {text[:20] + "-" + text[21:], false},
		"an access token":  {"eyJhbGciOiJIUzI1NiJ9.e30.AAAA", false},
		"prefix repeated":  {apiPrefix + text[:49], false},
		"not ASCII":        {text[:20] + "é" + text[22:], false},
		"prefix elsewhere": {text[4:] + apiPrefix, false},
	} {
		hash, err := ParseAPIToken(row.token)
		if hash != nil || !errors.Is(err, ErrUnauthenticated) || errors.Is(err, ErrMistyped) != row.mistyped {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && len(row.token) > 8 && strings.Contains(err.Error(), row.token) {
			t.Errorf("%s: the error shows the token", name)
		}
	}
}

func TestAPITokenIsRefused(t *testing.T) {
	day := tokenTime.Add(24 * time.Hour)
	for _, row := range []struct {
		name    string
		label   string
		scopes  Scopes
		expires time.Time
		field   string
	}{
		{"no name", "", Scopes{ScopeAdmin}, day, "name"},
		{"a long name", strings.Repeat("n", 101), Scopes{ScopeAdmin}, day, "name"},
		{"a line break in the name", "a\nb", Scopes{ScopeAdmin}, day, "name"},
		{"no scopes", "x", nil, day, "scopes"},
		{"an unknown scope", "x", Scopes{"files"}, day, "scopes"},
		{"capitals", "x", Scopes{"Admin"}, day, "scopes"},
		{"a scope twice", "x", Scopes{ScopeAdmin, ScopeAdmin}, day, "scopes"},
		{"no expiry", "x", Scopes{ScopeAdmin}, time.Time{}, "expires_at"},
		{"expired", "x", Scopes{ScopeAdmin}, tokenTime, "expires_at"},
		{"for ever", "x", Scopes{ScopeAdmin}, tokenTime.Add(MaxAPITokenLife + time.Second), "expires_at"},
	} {
		text, token, err := NewAPIToken(rand.Reader, annID, row.label, row.scopes, tokenTime, row.expires)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || invalid.Field != row.field || text.Text() != "" || token.Hash != nil {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	if _, _, err := NewAPIToken(strings.NewReader("short"), annID, "x", Scopes{ScopeAdmin}, tokenTime, day); err == nil {
		t.Error("drew a token without randomness")
	}
}

func TestAPITokenUse(t *testing.T) {
	_, token := newAPIToken(t, ScopeFilesRead)
	for _, row := range []struct {
		after  time.Duration
		stored bool
	}{{0, true}, {time.Second, false}, {29 * time.Second, false}, {31 * time.Second, true}, {-time.Hour, false}, {time.Hour, true}} {
		used, stored := token.Used(tokenTime.Add(row.after))
		if stored != row.stored || stored && !used.LastUsedAt.Equal(tokenTime.Add(row.after).Truncate(time.Minute)) {
			t.Errorf("after %v: stored %v, %v", row.after, stored, used.LastUsedAt)
		}
		token = used
	}
}

func TestAPITokenShowsNothing(t *testing.T) {
	text, _, err := NewAPIToken(rand.Reader, annID, "x", Scopes{ScopeAdmin}, tokenTime, tokenTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if format := shows(text, text.text, text.text[4:20]); format != "" {
		t.Errorf("%s shows the token", format)
	}
}

// Every action has its scopes, and none but known ones.
func TestScopesAreComplete(t *testing.T) {
	actions := access.Actions()
	for _, a := range actions {
		if _, ok := scopesFor[a]; !ok {
			t.Errorf("%s has no row", a)
		}
	}
	if len(scopesFor) != len(actions) {
		t.Errorf("%d rows for %d actions", len(scopesFor), len(actions))
	}
	used := map[Scope]bool{}
	for a, sets := range scopesFor {
		for _, set := range sets {
			for _, s := range set {
				if !slices.Contains(AllScopes, s) {
					t.Errorf("%s: %q", a, s)
				}
				used[s] = true
			}
		}
		if Scopes(nil).Allow(a) {
			t.Errorf("%s needs no scope", a)
		}
	}
	if len(used) != len(AllScopes) {
		t.Errorf("of the scopes, only %v are used", used)
	}
}

func TestScopes(t *testing.T) {
	read, write, log, admin := Scopes{ScopeFilesRead}, Scopes{ScopeFilesWrite}, Scopes{ScopeAuditRead}, Scopes{ScopeAdmin}
	for _, row := range []struct {
		scopes Scopes
		action access.Action
		want   bool
	}{
		{read, access.FilesRead, true},
		{read, access.FilesWrite, false},
		{read, access.FilesShare, false},
		{read, access.AuditSee, false},
		{write, access.FilesWrite, true},
		{write, access.UploadsUse, true},
		{write, access.FilesRead, false},
		{write, access.FilesShare, false},
		{Scopes{ScopeFilesRead, ScopeFilesWrite}, access.FilesShare, true},
		{log, access.AuditSee, true},
		{read, access.AuditTree, true},
		{write, access.AuditTree, true},
		{log, access.PeopleSee, false},
		{admin, access.AccountsDeactivate, true},
		{admin, access.FilesRead, false},
		{admin, access.AuditSee, false},
		{admin, access.AccountsRole, false},
		{admin, access.AccountsReset, false},
		{admin, "files.steal", false},
		{log, access.ProfileSee, true},
		{AllScopes, access.PasswordChange, false},
		{AllScopes, access.TokensCreate, false},
		{AllScopes, access.FactorsEnrol, false},
		{AllScopes, access.AccountsHandOver, false},
		{Scopes{"*"}, access.FilesRead, false},
	} {
		if got := row.scopes.Allow(row.action); got != row.want {
			t.Errorf("%v, %s: %v", row.scopes, row.action, got)
		}
	}
}

func FuzzParseAPIToken(f *testing.F) {
	text, row := newAPIToken(f, ScopeFilesRead)
	f.Add(text)
	f.Add(text[:30])
	f.Add("svp_" + strings.Repeat("0", 49))
	f.Fuzz(func(t *testing.T, token string) {
		hash, err := ParseAPIToken(token)
		switch {
		case err != nil && (hash != nil || !errors.Is(err, ErrUnauthenticated)):
			t.Errorf("%q: %x, %v", token, hash, err)
		case err == nil && !regexp.MustCompile(`^svp_[0-9A-Za-z]{49}$`).MatchString(token):
			t.Errorf("accepted %q", token)
		case err == nil && token != text && row.Verify(hash, tokenTime) == nil:
			t.Errorf("%q is taken for another", token)
		}
	})
}

func FuzzParseScopes(f *testing.F) {
	f.Add("files:read files:write")
	f.Add("admin admin")
	f.Add("")
	f.Fuzz(func(t *testing.T, names string) {
		s, err := ParseScopes(strings.Split(names, " "))
		if err != nil {
			if s != nil || !errors.As(err, new(*InvalidError)) {
				t.Errorf("%q: %v, %v", names, s, err)
			}
			return
		}
		if !slices.IsSorted(s) || len(slices.Compact(slices.Clone(s))) != len(s) || len(s) > len(AllScopes) {
			t.Errorf("%q was read as %v", names, s)
		}
	})
}
