package vault_test

import (
	"testing"

	"stonevault/internal/vault"
)

// TestFollowDestroyed: what one process destroys, another one that serves the same vault forgets.
func TestFollowDestroyed(t *testing.T) {
	h := newHouse(t)
	root, a, b := h.admin("root"), h.person("ada"), h.person("ben")
	h.put(a, "/a", []byte("of ada"))
	h.put(b, "/b", []byte("of ben"))
	other, err := vault.Open(ctx, h.config)
	if err != nil {
		t.Fatal(err)
	}
	here := h.Vault
	follow := func(want bool) {
		t.Helper()
		for range 2 { // the second time nothing has happened since
			if forgot, err := other.FollowDestroyed(ctx); forgot != want || err != nil {
				t.Fatalf("FollowDestroyed: %v, %v", forgot, err)
			}
			want = false
		}
	}
	follow(false)
	for _, tt := range []struct {
		name    string
		destroy func() error
	}{
		{"rotation", func() error {
			err := h.BeginPersonRotation(ctx, vault.Actor{}, "ada")
			if err == nil {
				h.renewed()
			}
			return err
		}},
		{"erasure", func() error {
			done, err := h.Erase(ctx, root, "ben")
			h.SettleErasure(ctx, done)
			return err
		}},
		{"root", func() error {
			next, err := h.NewRoot(ctx, 1)
			if err == nil {
				err = h.BeginRootRotation(ctx, vault.Actor{}, next)
			}
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key := h.fingerprintOf(root)
			h.Vault = other
			h.put(root, "/"+tt.name, []byte("of root"))
			h.mustGet(root, "/"+tt.name, []byte("of root"))
			h.Vault = here
			if !other.Remembers(key) {
				t.Fatal("the other process has nothing to forget")
			}
			if err := tt.destroy(); err != nil {
				t.Fatal(err)
			}
			follow(true)
			if other.Remembers(key) {
				t.Error("it remembers what was destroyed elsewhere")
			}
		})
	}
}
