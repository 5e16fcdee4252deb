package main

import (
	"github.com/spf13/cobra"

	"stonevault/qkd/bb84"
)

const qkdExample = "stonevault qkd run --distance 50"

// qkdHonest is said wherever people see a run.
const qkdHonest = "Simulated on an ordinary computer: no photon was sent, and the key protects nothing."

func newQKD(a *app) *cobra.Command {
	return withVerbs(&cobra.Command{
		Use:   "qkd",
		Short: "Simulate the distribution of quantum keys, and compute how long they may be",
		Long: `Simulates BB84, a way to agree on a key by single photons, from the pulses of light to the secret bits, and evaluates the
formulas behind it. It is a simulation on ordinary computers, with no server: no photon is sent, and what comes out protects
nothing. docs/spec/qkd.md says what is computed and where the formulas are from.

start, sessions, show, status and eavesdropper are about the simulated sessions that a vault's server runs for two people, and their keys.`,
		Example: "  " + qkdExample + "\n  stonevault qkd run --source single --eve 1 --seed 7 --json\n  stonevault qkd rate",
	}, qkdExample, newQKDRun(a), newQKDRate(a), newQKDKeyLength(a), newQKDStart(a), newQKDSessions(a), newQKDShow(a), newQKDStatus(a), newQKDEavesdropper(a))
}

// addSource adds the flag that says what Alice sends.
func addSource(cmd *cobra.Command, source *string) {
	cmd.Flags().StringVar(source, "source", string(bb84.Decoy), "what Alice sends: `SOURCE` is decoy for weak pulses of three intensities, or single for single photons")
	complete(cmd, "source", string(bb84.Single), string(bb84.Decoy))
}

func parseSource(text string) (bb84.Source, error) {
	switch s := bb84.Source(text); s {
	case bb84.Single, bb84.Decoy:
		return s, nil
	}
	return "", misuse("--source decoy", "a source is single or decoy, unlike %s", shown(text))
}
