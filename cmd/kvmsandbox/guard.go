package main

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar"
)

// guard ends the session when the engine panics: a defect of ours must neither
// let the variants go on nor show the user a stack. It also follows the life of
// the leader's first process.
type guard struct {
	engine
	leader *first
	// progress ends with the first call of a program.
	progress *progress
	log      *slog.Logger
	pulse    *pulse
	err      error
}

// Err returns the panic, if there was one, as the failure of the session.
func (g *guard) Err() error {
	if g.err != nil {
		return g.err
	}
	return g.engine.Err()
}

// protect calls f, which handles a report about t, and turns a panic into the end of the session.
func (g *guard) protect(b beat, t frontend.Task, f func() []frontend.Action) (actions []frontend.Action) {
	g.pulse.begin(b, t)
	defer g.pulse.end()
	if g.err != nil {
		return theEnd()
	}
	defer func() {
		if r := recover(); r != nil {
			g.err = fmt.Errorf("%w: defect in kvmsandbox, please report it with the output of -v: %v", libmultivar.ErrInternal, r)
			g.log.Error("panic", "value", fmt.Sprint(r), "stack", string(debug.Stack()))
			actions = theEnd()
		}
	}()
	return f()
}

// theEnd is what a monitor answers that has nothing to say any more.
func theEnd() []frontend.Action { return []frontend.Action{{Op: frontend.OpEnd}} }

// The methods of frontend.Monitor.

func (g *guard) OnThreadStart(t frontend.Task) []frontend.Action {
	g.leader.started(t)
	return g.protect(beatThreadStart, t, func() []frontend.Action { return g.engine.OnThreadStart(t) })
}

func (g *guard) OnFork(parent, child frontend.Task, kind frontend.ForkKind) []frontend.Action {
	g.leader.started(child)
	return g.protect(beatFork, parent, func() []frontend.Action { return g.engine.OnFork(parent, child, kind) })
}

func (g *guard) OnExec(t, old frontend.Task, img *frontend.Image) []frontend.Action {
	g.leader.becomes(t, old)
	return g.protect(beatExec, t, func() []frontend.Action { return g.engine.OnExec(t, old, img) })
}

func (g *guard) OnSyscall(t frontend.Task, c frontend.Call) []frontend.Action {
	if g.progress != nil {
		g.progress.end()
		g.progress = nil
	}
	g.leader.calls(t, c)
	return g.protect(beatCall, t, func() []frontend.Action { return g.engine.OnSyscall(t, c) })
}

func (g *guard) OnSyscallExit(t frontend.Task, ret int64) []frontend.Action {
	return g.protect(beatExit, t, func() []frontend.Action { return g.engine.OnSyscallExit(t, ret) })
}

func (g *guard) OnRdtsc(t frontend.Task, ts frontend.TimeStamp) []frontend.Action {
	return g.protect(beatTimeStamp, t, func() []frontend.Action { return g.engine.OnRdtsc(t, ts) })
}

func (g *guard) OnSignal(t frontend.Task, s *frontend.Signal) []frontend.Action {
	g.leader.isSent(t, s)
	return g.protect(beatSignal, t, func() []frontend.Action { return g.engine.OnSignal(t, s) })
}

func (g *guard) OnExit(t frontend.Task, st frontend.Status) []frontend.Action {
	g.leader.ended(t, st)
	return g.protect(beatEnd, t, func() []frontend.Action { return g.engine.OnExit(t, st) })
}

func (g *guard) OnStop(t frontend.Task) []frontend.Action {
	return g.protect(beatStop, t, func() []frontend.Action { return g.engine.OnStop(t) })
}

func (g *guard) OnTimer(now time.Duration) []frontend.Action {
	return g.protect(beatTimer, frontend.Task{}, func() []frontend.Action { return g.engine.OnTimer(now) })
}

func (g *guard) OnFailure(t frontend.Task, err error) []frontend.Action {
	return g.protect(beatFailure, t, func() []frontend.Action { return g.engine.OnFailure(t, err) })
}

// OnMismatch implements frontend.Comparer.
func (g *guard) OnMismatch(t frontend.Task, c, leader frontend.Call, read func(addr uint64, p []byte) bool, kept bool) []frontend.Action {
	return g.protect(beatMismatch, t, func() []frontend.Action { return g.engine.OnMismatch(t, c, leader, read, kept) })
}

// OnReadings implements frontend.Reader.
func (g *guard) OnReadings(t frontend.Task, made []frontend.Reading, taken int) []frontend.Action {
	return g.protect(beatReadings, t, func() []frontend.Action { return g.engine.OnReadings(t, made, taken) })
}

// OnAgentCall implements frontend.Verifier.
func (g *guard) OnAgentCall(t frontend.Task, a *frontend.AgentAccount) []frontend.Action {
	return g.protect(beatAgentCall, t, func() []frontend.Action { return g.engine.OnAgentCall(t, a) })
}
