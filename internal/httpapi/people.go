package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"

	"stonevault/api"
	"stonevault/internal/auth"
	"stonevault/internal/vault"
)

// People are what the handlers need to know of who is in a vault.
type People interface {
	People(ctx context.Context, a vault.Actor, r vault.PeopleRequest) (items []vault.PersonEntry, next string, err error)
	Person(ctx context.Context, a vault.Actor, id vault.PersonID) (vault.PersonEntry, error)
	FindPerson(ctx context.Context, a vault.Actor, name string) (vault.Profile, error)
	AddPerson(ctx context.Context, a vault.Actor, name string, role vault.Role, link []byte) (vault.PersonEntry, vault.Link, error)
	ChangePerson(ctx context.Context, a vault.Actor, id vault.PersonID, c vault.PersonChange) (vault.PersonEntry, error)
	ChangeProfile(ctx context.Context, a vault.Actor, displayName string) (vault.Profile, error)
	ErasePerson(ctx context.Context, a vault.Actor, id vault.PersonID) error
	HandOverFiles(ctx context.Context, a vault.Actor, from, to vault.PersonID) (vault.HandOver, error)
	ResetPerson(ctx context.Context, a vault.Actor, id vault.PersonID, link []byte) (vault.Link, error)

	Invite(ctx context.Context, a vault.Actor, group vault.GroupID, days int, link []byte) (vault.Invitation, error)
	Invitations(ctx context.Context, a vault.Actor, r vault.InvitationsRequest) (items []vault.Invitation, next string, err error)
	Withdraw(ctx context.Context, a vault.Actor, id vault.LinkID) error

	LookAtLink(ctx context.Context, link []byte) (vault.LinkView, error)
	Join(ctx context.Context, a vault.Actor, link []byte, name, passwordHash string) (vault.Person, error)
	SetPasswordByLink(ctx context.Context, a vault.Actor, link []byte, passwordHash string) (vault.Person, error)
	Registration(ctx context.Context) (secondFactor bool, err error)
	Register(ctx context.Context, a vault.Actor, name, passwordHash string) (vault.Person, error)

	Settings(ctx context.Context, a vault.Actor) (vault.Settings, error)
	ChangeSettings(ctx context.Context, a vault.Actor, s vault.Settings, ifMatch string) error
}

// personID is personIn for the vault.
func personID(c *call) vault.PersonID { return vault.PersonID(personIn(c)) }

func (a *API) people(c *call) error {
	q, err := readQuery(c.r, "limit", "cursor", "sort", "name_contains", "role", "active", "group")
	if err != nil {
		return err
	}
	r := vault.PeopleRequest{Sort: q["sort"], Cursor: q["cursor"], Filter: vault.PeopleFilter{
		NameContains: q["name_contains"], Role: vault.Role(q["role"]), Group: vault.GroupID(q["group"]),
	}}
	if r.Limit, err = q.number("limit", 1, maxLimit); err != nil {
		return err
	}
	if value, ok := q["active"]; ok {
		active, err := parseBool("active", value)
		if err != nil {
			return err
		}
		r.Filter.Active = &active
	}
	if role, ok := q["role"]; ok && !api.Role(role).Valid() {
		return invalid("role", "must be admin, manager or user")
	}
	if _, ok := q["group"]; ok && !isID(q["group"]) {
		return invalid("group", "must be 32 lower-case hex digits")
	}
	items, next, err := a.Vault.People(c.r.Context(), c.actor(), r)
	if err != nil {
		return err
	}
	out := api.PersonList{Items: make([]api.PersonEntry, len(items)), NextCursor: next}
	for i, e := range items {
		out.Items[i] = personOf(e)
	}
	if next != "" {
		linkNext(c, q, next)
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) person(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	e, err := a.Vault.Person(c.r.Context(), c.actor(), personID(c))
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, personOf(e))
}

func (a *API) findPerson(c *call) error {
	q, err := readQuery(c.r, "name")
	if err != nil {
		return err
	}
	if err := sized("name", q["name"], maxNameBytes); err != nil {
		return err
	}
	p, err := a.Vault.FindPerson(c.r.Context(), c.actor(), q["name"])
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, api.FoundPerson{
		ID: string(p.Person.ID), Name: p.Person.Name, Fingerprint: p.Fingerprint.Hex(), PublicKey: p.Public.Text(),
	})
}

func (a *API) addPerson(c *call) error {
	var in api.NewPerson
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if in.Role == "" {
		in.Role = api.RoleUser
	}
	link, err := auth.NewLinkText(rand.Reader)
	if err != nil {
		return err
	}
	e, l, err := a.Vault.AddPerson(c.r.Context(), c.actor(), in.Name, vault.Role(in.Role), link.Hash())
	if err != nil {
		return taken(err)
	}
	c.w.Header().Set("Location", "/api/v1/people/"+string(e.Person.ID))
	out := personOf(e)
	out.Link, out.LinkExpiresAt = linkAddress(c.r, l.Kind, link), l.ExpiresAt.UTC()
	_, out.Receipt = a.receiptOf(c)
	return writeJSON(c.w, http.StatusCreated, out)
}

// taken says of a name what ErrExists says of a path.
func taken(err error) error {
	if errors.Is(err, vault.ErrNameTaken) {
		f := fail("exists", "Somebody has this name already. Choose another one.")
		f.cause = err
		return f
	}
	return err
}

func (a *API) changePerson(c *call) error {
	var in api.PersonChange
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	e, err := a.Vault.ChangePerson(c.r.Context(), c.actor(), personID(c), vault.PersonChange{Name: in.Name, Role: (*vault.Role)(in.Role), Active: in.Active})
	if err != nil {
		return taken(err)
	}
	out := personOf(e)
	_, out.Receipt = a.receiptOf(c)
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) changeMe(c *call) error {
	var in struct {
		DisplayName *string `json:"display_name"`
	}
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if in.DisplayName == nil {
		return invalid("display_name", "is missing")
	}
	p, err := a.Vault.ChangeProfile(c.r.Context(), c.actor(), *in.DisplayName)
	if err != nil {
		return err
	}
	out := profileOf(p)
	_, out.Receipt = a.receiptOf(c)
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) erasePerson(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	if err := a.Vault.ErasePerson(c.r.Context(), c.actor(), personID(c)); err != nil {
		return err
	}
	return a.done(c)
}

func (a *API) handOver(c *call) error {
	var in api.HandOverRequest
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if !isID(in.To) {
		return invalid("to", "must be 32 lower-case hex digits")
	}
	done, err := a.Vault.HandOverFiles(c.r.Context(), c.actor(), personID(c), vault.PersonID(in.To))
	if err != nil {
		return err
	}
	out := api.HandOver{Folder: done.Folder, Documents: done.Documents, Bytes: done.Bytes}
	_, out.Receipt = a.receiptOf(c)
	return writeJSON(c.w, http.StatusOK, out)
}

func profileOf(p vault.Profile) api.Profile {
	return api.Profile{
		ID: string(p.Person.ID), Name: p.Person.Name, DisplayName: p.Person.DisplayName, Role: api.Role(p.Person.Role), Suite: int(p.Suite),
		Fingerprint: p.Fingerprint.Hex(), FingerprintSpoken: p.Fingerprint.Spoken(), PublicKey: p.Public.Text(),
		Groups: inGroupsOf(p.Groups), BytesUsed: &p.Quota.Used.Bytes, FilesUsed: &p.Quota.Used.Files,
		BytesLimit: limitOf(p.Quota.Limits.Bytes), FilesLimit: limitOf(p.Quota.Limits.Files),
	}
}

func personOf(e vault.PersonEntry) api.PersonEntry {
	p := e.Person
	out := api.PersonEntry{
		ID: string(p.ID), Name: p.Name, DisplayName: p.DisplayName, Role: api.Role(p.Role), Active: p.Active,
		CreatedAt: p.CreatedAt.UTC(), Fingerprint: e.Fingerprint.Hex(), Groups: inGroupsOf(e.Groups),
	}
	if e.Private {
		hasPassword := p.PasswordHash != ""
		out.PasswordSet, out.SecondFactor, out.BytesUsed, out.FilesUsed = &hasPassword, &e.SecondFactor, &e.Bytes, &e.Files
		out.BytesLimit, out.FilesLimit = e.BytesLimit, e.FilesLimit
	}
	return out
}
