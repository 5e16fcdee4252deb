package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"stonevault/api"
	"stonevault/internal/access"
	"stonevault/internal/quantum"
	"stonevault/internal/vault"
	"stonevault/qkd/bb84"
	"stonevault/qkd/kme"
)

// Quantum is what the handlers need of sessions for quantum keys.
type Quantum interface {
	Start(ctx context.Context, by quantum.Asker, with string) (quantum.Session, error)
	Session(ctx context.Context, by quantum.Asker, id string) (quantum.Session, error)
	Sessions(ctx context.Context, by quantum.Asker, before *quantum.Session, limit int) ([]quantum.Session, error)
	Pools(ctx context.Context, by quantum.Asker, after kme.Pair, limit int) ([]quantum.Pool, error)
	Experiment(ctx context.Context, e quantum.Experiment) (*bb84.Result, error)
	Eavesdrop(ctx context.Context, by quantum.Asker, between [2]string, attack bb84.Attack, share float64) error
	StopEavesdropping(ctx context.Context, by quantum.Asker, between [2]string) error
	Eavesdroppers(ctx context.Context, by quantum.Asker, after [2]string, limit int) ([]quantum.Eavesdropper, error)
}

var _ Quantum = (*quantum.Service)(nil)

func (c *call) experimenter() quantum.Asker {
	return quantum.Asker{Actor: c.whoActs(), Role: access.Role(c.who.Role)}
}

// quantumFailure says what went wrong as HTTP has it.
func quantumFailure(err error) error {
	var wrong *quantum.InvalidError
	switch {
	case errors.Is(err, quantum.ErrNotFound):
		return errors.Join(fail("not-found", ""), err)
	case errors.Is(err, quantum.ErrForbidden):
		return errors.Join(fail("forbidden", ""), err)
	case errors.As(err, &wrong):
		return invalid(wrong.Field, wrong.Reason)
	case errors.Is(err, bb84.ErrParameters):
		return errors.Join(invalid("pulses", "must make a session that can be simulated, with the other values"), err)
	}
	return err
}

func quantumPerson(p quantum.Person) api.QuantumPerson {
	return api.QuantumPerson{ID: p.ID, Name: p.Name}
}

func quantumSessionOf(s quantum.Session) api.QuantumSession {
	authenticated := api.QuantumSessionAuthenticatedByDrawn
	if s.SecretFrom != "" {
		authenticated = api.QuantumSessionAuthenticatedByKept
	}
	return api.QuantumSession{
		AuthenticatedBy: authenticated, SecretFrom: s.SecretFrom,
		Mode: api.QuantumModeSimulated, ID: s.ID, From: quantumPerson(s.Master), To: quantumPerson(s.Slave), State: api.QuantumSessionState(s.State),
		StartedAt: s.StartedAt, EndedAt: s.EndedAt, Result: json.RawMessage(s.Result),
	}
}

// afterCut reads the two parts of a cursor; both are empty where there is none.
func afterCut(q query) (first, second string, err error) {
	text, given := q["cursor"]
	first, second, ok := strings.Cut(text, "-")
	if given && (!ok || !isID(second)) {
		return "", "", invalid("cursor", "is no next_cursor of this list")
	}
	return first, second, nil
}

// afterPair reads a cursor that is the ids of two people.
func afterPair(q query) (pair [2]string, err error) {
	pair[0], pair[1], err = afterCut(q)
	if err == nil && pair[1] != "" && !isID(pair[0]) {
		err = invalid("cursor", "is no next_cursor of this list")
	}
	return pair, err
}

func (a *API) listQuantumSessions(c *call) error {
	q, err := readQuery(c.r, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := q.limit()
	if err != nil {
		return err
	}
	at, id, err := afterCut(q)
	if err != nil {
		return err
	}
	var before *quantum.Session
	if id != "" {
		ms, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return invalid("cursor", "is no next_cursor of this list")
		}
		before = &quantum.Session{ID: id, StartedAt: time.UnixMilli(ms)}
	}
	list, err := a.Quantum.Sessions(c.r.Context(), c.experimenter(), before, limit+1)
	if err != nil {
		return err
	}
	out := api.QuantumSessionList{Mode: api.QuantumModeSimulated, Items: []api.QuantumSession{}}
	for i, s := range list {
		if i == limit {
			last := list[i-1]
			out.NextCursor = strconv.FormatInt(last.StartedAt.UnixMilli(), 10) + "-" + last.ID
			linkNext(c, q, out.NextCursor)
			break
		}
		out.Items = append(out.Items, quantumSessionOf(s))
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) startQuantumSession(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	var in api.NewQuantumSession
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if err := sized("with", in.With, maxNameBytes); err != nil {
		return err
	}
	other, err := a.Vault.FindPerson(c.r.Context(), c.actor(), in.With)
	if err != nil {
		return err
	}
	if other.Person.ID == vault.PersonID(c.who.Person) {
		return invalid("with", "is you; a session has two people")
	}
	s, err := a.Quantum.Start(c.r.Context(), c.experimenter(), string(other.Person.ID))
	if err != nil {
		return quantumFailure(err)
	}
	c.w.Header().Set("Location", "/api/v1/quantum/sessions/"+s.ID)
	return writeJSON(c.w, http.StatusCreated, quantumSessionOf(s))
}

func (a *API) quantumSession(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	id := c.r.PathValue("id")
	if !isID(id) {
		return fail("not-found", "")
	}
	s, err := a.Quantum.Session(c.r.Context(), c.experimenter(), id)
	if err != nil {
		return quantumFailure(err)
	}
	return writeJSON(c.w, http.StatusOK, quantumSessionOf(s))
}

func (a *API) listQuantumPools(c *call) error {
	q, err := readQuery(c.r, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := q.limit()
	if err != nil {
		return err
	}
	after, err := afterPair(q)
	if err != nil {
		return err
	}
	list, err := a.Quantum.Pools(c.r.Context(), c.experimenter(), kme.Pair{Master: after[0], Slave: after[1]}, limit+1)
	if err != nil {
		return err
	}
	out := api.QuantumPoolList{Mode: api.QuantumModeSimulated, Items: []api.QuantumPool{}}
	for i, p := range list {
		if i == limit {
			out.NextCursor = list[i-1].Master.ID + "-" + list[i-1].Slave.ID
			linkNext(c, q, out.NextCursor)
			break
		}
		out.Items = append(out.Items, api.QuantumPool{From: quantumPerson(p.Master), To: quantumPerson(p.Slave), Keys: int64(p.Keys)})
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) experiment(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	var in api.QuantumExperiment
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	if in.Seed != "" {
		if err := sized("seed", in.Seed, maxNameBytes); err != nil {
			return err
		}
	}
	e := quantum.Experiment{
		Preset: in.Preset, Source: bb84.Source(in.Source), Distance: in.DistanceKm, Eve: bb84.Eve{Attack: bb84.Attack(in.Attack), Fraction: in.Eve}, Seed: in.Seed,
	}
	if in.Pulses != nil {
		if e.Pulses = *in.Pulses; e.Pulses < 1 {
			return invalid("pulses", "must be 1 or more")
		}
	}
	r, err := a.Quantum.Experiment(c.r.Context(), e)
	if err != nil {
		return quantumFailure(err)
	}
	return writeJSON(c.w, http.StatusOK, r)
}

func (a *API) quantumRates(c *call) error {
	q, err := readQuery(c.r, "source")
	if err != nil {
		return err
	}
	source := bb84.Decoy
	if s, given := q["source"]; given {
		source = bb84.Source(s)
	}
	curves, err := quantum.Rates(source)
	if err != nil {
		return quantumFailure(err)
	}
	out := api.QuantumRates{Mode: api.QuantumModeSimulated, Source: api.QuantumSource(source), Curves: []api.QuantumCurve{}}
	for _, curve := range curves {
		of := api.QuantumCurve{Name: curve.Name, Title: curve.Title, Reference: curve.Source, DistanceKm: curve.Setup.Channel.Distance, Pulses: curve.Setup.Pulses}
		for _, p := range curve.Points {
			of.Points = append(of.Points, api.QuantumRate{DistanceKm: p.Distance, PerSecond: p.PerSecond, PerPulse: p.PerPulse, Length: p.Length, Qber: p.QBER})
		}
		out.Curves = append(out.Curves, of)
	}
	return writeJSON(c.w, http.StatusOK, out)
}
