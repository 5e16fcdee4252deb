package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"stonevault/internal/config"
	"stonevault/internal/vault"
)

// posture is what the command shows, as JSON.
type posture struct {
	Suite    int              `json:"suite"` // of what is sealed from now on
	Stones   int64            `json:"stones"`
	ByKey    []protection     `json:"by_key"`
	Outlived int              `json:"keys_outlived"` // whose seeds are still needed
	Master   masterPosture    `json:"master_key"`
	Recovery recoveryPosture  `json:"recovery"`
	TLS      tlsPosture       `json:"tls"`
	UnderWay []underWayOfKind `json:"rotations"`
}

type protection struct {
	Suite      int     `json:"suite"`
	KeyVersion int     `json:"key_version"`
	InUse      bool    `json:"in_use"`
	Stones     int64   `json:"stones"`
	Share      float64 `json:"share"` // of all
}

type masterPosture struct {
	Version      int64     `json:"version"`
	Since        time.Time `json:"since"`
	Source       string    `json:"source"`
	FormerNeeded bool      `json:"former_needed"`
	Secrets      int64     `json:"secrets"`
	SecretsNow   int64     `json:"secrets_under_it"`
}

type recoveryPosture struct {
	Exists    bool   `json:"exists"`
	Confirmed bool   `json:"confirmed"`
	Version   int    `json:"version"`
	Suite     int    `json:"suite"`
	Since     string `json:"since,omitempty"`
}

type tlsPosture struct {
	On                  bool   `json:"on"`
	How                 string `json:"how"`
	PostQuantumRequired bool   `json:"post_quantum_required"`
}

type underWayOfKind struct {
	Of    string `json:"of"`
	Done  int    `json:"done"`
	Total int    `json:"total"`
}

func newPosture(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "posture --data DIR",
		Short: "Show how what the vault keeps is protected",
		Long: `Shows which share of the files (each of their versions is one) is under which suite and under which version of their
owners' keys, the master key's version and what is still under another one, whether the recovery sheet is confirmed, what
these settings say of TLS, and which keys are being replaced. It works while the server runs or not, and changes nothing.`,
		Example: `  stonevaultd posture --data ./data --json`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.beside(cmd, toChange, func(ctx context.Context, s *store, c config.Config) error {
				found, err := s.vault.Posture(ctx)
				if err != nil {
					return err
				}
				p := postureOf(found, c)
				if asJSON {
					return json.NewEncoder(a.stdout).Encode(p)
				}
				return p.print(a.stdout)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	config.AddFlags(cmd.Flags(), append(slices.Clone(doctorKeys), besideFlags...)...)
	return cmd
}

func postureOf(found vault.Posture, c config.Config) posture {
	p := posture{
		Suite: int(found.Suite), Outlived: found.Outlived, ByKey: []protection{}, UnderWay: []underWayOfKind{},
		Master: masterPosture{
			Version: found.Master.Number, Since: found.Master.UsedAt, Source: string(c.MasterKey.Kind), FormerNeeded: found.FormerNeeded,
			Secrets: found.Sealed, SecretsNow: found.SealedNow,
		},
		Recovery: recoveryPosture{Exists: found.HasRecovery, Confirmed: found.Confirmed},
		TLS:      tlsPosture{On: c.TLS.On(), PostQuantumRequired: c.TLS.RequirePostQuantum},
	}
	for _, s := range found.Stones {
		p.Stones += s.Stones
	}
	for _, s := range found.Stones {
		p.ByKey = append(p.ByKey, protection{int(s.Suite), s.KeyVersion, s.InUse, s.Stones, float64(s.Stones) / float64(p.Stones)})
	}
	if found.HasRecovery {
		p.Recovery.Version, p.Recovery.Suite, p.Recovery.Since = found.Recovery.Version, int(found.Recovery.Suite), found.Recovery.CreatedAt.Format(time.RFC3339)
	}
	switch {
	case c.TLS.CertFile != "":
		p.TLS.How = "certificate"
	case c.TLS.Generate:
		p.TLS.How = "made"
	case c.Proxy.HasTLS:
		p.TLS.How = "proxy"
	default:
		p.TLS.How = "none"
	}
	for _, kind := range vault.RotationKinds {
		if state, running := found.UnderWay[kind]; running {
			p.UnderWay = append(p.UnderWay, underWayOfKind{string(kind), state.Done, state.Total})
		}
	}
	return p
}

var tlsWords = map[string]string{
	"certificate": "with a certificate from the settings", "made": "with a certificate of the server's own, which is for trying out",
	"proxy": "left to a proxy in front", "none": "none, and this machine alone is served",
}

// print writes a line for each thing that somebody asks about.
func (p posture) print(w io.Writer) error {
	var err error
	say := func(what, format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, "%-11s  %s\n", what, fmt.Sprintf(format, args...))
		}
	}
	say("suite", "%d, for what is sealed from now on", p.Suite)
	say("files", "%d, each version one", p.Stones)
	for _, b := range p.ByKey {
		use := "in use"
		if !b.InUse {
			use = "to be replaced"
		}
		say("files", "%5.1f %%  suite %d, version %d of their owners' keys, %s: %d", 100*b.Share, b.Suite, b.KeyVersion, use, b.Stones)
	}
	say("keys", "old ones that something still needs: %d", p.Outlived)
	say("master key", "version %d since %s, from %s; secrets under it: %d of %d", p.Master.Version, p.Master.Since.Format(time.DateOnly), p.Master.Source,
		p.Master.SecretsNow, p.Master.Secrets)
	switch r := p.Recovery; {
	case !r.Exists:
		say("recovery", "there is none yet; it is made with the first account")
	case r.Confirmed:
		say("recovery", "version %d since %s, confirmed", r.Version, r.Since)
	default:
		say("recovery", "version %d since %s; nobody has confirmed that the sheet is kept", r.Version, r.Since)
	}
	required := "not required of clients"
	if p.TLS.PostQuantumRequired {
		required = "required of clients"
	}
	say("tls", "%s; post-quantum key exchange is %s", tlsWords[p.TLS.How], required)
	for _, u := range p.UnderWay {
		say("rotation", "%s: %d of %d", u.Of, u.Done, u.Total)
	}
	return err
}
