package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/multivar/multivar/internal/unix"
)

// signalError is the cause with which a session is cancelled when a signal comes
// that no process of the program can be given.
type signalError struct{ signal syscall.Signal }

func (e *signalError) Error() string { return fmt.Sprintf("ended by signal: %v", e.signal) }

// forward passes signals that are sent to this process on to deliver, which gives them to
// the program. The returned function stops that.
//
// A terminal sends SIGINT and SIGQUIT to all processes of its foreground group,
// the leader among them, so there they are dropped. Signals that were
// ignored when this process started stay so, for the program, too. SIGPIPE and
// SIGXFSZ, which this process causes for itself with its own output, become plain
// write errors.
//
// A terminal stops a whole group, too, by SIGTSTP. What the program does about that needs
// this process, which stops only when stopped tells that the leader has. So whoever waits
// for this process takes it for the program. It stops as well when the leader has stopped
// itself, of which stopped tells by true.
func forward(deliver func(syscall.Signal), stopped <-chan bool) (stop func()) {
	caught := make(chan os.Signal, 16)
	for _, s := range []os.Signal{
		syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGUSR1, syscall.SIGUSR2,
	} {
		if !signal.Ignored(s) {
			signal.Notify(caught, s)
		}
	}
	dropped := make(chan os.Signal, 1)
	signal.Notify(dropped, syscall.SIGPIPE, syscall.SIGXFSZ)

	done := make(chan struct{})
	go func() {
		follows := false
		for {
			select {
			case <-done:
				return
			case itself := <-stopped:
				if follows || itself {
					follows = false
					_ = syscall.Kill(syscall.Getpid(), syscall.SIGSTOP)
				}
			case s := <-caught:
				follows = follows || s == syscall.SIGTSTP
				if number, ok := s.(syscall.Signal); ok && !fromTerminal(number) {
					deliver(number)
				}
			}
		}
	}()
	return func() {
		signal.Stop(caught)
		close(done)
	}
}

// stands reports whether a signal has stopped a process.
func stands(pid int) bool {
	s, err := unix.StandingOf(pid)
	return err == nil && (s.State == 'T' || s.State == 't')
}

// fromTerminal reports whether a signal is one that the whole group has got.
func fromTerminal(s syscall.Signal) bool {
	return (s == syscall.SIGINT || s == syscall.SIGQUIT || s == syscall.SIGTSTP) && inForeground()
}

// notify makes stopped tell, unless it does already.
func notify(stopped chan bool, itself bool) {
	for {
		select {
		case stopped <- itself:
			return
		default:
		}
		select {
		case told := <-stopped:
			itself = itself || told
		default:
		}
	}
}

// What is sent to the whole process group reaches the leader by itself, and this process
// a moment later. By then the front-end may not have said so yet.
const (
	// groupSettles is how long a signal is held back for that.
	groupSettles = 50 * time.Millisecond
	// groupWindow is how long ago at most the leader's has come.
	groupWindow = 100 * time.Millisecond
)

// passOn returns what gives signals to the leader's first process, in order, unless that one has
// just got the same without this process: who signals a process group means each of its processes
// once. While there is none it ends the session. The other function ends both.
func passOn(leader *first, cancel context.CancelCauseFunc) (deliver func(syscall.Signal), end func()) {
	type passed struct {
		signal syscall.Signal
		pid    int
		at     time.Time
	}
	queue, done := make(chan passed, 64), make(chan struct{})
	pass := func(p passed) {
		settled := time.NewTimer(time.Until(p.at.Add(groupSettles)))
		defer settled.Stop()
		select {
		case <-done:
			return
		case <-settled.C:
		}
		// One that has ended meanwhile had it coming, and its id may be another's.
		if leader.had(p.signal, p.at.Add(-groupWindow)) || leader.load() != p.pid {
			return
		}
		leader.passes(p.signal)
		_ = syscall.Kill(p.pid, p.signal)
	}
	go func() {
		for {
			select {
			case <-done:
				return
			case p := <-queue:
				pass(p)
			}
		}
	}()
	deliver = func(s syscall.Signal) {
		p := passed{s, leader.load(), time.Now()}
		if s == syscall.SIGCONT {
			// One that is held back would let go on who has stopped itself again meanwhile.
			if p.pid > 0 && stands(p.pid) && !leader.had(s, p.at.Add(-groupWindow)) {
				_ = syscall.Kill(p.pid, s)
			}
			return
		}
		if p.pid <= 0 {
			if !leader.had(s, p.at.Add(-groupWindow)) {
				cancel(&signalError{s})
			}
			return
		}
		select {
		case queue <- p:
		case <-done:
		}
	}
	return deliver, func() { close(done) }
}
