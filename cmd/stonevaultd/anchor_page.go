package main

import (
	"context"
	"encoding/hex"

	"stonevault/api"
	"stonevault/internal/anchor"
	"stonevault/internal/anchor/journal"
	"stonevault/internal/httpapi"
)

// anchorPage shows people where heads are anchored. What it is made of is there before the first request.
type anchorPage struct {
	*anchoring
	worker *anchor.Worker
}

var _ httpapi.Anchors = (*anchorPage)(nil)

func (p *anchorPage) Anchoring(context.Context) (api.Anchoring, error) {
	t, s := p.chain.Target(), p.worker.Status()
	out := api.Anchoring{
		Configured: true, ChainID: int64(t.ChainID), Contract: t.Contract.Hex(), Creator: t.Creator.Hex(), LogID: t.Log.String(),
		Condition: s.Condition, AnchoredSize: int64(s.Last.Size), AnchoredAt: s.Last.Changed,
	}
	if s.Steps == 0 {
		out.Condition = conditionStarting
	}
	if s.Problem != nil {
		out.Problem = s.Problem.Error()
	}
	return out, nil
}

func (p *anchorPage) Anchors(ctx context.Context, before int64, limit int) ([]api.AuditAnchor, error) {
	t := p.chain.Target()
	rows, err := p.db.Anchors(ctx, t.ChainID, t.Contract, t.Log, before, limit)
	if err != nil {
		return nil, err
	}
	list := make([]api.AuditAnchor, len(rows))
	for i, r := range rows {
		list[i] = api.AuditAnchor{
			ID: r.ID, State: api.AuditAnchorState(r.State.String()), ChainID: int64(t.ChainID), Contract: t.Contract.Hex(), Creator: t.Creator.Hex(),
			Block: int64(r.Block), Size: int64(r.Size), Root: hex.EncodeToString(r.Root[:]), At: r.Changed.UTC(),
		}
		if r.State > journal.Planned {
			list[i].Transaction = prefixed(r.Hash[:])
		}
	}
	return list, nil
}
