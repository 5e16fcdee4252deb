package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
)

const goodPassword = "correct horse battery staple"

// goodHash is goodPassword's with the least cost that is accepted, so that tests need not wait.
var goodHash = sync.OnceValue(func() string {
	p := hashParams{memory: minMemory, time: minTime, threads: minThreads, salt: []byte("sixteen bytes ok")}
	p.sum = argon2.IDKey([]byte(goodPassword), p.salt, p.time, p.memory, p.threads, sumBytes)
	return p.String()
})

func TestHash(t *testing.T) {
	const composed, decomposed = "hällo lamp otter viölin", "ha\u0308llo lamp otter vio\u0308lin"
	hash, err := Policy{}.Hash(rand.Reader, composed)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Errorf("the parameters are not the documented ones: %s", hash)
	}
	v := newVerifier()
	for _, row := range []struct {
		password string
		want     bool
	}{
		{composed, true},
		{decomposed, true},
		{composed + " ", false},
		{strings.ToUpper(composed), false},
	} {
		normal, err := normalPassword(row.password)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.verify(t.Context(), hash, normal); err != nil || got != row.want {
			t.Errorf("%q: %v, %v; want %v", row.password, got, err, row.want)
		}
	}
}

func TestSizeOfNewPasswords(t *testing.T) {
	for _, row := range []struct {
		name, password, reason string
	}{
		{"15 code points that are 14 characters in NFC", strings.Repeat("b", 13) + "a\u0308", "is shorter than 15 characters"},
		{"1,024 bytes that grow in NFC", strings.Repeat("\U0001D15E", 256), "is longer than 1,024 bytes"},
	} {
		_, err := Policy{}.Hash(rand.Reader, row.password)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || invalid.Field != "password" || !strings.HasPrefix(invalid.Reason, row.reason) {
			t.Errorf("%s: %v, want %q", row.name, err, row.reason)
		}
	}
	if _, err := (Policy{}).Hash(rand.Reader, goodPassword+strings.Repeat(" ", 1024-len(goodPassword))); err != nil {
		t.Errorf("1,024 bytes: %v", err)
	}
	if _, err := (Policy{}).Hash(strings.NewReader("short"), goodPassword); err == nil {
		t.Error("a password was hashed without randomness")
	}
}

const goodPHC = "$argon2id$v=19$m=65536,t=3,p=4$bm8gc3VjaCBhY2NvdW50IQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestParseHash(t *testing.T) {
	if dummyHash != goodPHC {
		t.Fatalf("the dummy hash is %s", dummyHash)
	}
	if _, err := parseHash(goodPHC); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"argon2i":            {"argon2id", "argon2i"},
		"capitals":           {"argon2id", "ARGON2ID"},
		"another version":    {"v=19", "v=16"},
		"no version":         {"$v=19", ""},
		"memory too small":   {"m=65536", "m=8191"},
		"memory too large":   {"m=65536", "m=262145"},
		"memory overflows":   {"m=65536", "m=4295032832"},
		"negative memory":    {"m=65536", "m=-65536"},
		"leading zero":       {"m=65536", "m=065536"},
		"sign":               {"t=3", "t=+3"},
		"no passes":          {"t=3", "t=0"},
		"too many passes":    {"t=3", "t=17"},
		"no lanes":           {"p=4", "p=0"},
		"too many lanes":     {"p=4", "p=17"},
		"lanes wrap":         {"p=4", "p=260"},
		"order":              {"m=65536,t=3", "t=3,m=65536"},
		"fewer parameters":   {",p=4", ""},
		"more parameters":    {"p=4", "p=4,keyid=AA"},
		"empty salt":         {"bm8gc3VjaCBhY2NvdW50IQ", ""},
		"short salt":         {"bm8gc3VjaCBhY2NvdW50IQ", "bm8gc3VjaCBhY2NvdW50"},
		"long salt":          {"bm8gc3VjaCBhY2NvdW50IQ", "bm8gc3VjaCBhY2NvdW50ISEh"},
		"padded salt":        {"bm8gc3VjaCBhY2NvdW50IQ", "bm8gc3VjaCBhY2NvdW50IQ=="},
		"loose bits in salt": {"bm8gc3VjaCBhY2NvdW50IQ", "bm8gc3VjaCBhY2NvdW50IR"},
		"line break":         {"bm8gc3Vj", "bm8g\nc3Vj"},
		"short sum":          {"$AAAA", "$"},
		"long sum":           {"$AAAA", "$AAAAAAAA"},
		"url alphabet":       {"bm8gc3Vj", "bm8-c3Vj"},
		"trailing field":     {"$AAAA", "$AAAA$AAAA"},
		"leading text":       {"$argon2id", "x$argon2id"},
	} {
		changed := strings.Replace(goodPHC, change[0], change[1], 1)
		if changed == goodPHC {
			t.Errorf("%s: the row changes nothing", name)
		}
		if p, err := parseHash(changed); !errors.Is(err, errHash) {
			t.Errorf("%s: accepted %s as %+v (%v)", name, changed, p, err)
		}
	}
	for _, junk := range []string{"", "$", "$$$$$", "plain", strings.Repeat("$", 1<<16)} {
		if _, err := parseHash(junk); err == nil {
			t.Errorf("accepted %.20q", junk)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add(goodPHC)
	f.Add("$argon2id$v=19$m=8192,t=1,p=1$bm8gc3VjaCBhY2NvdW50IQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, phc string) {
		p, err := parseHash(phc)
		if err != nil {
			return
		}
		if p.String() != phc {
			t.Errorf("%q was read as %q", phc, p.String())
		}
		if p.memory > maxMemory || p.time > maxTime || p.threads > maxThreads {
			t.Errorf("%q is past the limits", phc)
		}
	})
}

// Only so many hash at once, only so many wait, and who waits goes away with the request.
func TestVerifierIsBounded(t *testing.T) {
	v := newVerifier()
	if n := cap(v.slots); n < 2 || n > 4 {
		t.Fatalf("%d at once", n)
	}
	for range cap(v.slots) {
		v.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error, maxWaiting)
	for range maxWaiting {
		go func() {
			_, err := v.verify(ctx, goodPHC, "x")
			waited <- err
		}()
	}
	for deadline := time.Now().Add(10 * time.Second); v.waiting.Load() != maxWaiting; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, want %d", v.waiting.Load(), maxWaiting)
		}
	}
	if _, err := v.verify(t.Context(), goodPHC, "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v, want ErrBusy", err)
	}
	cancel()
	for range maxWaiting {
		if err := <-waited; !errors.Is(err, context.Canceled) {
			t.Errorf("a waiter ended with %v", err)
		}
	}
	if n := v.waiting.Load(); n != 0 {
		t.Errorf("%d still counted as waiting", n)
	}
	<-v.slots
	if ok, err := v.verify(t.Context(), goodHash(), goodPassword); err != nil || !ok {
		t.Errorf("with a slot free again: %v, %v", ok, err)
	}
}

func TestNameKey(t *testing.T) {
	for _, row := range []struct {
		a, b string
		same bool
	}{
		{"Ann", "ANN", true},
		{"Zoë", "ZOE\u0308", true},
		{"Straße", "STRASSE", true},
		{"ΣΊΣΥΦΟΣ", "σίσυφος", true},
		{"Ann", "Anne", false},
		{"a", "а", false}, // Latin and Cyrillic
	} {
		if got := NameKey(row.a) == NameKey(row.b); got != row.same {
			t.Errorf("%q and %q: same %v, want %v", row.a, row.b, got, row.same)
		}
	}
}
