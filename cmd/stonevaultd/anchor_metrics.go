package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"stonevault/internal/anchor"
)

// anchorMetrics shows what a worker knows of itself.
type anchorMetrics struct{ worker *anchor.Worker }

var (
	anchorCondition = prometheus.NewDesc("stonevault_anchor_condition",
		"1 for the condition that anchoring is in, 0 for the others; docs/guide/anchoring.md says what each means.", []string{"condition"}, nil)
	anchorSize = prometheus.NewDesc("stonevault_anchor_last_events",
		"Events of the audit log that the last final anchor covers.", nil, nil)
	anchorTime = prometheus.NewDesc("stonevault_anchor_last_seconds",
		"When the last anchor became final, in seconds since 1970; 0 before the first.", nil, nil)
	anchorWaiting = prometheus.NewDesc("stonevault_anchor_unanchored_events",
		"Events of the audit log that no final anchor covers.", nil, nil)
	anchorFailures = prometheus.NewDesc("stonevault_anchor_failures_total",
		"Steps of anchoring that ended with a problem.", nil, nil)
	anchorReplaced = prometheus.NewDesc("stonevault_anchor_replaced_total",
		"Transactions that were replaced by ones with higher fees.", nil, nil)
	anchorResent = prometheus.NewDesc("stonevault_anchor_resent_total",
		"Transactions that servers had lost and were sent again.", nil, nil)
)

func (m anchorMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{anchorCondition, anchorSize, anchorTime, anchorWaiting, anchorFailures, anchorReplaced, anchorResent} {
		to <- d
	}
}

func (m anchorMetrics) Collect(to chan<- prometheus.Metric) {
	s := m.worker.Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, name := range anchor.Conditions() {
		is := 0.0
		if name == s.Condition {
			is = 1
		}
		gauge(anchorCondition, is, name)
	}
	// After a restore the chain may know of an anchor that the journal does not.
	covered := max(s.Last.Size, s.Anchored.Size)
	gauge(anchorSize, float64(covered))
	last := 0.0
	if s.Last.ID != 0 {
		last = float64(s.Last.Changed.UnixMilli()) / 1000
	}
	gauge(anchorTime, last)
	gauge(anchorWaiting, float64(max(0, s.Size-int64(covered))))
	for d, n := range map[*prometheus.Desc]uint64{anchorFailures: s.Failures, anchorReplaced: s.Replaced, anchorResent: s.Resent} {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
}
