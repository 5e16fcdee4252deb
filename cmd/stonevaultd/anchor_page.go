package main

import (
	"context"
	"encoding/hex"

	"stonevault/api"
	"stonevault/internal/anchor/journal"
	"stonevault/internal/httpapi"
)

// anchorPage shows people where heads are anchored, by whichever server. What it is made of is there before the first
// request.
type anchorPage struct{ *anchoring }

var _ httpapi.Anchors = (*anchorPage)(nil)

func (p *anchorPage) Anchoring(ctx context.Context) (api.Anchoring, error) {
	t := p.chain.Target()
	out := api.Anchoring{Configured: true, ChainID: int64(t.ChainID), Contract: t.Contract.Hex(), Creator: t.Creator.Hex(), LogID: t.Log.String()}
	state, err := readSetting[note](ctx, p.db, settingAnchorState)
	if err != nil {
		return out, err
	}
	out.Condition, out.Problem = state.Condition, state.Problem
	if state.Condition == "" || state.Condition == conditionOff { // of before
		out.Condition = conditionStarting
	}
	rows, err := p.db.Anchors(ctx, t.ChainID, t.Contract, t.Log, 0, newestAnchors)
	for _, r := range rows {
		if r.State == journal.Final {
			out.AnchoredSize, out.AnchoredAt = int64(r.Size), r.Changed
			break
		}
	}
	return out, err
}

// newestAnchors has the last final one among them: one transaction at a time is in flight, with few replacements.
const newestAnchors = 50

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
