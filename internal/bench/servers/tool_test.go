package servers

import (
	"strings"
	"testing"
	"time"
)

func TestCountRedis(t *testing.T) {
	const names = `"test","rps","avg_latency_ms"` + "\n"
	n, took, err := countRedis(names+`"GET key","80000.00","0.323"`+"\n", 40_000)
	if n != 40_000 || took != 500*time.Millisecond || err != nil {
		t.Errorf("%d in %v, %v", n, took, err)
	}
	for _, bad := range []string{"", names, `"GET key","80000.00","0.323"`, names + `"GET key","0","0"`, names + `"GET key","inf","0"`, names + `"GET key","many","0"`} {
		if n, took, err := countRedis(bad, 10); err == nil {
			t.Errorf("%q: %d in %v", bad, n, took)
		}
	}
}

func TestCountWrk(t *testing.T) {
	const said = "Running 1s test @ http://127.0.0.1:1/page\n  1 threads and 50 connections\n  57012 requests in 1.10s, 238.72MB read\nRequests/sec:  51829.09\n"
	n, took, err := countWrk(said, 0)
	if n != 57012 || took != 1100*time.Millisecond || err != nil {
		t.Errorf("%d in %v, %v", n, took, err)
	}
	for _, bad := range []string{"", "unable to connect", said + "  Non-2xx or 3xx responses: 3\n", said + "  Socket errors: connect 0, read 1, write 0, timeout 0\n"} {
		if n, took, err := countWrk(bad, 0); err == nil {
			t.Errorf("%q: %d in %v", bad, n, took)
		}
	}
}

// TestTools compares a server with itself by a tool that says what it was told, and leaves out one without.
func TestTools(t *testing.T) {
	t.Setenv("BENCH_TEST_SERVER", "yes")
	told := testServer
	told.Tool = wrk(pageName)
	told.Tool.Command = func(port, clients int, d time.Duration, _ int) []string {
		if port == 0 || clients != 3 || d != time.Second {
			t.Errorf("port %d, %d clients, %v", port, clients, d)
		}
		return []string{"echo", "  400 requests in 2.00s, 1KB read"}
	}
	c := Contest{Contenders: []Contender{{Name: "a"}, {Name: "b"}}, Rounds: 2, Slice: time.Second, Clients: 3, Tools: true}
	results, err := c.Run(t.Context(), []Server{told, testServer})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || len(results[0].Samples[1]) != 2 || results[0].Samples[1][0].Own != 200 {
		t.Fatalf("%+v", results)
	}
	told.Tool.Command = func(int, int, time.Duration, int) []string { return []string{"sh", "-c", "echo no >&2; exit 1"} }
	if _, err := c.Run(t.Context(), []Server{told}); err == nil || !strings.HasSuffix(err.Error(), "exit status 1: no") {
		t.Errorf("a tool that fails: %v", err)
	}
}
