//go:build linux && amd64

package test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// threadServers are servers of several threads or processes. Their clients are in this
// test, because they check every answer, and that nothing is lost while the server
// saves, starts anew, or ends.
var threadServers = []server{
	{name: "memcached", make: memcachedCommand, load: memcachedLoad, statuses: []int{0}},
	{name: "redis-io-threads", make: persistentRedisCommand, load: persistentRedisLoad, statuses: []int{0}, end: persistentRedisEnd},
	{name: "nginx-workers", make: workersCommand, load: workersLoad, statuses: []int{0}, end: workersEnd},
	{name: "go", make: httpdCommand, load: httpdLoad, statuses: []int{0}},
	{name: "apache", make: apacheCommand, load: apacheLoad, statuses: []int{0}},
}

// TestThreadServers does what TestServers does.
func TestThreadServers(t *testing.T) {
	t.Parallel()
	for i, s := range threadServers {
		numbers := []int{0, 2, 3}
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

// each calls f for each number below n, at the same time.
func each(n int, f func(i int) error) error {
	failures := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { failures[i] = f(i) })
	}
	group.Wait()
	return errors.Join(failures...)
}

// together does so too and ends the test if one fails. f does not use t, because only
// the test's own goroutine may end it.
func together(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	if err := each(n, f); err != nil {
		t.Fatal(err)
	}
}

// lineClient speaks a protocol of lines.
type lineClient struct {
	net.Conn
	r *bufio.Reader
}

// dial connects a client whose every call ends some time.
func dial(port int) (*lineClient, error) {
	c, err := net.DialTimeout("tcp", address(port), watchdog)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(watchdog)); err != nil {
		_ = c.Close()
		return nil, err
	}
	return &lineClient{c, bufio.NewReader(c)}, nil
}

// ask sends a request and expects this answer.
func (c *lineClient) ask(request, want string) error {
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c.r, got); err != nil {
		return fmt.Errorf("%.40q: answer %.80q, %w", request, got[:n], err)
	}
	if string(got) != want {
		return fmt.Errorf("%.40q: answer %.80q, want %.80q", request, got, want)
	}
	return nil
}

func memcachedCommand(t *testing.T, _ string, port int) []string {
	t.Helper()
	args := []string{tool(t, "memcached"), "-l", "127.0.0.1", "-p", strconv.Itoa(port), "-t", "4"}
	if os.Getuid() == 0 {
		// It refuses to run as root unless told to.
		args = append(args, "-u", "root")
	}
	return args
}

// memcachedLoad mixes what each of several clients keeps for itself with a counter that
// they have in common, and on which no increment may be lost.
func memcachedLoad(t *testing.T, _ *process, port int, light bool) {
	t.Helper()
	const clients = 6
	rounds := 60
	if light {
		rounds = 20
	}
	one, err := dial(port)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	if err := one.ask("set counter 0 0 1\r\n0\r\n", "STORED\r\n"); err != nil {
		t.Fatal(err)
	}
	together(t, clients, func(client int) error {
		c, err := dial(port)
		if err != nil {
			return err
		}
		defer c.Close()
		random := rand.New(rand.NewPCG(1, uint64(client)))
		stored := map[string]string{}
		for i := range rounds {
			key := fmt.Sprintf("key-%d-%d", client, random.IntN(10))
			value, there := stored[key]
			switch kind := random.IntN(8); {
			case kind < 3:
				value = strings.Repeat(strconv.Itoa(i), 1+random.IntN(3000))
				err = c.ask(fmt.Sprintf("set %s %d 0 %d\r\n%s\r\n", key, client, len(value), value), "STORED\r\n")
				stored[key] = value
			case kind == 3 && there:
				err = c.ask(fmt.Sprintf("delete %s\r\n", key), "DELETED\r\n")
				delete(stored, key)
			case there:
				err = c.ask(fmt.Sprintf("get %s\r\n", key), fmt.Sprintf("VALUE %s %d %d\r\n%s\r\nEND\r\n", key, client, len(value), value))
			default:
				err = c.ask(fmt.Sprintf("get %s\r\n", key), "END\r\n")
			}
			if err == nil {
				err = c.ask("incr counter 1 noreply\r\n", "")
			}
			if err != nil {
				return err
			}
		}
		for key, value := range stored {
			if err := c.ask(fmt.Sprintf("get %s\r\n", key), fmt.Sprintf("VALUE %s %d %d\r\n%s\r\nEND\r\n", key, client, len(value), value)); err != nil {
				return err
			}
		}
		// The increments had no answer; they are done when this has one.
		return c.ask("mn\r\n", "MN\r\n")
	})
	total := strconv.Itoa(clients * rounds)
	if err := one.ask("get counter\r\n", fmt.Sprintf("VALUE counter 0 %d\r\n%s\r\nEND\r\n", len(total), total)); err != nil {
		t.Error(err)
	}
}

func persistentRedisCommand(t *testing.T, dir string, port int) []string {
	t.Helper()
	return []string{
		tool(t, "redis-server"), "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
		"--save", "", "--appendonly", "yes", "--io-threads", "2", "--daemonize", "no", "--loglevel", "warning",
	}
}

// bulk is a string as redis sends it.
func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

const redisClients, redisKeys = 8, 6

func redisValue(client, key int) string {
	return strings.Repeat(fmt.Sprintf("<%d-%d>", client, key), 40)
}

// persistentRedisLoad has the server write what it has to disk, in both ways, while
// clients change it. They are few, because the threads spin for each other.
func persistentRedisLoad(t *testing.T, p *process, port int, _ bool) {
	t.Helper()
	c, err := dial(port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	half := func(from, to int) {
		t.Helper()
		together(t, redisClients, func(client int) error {
			c, err := dial(port)
			if err != nil {
				return err
			}
			defer c.Close()
			for key := from; key < to; key++ {
				value := redisValue(client, key)
				for _, x := range []struct{ command, want string }{
					{fmt.Sprintf("SET key-%d-%d %s\r\n", client, key, value), "+OK\r\n"},
					{fmt.Sprintf("GET key-%d-%d\r\nRPUSH list-%d %d\r\nINCRBY sum-%[1]d 7\r\n", client, key, client, key),
						bulk(value) + fmt.Sprintf(":%d\r\n:%d\r\n", key+1, 7*(key+1))},
				} {
					if err := c.ask(x.command, x.want); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	half(0, redisKeys/3)
	if err := c.ask("BGSAVE\r\n", "+Background saving started\r\n"); err != nil {
		t.Fatal(err)
	}
	half(redisKeys/3, 2*redisKeys/3)
	saved := func(what string) {
		t.Helper()
		p.waitFor(t, what, func() bool {
			info := client(t, "redis-cli", "-h", "127.0.0.1", "-p", strconv.Itoa(port), "INFO", "persistence")
			for _, line := range []string{"rdb_last_bgsave_status:ok", "aof_last_bgrewrite_status:ok", "aof_last_write_status:ok"} {
				if !strings.Contains(info, line+"\r\n") {
					t.Fatalf("no %s: %s", line, clip(info))
				}
			}
			return strings.Contains(info, "rdb_bgsave_in_progress:0\r\n") && strings.Contains(info, "aof_rewrite_in_progress:0\r\n") &&
				strings.Contains(info, "aof_rewrite_scheduled:0\r\n")
		})
	}
	saved("end of BGSAVE")
	if err := c.ask("BGREWRITEAOF\r\n", "+Background append only file rewriting started\r\n"); err != nil {
		t.Fatal(err)
	}
	half(2*redisKeys/3, redisKeys)
	saved("end of BGREWRITEAOF")
	if info := client(t, "redis-cli", "-h", "127.0.0.1", "-p", strconv.Itoa(port), "INFO", "stats"); !strings.Contains(info, "io_threaded_writes_processed:") ||
		strings.Contains(info, "io_threaded_writes_processed:0\r\n") {
		t.Errorf("nothing was done by its threads: %s", clip(info))
	}
	checkRedis(t, port)
}

// checkRedis checks that the server has everything that it was given.
func checkRedis(t *testing.T, port int) {
	t.Helper()
	c, err := dial(port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for client := range redisClients {
		get, want := fmt.Sprintf("GET sum-%d\r\nLRANGE list-%[1]d 0 -1\r\n", client), bulk(strconv.Itoa(7*redisKeys))+fmt.Sprintf("*%d\r\n", redisKeys)
		for key := range redisKeys {
			want += bulk(strconv.Itoa(key))
		}
		for key := range redisKeys {
			get += fmt.Sprintf("GET key-%d-%d\r\n", client, key)
			want += bulk(redisValue(client, key))
		}
		if err := c.ask(get, want); err != nil {
			t.Error(err)
		}
	}
	if err := c.ask("DBSIZE\r\n", fmt.Sprintf(":%d\r\n", redisClients*(redisKeys+2))); err != nil {
		t.Error(err)
	}
}

// persistentRedisEnd ends the server, and has one that runs natively read what it left.
func persistentRedisEnd(t *testing.T, p *process, _ int) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	dir := p.run.Dir
	native(t, dir, "redis-check-rdb", "dump.rdb")
	port := freePort(t)
	heir := start(t, Run{Dir: dir, Args: persistentRedisCommand(t, dir, port)})
	heir.waitFor(t, "answer", func() bool {
		c, err := dial(port)
		if err != nil {
			return false
		}
		defer c.Close()
		return c.ask("PING\r\n", "+PONG\r\n") == nil
	})
	checkRedis(t, port)
}

func workersCommand(t *testing.T, dir string, port int) []string {
	t.Helper()
	site(t, dir)
	withFiles(map[string]string{"nginx.conf": fmt.Sprintf(`
daemon off;
worker_processes 2;
error_log stderr warn;
pid %[1]s/nginx.pid;
events { worker_connections 128; }
http {
`+nginxFiles+`	limit_req_zone $request_uri zone=all:128k rate=1r/m;
	upstream itself { zone itself 128k; server 127.0.0.1:%[2]d; }
	server {
		listen 127.0.0.1:%[2]d;
		root %[1]s/www;
		location /itself/ { proxy_pass http://itself/; }
		location /limited/ { limit_req zone=all burst=2 nodelay; alias %[1]s/www/; }
	}
}
`, dir, port)})(t, dir)
	return []string{tool(t, "nginx"), "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, "nginx.conf")}
}

// masterPid reads the id of the process to which nginx's manual says to send signals.
func masterPid(t *testing.T, p *process) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.run.Dir, "nginx.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	// It overwrites its environment, and so the mark, with its title.
	if group, err := syscall.Getpgid(pid); err != nil || group != p.pid() {
		t.Fatalf("nginx.pid says %d, of process group %d, want %d, %v", pid, group, p.pid(), err)
	}
	return pid
}

// tell sends the master a signal.
func tell(t *testing.T, p *process, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(masterPid(t, p), s); err != nil {
		t.Fatal(err)
	}
}

// workers returns the ids of the master's children, sorted.
func workers(t *testing.T, p *process) []string {
	t.Helper()
	pid := masterPid(t, p)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	ids := strings.Fields(string(text))
	slices.Sort(ids)
	return ids
}

// fetch gets a page by a connection of its own: nginx may close one that is kept open
// while it starts anew, natively as well, but serves all that it has accepted.
func fetch(port int, page string) (status int, body string, err error) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: watchdog}
	r, err := c.Get("http://" + address(port) + "/" + page)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	p, err := io.ReadAll(r.Body)
	return r.StatusCode, string(p), err
}

// workersLoad has the server read its configuration anew and open its log anew, while
// clients fetch pages of which none may be lost, in the log neither.
func workersLoad(t *testing.T, p *process, port int, light bool) {
	t.Helper()
	dir := p.run.Dir
	least := 100
	if light {
		least = 30
	}
	pages := map[string]string{}
	for _, name := range []string{"index.html", "small.txt", "sub/deep.txt"} {
		text, err := os.ReadFile(filepath.Join(dir, "www", name))
		if err != nil {
			t.Fatal(err)
		}
		pages[name], pages["itself/"+name] = string(text), string(text)
	}
	names := slices.Sorted(maps.Keys(pages))

	// Both workers know of every request that is limited.
	limited := make([]int, 8)
	together(t, len(limited), func(i int) (err error) {
		limited[i], _, err = fetch(port, "limited/small.txt")
		return err
	})
	slices.Sort(limited)
	if want := []int{200, 200, 200, 503, 503, 503, 503, 503}; !slices.Equal(limited, want) {
		t.Errorf("of the requests that are limited to one and two more: %d, want %d", limited, want)
	}

	var mutex sync.Mutex
	fetched, logged := 0, len(limited)
	over := make(chan struct{})
	load := make(chan error, 1)
	go func() {
		load <- each(4, func(i int) error {
			for ; ; i++ {
				select {
				case <-over:
					return nil
				default:
				}
				name := names[i%len(names)]
				status, body, err := fetch(port, name)
				if err != nil || status != http.StatusOK || body != pages[name] {
					return fmt.Errorf("%s: status %d, %.80q, %v", name, status, body, err)
				}
				mutex.Lock()
				fetched++
				logged++
				if strings.HasPrefix(name, "itself/") {
					logged++
				}
				mutex.Unlock()
			}
		})
	}()
	more := func(n int) {
		t.Helper()
		mutex.Lock()
		want := fetched + n
		mutex.Unlock()
		p.waitFor(t, "pages", func() bool {
			select {
			case err := <-load:
				t.Fatal(err)
			default:
			}
			mutex.Lock()
			defer mutex.Unlock()
			return fetched >= want
		})
	}

	more(least / 4)
	before := workers(t, p)
	if len(before) != 2 {
		t.Errorf("workers %q, want two", before)
	}
	tell(t, p, syscall.SIGHUP)
	p.waitFor(t, "new workers", func() bool {
		now := workers(t, p)
		return len(now) == 2 && !slices.Contains(before, now[0]) && !slices.Contains(before, now[1])
	})
	more(least / 4)

	log, old := filepath.Join(dir, "access.log"), filepath.Join(dir, "access.log.1")
	if err := os.Rename(log, old); err != nil {
		t.Fatal(err)
	}
	tell(t, p, syscall.SIGUSR1)
	p.waitFor(t, "a line in the new log", func() bool {
		text, err := os.ReadFile(log)
		return err == nil && len(text) > 0
	})
	more(least / 2)
	close(over)
	if err := <-load; err != nil {
		t.Fatal(err)
	}
	lines := 0
	p.waitFor(t, "a line for each request", func() bool {
		lines = 0
		for _, name := range []string{log, old} {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			lines += strings.Count(string(text), "\n")
		}
		return lines >= logged
	})
	if lines != logged {
		t.Errorf("%d lines in the logs for %d requests", lines, logged)
	}
}

// workersEnd has the server end when it has served what it has begun.
func workersEnd(t *testing.T, p *process, port int) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(p.run.Dir, "www", "large.bin"))
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Timeout: watchdog}
	defer c.CloseIdleConnections()
	r, err := c.Get("http://" + address(port) + "/large.bin")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	tell(t, p, syscall.SIGQUIT)
	got, err := io.ReadAll(r.Body)
	if err != nil || string(got) != string(want) {
		t.Errorf("a page on its way when the server was told to end: %d of %d bytes, %v", len(got), len(want), err)
	}
	p.wait(t)
	if _, err := os.Stat(filepath.Join(p.run.Dir, "nginx.pid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nginx.pid is left: %v", err)
	}
}

func httpdCommand(t *testing.T, _ string, port int) []string {
	t.Helper()
	return []string{threaded(t, "httpd", "go", "build", "-o", "OUT", "./threads/httpd"), address(port)}
}

// httpdLoad keeps some connections and makes others anew, while wrk does its part.
func httpdLoad(t *testing.T, _ *process, port int, light bool) {
	t.Helper()
	rounds := 20
	if light {
		rounds = 8
	}
	url := "http://" + address(port) + "/"
	const clients = 5
	ask := func(c *http.Client, method, page, body, want string) error {
		request, err := http.NewRequest(method, url+page, strings.NewReader(body))
		if err != nil {
			return err
		}
		r, err := c.Do(request)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		got, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK || want != "" && string(got) != want {
			return fmt.Errorf("%s %s: status %d, %.80q, want %.80q, %v", method, page, r.StatusCode, got, want, err)
		}
		return nil
	}
	together(t, clients, func(client int) error {
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: client == 0}, Timeout: watchdog}
		defer c.CloseIdleConnections()
		text := strings.Repeat(fmt.Sprintf("client %d, ", client), 2000)
		for i := range rounds {
			n := 10000*client + i
			if err := errors.Join(
				ask(c, "GET", "small.txt", "", strings.Repeat("small ", 100)),
				ask(c, "POST", "upper", text, strings.ToUpper(text)),
				ask(c, "POST", fmt.Sprintf("count/%d", client), "", strconv.Itoa(i+1)),
				ask(c, "POST", "count/all", "", ""),
				ask(c, "GET", fmt.Sprintf("sum/%d", n), "", fmt.Sprintf("%s%d\n", strings.Repeat("a part\n", 4), n*(n-1)/2)),
			); err != nil {
				return err
			}
		}
		return nil
	})
	wrk(t, url+"small.txt", "1s")
	c := &http.Client{Timeout: watchdog}
	defer c.CloseIdleConnections()
	if err := ask(c, "POST", "count/all", "", strconv.Itoa(clients*rounds+1)); err != nil {
		t.Error(err)
	}
}
