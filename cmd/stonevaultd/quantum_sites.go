package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"stonevault/internal/config"
	"stonevault/internal/front"
	"stonevault/qkd/etsi014"
)

// site is one of real QKD hardware.
type site struct {
	config.Site
	client *etsi014.Client
}

// openSites reads the file of sites, and what it names. It connects to nothing.
func openSites(path string, now func() time.Time) (sites []site, err error) {
	read, err := config.ReadSites(path)
	if err != nil {
		return nil, err
	}
	for _, s := range read {
		client, err := openSite(s, now)
		if err != nil {
			return nil, fmt.Errorf("site %q in %s: %w", s.Name, path, err)
		}
		sites = append(sites, site{s, client})
	}
	return sites, nil
}

func openSite(s config.Site, now func() time.Time) (*etsi014.Client, error) {
	own, err := front.LoadCertificates(s.CertFile, s.KeyFile, now)
	if err != nil {
		return nil, err
	}
	authorities, err := readAuthorities(s.CAFile)
	if err != nil {
		return nil, err
	}
	return etsi014.NewClient(etsi014.Site{
		URL: s.URL, SAE: s.SAE, Certificate: own.Current, Authorities: authorities, ServerName: s.ServerName, AllowTLS12: s.AllowTLS12, Timeout: s.Timeout,
	})
}

func newQuantum(a *app) *cobra.Command {
	return withVerbs("qkd", "Try the connections to QKD hardware",
		newQuantumSites(a))
}

func newQuantumSites(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sites --qkd-sites FILE",
		Short: "Ask the key-management entity of each site what it has for each other site",
		Long: `Asks the key-management entity of each site in the file, by ETSI GS QKD 014, for the state of its keys for every
other site, and prints what it says. No key is taken. With one site alone there is nobody to have keys with.`,
		Example: `  stonevaultd qkd sites --qkd-sites /etc/stonevault/sites.toml`,
		Args:    operands(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config(cmd)
			if err != nil {
				return err
			}
			if c.Quantum.SitesFile == "" {
				return misuse("name the file with the sites with --qkd-sites FILE")
			}
			sites, err := openSites(c.Quantum.SitesFile, a.now)
			if err != nil {
				return err
			}
			return a.trySites(cmd.Context(), sites)
		},
	}
	config.AddFlags(cmd.Flags(), "qkd_sites")
	return cmd
}

// trySites asks each site about each other one.
func (a *app) trySites(ctx context.Context, sites []site) error {
	if len(sites) < 2 {
		return errors.New("there is one site alone, and a key needs two")
	}
	failed := false
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "from\tto\tkeys\tat most\tbits\tbetween")
	for _, from := range sites {
		defer from.client.Close()
		for _, to := range sites {
			if to.Name == from.Name {
				continue
			}
			s, err := from.client.Status(ctx, to.SAE)
			if err != nil {
				failed = true
				fmt.Fprintf(a.stderr, "%s to %s: %v\n", from.Name, to.Name, err)
				continue
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s, %s\n", from.Name, to.Name, s.Stored, s.MaxStored, s.KeySize, s.SourceKME, s.TargetKME)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if failed {
		return errSaid
	}
	return nil
}
