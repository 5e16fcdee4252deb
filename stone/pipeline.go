package stone

import (
	"context"
	"runtime"
)

// maxWorkers keeps one transfer's memory small on machines with many cores; several transfers at once
// use them all.
const maxWorkers = 4

func workers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

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
// writer must end with ctx too.
func (s stages[J]) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type running struct {
		job  J
		done chan error
	}
	// A job holds a slot from before it is read until it has been emitted, which bounds memory. Two more
	// than there are workers keep all of them at work while one job is read and one is emitted.
	slots := make(chan struct{}, workers()+2)
	order := make(chan running, cap(slots))
	go func() {
		defer close(order)
		for {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			if ctx.Err() != nil {
				return
			}
			job, ok, err := s.next()
			if err != nil {
				cancel(err)
			}
			if err != nil || !ok {
				return
			}
			done := make(chan error, 1)
			go func() { done <- s.work(job) }()
			order <- running{job, done}
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
		<-slots
	}
	return context.Cause(ctx)
}
