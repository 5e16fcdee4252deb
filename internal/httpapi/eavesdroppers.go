package httpapi

import (
	"net/http"

	"stonevault/api"
	"stonevault/qkd/bb84"
)

// between are the people at the two ends that a path names.
func between(c *call) (pair [2]string, err error) {
	if _, err := readQuery(c.r); err != nil {
		return pair, err
	}
	if pair = [2]string{personIn(c), c.r.PathValue("other")}; pair[1] == "me" {
		pair[1] = c.who.Person
	}
	if !isID(pair[0]) || !isID(pair[1]) {
		return pair, fail("not-found", "")
	}
	return pair, nil
}

func (a *API) listEavesdroppers(c *call) error {
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
	list, err := a.Quantum.Eavesdroppers(c.r.Context(), c.experimenter(), after, limit+1)
	if err != nil {
		return err
	}
	out := api.QuantumEavesdropperList{Mode: api.QuantumModeSimulated, Items: []api.QuantumEavesdropper{}}
	for i, e := range list {
		if i == limit {
			out.NextCursor = list[i-1].People[0].ID + "-" + list[i-1].People[1].ID
			linkNext(c, q, out.NextCursor)
			break
		}
		item := api.QuantumEavesdropper{
			Person: quantumPerson(e.People[0]), Other: quantumPerson(e.People[1]), Attack: api.QuantumAttack(e.Attack), Share: e.Fraction(), Since: e.Since,
		}
		if e.By.ID != "" {
			by := quantumPerson(e.By)
			item.By = &by
		}
		out.Items = append(out.Items, item)
	}
	return writeJSON(c.w, http.StatusOK, out)
}

func (a *API) putEavesdropper(c *call) error {
	pair, err := between(c)
	if err != nil {
		return err
	}
	var in struct {
		Attack *string  `json:"attack"`
		Share  *float64 `json:"share"`
	}
	if err := readJSON(c.r, &in); err != nil {
		return err
	}
	switch {
	case in.Attack == nil:
		return invalid("attack", "is missing")
	case in.Share == nil:
		return invalid("share", "is missing")
	}
	if err := a.Quantum.Eavesdrop(c.r.Context(), c.experimenter(), pair, bb84.Attack(*in.Attack), *in.Share); err != nil {
		return quantumFailure(err)
	}
	return a.done(c)
}

func (a *API) removeEavesdropper(c *call) error {
	pair, err := between(c)
	if err != nil {
		return err
	}
	if err := a.Quantum.StopEavesdropping(c.r.Context(), c.experimenter(), pair); err != nil {
		return quantumFailure(err)
	}
	return a.done(c)
}
