package httpapi

import (
	"context"
	"errors"
	"net/http"

	"stonevault/api"
	"stonevault/internal/access"
	"stonevault/internal/once"
	"stonevault/internal/vault"
)

// Groups is what the handlers need of a vault's groups.
type Groups interface {
	Groups(ctx context.Context, a vault.Actor, r vault.NamesRequest) (items []vault.GroupEntry, next string, err error)
	Group(ctx context.Context, a vault.Actor, id vault.GroupID) (vault.GroupEntry, error)
	CreateGroup(ctx context.Context, a vault.Actor, name string) (vault.GroupEntry, error)
	RenameGroup(ctx context.Context, a vault.Actor, id vault.GroupID, name string) (vault.GroupEntry, error)
	DeleteGroup(ctx context.Context, a vault.Actor, id vault.GroupID) error
	Members(ctx context.Context, a vault.Actor, id vault.GroupID, r vault.NamesRequest) (items []vault.MemberEntry, next string, err error)
	PutMember(ctx context.Context, a vault.Actor, m vault.Membership) error
	RemoveMember(ctx context.Context, a vault.Actor, id vault.GroupID, person vault.PersonID) error
}

// groupID reads the id of a group in the path.
func groupID(c *call) (vault.GroupID, error) {
	id := c.r.PathValue("group")
	if !isID(id) {
		return "", invalid("group", "must be 32 lower-case hex digits")
	}
	return vault.GroupID(id), nil
}

// names reads what asks for a page of a list that is in the order of names.
func names(c *call) (query, vault.NamesRequest, error) {
	q, err := readQuery(c.r, "limit", "cursor", "sort", "name_contains")
	if err != nil {
		return nil, vault.NamesRequest{}, err
	}
	limit, err := q.number("limit", 1, maxLimit)
	return q, vault.NamesRequest{NameContains: q["name_contains"], Sort: q["sort"], Cursor: q["cursor"], Limit: limit}, err
}

func (a *API) listGroups(c *call) error {
	q, r, err := names(c)
	if err != nil {
		return err
	}
	items, next, err := a.Vault.Groups(c.r.Context(), c.actor(), r)
	if err != nil {
		return err
	}
	out := api.GroupList{Items: make([]api.Group, len(items)), NextCursor: next}
	for i, g := range items {
		out.Items[i] = groupOf(g)
	}
	if next != "" {
		linkNext(c, q, next)
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func groupOf(g vault.GroupEntry) api.Group {
	return api.Group{
		ID: string(g.ID), Name: g.Name, Members: int64(g.Members), Managers: int64(g.Managers), Member: g.Member, Manager: g.Manager,
		CreatedAt: g.CreatedAt.UTC(),
	}
}

func inGroupsOf(in []vault.InGroup) []api.InGroup {
	out := make([]api.InGroup, len(in))
	for i, g := range in {
		out[i] = api.InGroup{ID: string(g.Group), Name: g.Name, Member: g.Member, Manager: g.Manager}
	}
	return out
}

// groupName reads the name that a group is to have.
func groupName(c *call) (string, error) {
	if _, err := readQuery(c.r); err != nil {
		return "", err
	}
	var in api.GroupName
	err := readJSON(c.r, &in)
	return in.Name, err
}

// groupNamed says that another group has the name, where that is what was wrong.
func groupNamed(err error) error {
	if errors.Is(err, vault.ErrExists) {
		f := fail("exists", "There is a group of this name already. Choose another name.")
		f.cause = err
		return f
	}
	return err
}

func madeGroupAnswer(g vault.GroupEntry) (once.Answer, error) {
	return jsonAnswer(http.StatusCreated, groupOf(g), map[string]string{"Location": "/api/v1/groups/" + string(g.ID)})
}

func (a *API) createGroup(c *call) error {
	name, err := groupName(c)
	if err != nil {
		return err
	}
	return makes(a, c, madeGroupAnswer, func(ctx context.Context) (vault.GroupEntry, error) {
		g, err := a.Vault.CreateGroup(ctx, c.actor(), name)
		return g, groupNamed(err)
	})
}

func (a *API) group(c *call) error {
	id, err := groupID(c)
	if err != nil {
		return err
	}
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	g, err := a.Vault.Group(c.r.Context(), c.actor(), id)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, groupOf(g))
}

func (a *API) renameGroup(c *call) error {
	id, err := groupID(c)
	if err != nil {
		return err
	}
	name, err := groupName(c)
	if err != nil {
		return err
	}
	g, err := a.Vault.RenameGroup(c.r.Context(), c.actor(), id, name)
	if err != nil {
		return groupNamed(err)
	}
	out := groupOf(g)
	_, out.Receipt = a.receiptOf(c)
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) deleteGroup(c *call) error {
	id, err := groupID(c)
	if err != nil {
		return err
	}
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	if err := a.Vault.DeleteGroup(c.r.Context(), c.actor(), id); err != nil {
		return err
	}
	return a.done(c)
}

func (a *API) listMembers(c *call) error {
	id, err := groupID(c)
	if err != nil {
		return err
	}
	q, r, err := names(c)
	if err != nil {
		return err
	}
	items, next, err := a.Vault.Members(c.r.Context(), c.actor(), id, r)
	if err != nil {
		return err
	}
	out := api.MemberList{Items: make([]api.Member, len(items)), NextCursor: next}
	for i, m := range items {
		out.Items[i] = api.Member{Person: string(m.Person), Name: m.Name, Member: m.Member, Manager: m.Manager, Since: m.Since.UTC()}
	}
	if next != "" {
		linkNext(c, q, next)
	}
	return writeJSON(c.w, http.StatusOK, out)
}

// membership reads whose membership in which group the path names.
func membership(c *call) (m vault.Membership, err error) {
	if m.Group, err = groupID(c); err != nil {
		return m, err
	}
	m.Person = vault.PersonID(personIn(c))
	_, err = readQuery(c.r)
	return m, err
}

func (a *API) putMember(c *call) error {
	m, err := membership(c)
	if err != nil {
		return err
	}
	var in struct {
		Member  *bool `json:"member"`
		Manager *bool `json:"manager"`
	}
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	switch {
	case in.Member == nil:
		return invalid("member", "is missing")
	case in.Manager == nil:
		return invalid("manager", "is missing")
	}
	m.Member, m.Manager = *in.Member, *in.Manager
	if string(m.Person) == c.who.Person { // what may not join may not do this to its owner either
		if err := mayTry(access.GroupsJoin, c.who); err != nil {
			return err
		}
	}
	if err := a.Vault.PutMember(c.r.Context(), c.actor(), m); err != nil {
		return err
	}
	return a.done(c)
}

func (a *API) removeMember(c *call) error {
	m, err := membership(c)
	if err != nil {
		return err
	}
	if err := a.Vault.RemoveMember(c.r.Context(), c.actor(), m.Group, m.Person); err != nil {
		return err
	}
	return a.done(c)
}
