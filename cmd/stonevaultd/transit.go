package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stonevault/internal/config"
	"stonevault/internal/datadir"
	"stonevault/internal/httpapi"
	"stonevault/internal/masterkey"
	"stonevault/internal/masterkey/transit"
)

// wrapFor is how long the key of a new vault may take to be wrapped.
const wrapFor = 30 * time.Second

// transitFlags are the settings of a master key that transit wraps.
var transitFlags = []string{"transit_address", "transit_mount", "transit_key", "transit_namespace", "transit_ca", "transit_token", "transit_role_id", "transit_secret_id"}

// newTransit makes the client that the settings describe.
func newTransit(c config.Transit) (*transit.Client, error) {
	client, err := transit.New(transit.Options{
		Address: c.Address, Mount: c.Mount, Key: c.Key, Namespace: c.Namespace, CAFile: c.CAFile,
		Token: c.Token, RoleID: c.RoleID, SecretID: c.SecretID,
	})
	if err != nil {
		return nil, fmt.Errorf("%w; mend the settings that begin with --transit", err)
	}
	return client, nil
}

// fromTransit has the wrapped key decrypted, which takes no longer than a holder waits. It returns nil where there is
// no file, and no data either.
func (k *keyring) fromTransit(state datadir.State) (*masterkey.Key, error) {
	path := k.path()
	if err := k.outside(path); err != nil {
		return nil, err
	}
	client, err := newTransit(k.config.Transit)
	if err != nil {
		return nil, err
	}
	holder, err := transit.Hold(context.Background(), client, path, k.config.Transit.Cache)
	switch {
	case errors.Is(err, masterkey.ErrMissing) && state != datadir.InUse:
		return nil, nil
	case errors.Is(err, masterkey.ErrMissing):
		return nil, fmt.Errorf("%s was sealed under a master key that is not at %s; put it back from where you keep a copy, or name its place with --master-key transit:PATH", k.places, path)
	case errors.Is(err, transit.ErrNotWrapped):
		return nil, fmt.Errorf("%s is no master key that transit has wrapped; have it wrapped with stonevaultd key wrap, or start with --master-key file", path)
	case errors.Is(err, transit.ErrRefused):
		return nil, fmt.Errorf("the master key at %s is wrapped by %s, and %w; let this server decrypt with that key, then start again", path, client, err)
	case errors.Is(err, transit.ErrUnreachable):
		return nil, fmt.Errorf("the master key at %s is wrapped by %s, without which nothing here can be opened, and %w; start again when it answers", path, client, err)
	case err != nil:
		return nil, err
	}
	k.holder = holder
	return holder.Key(), nil
}

// outside refuses a key file that lies in the data directory.
func (k *keyring) outside(path string) error {
	inside, err := k.dir.Contains(path)
	if err == nil && inside {
		err = fmt.Errorf("the master key must not lie in the data directory, whose copies would then open themselves; move %s beside %s", path, k.dir.Path())
	}
	return err
}

// createWrapped makes the key of a new vault, which is never on a disk in clear.
func (k *keyring) createWrapped() (*masterkey.Key, error) {
	client, err := newTransit(k.config.Transit)
	if err != nil {
		return nil, err
	}
	text, _, err := masterkey.Generate()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), wrapFor)
	defer cancel()
	wrapped, err := client.Wrap(ctx, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("a master key cannot be wrapped by %s: %w", client, err)
	}
	if err := masterkey.CreateText(k.path(), wrapped.String()); err != nil {
		return nil, err
	}
	return k.fromTransit(datadir.InUse)
}

// isWrapped tells whether a file holds a key that transit has wrapped.
func isWrapped(path string) bool {
	_, err := transit.ReadFile(path)
	return err == nil
}

// keyReady is nil while the master key can be used; the func is nil where it always can be.
func (s *store) keyReady() func() error {
	if s.keys == nil || s.keys.holder == nil {
		return nil
	}
	return s.keys.holder.Ready
}

// keepKey has the master key renewed, and forgets what was opened with it once it is given up. The func that it
// returns runs until its context ends.
func (s *Server) keepKey(api *httpapi.API) func(context.Context) {
	holder := s.store.keys.holder
	if holder == nil {
		return func(context.Context) {}
	}
	api.Register(keyMetrics{holder})
	holder.OnLoss(func() {
		s.store.vault.ForgetKeys()
		s.store.recorder.ForgetKeys()
	})
	s.Log.Info("the master key is wrapped by transit", "transit", holder.Client().String(), "kept_without_it", s.Config.Transit.Cache.String())
	if holder.Client().Classical() {
		s.Log.Warn("the connection to transit has no post-quantum key exchange: who records it can read the master key once there are quantum computers; update that server, or what stands in front of it", "exchange", holder.Client().Exchange())
	}
	return func(ctx context.Context) { s.jobs.Go(func() { holder.Run(ctx, s.Log) }) }
}

// transitKey says of a wrapped key that was opened what can be said.
func (d *doctor) transitKey(ctx context.Context) {
	const check = "master key"
	client, path := d.keys.holder.Client(), d.keys.path()
	if client.Classical() {
		d.say(check, levelWarn, "the connection to %s has no post-quantum key exchange (%s): who records it can read the master key once there are quantum computers", client, client.Exchange())
	}
	wrapped, err := transit.ReadFile(path)
	if err != nil {
		d.say(check, levelFail, "%v", err)
		return
	}
	info, err := client.Describe(ctx)
	switch {
	case errors.Is(err, transit.ErrRefused):
		d.say(check, levelOK, "it is in %s, wrapped by version %d of %s, which answers; whether that is the newest version, this server may not ask", path, wrapped.Version(), client)
	case err != nil:
		d.say(check, levelWarn, "it is in %s, wrapped by version %d of %s; what that is cannot be told: %v", path, wrapped.Version(), client, err)
	case wrapped.Version() < info.Latest:
		d.say(check, levelWarn, "it is in %s, wrapped by version %d of %s, which answers and has version %d; wrap it anew with: %s", path, wrapped.Version(), client, info.Latest, d.hint("key rewrap"))
	default:
		d.say(check, levelOK, "it is in %s, wrapped by the newest version of %s, which answers", path, client)
	}
}

// keyMetrics tells how long the master key can be used.
type keyMetrics struct{ holder *transit.Holder }

var _ prometheus.Collector = keyMetrics{}

var (
	keyHeld     = prometheus.NewDesc("stonevault_master_key_held", "1 while the master key is in memory and can be used, 0 after it was given up.", nil, nil)
	keyRenewed  = prometheus.NewDesc("stonevault_master_key_renewed_seconds", "When transit last decrypted the master key, in seconds since 1970.", nil, nil)
	keyUntil    = prometheus.NewDesc("stonevault_master_key_until_seconds", "When the master key is given up unless transit decrypts it again, in seconds since 1970.", nil, nil)
	keyFailures = prometheus.NewDesc("stonevault_master_key_failures_total", "Renewals of the master key that failed, by reason.", []string{"reason"}, nil)
)

func (keyMetrics) Describe(d chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{keyHeld, keyRenewed, keyUntil, keyFailures} {
		d <- desc
	}
}

func (m keyMetrics) Collect(c chan<- prometheus.Metric) {
	state := m.holder.State()
	held := 0.0
	if state.Held {
		held = 1
	}
	c <- prometheus.MustNewConstMetric(keyHeld, prometheus.GaugeValue, held)
	c <- prometheus.MustNewConstMetric(keyRenewed, prometheus.GaugeValue, float64(state.Renewed.Unix()))
	c <- prometheus.MustNewConstMetric(keyUntil, prometheus.GaugeValue, float64(state.Until.Unix()))
	c <- prometheus.MustNewConstMetric(keyFailures, prometheus.CounterValue, float64(state.Failed.Unreachable), "unreachable")
	c <- prometheus.MustNewConstMetric(keyFailures, prometheus.CounterValue, float64(state.Failed.Refused), "refused")
}
