package access_test

import (
	"testing"

	"stonevault/internal/access"
	"stonevault/internal/vault"
)

// The roles are those that accounts keep.
func TestRolesAreTheVaults(t *testing.T) {
	for mine, theirs := range map[access.Role]vault.Role{
		access.Admin: vault.RoleAdmin, access.Manager: vault.RoleManager, access.User: vault.RoleUser,
	} {
		if string(mine) != string(theirs) {
			t.Errorf("%q and %q", mine, theirs)
		}
	}
}
