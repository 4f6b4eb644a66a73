//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

// errNoVerifier ends a session whose monitor has asked for what it cannot take.
var errNoVerifier = errors.New("agents tell of their calls, and the monitor is no verifier")

// VerifyAgentCalls implements frontend.Agents.
func (s *session) VerifyAgentCalls() error {
	s.agents.verify = true
	told := slices.Clone(s.agents.calls)
	for i := range told {
		c := &told[i]
		c.Told, c.Commands = true, slices.Clone(c.Commands)
		for k := range c.Commands {
			c.Commands[k].Told = true
		}
	}
	return s.agents.makeTable(told)
}

// accounts says whether t's agent tells of a call.
func (s *session) accounts(t *task) bool {
	return s.agents.verify && t.posted && t.inGuest && t.lane != nil && t.blk.Agent().Tells()
}

// verify tells the monitor what t's agent says, and lets that go on.
func (s *session) verify(t *task) {
	mon, ok := s.mon.(frontend.Verifier)
	if !ok {
		s.failure(t.id, errNoVerifier)
		return
	}
	c := t.blk.Agent().Account()
	a := &frontend.AgentAccount{
		Call: frontend.Call{Arch: capabilities(true).Arch, Nr: c.Nr, Args: c.Args, IP: c.IP},
		Done: c.Done, Waited: c.Waited, Ret: c.Ret, Compared: c.Compared, Noticed: c.Noticed, Probed: c.Probed,
	}
	for _, w := range c.Written {
		a.Written = append(a.Written, frontend.AgentSpan(w))
	}
	if t.leads() && !c.Done && t.lane.ring != nil {
		a.Event = s.recorded(t, c.Nr, c.Args, t.requested(&c), false)
	}
	s.apply(mon.OnAgentCall(t.id, a))
	if !s.over {
		t.blk.Agent().GoOn()
	}
}

// AgentTells implements frontend.Agents. Nobody but the monitor has an agent go on that tells of a
// call, so who is seen where it waits has waited for as long as it has told.
func (s *session) AgentTells(id frontend.Task) bool {
	t := s.tasks[id.Host]
	if t == nil || t.id != id || !s.accounts(t) {
		return false
	}
	for end := time.Now().Add(tellsTime); time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
		text, err := os.ReadFile(procPath(id.Host, "syscall"))
		if err != nil {
			return false
		}
		var nr, word uint64
		if n, _ := fmt.Sscanf(string(text), "%d 0x%x", &nr, &word); n == 2 && nr == unix.SysFutex && word == t.blk.Agent().TellsAt() {
			return true
		}
	}
	return false
}

// tellsTime is for how long a task is looked at that does not wait: it may be about to, or in a
// handler of signals.
const tellsTime = time.Second

// requested returns what the leader's ring has of what the call reads.
func (t *task) requested(c *vhost.Account) []byte {
	if c.Bytes == 0 {
		// Which is known, unlike what is not there any more.
		return []byte{}
	}
	return t.lane.ring.Request(c.Start, c.Bytes)
}
