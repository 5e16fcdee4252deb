package httpapi

import (
	"context"
	"net/http"

	"stonevault/api"
	"stonevault/internal/vault"
)

// Quotas is what the handlers need of a vault's quotas.
type Quotas interface {
	PersonQuota(ctx context.Context, a vault.Actor, id vault.PersonID) (vault.Bound, error)
	SetPersonQuota(ctx context.Context, a vault.Actor, id vault.PersonID, l *vault.Limits) (vault.Bound, error)
	GroupQuota(ctx context.Context, a vault.Actor, id vault.GroupID) (vault.Bound, error)
	SetGroupQuota(ctx context.Context, a vault.Actor, id vault.GroupID, l vault.Limits) (vault.Bound, error)
}

func quotaOf(b vault.Bound) api.Quota {
	return api.Quota{
		Bytes: limitOf(b.Limits.Bytes), Files: limitOf(b.Limits.Files), Default: b.Group == "" && !b.Set,
		BytesUsed: b.Used.Bytes, FilesUsed: b.Used.Files,
	}
}

func limitOf(n int64) *int64 {
	if n == vault.NoLimit {
		return nil
	}
	return &n
}

// limits reads what a quota is to be; nil is the vault's setting.
func limits(c *call) (*vault.Limits, error) {
	if _, err := readQuery(c.r); err != nil {
		return nil, err
	}
	var in api.QuotaChange
	if err := readJSON(c.r, &in); err != nil {
		return nil, err
	}
	l := &vault.Limits{Bytes: vault.NoLimit, Files: vault.NoLimit}
	for field, value := range map[string]*int64{"bytes": in.Bytes, "files": in.Files} {
		switch {
		case value == nil:
		case in.Default:
			return nil, invalid(field, "does not go with default")
		case *value < 0:
			return nil, invalid(field, "is negative; leave it out where there is to be no limit")
		}
	}
	if in.Default {
		return nil, nil
	}
	if in.Bytes != nil {
		l.Bytes = *in.Bytes
	}
	if in.Files != nil {
		l.Files = *in.Files
	}
	return l, nil
}

func (a *API) personQuota(c *call) error {
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	b, err := a.Vault.PersonQuota(c.r.Context(), c.actor(), vault.PersonID(personIn(c)))
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, quotaOf(b))
}

func (a *API) putPersonQuota(c *call) error {
	l, err := limits(c)
	if err != nil {
		return err
	}
	b, err := a.Vault.SetPersonQuota(c.r.Context(), c.actor(), vault.PersonID(personIn(c)), l)
	return a.changedQuota(c, b, err)
}

func (a *API) groupQuota(c *call) error {
	id, err := groupID(c)
	if err != nil {
		return err
	}
	if _, err := readQuery(c.r); err != nil {
		return err
	}
	b, err := a.Vault.GroupQuota(c.r.Context(), c.actor(), id)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, quotaOf(b))
}

func (a *API) putGroupQuota(c *call) error {
	id, err := groupID(c)
	if err != nil {
		return err
	}
	l, err := limits(c)
	if err != nil {
		return err
	}
	if l == nil {
		return invalid("default", "is for people alone; leave bytes and files out where there is to be no limit")
	}
	b, err := a.Vault.SetGroupQuota(c.r.Context(), c.actor(), id, *l)
	return a.changedQuota(c, b, err)
}

func (a *API) changedQuota(c *call, b vault.Bound, err error) error {
	if err != nil {
		return err
	}
	out := quotaOf(b)
	_, out.Receipt = a.receiptOf(c)
	return writeJSON(c.w, http.StatusOK, out)
}
