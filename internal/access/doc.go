// Package access says who may do what: one pure table of role × action × relation.
//
// The role is the asker's; the action is what a request wants; the relation is what the thing is to the
// asker: his own, shared with him, of a group that he manages or belongs to, somebody else's, or the
// vault's as a whole. Invariants: what the table does not allow is refused; what a person may not know of
// is answered like a thing that does not exist; no role reads a file that is not the reader's own or
// shared with him.
//
// It holds no state and does no I/O: relations are found out by who asks, in the transaction of the
// change, and what a share or a token permits is for its own row to say.
package access

//go:generate go run ./reference

import "errors"

// ErrLastAdmin says that a change would leave the vault without an active admin.
var ErrLastAdmin = errors.New("the vault would have no admin left; make somebody else an admin first")

// Role is what a person is in the vault. The values are those that accounts keep.
type Role string

const (
	Admin   Role = "admin"
	Manager Role = "manager"
	User    Role = "user"
)

// Roles are all roles, the most powerful first.
var Roles = []Role{Admin, Manager, User}

// Relation is what a thing is to whoever asks. What each one means for a kind of thing is in Kinds.
type Relation uint8

const (
	Own     Relation = iota // one's own
	Shared                  // shared with me
	Managed                 // my group's: I manage it
	Member                  // my group's: I am a member
	Else                    // somebody else's
	Vault                   // the vault's as a whole
	relations
)

var relationNames = [relations]string{"own", "shared with me", "my group's (I manage it)", "my group's (I am a member)", "somebody else's", "the vault's"}

// String is the relation in words.
func (r Relation) String() string {
	if r >= relations {
		return "unknown relation"
	}
	return relationNames[r]
}

// Verdict is the table's answer. Its zero value is the strictest one.
type Verdict uint8

const (
	// Absent is a refusal that is answered like a thing that does not exist.
	Absent Verdict = iota
	// Forbidden is a refusal that says so: the asker knows of the thing anyway.
	Forbidden
	// ByShare leaves it to the share: its role, its expiry and whether it still stands.
	ByShare
	// Allowed is permission.
	Allowed
)

// String is the verdict in a word.
func (v Verdict) String() string {
	switch v {
	case Forbidden:
		return "forbidden"
	case ByShare:
		return "by share"
	case Allowed:
		return "allowed"
	default:
		return "absent"
	}
}

// Decide is the table. An unknown role, action or relation gets Absent.
func Decide(role Role, action Action, relation Relation) Verdict {
	row, ok := rows[action]
	if !ok || relation >= relations {
		return Absent
	}
	switch role {
	case Admin:
		return verdict(row.admin[relation])
	case Manager:
		return verdict(row.manager[relation])
	case User:
		return verdict(row.user[relation])
	default:
		return Absent
	}
}

// Best is the most favourable verdict that a role has for an action, whatever the thing is: below ByShare, the role
// may never do it.
func Best(role Role, action Action) Verdict {
	best := Absent
	for r := range relations {
		best = max(best, Decide(role, action, r))
	}
	return best
}

// DecideAny is for a thing that is several things to the asker, such as a group that he manages and belongs
// to: the most favourable verdict. Own stands alone, so that nobody manages himself. Without a relation
// it is Absent.
func DecideAny(role Role, action Action, relations ...Relation) Verdict {
	best := Absent
	for _, r := range relations {
		if r == Own {
			return Decide(role, action, Own)
		}
		best = max(best, Decide(role, action, r))
	}
	return best
}

// Acquaintance is what is known of an asker and another person.
type Acquaintance struct {
	Same     bool // they are one person
	Shares   bool // one of them shares something with the other
	Manages  bool // the asker manages a group that the other belongs to
	Together bool // they belong to one group
}

// ToPerson returns the relations of an asker to another person, each with a role. A manager's reach ends
// at admins: an admin in his group is somebody whom he knows, not somebody whom he manages. Who has become
// a user manages nobody, whatever his groups still say.
func ToPerson(asker, whose Role, a Acquaintance) []Relation {
	if a.Same {
		return []Relation{Own}
	}
	manages := a.Manages && Manages(asker)
	to := []Relation{Else}
	if a.Shares {
		to = append(to, Shared)
	}
	if manages && whose != Admin {
		to = append(to, Managed)
	}
	if a.Together || manages {
		to = append(to, Member)
	}
	return to
}

// Manages tells whether a role lets somebody manage the groups that he is a manager of.
func Manages(role Role) bool { return role == Admin || role == Manager }

// TakesIn tells whether somebody who may add members to a group may add a person of a role. Whoever belongs to a group
// is bound by its quota, and no manager has power over an admin.
func TakesIn(asker, whose Role) bool { return asker == Admin || whose != Admin }

// ToGroup returns the relations of an asker to a group that he is a member of, or a manager, or neither. Who has
// become a user manages no group.
func ToGroup(asker Role, member, manager bool) []Relation {
	to := []Relation{Else}
	if manager && Manages(asker) {
		to = append(to, Managed)
	}
	if member {
		to = append(to, Member)
	}
	return to
}

// Standing is what counts of an account for the number of admins. That of an erased one is the zero value.
type Standing struct {
	Role   Role
	Active bool
}

func (s Standing) admin() bool { return s.Role == Admin && s.Active }

// KeepsAdmin returns ErrLastAdmin where changing an account from one standing to the other takes away the
// last active admin; activeAdmins is their number before the change, counted in its transaction.
func KeepsAdmin(activeAdmins int, from, to Standing) error {
	if from.admin() && !to.admin() && activeAdmins <= 1 {
		return ErrLastAdmin
	}
	return nil
}
