package vault

import (
	"time"

	"stonevault/identity"
)

// SetGrace is how long a former master key is waited for.
func (v *Vault) SetGrace(d time.Duration) { v.grace = d }

// Remembers tells whether the secrets of a key are in memory.
func (v *Vault) Remembers(f identity.Fingerprint) bool {
	v.keys.mu.Lock()
	defer v.keys.mu.Unlock()
	return v.keys.identities[f] != nil
}
