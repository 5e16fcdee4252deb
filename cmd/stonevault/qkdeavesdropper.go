package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"stonevault/api"
	"stonevault/internal/client"
	"stonevault/qkd/bb84"
)

const (
	eavesdropperListExample = "stonevault qkd eavesdropper list"
	eavesdropperOnExample   = "stonevault qkd eavesdropper on ann bob --share 0.5"
	eavesdropperOffExample  = "stonevault qkd eavesdropper off ann bob"
)

func newQKDEavesdropper(a *app) *cobra.Command {
	return withVerbs(&cobra.Command{
		Use:   "eavesdropper",
		Short: "Put a simulated eavesdropper between two people",
		Long: `Puts a simulated eavesdropper on the fibre between two people of a vault, for admins, and lists those between oneself and
others. She attacks the pulses of each session that begins while she is there, whichever of the two begins it; keys that were
made before stay in their pools.`,
		Example: "  " + eavesdropperOnExample + "\n  " + eavesdropperOffExample,
	}, eavesdropperOnExample, newEavesdropperList(a), newEavesdropperOn(a), newEavesdropperOff(a))
}

func newEavesdropperList(a *app) *cobra.Command {
	return listVerb(a, &cobra.Command{
		Use:     "list",
		Short:   "List simulated eavesdroppers",
		Long:    `Lists the eavesdroppers between you and others, or as an admin all: the two people, the attack, which part of the pulses, since when.`,
		Example: "  " + eavesdropperListExample + "\n  stonevault qkd eavesdropper list --json",
		Args:    operands(0, 0, "nothing but flags", eavesdropperListExample),
	}, (*client.Client).Eavesdroppers, func(e *api.QuantumEavesdropper) []string {
		return []string{shown(e.Person.Name), shown(e.Other.Name), string(e.Attack), share(e.Share), minute(&e.Since)}
	})
}

// share is a part of the pulses, to a millionth.
func share(part float64) string { return strconv.FormatFloat(100*part, 'g', 6, 64) + "%" }

func newEavesdropperOn(a *app) *cobra.Command {
	var attack string
	var part float64
	cmd := a.onFibre("on PERSON PERSON", "Put a simulated eavesdropper between two people, or change what she does",
		`Puts a simulated eavesdropper between two people, for admins. With --share 1 about a quarter of the bits differ, and sessions end
without a key. Splitting photons (pns) makes no errors.`,
		eavesdropperOnExample, true, func(ctx context.Context, c *client.Client, one, other string) error {
			return c.Eavesdrop(ctx, one, other, api.Eavesdropping{Attack: api.QuantumAttack(attack), Share: part})
		})
	cmd.Flags().StringVar(&attack, "attack", string(bb84.Intercept), "how she attacks: `ATTACK` is intercept, breidbart or pns")
	complete(cmd, "attack", string(bb84.Intercept), string(bb84.Breidbart), string(bb84.Splitting))
	cmd.Flags().Float64Var(&part, "share", 1, "the part `F` of the pulses that she attacks, above 0 and at most 1")
	return cmd
}

func newEavesdropperOff(a *app) *cobra.Command {
	return a.onFibre("off PERSON PERSON", "Take the simulated eavesdropper between two people away",
		"Takes the simulated eavesdropper between two people away, for admins. The next session is undisturbed.",
		eavesdropperOffExample, false, func(ctx context.Context, c *client.Client, one, other string) error {
			return c.StopEavesdropping(ctx, one, other)
		})
}

// onFibre makes a verb about the fibre between two people, who are named, after which somebody listens to it or not.
func (a *app) onFibre(use, short, long, example string, on bool, do func(ctx context.Context, c *client.Client, one, other string) error) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: "  " + example, Args: operands(2, 2, "two people", example),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			var ids [2]string
			for i, name := range args {
				if ids[i], err = c.FindPerson(cmd.Context(), name); err != nil {
					return err
				}
			}
			if err := do(cmd.Context(), c, ids[0], ids[1]); err != nil {
				return err
			}
			switch {
			case asJSON:
				return writeJSON(a.stdout, map[string]any{"mode": bb84.Simulated, "person": ids[0], "other": ids[1], "eavesdropper": on})
			case on:
				a.say("A simulated eavesdropper listens between %s and %s now.", shown(args[0]), shown(args[1]))
			default:
				a.say("Nobody listens between %s and %s any more.", shown(args[0]), shown(args[1]))
			}
			return nil
		},
	}
	addJSON(cmd, &asJSON)
	return cmd
}
