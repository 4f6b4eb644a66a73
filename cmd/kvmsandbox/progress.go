package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progressDelay is for how long nothing is said of a start-up.
const progressDelay = time.Second

// progress tells a terminal what a start-up that takes long is at, in a line that is gone
// when the program begins: from then on the terminal is the program's. Its methods may be
// called by anybody, and for no progress.
type progress struct {
	mu sync.Mutex
	// out is where the line goes, nil when it is over.
	out  io.Writer
	what string
	// width is how long the line is that stands there.
	width int
	done  chan struct{}
}

// startProgress begins to tell out each delay what goes on, the first time after one.
func startProgress(out io.Writer, delay time.Duration, what string) *progress {
	p := &progress{out: out, what: what, done: make(chan struct{})}
	go func() {
		ticker := time.NewTicker(delay)
		defer ticker.Stop()
		begin := time.Now()
		for {
			select {
			case <-ticker.C:
				p.show(time.Since(begin))
			case <-p.done:
				return
			}
		}
	}()
	return p
}

// at says what the start-up is at now.
func (p *progress) at(what string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what = what
}

func (p *progress) show(since time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil {
		return
	}
	line := fmt.Sprintf("kvmsandbox: %s, %d s", p.what, int(since.Seconds()))
	_, _ = io.WriteString(p.out, "\r"+line+strings.Repeat(" ", max(p.width-len(line), 0)))
	p.width = max(p.width, len(line))
}

// end takes the line away. Nothing is shown any more when it has returned.
func (p *progress) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil {
		return
	}
	if p.width > 0 {
		_, _ = io.WriteString(p.out, "\r"+strings.Repeat(" ", p.width)+"\r")
	}
	p.out = nil
	close(p.done)
}
