package vault

import "time"

// SetGrace is how long a former master key is waited for.
func (v *Vault) SetGrace(d time.Duration) { v.grace = d }
