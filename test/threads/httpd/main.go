// Httpd is a server of net/http, which answers each connection in a goroutine of its
// own, on the address that it is given, until it is sent SIGTERM.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// handler answers requests that compute, keep state, wait for each other, and stream.
func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /small.txt", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("small ", 100))
	})
	mux.HandleFunc("POST /upper", func(w http.ResponseWriter, r *http.Request) {
		p, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprint(w, strings.ToUpper(string(p)))
	})
	var mutex sync.Mutex
	counts := map[string]int{}
	mux.HandleFunc("POST /count/{name}", func(w http.ResponseWriter, r *http.Request) {
		mutex.Lock()
		defer mutex.Unlock()
		counts[r.PathValue("name")]++
		fmt.Fprint(w, counts[r.PathValue("name")])
	})
	mux.HandleFunc("GET /sum/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.PathValue("n"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		// Parts are computed at the same time, and written as they come in turn.
		const parts = 4
		sums := make(chan int)
		for part := range parts {
			go func() {
				sum := 0
				for i := part; i < n; i += parts {
					sum += i
				}
				sums <- sum
			}()
		}
		sum := 0
		for range parts {
			sum += <-sums
			fmt.Fprintln(w, "a part")
			_ = http.NewResponseController(w).Flush()
		}
		fmt.Fprintln(w, sum)
	})
	return mux
}

func run(address string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s := &http.Server{Addr: address, Handler: handler()}
	failed := make(chan error, 1)
	go func() { failed <- s.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	if err := s.Shutdown(context.Background()); err != nil {
		return err
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func main() {
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}
