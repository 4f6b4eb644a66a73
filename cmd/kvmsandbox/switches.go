package main

import (
	"fmt"
	"strconv"

	"github.com/multivar/multivar/libmultivar/policy"
)

// MvArmor's switches are read by their names, most of which it takes when it is compiled.
// One that means something here does what it says. Others have a value that says what
// kvmsandbox does anyway; who asks for something else is told that there is no such thing.

// fixed is a switch of which only one value is true here.
type fixed struct {
	name, value, otherwise string
}

func fixedSwitches() []fixed {
	return []fixed{
		{"MV_SYSCALL_ORDERING", "1", "calls of threads that share memory always have one order in all variants"},
		{"MV_VARN_OPEN_RO", "0", "followers open no files of their own; they are handed what the leader reads"},
	}
}

// absent is a switch of something that there is not.
type absent struct {
	name, instead string
}

func absentSwitches() []absent {
	const allocator = "variants have no other allocator; --layout disjoint gives their heaps other addresses"
	return []absent{{"MV_UMEM", allocator}, {"MV_SLAB_MAX", allocator}, {"MV_SLAB_PAD", allocator}}
}

// mvArmorPolicies are the names of the policies by the numbers of SEC_POL.
func mvArmorPolicies() []string {
	return []string{policy.Performance, policy.Comprehensive, policy.Exec, policy.Leak}
}

// maxAhead bounds --ahead: what a thread's events take is bounded by their data as well.
const maxAhead = 1 << 20

// setSwitches takes MvArmor's switches from the environment for flags that are not among
// given. An empty variable counts as none.
func (o *options) setSwitches(text *textOptions, given map[string]bool, env []string) error {
	lookup := func(name string) (string, bool) {
		v, ok := lookupEnv(env, name)
		return v, ok && v != ""
	}
	if v, ok := lookup("MV_SEC_POL"); ok && !given["policy"] {
		names := mvArmorPolicies()
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n >= len(names) {
			return fmt.Errorf("MV_SEC_POL=%s: want 0 (performance), 1 (comprehensive), 2 (exec) or 3 (leak)", v)
		}
		text.policy = names[n]
	}
	source, wanted := "--ahead ", given["ahead"]
	if v, ok := lookup("MV_RINGBUFFER_SIZE"); ok && !given["ahead"] {
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("MV_RINGBUFFER_SIZE=%s: not a number", v)
		}
		o.ahead, source, wanted = n, "MV_RINGBUFFER_SIZE=", true
	}
	if wanted && (o.ahead < 1 || o.ahead > maxAhead) {
		return fmt.Errorf("%s%d: must be 1 to %d", source, o.ahead, maxAhead)
	}
	if v, ok := lookup("MV_TIMING_ENABLE"); ok && !given["stats"] {
		switch v {
		case "0":
		case "1":
			o.stats.wanted = true
		default:
			return fmt.Errorf("MV_TIMING_ENABLE=%s: want 0 or 1", v)
		}
	}
	if v, ok := lookup("MV_RINGBUFFER_SLEEP"); ok {
		switch v {
		case "0":
			o.sleepless = true
		case "1":
		default:
			return fmt.Errorf("MV_RINGBUFFER_SLEEP=%s: want 0 or 1", v)
		}
	}
	for _, f := range fixedSwitches() {
		v, ok := lookup(f.name)
		switch {
		case !ok || v == f.value:
		case v == "0" || v == "1":
			o.notices = append(o.notices, fmt.Sprintf("%s=%s has no effect: %s", f.name, v, f.otherwise))
		default:
			return fmt.Errorf("%s=%s: want 0 or 1", f.name, v)
		}
	}
	for _, a := range absentSwitches() {
		if v, ok := lookup(a.name); ok && v != "0" {
			o.notices = append(o.notices, fmt.Sprintf("%s=%s has no effect: %s", a.name, v, a.instead))
		}
	}
	return nil
}
