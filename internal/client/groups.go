package client

import (
	"context"
	"iter"
	"net/http"
	"strings"

	"stonevault/api"
)

// Groups yields those that one may see. name is part of the name, or empty; sort is as the API takes it.
func (c *Client) Groups(ctx context.Context, name, sort string) iter.Seq2[api.Group, error] {
	limit := pageSize
	params := api.ListGroupsParams{Limit: &limit, NameContains: orNil(name), Sort: orNil(sort)}
	return listed(ctx, c, func(l *api.GroupList) ([]api.Group, string) { return l.Items, l.NextCursor },
		func(ctx context.Context, cursor *string, auth api.RequestEditorFn) (*http.Response, error) {
			params.Cursor = cursor
			return c.api.ListGroups(ctx, &params, auth)
		})
}

// FindGroup returns the group of this name; ErrNotFound where there is none of which one may know.
func (c *Client) FindGroup(ctx context.Context, name string) (*api.Group, error) {
	for g, err := range c.Groups(ctx, name, "") {
		if err != nil {
			return nil, err
		}
		if strings.EqualFold(g.Name, name) {
			return &g, nil
		}
	}
	return nil, ErrNotFound
}

// Group returns the group with this id.
func (c *Client) Group(ctx context.Context, group string) (*api.Group, error) {
	return ask[api.Group](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.GetGroup(ctx, group, auth)
	})
}

// CreateGroup makes a group, of which one is the manager.
func (c *Client) CreateGroup(ctx context.Context, name string) (*api.Group, error) {
	return document[api.Group](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.CreateGroup(ctx, nil, api.GroupName{Name: name}, auth)
	})
}

// RenameGroup gives a group another name.
func (c *Client) RenameGroup(ctx context.Context, group, name string) (*api.Group, error) {
	return document[api.Group](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.RenameGroup(ctx, group, nil, api.GroupName{Name: name}, auth)
	})
}

// DeleteGroup deletes a group. Its members and their files stay.
func (c *Client) DeleteGroup(ctx context.Context, group string) error {
	return c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.DeleteGroup(ctx, group, nil, auth)
	})
}

// Members yields who belongs to a group and who manages it, by name.
func (c *Client) Members(ctx context.Context, group string) iter.Seq2[api.Member, error] {
	limit := pageSize
	return listed(ctx, c, func(l *api.MemberList) ([]api.Member, string) { return l.Items, l.NextCursor },
		func(ctx context.Context, cursor *string, auth api.RequestEditorFn) (*http.Response, error) {
			return c.api.ListMembers(ctx, group, &api.ListMembersParams{Limit: &limit, Cursor: cursor}, auth)
		})
}

// SetMember says what somebody is in a group: at least one of the two.
func (c *Client) SetMember(ctx context.Context, group, person string, member, manager bool) error {
	return c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.PutMember(ctx, group, person, nil, api.Membership{Member: member, Manager: manager}, auth)
	})
}

// RemoveMember takes somebody out of a group, or leaves it.
func (c *Client) RemoveMember(ctx context.Context, group, person string) error {
	return c.do(ctx, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.RemoveMember(ctx, group, person, nil, auth)
	})
}

// Quota says what a person may keep, and does.
func (c *Client) Quota(ctx context.Context, person string) (*api.Quota, error) {
	return ask[api.Quota](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.GetPersonQuota(ctx, person, auth)
	})
}

// ChangeQuota replaces what a person may keep.
func (c *Client) ChangeQuota(ctx context.Context, person string, to api.QuotaChange) (*api.Quota, error) {
	return document[api.Quota](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.PutPersonQuota(ctx, person, nil, to, auth)
	})
}

// GroupQuota says what the members of a group may keep together, and do.
func (c *Client) GroupQuota(ctx context.Context, group string) (*api.Quota, error) {
	return ask[api.Quota](ctx, c, "", func(ctx context.Context, auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.GetGroupQuota(ctx, group, auth)
	})
}

// ChangeGroupQuota replaces what the members of a group may keep together.
func (c *Client) ChangeGroupQuota(ctx context.Context, group string, to api.QuotaChange) (*api.Quota, error) {
	return document[api.Quota](ctx, c, func(auth api.RequestEditorFn) (*http.Response, error) {
		return c.api.PutGroupQuota(ctx, group, nil, to, auth)
	})
}
