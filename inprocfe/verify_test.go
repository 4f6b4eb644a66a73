//go:build linux && amd64

package inprocfe_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/inprocfe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// verifiedSource makes calls with arguments of each kind that agents know.
const verifiedSource = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
static char text[100] = "some text";
int main(void)
{
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY), p[2], s[2], e = epoll_create1(0);
	struct iovec v[2] = { { text, 5 }, { text + 20, 30 } };
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 7 };
	uint64_t set;

	pipe(p);
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	ev.data.ptr = text;
	epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev);
	for (int i = 0; i < 20; i++) {
		char in[100] = "";
		struct pollfd fds[2] = { { p[0], POLLIN, 0 }, { s[0], POLLIN, 0 } };
		struct timespec t;
		struct stat st;
		struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
		int value = 1, size = sizeof(value);

		write(null, text, 90);
		read(zero, in, 50);
		write(p[1], text, 10);
		poll(fds, 2, 0);
		epoll_wait(e, &ev, 1, 0);
		read(p[0], in, sizeof(in));
		writev(null, v, 2);
		readv(zero, v, 2);
		text[0] = 'a';
		lseek(null, 1L << 40, SEEK_SET);
		clock_gettime(CLOCK_MONOTONIC, &t);
		syscall(SYS_fstat, null, &st);
		stat("/etc/passwd", &st);
		sendmsg(s[0], &m, 0);
		recv(s[1], in, sizeof(in), 0);
		setsockopt(s[0], SOL_SOCKET, SO_KEEPALIVE, &value, size);
		getsockopt(s[0], SOL_SOCKET, SO_KEEPALIVE, &value, (socklen_t *)&size);
		t = (struct timespec){ 0, 1 };
		nanosleep(&t, 0);
		syscall(SYS_rt_sigpending, &set, 8L);
	}
	return 0;
}
`

// hostOf is what front-ends with agents offer.
type hostOf interface {
	frontend.Host
	frontend.Agents
	frontend.Twins
	frontend.Onlooker
	frontend.Patcher
}

// tampered gives agents another table than the engine has made.
type tampered struct {
	hostOf
	change func([]frontend.AgentCall) []frontend.AgentCall
}

// SetAgentCalls implements frontend.Agents.
func (h tampered) SetAgentCalls(calls []frontend.AgentCall, ahead int) error {
	calls = slices.Clone(calls)
	for i := range calls {
		calls[i].Commands = slices.Clone(calls[i].Commands)
	}
	return h.hostOf.SetAgentCalls(h.change(calls), ahead)
}

// verified runs the program under an engine that verifies what agents do by a table that was
// changed, and returns how that has ended.
func verified(t *testing.T, program string, variants int, policyName string, change func([]frontend.AgentCall) []frontend.AgentCall) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p, err := policy.ByName(policyName)
	if err != nil {
		t.Fatal(err)
	}
	cfg := libmultivar.Config{Variants: variants, Policy: p, Agents: true, VerifyAgents: true}
	var e *libmultivar.Engine
	_, err = inprocfe.New().Run(ctx, frontend.Spec{
		Programs: []string{program}, Args: []string{program}, Variants: variants, Files: []*os.File{nil, nil, os.Stderr},
	}, func(h frontend.Host, caps frontend.Capabilities) (frontend.Monitor, error) {
		all, ok := h.(hostOf)
		if !ok {
			t.Fatal("the host has no agents")
		}
		var err error
		e, err = libmultivar.New(cfg, tampered{all, change}, caps)
		return e, err
	})
	switch {
	case err != nil:
		t.Fatal(err)
	case e.Divergence() != nil:
		t.Fatalf("a divergence: %v", e.Divergence())
	}
	return e.Err()
}

// changing returns what changes the row of one call.
func changing(t *testing.T, name string, change func(*frontend.AgentCall)) func([]frontend.AgentCall) []frontend.AgentCall {
	t.Helper()
	row, ok := sysabi.ByName(name)
	if !ok {
		t.Fatalf("no call %s", name)
	}
	return func(calls []frontend.AgentCall) []frontend.AgentCall {
		at := slices.IndexFunc(calls, func(c frontend.AgentCall) bool { return c.Nr == row.Nr[sysabi.AMD64] })
		if at < 0 {
			calls = append(calls, frontend.AgentCall{Nr: row.Nr[sysabi.AMD64], Instant: frontend.AgentInstant{Nr: -1}})
			at = len(calls) - 1
		}
		change(&calls[at])
		return calls
	}
}

// Whatever is wrong in the table by which agents act, who verifies them is told, with the call
// and the argument; with the right one nothing is said.
func TestVerifyFindsWrongRows(t *testing.T) {
	needPrograms(t)
	program := filepath.Join(t.TempDir(), "program")
	c := exec.Command("gcc", "-O1", "-w", "-x", "c", "-o", program, "-")
	c.Stdin = strings.NewReader(verifiedSource)
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, c := range []struct {
		name, call string
		policy     string
		change     func(*frontend.AgentCall)
		says       []string
	}{
		{"right", "write", "", func(*frontend.AgentCall) {}, nil},
		{"right, all wait", "write", policy.Comprehensive, func(*frontend.AgentCall) {}, nil},
		{"less than is written", "write", "", func(c *frontend.AgentCall) {
			c.Args[1].Length, c.Args[1].Size, c.Args[1].Count = frontend.AgentFixed, 10, 0
		}, []string{"write, buf, in variant 0", "something else than the memory"}},
		{"not compared", "write", "", func(c *frontend.AgentCall) {
			c.Args[1] = frontend.AgentArg{Kind: frontend.AgentPointer}
		}, []string{"write, buf, in variant 0"}},
		{"more than there is", "write", "", func(c *frontend.AgentCall) { c.Args[1].Size = 2 }, []string{"write", "not compared"}},
		{"a descriptor that is not compared", "read", "", func(c *frontend.AgentCall) { c.Args[0].Kind = frontend.AgentNone },
			[]string{"read, fd, in variant 1", "compares the bits 0x0 of it, the engine 0xffffffff"}},
		{"half of a number", "lseek", "", func(c *frontend.AgentCall) { c.Args[1].Kind = frontend.AgentHalf },
			[]string{"lseek, offset, in variant 1", "bits 0xffffffff of it, the engine 0xffffffffffffffff"}},
		{"all of a half number", "lseek", "", func(c *frontend.AgentCall) { c.Args[2].Kind = frontend.AgentLong },
			[]string{"lseek, whence, in variant 1"}},
		{"a member that is not compared", "poll", "", func(c *frontend.AgentCall) { c.Args[0].Pieces = [2][2]uint8{{0, 4}} },
			[]string{"poll, fds, in variant 1", "of the 8 bytes"}},
		{"a member too much", "poll", "", func(c *frontend.AgentCall) { c.Args[0].Pieces = [2][2]uint8{{0, 8}} },
			[]string{"poll, fds, in variant 1", "of the 8 bytes"}},
		{"no result", "clock_gettime", "", func(c *frontend.AgentCall) { c.Args[1].Out = false },
			[]string{"clock_gettime, tp, in variant 0", "hands over []"}},
		{"too much of a result", "read", "", func(c *frontend.AgentCall) { c.Args[1].Written = frontend.AgentAll },
			[]string{"read, buf, in variant 0", "hands over"}},
		{"half of a result", "fstat", "", func(c *frontend.AgentCall) { c.Args[1].Size /= 2 }, []string{"fstat, statbuf, in variant 0"}},
		{"an address that is no address", "epoll_wait", "", func(c *frontend.AgentCall) { c.Args[1].Words = false },
			[]string{"epoll_wait, events, in variant 1", "something else than what the leader's call has written"}},
		{"a vector of numbers", "writev", "", func(c *frontend.AgentCall) { c.Args[1] = frontend.AgentArg{Kind: frontend.AgentPointer} },
			[]string{"writev, iov.count, in variant 0"}},
		{"does not wait", "write", policy.Comprehensive, func(c *frontend.AgentCall) { c.Waits = false },
			[]string{"write, in variant 0", "has waited for the others: false"}},
		{"waits", "write", "", func(c *frontend.AgentCall) { c.Waits = true }, []string{"write, in variant 0", "has waited for the others: true"}},
		{"the engine's", "rt_sigpending", "", func(c *frontend.AgentCall) {
			c.Args[0] = frontend.AgentArg{Kind: frontend.AgentBuffer, Out: true, Size: 8}
			c.Args[1].Kind = frontend.AgentLong
		}, []string{"rt_sigpending, in variant 0", "not among the calls for agents"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := c.policy
			if name == "" {
				name = policy.Default
			}
			err := verified(t, program, 2, name, changing(t, c.call, c.change))
			if len(c.says) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, libmultivar.ErrInternal) || !strings.Contains(err.Error(), "agents and the engine differ about "+c.says[0]) {
				t.Fatalf("%v; want what is said of %s", err, c.says[0])
			}
			for _, text := range c.says[1:] {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%v; want %q", err, text)
				}
			}
		})
	}
}
