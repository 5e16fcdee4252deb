package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stonevault/internal/vault"
)

// rotationMetrics tell how far the rotations are, and which master key is in use.
type rotationMetrics struct{ vault *vault.Vault }

var _ prometheus.Collector = rotationMetrics{}

var (
	rotationRunning = prometheus.NewDesc("stonevault_rotation_running", "Whether a key is being replaced: 1 or 0.", []string{"of"}, nil)
	rotationTotal   = prometheus.NewDesc("stonevault_rotation_items", "What there was to rewrite or seal anew when the last rotation began.", []string{"of"}, nil)
	rotationDone    = prometheus.NewDesc("stonevault_rotation_items_done", "What of it is done.", []string{"of"}, nil)
	rotationFailed  = prometheus.NewDesc("stonevault_rotation_items_failed", "What of it does not verify, and was left as it was.", []string{"of"}, nil)
	masterVersion   = prometheus.NewDesc("stonevault_master_key_version", "The version of the master key that is in use.", nil, nil)
	masterSince     = prometheus.NewDesc("stonevault_master_key_since_seconds", "Since when it is, in seconds since 1970.", nil, nil)
)

func (rotationMetrics) Describe(d chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{rotationRunning, rotationTotal, rotationDone, rotationFailed, masterVersion, masterSince} {
		d <- desc
	}
}

func (m rotationMetrics) Collect(c chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, kind := range vault.RotationKinds {
		state, err := m.vault.RotationState(ctx, kind)
		if err != nil {
			return // a gap shows that it could not be told
		}
		running := 0
		if state.Running {
			running = 1
		}
		gauge(rotationRunning, float64(running), string(kind))
		gauge(rotationTotal, float64(state.Total), string(kind))
		gauge(rotationDone, float64(state.Done), string(kind))
		gauge(rotationFailed, float64(state.Failed), string(kind))
	}
	versions, err := m.vault.MasterVersions(ctx)
	if err != nil {
		return
	}
	for _, v := range versions {
		if !v.UsedAt.IsZero() && v.RetiredAt.IsZero() {
			gauge(masterVersion, float64(v.Number))
			gauge(masterSince, float64(v.UsedAt.Unix()))
		}
	}
}
