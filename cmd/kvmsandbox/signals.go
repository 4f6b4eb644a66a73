package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
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
// for this process takes it for the program.
func forward(deliver func(syscall.Signal), stopped <-chan struct{}) (stop func()) {
	caught := make(chan os.Signal, 16)
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGUSR1, syscall.SIGUSR2} {
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
			case <-stopped:
				if follows {
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

// fromTerminal reports whether a signal is one that the whole group has got.
func fromTerminal(s syscall.Signal) bool {
	return (s == syscall.SIGINT || s == syscall.SIGQUIT || s == syscall.SIGTSTP) && inForeground()
}

// notify makes stopped tell, unless it does already.
func notify(stopped chan<- struct{}) {
	select {
	case stopped <- struct{}{}:
	default:
	}
}

// passOn gives a signal to the leader's first process. While there is none it ends the
// session.
func passOn(s syscall.Signal, leader *leaderPid, cancel context.CancelCauseFunc) {
	pid := leader.load()
	if pid <= 0 {
		cancel(&signalError{s})
		return
	}
	if err := syscall.Kill(pid, s); err != nil {
		cancel(&signalError{s})
	}
}
