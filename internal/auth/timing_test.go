package auth_test

import (
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"stonevault/internal/auth"
)

// TestSignInTiming measures what a stranger could: how long signing in takes for a name that somebody has and for one
// that nobody has. It holds on a machine that does nothing else, and so it runs only where it is asked for:
//
//	STONEVAULT_TIMING=1 go test ./internal/auth -run SignInTiming -v
func TestSignInTiming(t *testing.T) {
	if os.Getenv("STONEVAULT_TIMING") != "1" {
		t.Skip("NOT RUN: set STONEVAULT_TIMING=1 on a machine that does nothing else")
	}
	const tries = 200
	hash, err := auth.Policy{}.Hash(rand.Reader, password)
	if err != nil {
		t.Fatal(err)
	}
	o := newOnSQLite(t, hash)
	took := map[string][]time.Duration{}
	for range tries {
		for _, name := range []string{"zoë", "no such name"} {
			o.turn(25 * time.Hour) // so that no try has to wait
			began := time.Now()
			_, err := o.SignIn(t.Context(), auth.Credentials{Name: name, Password: "not the password, surely", Address: "192.0.2.7"})
			took[name] = append(took[name], time.Since(began))
			if !errors.Is(err, auth.ErrCredentials) {
				t.Fatal(err)
			}
		}
	}
	median := func(name string) time.Duration {
		slices.Sort(took[name])
		return (took[name][tries/2-1] + took[name][tries/2]) / 2
	}
	known, unknown := median("zoë"), median("no such name")
	apart := float64(known-unknown) / float64(min(known, unknown)) * 100
	t.Logf("medians of %d interleaved tries: known %v, unknown %v, %.2f%% apart", tries, known.Round(time.Microsecond), unknown.Round(time.Microsecond), apart)
	if apart > 5 || apart < -5 {
		t.Errorf("%.2f%% apart", apart)
	}
}
