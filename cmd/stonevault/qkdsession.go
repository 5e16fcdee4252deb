package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
	"stonevault/qkd/bb84"
)

const (
	qkdSessionsExample = "stonevault qkd sessions"
	qkdShowExample     = "stonevault qkd show SESSION"
	qkdStartExample    = "stonevault qkd start bob"
	qkdStatusExample   = "stonevault qkd status"
)

// qkdKeysHonest is said wherever people see keys of a vault.
const qkdKeysHonest = "Simulated: these keys add no protection beyond ML-KEM and ECDH."

func newQKDSessions(a *app) *cobra.Command {
	return listVerb(a, &cobra.Command{
		Use:   "sessions",
		Short: "List the sessions that made quantum keys in a vault",
		Long: `Lists the simulated sessions between you and others, the newest first, or as an admin all: id, who takes the keys and who
fetches them, what became of it, and when it began.`,
		Example: "  " + qkdSessionsExample + "\n  stonevault qkd sessions --limit 5 --json",
		Args:    operands(0, 0, "nothing but flags", qkdSessionsExample),
	}, (*client.Client).QuantumSessions, func(s *api.QuantumSession) []string {
		return []string{s.ID, shown(s.From.Name), shown(s.To.Name), string(s.State), minute(&s.StartedAt)}
	})
}

// onSession makes a verb that prints a session, about one operand.
func (a *app) onSession(use, short, long, example, what string, find func(cmd *cobra.Command, c *client.Client, arg string) (*api.QuantumSession, error)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: "  " + example, Args: operands(1, 1, what, example),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			s, err := find(cmd, c, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, s)
			}
			return a.showSession(s)
		},
	}
	addJSON(cmd, &asJSON)
	return cmd
}

func newQKDShow(a *app) *cobra.Command {
	return a.onSession("show SESSION", "Show what a session came to",
		`Shows one session step by step, from the pulses of light to the secret bits, and which session left the secret that
authenticates this one, or that it was drawn. With --json it has the first 300 pulses too.`,
		qkdShowExample, "one id of a session", func(cmd *cobra.Command, c *client.Client, id string) (*api.QuantumSession, error) {
			return c.QuantumSession(cmd.Context(), id)
		})
}

func newQKDStart(a *app) *cobra.Command {
	return a.onSession("start PERSON", "Run a session with another person",
		`Simulates a session between you and another person on the server, which fills the pool of keys that you take for this person.
Its messages are authenticated with what the last session of you two left for that, once. Where there is none, as after a session
that ended without a key, a secret is drawn, as people bring one along who meet for the first time.`,
		qkdStartExample, "one person's name", func(cmd *cobra.Command, c *client.Client, name string) (*api.QuantumSession, error) {
			return c.StartQuantumSession(cmd.Context(), name)
		})
}

func (a *app) showSession(s *api.QuantumSession) error {
	t := newTable(a.stdout)
	t.line("session", s.ID, string(s.State))
	t.line("from", shown(s.From.Name), "takes keys")
	t.line("to", shown(s.To.Name), "fetches them")
	t.line("began", minute(&s.StartedAt), "")
	if s.SecretFrom == "" {
		t.line("secret", "drawn", "authenticates it")
	} else {
		t.line("secret", s.SecretFrom, "authenticates it, left by this session")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(s.Result) == 0 {
		return nil
	}
	var r bb84.Result
	if err := json.Unmarshal(s.Result, &r); err != nil || r.Setup == nil {
		return fmt.Errorf("the server's account of the session cannot be read; use --json")
	}
	if err := writeQKDRun(a.stdout, &r); err != nil {
		return err
	}
	a.say("%s", qkdKeysHonest)
	return nil
}

func newQKDStatus(a *app) *cobra.Command {
	var f listing
	cmd := &cobra.Command{
		Use:   "status",
		Short: "List how many quantum keys wait in a vault",
		Long: `Lists the pools that have keys, yours or as an admin all: who takes the keys, who fetches them, and how many of 256 bits there
are. A pool that is empty is filled by a session when a key is asked for.`,
		Example: "  " + qkdStatusExample + "\n  stonevault qkd status --json",
		Args:    operands(0, 0, "nothing but flags", qkdStatusExample),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			pools, err := some(c.QuantumPools(cmd.Context()), f.limit)
			if err != nil {
				return err
			}
			if f.json {
				return writeItems(a.stdout, pools)
			}
			t := newTable(a.stdout)
			for _, p := range pools {
				t.line(shown(p.From.Name), shown(p.To.Name), counted(p.Keys, "key", "keys"))
			}
			if err := t.Flush(); err != nil {
				return err
			}
			a.say("%s", qkdKeysHonest)
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
