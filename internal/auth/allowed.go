package auth

import (
	"context"
	"errors"

	"stonevault/internal/access"
)

// ErrForbidden is what the table of roles refuses to who may know of the thing. What he may not know of is ErrNotFound.
var ErrForbidden = errors.New("this person's role does not allow it")

// allowed returns a person's account if by may do it to that person. It asks in the transaction of the change, so that
// a role or a group that changes at the same moment is not overlooked, nor that the session or the API token ends.
func (s *Service) allowed(ctx context.Context, tx Tx, by Principal, action access.Action, person string) (Account, error) {
	asker, err := s.standing(ctx, tx, by, s.now())
	switch {
	case errors.Is(err, ErrNotFound):
		return Account{}, ErrUnauthenticated
	case err != nil:
		return Account{}, err
	case asker.Person != by.Person || asker.Epoch != by.Epoch:
		return Account{}, ErrUnauthenticated
	}
	whose, err := tx.Account(ctx, person)
	if err != nil {
		return Account{}, err
	}
	between, err := tx.Acquaintance(ctx, by.Person, person)
	if err != nil {
		return Account{}, err
	}
	role := access.Role(asker.Role)
	switch access.DecideAny(role, action, access.ToPerson(role, access.Role(whose.Role), between)...) {
	case access.Allowed:
		return whose, nil
	case access.Forbidden:
		return Account{}, ErrForbidden
	default:
		return Account{}, ErrNotFound
	}
}
