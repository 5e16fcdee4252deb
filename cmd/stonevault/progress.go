package main

import (
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress draws one bar for each transfer under way. A nil progress, and the bars of one, draw nothing.
type progress struct{ bars *mpb.Progress }

// newProgress returns nil where nobody looks.
func (a *app) newProgress() *progress {
	f, ok := a.stderr.(*os.File)
	if a.quiet || !ok || !isTerminal(f) {
		return nil
	}
	a.drawn = &progress{mpb.New(mpb.WithOutput(f), mpb.WithWidth(40), mpb.WithRefreshRate(150*time.Millisecond))}
	return a.drawn
}

// above writes lines above the bars, and says whether that can still be done.
func (p *progress) above(text []byte) bool {
	_, err := p.bars.Write(text)
	return err == nil
}

// bar is one transfer.
type bar struct {
	bar  *mpb.Bar
	size int64
}

const nameWidth = 30

func (p *progress) bar(name string, size int64) *bar {
	if p == nil {
		return nil
	}
	name = shown(name)
	if r := []rune(name); len(r) > nameWidth {
		name = "…" + string(r[len(r)-nameWidth+1:])
	}
	return p.draw(name, size, decor.CountersKibiByte("% .1f / % .1f"), decor.AverageSpeed(decor.SizeB1024(0), "  % .1f"))
}

// counter is a bar of things that are no bytes.
func (p *progress) counter(name, things string, n int64) *bar {
	if p == nil {
		return nil
	}
	return p.draw(name, n, decor.CountersNoUnit("%d / %d "+things))
}

func (p *progress) draw(name string, size int64, counters ...decor.Decorator) *bar {
	b := p.bars.AddBar(max(size, 0),
		mpb.PrependDecorators(decor.Name(name, decor.WC{C: decor.DindentRight, W: nameWidth + 1})),
		mpb.AppendDecorators(append(counters, decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 8}))...),
		mpb.BarRemoveOnComplete())
	return &bar{b, size}
}

func (b *bar) add(n int64) {
	if b == nil {
		return
	}
	if b.size < 0 { // a pipe's end is wherever it has come to
		b.bar.SetTotal(b.bar.Current()+2*n, false)
	}
	b.bar.IncrInt64(n)
}

// end takes the bar away.
func (b *bar) end() {
	if b != nil {
		b.bar.Abort(true)
	}
}

// wait returns when nothing is drawn any more.
func (p *progress) wait() {
	if p != nil {
		p.bars.Wait()
	}
}
