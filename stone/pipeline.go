package stone

import (
	"cmp"
	"context"
	"runtime"
	"sync/atomic"
)

// maxWorkers keeps one transfer's memory small on machines with many cores; several transfers at once
// use them all.
const maxWorkers = 4

func workers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

// running is how many pipelines there are in this process.
var running atomic.Int32

// allowance is how many jobs a pipeline may hold, from before they are read until they have been emitted,
// which bounds its memory. One that runs alone gets two more than there are workers, which keeps all of them
// at work while one job is read and one is emitted. Where several run, they keep the workers busy together.
func allowance() int { return max(workers()+3-int(running.Load()), 2) }

// stages are the three steps of a pipeline over jobs. next and emit are called by one goroutine each, in
// order; work by several, in any order. next returns false after the last job. release gets every job that
// next returned, once, whatever happened to it.
type stages[J any] struct {
	next    func() (J, bool, error)
	work    func(J) error
	emit    func(J) error
	release func(J)
}

// run returns when no stage runs any more. It cannot interrupt a blocked next or emit: their reader and
// writer must end with ctx too. The first job waits until next has returned the second.
func (s stages[J]) run(ctx context.Context) error {
	first, ok, err := s.begin(ctx)
	if err != nil || !ok {
		return err
	}
	second, more, err := s.begin(ctx)
	if more && err == nil {
		return s.parallel(ctx, first, second)
	}
	// Most files have one segment, which is not worth a goroutine.
	return cmp.Or(s.alone(ctx, first), err)
}

// alone takes one job through the stages.
func (s stages[J]) alone(ctx context.Context, job J) error {
	defer s.release(job)
	if err := s.work(job); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return s.emit(job)
}

// begin is next, unless ctx has ended.
func (s stages[J]) begin(ctx context.Context) (job J, ok bool, err error) {
	if err := context.Cause(ctx); err != nil {
		return job, false, err
	}
	return s.next()
}

// parallel runs the stages side by side, from jobs that next has returned already.
func (s stages[J]) parallel(ctx context.Context, begun ...J) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	running.Add(1)
	defer running.Add(-1)
	type started struct {
		job  J
		done chan error
	}
	order := make(chan started, maxWorkers+2)
	ended := make(chan struct{}, cap(order))
	start := func(job J) {
		done := make(chan error, 1)
		go func() { done <- s.work(job) }()
		order <- started{job, done}
	}
	for _, job := range begun {
		start(job)
	}
	go func() {
		defer close(order)
		for held := len(begun); ; held++ {
			for held >= allowance() {
				select {
				case <-ended:
					held--
				case <-ctx.Done():
					return
				}
			}
			job, ok, err := s.begin(ctx)
			if err != nil {
				cancel(err)
			}
			if err != nil || !ok {
				return
			}
			start(job)
		}
	}()
	for r := range order {
		err := <-r.done
		if err == nil && ctx.Err() == nil {
			err = s.emit(r.job)
		}
		if err != nil {
			cancel(err)
		}
		s.release(r.job)
		ended <- struct{}{}
	}
	return context.Cause(ctx)
}
