package main

import (
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/multivar/multivar/frontend"
)

// ownSession returns the session that the leader has to begin for being what the program
// would be alone: its session's first process. Such a one is told when the terminal goes,
// and the others of the session are when it has ended, neither of which this process
// could do for it. So the terminal changes hands. It is nil where the program would not be
// the first, or where the terminal is none of its descriptors, so that it cannot be
// handed over.
func ownSession(files []*os.File) *frontend.Session {
	if sessionOf(0) != syscall.Getpid() {
		return nil
	}
	terminal := slices.IndexFunc(files, func(f *os.File) bool { return f != nil && controls(f) })
	if terminal >= 0 {
		if giveUpQuietly(files[terminal]) != nil {
			return nil
		}
		return &frontend.Session{Terminal: terminal}
	}
	if tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY, 0); err == nil {
		tty.Close()
		return nil
	}
	return &frontend.Session{Terminal: -1}
}

// giveUpQuietly is giveUp without the SIGHUP by which the kernel tells the foreground of
// the terminal that it is gone.
func giveUpQuietly(terminal *os.File) error {
	if !inForeground() || signal.Ignored(syscall.SIGHUP) {
		return giveUp(terminal)
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGHUP)
	defer signal.Stop(told)
	err := giveUp(terminal)
	if err == nil {
		<-told
	}
	return err
}
