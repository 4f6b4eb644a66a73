package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// screen is a terminal of one line.
type screen struct {
	mu    sync.Mutex
	line  []byte
	at    int
	wrote chan struct{}
}

func newScreen() *screen { return &screen{wrote: make(chan struct{}, 1)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range p {
		if c == '\r' {
			s.at = 0
			continue
		}
		s.line = append(s.line[:s.at], append([]byte{c}, s.line[min(s.at+1, len(s.line)):]...)...)
		s.at++
	}
	select {
	case s.wrote <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(bytes.TrimRight(s.line, " "))
}

func TestProgress(t *testing.T) {
	s := newScreen()
	p := startProgress(s, time.Millisecond, "doing something that has a long name")
	<-s.wrote
	if got := s.String(); !strings.HasPrefix(got, "kvmsandbox: doing something that has a long name, ") {
		t.Errorf("line %q", got)
	}
	p.at("starting")
	for !strings.HasPrefix(s.String(), "kvmsandbox: starting, ") {
		<-s.wrote
	}
	if got := s.String(); strings.Contains(got, "name") {
		t.Errorf("the old line is still there: %q", got)
	}
	p.end()
	p.end()
	if got := s.String(); got != "" {
		t.Errorf("the line is not gone: %q", got)
	}
}

// A start-up that is quick says nothing.
func TestQuickStartIsQuiet(t *testing.T) {
	s := newScreen()
	p := startProgress(s, time.Hour, "starting")
	p.end()
	if len(s.line) > 0 {
		t.Errorf("written %q", s.line)
	}
	var none *progress
	none.at("x")
	none.end()
}
