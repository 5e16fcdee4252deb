package auditlog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"stonevault/audit"
	"stonevault/internal/access"
)

// Viewer is who reads: everything, or what has a part about one person, that whole. A manager also sees what has a
// part about somebody whom he manages, or is about a group that he manages, but not what files are called. The zero
// Viewer sees leaves and proofs alone.
type Viewer struct {
	Everything bool
	Person     string
	Manager    bool // the person may manage groups: whom and which ones is looked up in the transaction
}

// ViewAll sees everything.
var ViewAll = Viewer{Everything: true}

// sight is what a viewer may see, in one transaction.
type sight struct {
	ctx    context.Context
	viewer Viewer
	store  PeopleStore

	role    access.Role // of a manager, once asked for
	asked   bool
	groups  []string        // that name him as their manager
	managed map[string]bool // persons that were looked at
}

func newSight(ctx context.Context, store PeopleStore, viewer Viewer) *sight {
	return &sight{ctx: ctx, viewer: viewer, store: store, managed: map[string]bool{}}
}

// manages tells whether there is a group that the viewer manages. What the request believed may be a moment old.
func (s *sight) manages() (bool, error) {
	if !s.viewer.Manager || s.viewer.Person == "" {
		return false, nil
	}
	if !s.asked {
		role, err := s.store.Role(s.ctx, s.viewer.Person)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return false, err
		}
		if access.Manages(role) {
			if s.groups, err = s.store.ManagedGroups(s.ctx, s.viewer.Person); err != nil {
				return false, err
			}
		}
		s.role, s.asked = role, true
	}
	return len(s.groups) > 0, nil
}

// managesPerson tells whether the viewer may see what happens to somebody, as a manager.
func (s *sight) managesPerson(person string) (bool, error) {
	if known, ok := s.managed[person]; ok || person == "" {
		return known, nil
	}
	if some, err := s.manages(); err != nil || !some {
		return false, err
	}
	whose, err := s.store.Role(s.ctx, person)
	if errors.Is(err, ErrNotFound) {
		s.managed[person] = false
		return false, nil
	}
	if err != nil {
		return false, err
	}
	a, err := s.store.Acquaintance(s.ctx, s.viewer.Person, person)
	if err != nil {
		return false, err
	}
	s.managed[person] = access.DecideAny(s.role, access.AuditSee, access.ToPerson(s.role, whose, a)...) == access.Allowed
	return s.managed[person], nil
}

// managesGroup is managesPerson of a group.
func (s *sight) managesGroup(group string) (bool, error) {
	if some, err := s.manages(); err != nil || !some || !slices.Contains(s.groups, group) {
		return false, err
	}
	return access.DecideAny(s.role, access.AuditSee, access.ToGroup(s.role, false, true)...) == access.Allowed, nil
}

// reason is why a viewer sees an event.
type reason int

const (
	unseen   reason = iota
	byGroup         // the row names a group that he manages
	byPerson        // somebody whom he manages has a part in it
	whole           // it is his own, or he sees everything
)

// reason tells why the viewer sees an event of these persons. What a row says of its group is still to be held against
// the event.
func (s *sight) reason(e Event, persons [slotCount]string) (reason, error) {
	if s.viewer.Everything || s.viewer.Person != "" && slices.Contains(persons[:], s.viewer.Person) {
		return whole, nil
	}
	for _, p := range persons {
		managed, err := s.managesPerson(p)
		if err != nil {
			return unseen, err
		}
		if managed {
			return byPerson, nil
		}
	}
	if e.Group == "" {
		return unseen, nil
	}
	if managed, err := s.managesGroup(e.Group); err != nil || !managed {
		return unseen, err
	}
	return byGroup, nil
}

// fileNames are the fields that say what files and folders are called, which nobody learns by his role.
var fileNames = []string{"path", "from", "to", "folder"}

// namesFiles tells whether a slot of an event says what files are called. Of a type that is not known here, each may.
func namesFiles(l audit.Leaf, slot audit.Slot) bool {
	d, err := audit.Define(l.Type, l.Version)
	return err != nil || slices.ContainsFunc(d.Fields[slot], func(f audit.Field) bool {
		return f.Kind == audit.Text && slices.Contains(fileNames, f.Name)
	})
}

// groupOf is the id of the group that an event is about, or empty.
func groupOf(e audit.Event) string {
	group, _ := e.Operational["group"].(string)
	return group
}

// shown is what a viewer is shown of an event: nothing, or all parts that are there but those withheld.
type shown struct {
	any      bool
	withheld []audit.Slot
}

// record opens an event for a viewer.
func (o *opener) record(e Event, s *sight) (r audit.Record, _ shown, err error) {
	if r.Leaf, err = audit.ParseLeaf(e.Leaf); err != nil {
		return r, shown{}, fmt.Errorf("%w: event %d: %w", ErrRewritten, e.Index, err)
	}
	keys, persons, err := o.partKeys(e)
	if err != nil {
		return r, shown{}, err
	}
	why, err := s.reason(e, persons)
	if err != nil {
		return r, shown{}, err
	}
	if why == unseen {
		return r, shown{withheld: partsOf(e)}, nil
	}
	seen := shown{any: true}
	for i, p := range e.Parts {
		switch slot := audit.Slot(i); {
		case p.Sealed == nil:
		case why != whole && namesFiles(r.Leaf, slot):
			seen.withheld = append(seen.withheld, slot)
		default:
			if r.Openings[i], err = openPart(keys[i].key, e.Leaf, slot, p.Sealed); err != nil {
				return r, shown{}, fmt.Errorf("%w: the %s part of event %d: %w", ErrRewritten, slot, e.Index, err)
			}
		}
	}
	if why == byGroup {
		if event, _, err := r.Event(); err != nil || groupOf(event) != e.Group {
			return audit.Record{Leaf: r.Leaf}, shown{withheld: partsOf(e)}, nil
		}
	}
	return r, seen, nil
}

// partKeys are the keys of an event's parts, and whose they are. ErrRewritten where one is missing.
func (o *opener) partKeys(e Event) (keys [slotCount]*readKey, persons [slotCount]string, err error) {
	for i, p := range e.Parts {
		if p.Sealed == nil {
			continue
		}
		if keys[i], err = o.key(p.Key); err != nil {
			return keys, persons, err
		}
		if keys[i] == nil {
			return keys, persons, fmt.Errorf("%w: the key of the %s part of event %d is missing", ErrRewritten, audit.Slot(i), e.Index)
		}
		persons[i] = keys[i].person
	}
	return keys, persons, nil
}

// takesPart tells whether an event that does not open has a part about the viewer or somebody whom he manages.
func (o *opener) takesPart(e Event, s *sight) (bool, error) {
	_, persons, err := o.partKeys(e)
	if errors.Is(err, ErrRewritten) {
		err = nil // the others count
	}
	if err != nil {
		return false, err
	}
	e.Group = ""
	why, err := s.reason(e, persons)
	return why != unseen, err
}
