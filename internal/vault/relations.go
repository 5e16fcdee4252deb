package vault

import (
	"context"

	"stonevault/internal/access"
)

// personFor returns who asks, and a person with whom he may do all of the actions.
func personFor(ctx context.Context, tx Tx, a Actor, id PersonID, actions ...access.Action) (asker, p Person, err error) {
	if asker, err = asking(ctx, tx, a); err != nil {
		return asker, p, err
	}
	if p, err = tx.People().ByID(ctx, id); err != nil {
		return asker, p, err
	}
	to, err := relationsTo(ctx, tx, asker, p)
	for _, action := range actions {
		if err == nil {
			err = permit(access.DecideAny(access.Role(asker.Role), action, to...))
		}
	}
	return asker, p, err
}

// viewer is what an asker sees of lists of people.
func viewer(asker Person) Viewer {
	role := access.Role(asker.Role)
	return Viewer{Person: asker.ID, Manages: access.Manages(role), All: access.Decide(role, access.PeopleSee, access.Vault) == access.Allowed}
}
