package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stonevault/internal/auditlog"
)

// auditMetrics tells how far the audit log is signed, and whether that goes on.
type auditMetrics struct {
	reader *auditlog.Reader
	failed *atomic.Int64 // steps of the sequencer
}

var _ prometheus.Collector = auditMetrics{}

var (
	auditSize     = prometheus.NewDesc("stonevault_audit_signed_events", "Events of the audit log that the newest signed head covers.", nil, nil)
	auditSigned   = prometheus.NewDesc("stonevault_audit_signed_seconds", "When that head was signed, in seconds since 1970.", nil, nil)
	auditFailures = prometheus.NewDesc("stonevault_audit_failures_total", "Attempts to place and sign events that failed.", nil, nil)
)

func (auditMetrics) Describe(d chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{auditSize, auditSigned, auditFailures} {
		d <- desc
	}
}

func (m auditMetrics) Collect(c chan<- prometheus.Metric) {
	c <- prometheus.MustNewConstMetric(auditFailures, prometheus.CounterValue, float64(m.failed.Load()))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := m.reader.Summary(ctx)
	if err != nil || len(s.Text) == 0 {
		return // a gap shows that it could not be told
	}
	c <- prometheus.MustNewConstMetric(auditSize, prometheus.GaugeValue, float64(s.Checkpoint.Tree.Size))
	c <- prometheus.MustNewConstMetric(auditSigned, prometheus.GaugeValue, float64(s.Checkpoint.Time.Unix()))
}
