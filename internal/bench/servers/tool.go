package servers

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Tool is a program that people measure a server with.
type Tool struct {
	// Command returns how it keeps clients busy on port of 127.0.0.1 for about d, if it is told how long,
	// or with so many requests.
	Command func(port, clients int, d time.Duration, requests int) []string
	// Count finds in what it prints how many answers came, to so many requests if it was told how many, and in
	// what time.
	Count func(output string, requests int) (answers int, took time.Duration, err error)
}

// firstRate is expected of a server of which nothing is known yet.
const firstRate = 10_000

// toolLoad has a tool make the requests.
type toolLoad struct {
	tool          *Tool
	port, clients int
	// rate is what the last slice came to, 0 before. The first is for that alone.
	rate float64
}

func (l *toolLoad) run(d time.Duration) (answers int, took time.Duration, err error) {
	if l.rate == 0 {
		l.rate = firstRate
		if _, _, err := l.run(d); err != nil {
			return 0, 0, err
		}
	}
	requests := max(l.clients, int(l.rate*d.Seconds()))
	argv := l.tool.Command(l.port, l.clients, d, requests)
	var complaint strings.Builder
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w: %s", argv[0], err, strings.TrimSpace(complaint.String()))
	}
	if answers, took, err = l.tool.Count(string(out), requests); err != nil {
		return 0, 0, fmt.Errorf("%s: %w in %.200q", argv[0], err, out)
	}
	if answers <= 0 || took <= 0 {
		return 0, 0, fmt.Errorf("%s: %d answers in %v", argv[0], answers, took)
	}
	l.rate = float64(answers) / took.Seconds()
	return answers, took, nil
}

func (l *toolLoad) close() {}

// redisBenchmark is redis's own. It is told how many requests to make, and not for how long.
func redisBenchmark(command ...string) *Tool {
	return &Tool{
		Command: func(port, clients int, _ time.Duration, requests int) []string {
			return append([]string{
				"redis-benchmark", "-p", strconv.Itoa(port), "-c", strconv.Itoa(clients), "-n", strconv.Itoa(requests), "--csv",
			}, command...)
		},
		Count: countRedis,
	}
}

var errNoCount = errors.New("no number of answers")

// countRedis reads what redis-benchmark --csv prints: a line of names, and one of numbers, of which the
// second is answers in a second.
func countRedis(output string, requests int) (int, time.Duration, error) {
	table, err := csv.NewReader(strings.NewReader(output)).ReadAll()
	if err != nil || len(table) != 2 || len(table[0]) < 2 || table[0][1] != "rps" {
		return 0, 0, errNoCount
	}
	rate, err := strconv.ParseFloat(table[1][1], 64)
	if err != nil || rate <= 0 || math.IsInf(rate, 0) {
		return 0, 0, errNoCount
	}
	return requests, time.Duration(float64(requests) / rate * float64(time.Second)), nil
}

// wrk is the usual one for web servers. It knows whole seconds only.
func wrk(page string) *Tool {
	return &Tool{
		Command: func(port, clients int, d time.Duration, _ int) []string {
			return []string{
				"wrk", "-t", "1", "-c", strconv.Itoa(clients), "-d", fmt.Sprintf("%.0fs", math.Ceil(d.Seconds())),
				fmt.Sprintf("http://127.0.0.1:%d/%s", port, page),
			}
		},
		Count: countWrk,
	}
}

var wrkCount = regexp.MustCompile(`(?m)^ *([0-9]+) requests in ([0-9.]+(?:us|ms|s|m|h)),`)

// countWrk reads what wrk prints. Answers that are errors are none.
func countWrk(output string, _ int) (int, time.Duration, error) {
	m := wrkCount.FindStringSubmatch(output)
	if m == nil {
		return 0, 0, errNoCount
	}
	if strings.Contains(output, "Non-2xx") || strings.Contains(output, "Socket errors") {
		return 0, 0, errors.New("requests that failed")
	}
	answers, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, 0, err
	}
	took, err := time.ParseDuration(m[2])
	return answers, took, err
}
