package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricsPath is where metrics are served.
const metricsPath = "/metrics"

// metricsTimeout is how long a client may take for its request, and for reading the answer.
const metricsTimeout = 10 * time.Second

// Bounds of what clients take of the monitor, which has the descriptors and the memory that
// they use.
const (
	maxMetricsConnections = 16
	maxMetricsRequests    = 2
)

// fewConnections is a listener that closes what comes while as many connections are open as
// open has room for.
type fewConnections struct {
	net.Listener
	open chan struct{}
}

// Accept implements net.Listener.
func (l *fewConnections) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.open <- struct{}{}:
			return &countedConnection{Conn: c, closed: sync.OnceFunc(func() { <-l.open })}, nil
		default:
			_ = c.Close()
		}
	}
}

// countedConnection tells that it was closed, once.
type countedConnection struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *countedConnection) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// metricsServer serves the metrics of one session.
type metricsServer struct {
	server   *http.Server
	listener net.Listener
	done     chan struct{}
}

// metricsAddress returns the address to listen at. A port alone is one of this host's
// own address: who can connect can read what the program does.
func metricsAddress(value string) (string, error) {
	if _, err := strconv.ParseUint(value, 10, 16); err == nil {
		value = ":" + value
	}
	host, port, err := net.SplitHostPort(value)
	if err != nil || port == "" {
		return "", fmt.Errorf("--metrics %s: want HOST:PORT, or a port", value)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// serveMetrics serves what collector holds, until close.
func serveMetrics(address string, collector prometheus.Collector, log *slog.Logger) (*metricsServer, error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(collector); err != nil {
		return nil, err
	}
	all, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	listener := &fewConnections{Listener: all, open: make(chan struct{}, maxMetricsConnections)}
	mux := http.NewServeMux()
	mux.Handle("GET "+metricsPath, promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxMetricsRequests}))
	s := &metricsServer{
		server: &http.Server{
			Handler: mux, ReadTimeout: metricsTimeout, WriteTimeout: metricsTimeout,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
		listener: listener, done: make(chan struct{}),
	}
	log.Info("metrics are served", "url", "http://"+listener.Addr().String()+metricsPath)
	go func() {
		defer close(s.done)
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("metrics are not served any more", "error", err)
		}
	}()
	return s, nil
}

// close ends the server and waits for its end.
func (s *metricsServer) close() {
	_ = s.server.Close()
	<-s.done
}
