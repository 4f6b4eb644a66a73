//go:build linux && amd64

package test

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// server is a server that runs in the foreground and ends when it is sent SIGTERM.
type server struct {
	name string
	// make prepares dir and returns the command.
	make func(t *testing.T, dir string, port int) []string
	// load uses the server, which runs in the directory that make has prepared, and
	// checks what it gets, less often if light is true.
	load func(t *testing.T, p *process, port int, light bool)
	// statuses are those with which it may end after SIGTERM.
	statuses []int
	// end, when set, is how it is told to end, in place of SIGTERM.
	end func(t *testing.T, p *process, port int)
}

var servers = []server{
	{name: "redis", make: redisCommand, load: redisLoad, statuses: []int{0}},
	// Which of the two depends, natively as well, on what it did last.
	{name: "lighttpd", make: lighttpdCommand, load: webLoad, statuses: []int{0, 1}},
	{name: "nginx", make: nginxCommand, load: webLoad, statuses: []int{0}},
}

// TestServers runs each server natively and as variants, under load, and compares
// what clients get and how the server ends.
func TestServers(t *testing.T) {
	t.Parallel()
	for i, s := range servers {
		numbers := append(inTurn(i, 1, 4), 0, 2, 3)
		if testing.Short() {
			numbers = inTurn(i, 2, 3)
		}
		for _, n := range numbers {
			t.Run(fmt.Sprintf("%s/N=%d", s.name, n), func(t *testing.T) {
				t.Parallel()
				s.test(t, n, false)
			})
		}
	}
}

func (s server) test(t *testing.T, n int, light bool) {
	dir, port := scratch(t), freePort(t)
	p := start(t, Run{N: n, Dir: dir, Args: s.make(t, dir, port)})
	defer p.tellFailure(t)
	p.waitFor(t, "connection", func() bool {
		c, err := net.DialTimeout("tcp", address(port), watchdog)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
	s.load(t, p, port, light)
	if s.end != nil {
		s.end(t, p, port)
	} else if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if r := p.wait(t); !slices.Contains(s.statuses, r.Status) {
		t.Errorf("when it was told to end: %s", r)
	}
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// portNumber counts the ports that were given out.
var portNumber atomic.Int64

// freePort returns a port on which nobody listens. It is none of those that the
// kernel gives to clients (32768 and up, unless somebody has changed it), and none
// that another test has got: it stays free until the server takes it.
func freePort(t *testing.T) int {
	t.Helper()
	const first, count = 20000, 12000
	for range count {
		// Test processes that run at the same time begin at different ports.
		port := first + int(int64(syscall.Getpid())*97+portNumber.Add(1))%count
		if l, err := net.Listen("tcp", address(port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatalf("no free port in %d..%d", first, first+count-1)
	return 0
}

// client runs a client to its end, natively.
func client(t *testing.T, args ...string) string {
	t.Helper()
	r := native(t, "", args...)
	return r.Stdout + r.Stderr
}

func redisCommand(t *testing.T, dir string, port int) []string {
	t.Helper()
	return []string{
		tool(t, "redis-server"), "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning",
	}
}

func redisLoad(t *testing.T, _ *process, port int, light bool) {
	t.Helper()
	requests := 1000
	if light {
		requests = 200
	}
	out := client(t, "redis-benchmark", "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-n", strconv.Itoa(requests), "-c", "10",
		"-t", "ping,set,get,incr,lpush,lrange_100,mset", "-q")
	if strings.Contains(strings.ToLower(out), "error") || strings.Count(out, "requests per second") < 7 {
		t.Errorf("redis-benchmark: %s", clip(out))
	}
	out = client(t, "redis-benchmark", "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-n", strconv.Itoa(2*requests), "-c", "5", "-P", "16",
		"-t", "set,get", "-q")
	if strings.Contains(strings.ToLower(out), "error") {
		t.Errorf("redis-benchmark: %s", clip(out))
	}

	c, err := net.DialTimeout("tcp", address(port), watchdog)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(watchdog)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	large := strings.Repeat("0123456789abcdef", 65536)
	for _, x := range []struct{ command, want string }{
		{"SET greeting hello\r\n", "+OK\r\n"},
		{"GET greeting\r\n", "$5\r\nhello\r\n"},
		{"INCR fresh\r\n", ":1\r\n"},
		{"GET absent\r\n", "$-1\r\n"},
		{"EVAL \"return redis.call('GET', KEYS[1])\" 1 greeting\r\n", "$5\r\nhello\r\n"},
		{fmt.Sprintf("*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%d\r\n%s\r\n", len(large), large), "+OK\r\n"},
		{"GET large\r\n", fmt.Sprintf("$%d\r\n%s\r\n", len(large), large)},
		{"DBSIZE extra\r\n", "-ERR wrong number of arguments for 'dbsize' command\r\n"},
	} {
		if _, err := c.Write([]byte(x.command)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 0, len(x.want))
		for len(got) < len(x.want) {
			b, err := r.ReadByte()
			if err != nil {
				t.Fatalf("%.40q: answer %.80q, %v", x.command, got, err)
			}
			got = append(got, b)
		}
		if string(got) != x.want {
			t.Fatalf("%.40q: answer %.80q, want %.80q", x.command, got, x.want)
		}
	}
}

// site writes the files that the web servers serve, below dir/www.
func site(t *testing.T, dir string) {
	t.Helper()
	withFiles(map[string]string{
		"www/index.html":   "<p>hello</p>\n",
		"www/empty.txt":    "",
		"www/small.txt":    strings.Repeat("4096 bytes, 16 a time\n", 187)[:4096],
		"www/large.bin":    strings.Repeat("\x00\x01\x02binary\xff", 300000),
		"www/sub/deep.txt": "deep\n",
	})(t, dir)
}

func lighttpdCommand(t *testing.T, dir string, port int) []string {
	t.Helper()
	site(t, dir)
	withFiles(map[string]string{"lighttpd.conf": fmt.Sprintf(`
server.document-root = "%s/www"
server.bind = "127.0.0.1"
server.port = %d
server.upload-dirs = ("%s")
server.max-worker = 0
index-file.names = ("index.html")
mimetype.assign = (".html" => "text/html", ".txt" => "text/plain", "" => "application/octet-stream")
`, dir, port, dir)})(t, dir)
	return []string{tool(t, "lighttpd"), "-D", "-f", filepath.Join(dir, "lighttpd.conf")}
}

// nginxFiles is where nginx writes to below the directory of a test, and that it sends
// files by sendfile(2).
const nginxFiles = `	access_log %[1]s/access.log;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	sendfile on;
`

func nginxCommand(t *testing.T, dir string, port int) []string {
	t.Helper()
	site(t, dir)
	withFiles(map[string]string{"nginx.conf": fmt.Sprintf(`
daemon off;
master_process off;
worker_processes 1;
error_log stderr warn;
pid %[1]s/nginx.pid;
events { worker_connections 128; }
http {
`+nginxFiles+`	types { text/html html; text/plain txt; }
	default_type application/octet-stream;
	server { listen 127.0.0.1:%[2]d; root %[1]s/www; }
}
`, dir, port)})(t, dir)
	return []string{tool(t, "nginx"), "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, "nginx.conf")}
}

func webLoad(t *testing.T, p *process, port int, light bool) {
	t.Helper()
	duration := "2s"
	if light {
		duration = "1s"
	}
	url := "http://" + address(port) + "/"
	fetched := scratch(t)
	fetch := func(name string, flags ...string) {
		t.Helper()
		file := filepath.Join(fetched, filepath.Base(name))
		client(t, append([]string{"curl", "-sS", "--fail", "--max-time", "100", "-o", file, url + name}, flags...)...)
		native(t, "", "cmp", file, filepath.Join(p.run.Dir, "www", name))
	}
	for _, name := range []string{"index.html", "empty.txt", "small.txt", "large.bin", "sub/deep.txt"} {
		fetch(name)
	}
	fetch("large.bin", "--limit-rate", "20M")
	if out := client(t, "curl", "-sS", "--max-time", "100", "-r", "10-19", url+"small.txt"); out != ", 16 a tim" {
		t.Errorf("a range: %q", out)
	}
	if out := client(t, "curl", "-sS", "--max-time", "100", "-o", "/dev/null", "-w", "%{http_code}", url+"absent"); out != "404" {
		t.Errorf("an absent file: %q", out)
	}
	if out := client(t, "curl", "-sS", "--max-time", "100", "-I", url+"small.txt"); !strings.Contains(out, "Content-Length: 4096") {
		t.Errorf("HEAD: %q", out)
	}

	wrk(t, url+"small.txt", duration)
	fetch("small.txt")
}

// wrk fetches a page as often as it can by connections that it keeps.
func wrk(t *testing.T, url, duration string) {
	t.Helper()
	args := func(d string) []string {
		return []string{"wrk", "-t", "1", "-c", "8", "-d", d, "--timeout", "60s", url}
	}
	out := client(t, args(duration)...)
	if strings.Contains(out, " 0 requests in") {
		// On a machine that has other things to do that was not long enough.
		out = client(t, args("30s")...)
	}
	if strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") || !strings.Contains(out, "requests in") ||
		strings.Contains(out, " 0 requests in") {
		t.Errorf("wrk: %s", clip(out))
	}
}
