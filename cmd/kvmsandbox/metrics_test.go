package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Clients that hold connections take no more than there are for all of them, and give back
// what they close.
func TestMetricsConnectionsAreFew(t *testing.T) {
	s, err := serveMetrics("127.0.0.1:0", prometheus.NewGauge(prometheus.GaugeOpts{Name: "x"}), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	address := s.listener.Addr().String()
	var held []net.Conn
	for range maxMetricsConnections {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		held = append(held, c)
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(metricsTimeout / 2)); err != nil {
		t.Fatal(err)
	}
	_, err = c.Read(make([]byte, 1))
	if timeout, ok := err.(net.Error); err == nil || ok && timeout.Timeout() {
		t.Errorf("one more connection is not closed: %v", err)
	}
	for _, c := range held {
		_ = c.Close()
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: metricsTimeout}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		r, err := client.Get("http://" + address + metricsPath)
		if err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatalf("connections are not given back: %v", err)
		}
	}
}
