package servers

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuartiles(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want Quartiles
	}{
		{[]float64{3}, Quartiles{3, 3, 3}},
		{[]float64{4, 1, 3, 2, 5}, Quartiles{2, 3, 4}},
		{[]float64{1, 2}, Quartiles{1.25, 1.5, 1.75}},
	} {
		if got := quartiles(c.of); got != c.want {
			t.Errorf("%v: %v", c.of, got)
		}
	}
}

func TestWrite(t *testing.T) {
	contenders := []Contender{{Name: "native"}, {Name: "strace"}, {Name: "own"}}
	r := Result{Server: "server", Samples: [][]Sample{
		{{4000, 4000, 10 * time.Microsecond}},
		{{4000, 1000, 40 * time.Microsecond}},
		{{8000, 1000, 80 * time.Microsecond}},
	}}
	var b strings.Builder
	if err := Write(&b, []Result{r}, contenders, 1); err != nil {
		t.Fatal(err)
	}
	want := `| | | k/s | µs | of native | of strace |
|---|---|---:|---:|---:|---:|
| server | native | 4 | 10 | | |
|  | strace | 1 | 40 | 0.25 (0.25-0.25) | 1 (1-1) |
|  | own | 1 | 80 | 0.125 (0.125-0.125) | 0.5 (0.5-0.5) |
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestAnswerLength(t *testing.T) {
	for text, want := range map[string]int{
		"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nab": 39 + 12,
		"HTTP/1.1 200 OK\r\n":                             0,
		"$5\r\nvalue\r\n":                                 11,
		"$5\r\nval":                                       0,
	} {
		n, ok := answerLength([]byte(text))
		if want > 0 != ok || ok && n != want {
			t.Errorf("%q: %d, %v; want %d", text, n, ok, want)
		}
	}
}

// testServer is this program as a server.
var testServer = Server{
	Name: "test", Request: pageRequest, Answer: "HTTP/1.1 200 OK\r\n",
	Prepare: func(_ string, port int) ([]string, error) {
		self, err := os.Executable()
		return []string{self, fmt.Sprint(port)}, err
	},
}

func TestMain(m *testing.M) {
	if port := os.Getenv("BENCH_TEST_SERVER"); port == "" {
		os.Exit(m.Run())
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			in := bufio.NewReader(c)
			for {
				if _, err := http.ReadRequest(in); err != nil {
					return
				}
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}()
	}
}

// TestContest compares a server with itself.
func TestContest(t *testing.T) {
	t.Setenv("BENCH_TEST_SERVER", "yes")
	c := Contest{Contenders: []Contender{{Name: "a"}, {Name: "b", Prefix: []string{"env"}}}, Rounds: 2, Slice: 20 * time.Millisecond, Clients: 3}
	results, err := c.Run(t.Context(), []Server{testServer})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || len(results[0].Samples) != 2 || len(results[0].Samples[1]) != 2 {
		t.Fatalf("%+v", results)
	}
	for i, samples := range results[0].Samples {
		for _, s := range samples {
			if s.First <= 0 || s.Own <= 0 || s.Spent <= 0 {
				t.Errorf("contender %d: %+v", i, s)
			}
		}
	}
	c.Contenders[1].Prefix = []string{"false"}
	if _, err := c.Run(t.Context(), []Server{testServer}); err == nil || !strings.HasPrefix(err.Error(), "test: b: ") {
		t.Errorf("a server that does not start: %v", err)
	}
}
