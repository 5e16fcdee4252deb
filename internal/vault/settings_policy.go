package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"stonevault/audit"
	"stonevault/internal/access"
)

const (
	registrationOpen = "open"
	registrationShut = "closed"
)

// Settings are what admins decide for the whole vault.
type Settings struct {
	Registration               string // "open": strangers may make accounts for themselves, as users; or "closed"
	SecondFactorRoles          []Role // who must have a second factor
	DefaultBytes, DefaultFiles *int64 // limits of a person who has none of their own; nil is none
}

// settingsTable says how each setting is kept: one JSON value under a name, and none where nothing is set.
var settingsTable = []struct {
	name  string
	value func(*Settings) any // a pointer to it
}{
	{"registration", func(s *Settings) any { return &s.Registration }},
	{"second_factor_roles", func(s *Settings) any { return &s.SecondFactorRoles }},
	{settingDefaultBytes, func(s *Settings) any { return &s.DefaultBytes }},
	{settingDefaultFiles, func(s *Settings) any { return &s.DefaultFiles }},
}

// settings reads all of them. What was never set is as a new vault has it: closed, and without limits.
func settings(ctx context.Context, tx Tx) (Settings, error) {
	s := Settings{Registration: registrationShut, SecondFactorRoles: []Role{}}
	for _, row := range settingsTable {
		text, err := tx.Settings().Get(ctx, row.name)
		if isMissing(err) {
			continue
		}
		if err == nil {
			err = json.Unmarshal(text, row.value(&s))
		}
		if err != nil {
			return Settings{}, fmt.Errorf("vault: setting %s: %w", row.name, err)
		}
	}
	return s, nil
}

func (s Settings) needsFactor(role Role) bool { return slices.Contains(s.SecondFactorRoles, role) }

// check puts the roles in order, each once, and refuses what no setting can be.
func (s *Settings) check() error {
	if s.Registration != registrationOpen && s.Registration != registrationShut {
		return &InvalidError{"registration", "is neither closed nor open"}
	}
	s.SecondFactorRoles = slices.Clone(s.SecondFactorRoles)
	slices.Sort(s.SecondFactorRoles)
	s.SecondFactorRoles = slices.Compact(s.SecondFactorRoles)
	for _, role := range s.SecondFactorRoles {
		if !role.valid() {
			return &InvalidError{"second_factor_roles", "holds something else than admin, manager and user"}
		}
	}
	for name, limit := range map[string]*int64{settingDefaultBytes: s.DefaultBytes, settingDefaultFiles: s.DefaultFiles} {
		if limit != nil && (*limit < 0 || *limit > audit.MaxCount) {
			return &InvalidError{name, "is not a number from 0 on; leave it out for no limit"}
		}
	}
	return nil
}

// ETag is another one for other settings.
func (s Settings) ETag() (string, error) {
	h := sha256.New()
	for _, row := range settingsTable {
		value, err := json.Marshal(row.value(&s))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %s\n", row.name, value)
	}
	return fmt.Sprintf(`"%x"`, h.Sum(nil)[:16]), nil
}

// maySettings refuses whoever may not do this with the settings.
func maySettings(ctx context.Context, tx Tx, a Actor, action access.Action) error {
	asker, err := asking(ctx, tx, a)
	if err != nil {
		return err
	}
	return permit(access.Decide(access.Role(asker.Role), action, access.Vault))
}

// Settings returns all settings.
func (v *Vault) Settings(ctx context.Context, a Actor) (s Settings, err error) {
	err = v.db.View(ctx, func(tx Tx) error {
		if err := maySettings(ctx, tx, a, access.SettingsSee); err != nil {
			return err
		}
		s, err = settings(ctx, tx)
		return err
	})
	return s, err
}

// ChangeSettings sets all settings, and records each that is another than before. Where match, an If-Match
// header, is not empty and those before have another ETag, it is ErrPrecondition.
func (v *Vault) ChangeSettings(ctx context.Context, a Actor, s Settings, match string) error {
	if err := s.check(); err != nil {
		return err
	}
	return v.change(ctx, func(tx Tx) error {
		if err := maySettings(ctx, tx, a, access.SettingsChange); err != nil {
			return err
		}
		was, err := settings(ctx, tx)
		if err != nil {
			return err
		}
		if etag, err := was.ETag(); err != nil {
			return err
		} else if match != "" && !ifMatch(match, etag) {
			return ErrPrecondition
		}
		for _, row := range settingsTable {
			before, err := json.Marshal(row.value(&was))
			if err != nil {
				return err
			}
			after, err := json.Marshal(row.value(&s))
			if err != nil {
				return err
			}
			if bytes.Equal(before, after) {
				continue
			}
			if string(after) == "null" {
				err = tx.Settings().Delete(ctx, row.name)
			} else {
				err = tx.Settings().Put(ctx, row.name, after)
			}
			if err != nil {
				return err
			}
			if err := v.record(ctx, tx, audit.SettingsChanged, &a, audit.Values{"name": row.name, "value": string(after)}, nil); err != nil {
				return err
			}
		}
		return nil
	})
}
