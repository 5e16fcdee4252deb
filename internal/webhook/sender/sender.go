package sender

import (
	"context"
	"crypto/x509"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"stonevault/internal/webhook"
)

const (
	// perWebhook bounds what is under way to one receiver.
	perWebhook = 2
	// patrol is how often it is looked whether something is due.
	patrol = 2 * time.Second
	// settling is how long what is signalled inside a transaction may take to be committed.
	settling = 100 * time.Millisecond
	// sweepEvery is how often what has ended long ago is removed.
	sweepEvery = time.Hour
)

// Queue is what is to be sent.
type Queue interface {
	Due(ctx context.Context, perWebhook int) ([]webhook.Job, error)
	Settle(ctx context.Context, j webhook.Job, o webhook.Outcome) (webhook.State, error)
	Sweep(ctx context.Context) error
}

var _ Queue = (*webhook.Service)(nil)

// Config is what a Sender is made of. All but Private and Roots are required.
type Config struct {
	Queue   Queue
	Now     func() time.Time // the clock that messages are stamped with
	Log     *slog.Logger
	Agent   string         // what the sender calls itself
	Private bool           // let messages go to this machine and its networks
	Roots   *x509.CertPool // authorities to trust; the system's where nil

	resolver *net.Resolver // the system's where nil
}

// Sender sends what is due. One at most may run on a database.
type Sender struct {
	queue  Queue
	log    *slog.Logger
	client *client
	wake   chan struct{} // holds one
	rest   time.Duration // after an outcome could not be kept

	mu       sync.Mutex
	underWay map[int64]string // by delivery: its webhook
	running  sync.WaitGroup

	delivered, failed, givenUp atomic.Int64
}

// New makes a sender.
func New(c Config) *Sender {
	return &Sender{
		queue: c.Queue, log: c.Log, client: newClient(c, patience),
		wake: make(chan struct{}, 1), rest: 5 * time.Second, underWay: map[int64]string{},
	}
}

// Wake says that something may be due. It never blocks.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Tries counts the tries of this process by what came of them.
func (s *Sender) Tries() (delivered, failed, givenUp int64) {
	return s.delivered.Load(), s.failed.Load(), s.givenUp.Load()
}

// Run sends until ctx ends. What is under way then is sent again by who runs next.
func (s *Sender) Run(ctx context.Context) {
	defer s.running.Wait()
	var swept time.Time
	for again := false; ; {
		if err := s.begin(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("what webhooks are to be told of could not be read, and will be tried again", "error", err)
		}
		if now := time.Now(); now.Sub(swept) > sweepEvery {
			swept = now
			if err := s.queue.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("old deliveries of webhooks could not be removed, and it will be tried again", "error", err)
			}
		}
		rest := patrol
		if again {
			rest = settling
		}
		select {
		case <-s.wake:
			// Whoever signals may not have committed yet, so that each signal is looked after twice.
			again = true
			continue
		case <-time.After(rest):
			again = false
		case <-ctx.Done():
			return
		}
	}
}

// begin starts to send what is due and not under way.
func (s *Sender) begin(ctx context.Context) error {
	// What was under way when the queue was asked may be settled by now, and is in the answer all the same.
	s.mu.Lock()
	before := maps.Clone(s.underWay)
	s.mu.Unlock()
	jobs, err := s.queue.Due(ctx, perWebhook)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if _, was := before[j.ID]; !was && s.take(j) {
			s.running.Go(func() { s.try(ctx, j) })
		}
	}
	return nil
}

func (s *Sender) take(j webhook.Job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	busy := 0
	for _, to := range s.underWay {
		if to == j.Webhook {
			busy++
		}
	}
	if busy >= perWebhook {
		return false
	}
	s.underWay[j.ID] = j.Webhook
	return true
}

func (s *Sender) leave(j webhook.Job) {
	s.mu.Lock()
	delete(s.underWay, j.ID)
	s.mu.Unlock()
	s.Wake()
}

// try sends one delivery, and keeps what came of it, however long that takes: sending it again for a database that is
// full would help nobody. What has come before ctx ends is kept also then.
func (s *Sender) try(ctx context.Context, j webhook.Job) {
	defer s.leave(j)
	outcome, err := s.client.send(ctx, j)
	if err != nil {
		return
	}
	for {
		became, err := s.queue.Settle(context.WithoutCancel(ctx), j, outcome)
		if err == nil {
			s.note(j, outcome, became)
			return
		}
		if ctx.Err() != nil {
			return
		}
		s.log.Error("what came of a delivery could not be kept, and will be tried again", "webhook", j.Webhook, "delivery", j.Message, "error", err)
		select {
		case <-time.After(s.rest):
		case <-ctx.Done():
			return
		}
	}
}

func (s *Sender) note(j webhook.Job, o webhook.Outcome, became webhook.State) {
	switch {
	case o.Problem == "":
		s.delivered.Add(1)
		s.log.Debug("a webhook was told", "webhook", j.Webhook, "delivery", j.Message, "type", string(j.Kind), "status", o.Status)
		return
	case became == webhook.GivenUp:
		s.givenUp.Add(1)
	default:
		s.failed.Add(1)
	}
	s.log.Warn("a webhook could not be told", "webhook", j.Webhook, "delivery", j.Message, "type", string(j.Kind), "try", j.Tries+1, "state", string(became), "problem", o.Problem)
}
