package servers

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Server is a program that answers requests on a TCP port.
type Server struct {
	Name string
	// Prepare makes what the server needs in dir, an empty directory of its own, and
	// returns the command that has it listen on port of 127.0.0.1 until it gets SIGTERM.
	Prepare func(dir string, port int) ([]string, error)
	// Setup, when it is not empty, is a request that is made once, before all others.
	Setup string
	// Request is what clients send, Answer how what they get for it begins. All answers
	// have the same length.
	Request, Answer string
	// Tool is what people measure the server with, nil for nothing in particular.
	Tool *Tool
}

// pageSize is the size in bytes of the page that web servers are asked for.
const pageSize = 4096

const pageName = "page"

const pageRequest = "GET /" + pageName + " HTTP/1.1\r\nHost: localhost\r\n\r\n"

// All returns the servers that there are to measure.
func All() []Server {
	return []Server{
		{
			Name: "redis GET", Prepare: prepareRedis,
			Setup:   "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n",
			Request: "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n",
			Answer:  "$5\r\nvalue\r\n",
			Tool:    redisBenchmark("GET", "key"),
		},
		{Name: "nginx 4 KB", Prepare: prepareNginx, Request: pageRequest, Answer: "HTTP/1.1 200 OK\r\n", Tool: wrk(pageName)},
		{Name: "lighttpd 4 KB", Prepare: prepareLighttpd, Request: pageRequest, Answer: "HTTP/1.1 200 OK\r\n", Tool: wrk(pageName)},
		{
			Name: "memcached GET", Prepare: prepareMemcached,
			Setup:   "set key 0 0 5\r\nvalue\r\n",
			Request: "get key\r\n",
			Answer:  "VALUE key 0 5\r\nvalue\r\nEND\r\n",
		},
	}
}

func prepareRedis(dir string, port int) ([]string, error) {
	return []string{
		"redis-server", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning",
	}, nil
}

// prepareNginx makes a server without a worker process: what is measured is one process.
func prepareNginx(dir string, port int) ([]string, error) {
	config := fmt.Sprintf(`daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/error.log;
events { worker_connections 1024; }
http {
	access_log off;
	sendfile on;
	keepalive_requests 1000000000;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server { listen 127.0.0.1:%[2]d; root %[1]s; }
}
`, dir, port)
	path, err := writeSite(dir, config)
	return []string{"nginx", "-e", filepath.Join(dir, "error.log"), "-c", path}, err
}

func prepareLighttpd(dir string, port int) ([]string, error) {
	config := fmt.Sprintf(`server.document-root = "%[1]s"
server.bind = "127.0.0.1"
server.port = %[2]d
server.errorlog = "%[1]s/error.log"
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 60
`, dir, port)
	path, err := writeSite(dir, config)
	return []string{"lighttpd", "-D", "-f", path}, err
}

// prepareMemcached makes a server that has four threads answer, as it does unless it is told.
func prepareMemcached(_ string, port int) ([]string, error) {
	return []string{"memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "0", "-t", "4"}, nil
}

// writeSite writes a page and a configuration into dir and returns the path of the latter.
func writeSite(dir, config string) (string, error) {
	if err := os.WriteFile(filepath.Join(dir, pageName), make([]byte, pageSize), 0o644); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "config")
	return path, os.WriteFile(path, []byte(config), 0o644)
}
