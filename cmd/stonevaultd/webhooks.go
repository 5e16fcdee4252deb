package main

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"stonevault/audit"
	"stonevault/internal/auditlog"
	"stonevault/internal/httpapi"
	"stonevault/internal/metadb"
	"stonevault/internal/webhook"
	webhooksender "stonevault/internal/webhook/sender"
)

// openWebhooks has every event from now on told to the webhooks, in its transaction, and once it is durable to who
// recognises people. What commands put there beside a server, the server sends.
func (o *opener) openWebhooks(ctx context.Context, s *store) error {
	about, err := s.vault.About(ctx)
	if err != nil {
		return err
	}
	outbox := &webhook.Outbox{Vault: about.VaultID, Rand: rand.Reader, Now: o.now, IsDownload: httpapi.IsDownload, Wake: s.wakeSender}
	s.recorder.Observe(func(ctx context.Context, in auditlog.Store, id int64, e audit.Event) error {
		if signIn := s.signIn.Load(); signIn != nil {
			metadb.AfterCommit(in, func() { signIn.Heed(e) })
		}
		return outbox.Announce(ctx, metadb.WebhooksIn(in), id, e)
	})
	s.webhooks, err = webhook.New(webhook.Config{
		Store: s.db, Sealer: s.key, Audit: s.recorder, Outbox: outbox, Rand: rand.Reader, Now: o.now, Private: o.config.WebhookPrivate,
	})
	return err
}

func (s *store) wakeSender() {
	if to := s.sender.Load(); to != nil {
		to.Wake()
	}
}

// telling makes the sender of webhooks, with its metrics.
func (s *Server) telling(api *httpapi.API) *webhooksender.Sender {
	to := webhooksender.New(webhooksender.Config{
		Queue: s.store.webhooks, Now: s.Now, Log: s.Log, Agent: "stonevault/" + s.Version, Private: s.Config.WebhookPrivate,
	})
	s.store.sender.Store(to)
	api.Register(webhookMetrics{s.store.webhooks, to})
	return to
}

// webhookMetrics tells what came of deliveries, and how many wait.
type webhookMetrics struct {
	webhooks *webhook.Service
	sender   *webhooksender.Sender
}

var _ prometheus.Collector = webhookMetrics{}

var (
	webhookTries   = prometheus.NewDesc("stonevault_webhook_tries_total", "Tries to tell a webhook, by outcome: delivered, failed (and to be tried again) or given-up.", []string{"outcome"}, nil)
	webhookWaiting = prometheus.NewDesc("stonevault_webhook_waiting", "Deliveries that are still to be made.", nil, nil)
)

func (webhookMetrics) Describe(d chan<- *prometheus.Desc) {
	d <- webhookTries
	d <- webhookWaiting
}

func (m webhookMetrics) Collect(c chan<- prometheus.Metric) {
	delivered, failed, givenUp := m.sender.Tries()
	for outcome, n := range map[string]int64{"delivered": delivered, "failed": failed, "given-up": givenUp} {
		c <- prometheus.MustNewConstMetric(webhookTries, prometheus.CounterValue, float64(n), outcome)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	n, err := m.webhooks.WaitingAll(ctx)
	if err != nil {
		return // a gap shows that it could not be told
	}
	c <- prometheus.MustNewConstMetric(webhookWaiting, prometheus.GaugeValue, float64(n))
}
