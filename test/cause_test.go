//go:build linux && amd64

package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seed is a case of cause.c and its true cause.
type seed struct {
	name, cause string
	// alone: the variants differ by themselves, without the other build.
	alone bool
}

var seeds = []seed{
	{"addr_printf", "address", true},
	{"addr_binary", "address", true},
	{"addr_decimal", "address", true},
	{"addr_library", "address", true},
	{"addr_high", "address", true},
	{"addr_argument", "address", true},
	{"addr_mangled", "address", true},
	{"time_seconds", "time", false},
	{"time_binary", "time", false},
	{"time_text", "time", false},
	{"time_stamp", "time", false},
	{"time_elapsed", "time", false},
	{"time_monotonic", "time", false},
	{"random_binary", "randomness", true},
	{"random_hex", "randomness", true},
	{"random_name", "randomness", true},
	{"random_decimal", "randomness", true},
	{"pad_tail", "padding", true},
	{"pad_array", "padding", true},
	{"pad_heap", "padding", true},
	{"un_stack", "uninitialised", true},
	{"un_heap", "uninitialised", true},
	{"un_member", "uninitialised", true},
	{"un_frames", "uninitialised", true},
	{"env_variable", "environment", false},
	{"env_host", "environment", false},
	{"env_name", "environment", false},
	{"order_lines", "ordering", false},
	{"order_calls", "ordering", false},
	{"order_records", "ordering", false},
	{"order_words", "ordering", false},
	{"attack_jump", "attack", false},
	{"attack_exec", "attack", false},
	{"attack_protect", "attack", false},
	{"attack_smash", "attack", false},
	{"attack_code", "attack", false},
}

// namedRight is how many of the seeded causes have to be named right. A few look like
// several, and what the leader does next, which tells an order, may not have come yet.
const namedRight = 33

// fullReport is what the tests of reports use beside a divergence.
type fullReport struct {
	divergence
	Cause struct {
		Name     string   `json:"name"`
		Evidence []string `json:"evidence"`
		Rule     string   `json:"rule"`
	} `json:"cause"`
	Sides []struct {
		Variant    int    `json:"variant"`
		State      string `json:"state"`
		Call       string `json:"call"`
		Descriptor *struct {
			Number int    `json:"number"`
			Path   string `json:"path"`
		} `json:"descriptor"`
		Registers []struct{ Name, Value string }
		Frames    []struct {
			Address, Module, Function, File, Found string
			Line                                   int
		} `json:"frames"`
		Code []struct {
			Text    string `json:"text"`
			Current bool   `json:"current"`
		} `json:"code"`
		Note string `json:"note"`
	} `json:"sides"`
}

// reported runs a program that diverges and returns its report.
func reported(t *testing.T, r Run) (Result, fullReport) {
	t.Helper()
	path := filepath.Join(scratch(t), "report.json")
	r.Flags = append(r.Flags, "--report", path)
	got := run(t, r)
	readReport(t, got, path)
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out fullReport
	if err := json.Unmarshal(p, &out); err != nil {
		t.Fatalf("%v\n%s", err, p)
	}
	return got, out
}

// TestSeededCauses says how often the cause that reports name is the true one.
func TestSeededCauses(t *testing.T) {
	t.Parallel()
	same, other := program(t, "cause", dynamic, "-g"), program(t, "cause", dynamic, "-g", "OTHER=1")
	right := 0
	for _, s := range seeds {
		r := Run{N: 2, Args: []string{same, s.name}, Env: []string{"CAUSE_MODE=fast", "CAUSE_HOST=alpha"}}
		if !s.alone {
			r.Flags = []string{"--variant", "1=" + other}
		}
		_, d := reported(t, r)
		if len(d.Cause.Evidence) == 0 {
			t.Errorf("%s: no evidence", s.name)
		}
		if s.cause == "attack" && d.Cause.Rule != "" {
			t.Errorf("%s: a rule that allows an attack: %s", s.name, d.Cause.Rule)
		}
		if s.cause == d.Cause.Name {
			right++
			continue
		}
		t.Logf("%s is named %s: %s", s.name, d.Cause.Name, strings.Join(d.Cause.Evidence, "; "))
	}
	t.Logf("named cause right: %d of %d", right, len(seeds))
	if right < namedRight {
		t.Errorf("fewer than %d", namedRight)
	}
}
