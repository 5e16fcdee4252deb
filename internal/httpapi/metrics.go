package httpapi

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are counted in a registry of their own, so that two servers in one process do not meet.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	received *prometheus.CounterVec
	sent     *prometheus.CounterVec
	refused  prometheus.Counter
	limited  *prometheus.CounterVec
	inFlight prometheus.Gauge
}

func newMetrics(version string) *metrics {
	byRoute := []string{"route"}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stonevault_http_requests_total", Help: "Requests answered, or broken off (status 0).",
		}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "stonevault_http_request_seconds", Help: "Time from a request's header to the end of its reply.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60, 600},
		}, byRoute),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stonevault_http_received_bytes_total", Help: "Bytes of request bodies.",
		}, byRoute),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stonevault_http_sent_bytes_total", Help: "Bytes of reply bodies.",
		}, byRoute),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "stonevault_refused_total", Help: "Requests that met stored data which is not what was sealed.",
		}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stonevault_limited_total", Help: "Requests that were refused because there were too many of their class by one address or person, or because they could not be counted.",
		}, []string{"class", "kind"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stonevault_http_in_flight", Help: "Requests being served.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "stonevault_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.duration, m.received, m.sent, m.refused, m.limited, m.inFlight, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

func (m *metrics) observe(w *reply, method string, took time.Duration) {
	m.requests.WithLabelValues(w.route, methodName(method), strconv.Itoa(w.status)).Inc()
	m.duration.WithLabelValues(w.route).Observe(took.Seconds())
	m.received.WithLabelValues(w.route).Add(float64(w.received))
	m.sent.WithLabelValues(w.route).Add(float64(w.sent))
	if w.problem == "refused" {
		m.refused.Inc()
	}
}
