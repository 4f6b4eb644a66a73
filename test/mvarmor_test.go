//go:build linux && amd64

package test

import (
	"net"
	"testing"
	"time"
)

// TestMvArmorEpoll is MvArmor's TCP server with four clients one after the other
// and four at once. It serves the number of clients that it is told and ends.
func TestMvArmorEpoll(t *testing.T) {
	for _, f := range flavours {
		for _, n := range variantsOf(f) {
			t.Run(runName(f, n), func(t *testing.T) {
				t.Parallel()
				p := start(t, Run{N: n, Args: []string{program(t, "mv_epoll", f), "0", "8"}})
				addr := "127.0.0.1:" + p.waitForLine(t, "port ")
				for range 4 {
					greet(t, addr)
				}
				answers := make(chan string, 4)
				for range 4 {
					go func() { answers <- greeting(addr) }()
				}
				for range 4 {
					if got := <-answers; got != greetingText {
						t.Errorf("answer %q", got)
					}
				}
				p.waitForLine(t, "served")
				if r := p.wait(t); r.Status != 0 || r.Stderr != "" {
					t.Errorf("%s", r)
				}
			})
		}
	}
}

const greetingText = "Hoi!\n"

func greet(t *testing.T, addr string) {
	t.Helper()
	if got := greeting(addr); got != greetingText {
		t.Errorf("answer %q", got)
	}
}

// greeting says hello to the server and returns its answer, or what went wrong.
func greeting(addr string) string {
	c, err := net.DialTimeout("tcp", addr, watchdog)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(watchdog)); err != nil {
		return err.Error()
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		return err.Error()
	}
	return readAll(c)
}

// TestMvArmorRecvmsg sends MvArmor's UDP server a datagram and looks at what it
// says about it.
func TestMvArmorRecvmsg(t *testing.T) {
	for _, f := range flavours {
		for _, n := range variantsOf(f) {
			t.Run(runName(f, n), func(t *testing.T) {
				t.Parallel()
				p := start(t, Run{N: n, Args: []string{program(t, "mv_recvmsg", f), "0"}})
				c, err := net.Dial("udp", "127.0.0.1:"+p.waitForLine(t, "port "))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := c.Write([]byte("test!")); err != nil {
					t.Fatal(err)
				}
				r := p.wait(t)
				_, port, err := net.SplitHostPort(c.LocalAddr().String())
				if err != nil {
					t.Fatal(err)
				}
				want := "5 bytes, flags 0, control 0, name 16 bytes\nfrom 127.0.0.1 port " + port + "\ntext test!\n"
				if r.Status != 0 || r.Stderr != "" || masked(`(?m)^port [0-9]+\n`).normal(r.Stdout) != "#"+want {
					t.Errorf("%s\nwant %q", r, want)
				}
				if err := c.SetReadDeadline(time.Now().Add(watchdog)); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 16)
				if n, err := c.Read(buf); err != nil || string(buf[:n]) != "thanks" {
					t.Errorf("answer %q, %v", buf[:n], err)
				}
			})
		}
	}
}

// variantsOf returns as how many variants programs of a flavour run; 0 is native.
func variantsOf(f flavour) []int {
	if f == dynamic {
		return []int{0, 1, 2, 3, 4}
	}
	return []int{0, 2}
}
