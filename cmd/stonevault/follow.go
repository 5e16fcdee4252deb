package main

import (
	"fmt"
	"slices"

	"stonevault/api"
	"stonevault/identity"
	"stonevault/internal/client"
)

// followRoot goes from the root that is known to the one that the vault has now, by what former roots have said of the
// next one. It is client.ErrOtherVault where nothing leads there.
func (a *app) followRoot(p *profile, vault *api.Vault) ([]*identity.Succession, error) {
	if p.Root == "" {
		return nil, nil
	}
	steps, err := identity.FollowRoots(p.Root, vault.RootFingerprint, vault.VaultID, vault.Successions)
	if err != nil {
		return nil, fmt.Errorf("%w: its root is now %s, and nothing shows that the former one let it follow; ask an administrator, and if a new vault was made, add --accept-new-vault",
			client.ErrOtherVault, vault.RootFingerprintSpoken)
	}
	return steps, nil
}

// setRoot remembers a root, and those that led to it.
func (p *profile) setRoot(root string, steps []*identity.Succession) {
	if len(steps) == 0 && p.Root != root {
		p.FormerRoots = nil
	}
	for _, s := range steps {
		p.FormerRoots = append(p.FormerRoots, s.From.Fingerprint().Hex())
	}
	p.Root = root
}

// isRoot tells whether something that is remembered belongs to the vault.
func (p *profile) isRoot(root string) bool {
	return root == p.Root || slices.Contains(p.FormerRoots, root)
}
