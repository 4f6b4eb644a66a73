package cause

import (
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/report"
)

const protExec = 4

// Signals that faults raise, and the one by which programs end themselves (signal(7)).
const (
	sigILL  = 4
	sigTRAP = 5
	sigABRT = 6
	sigBUS  = 7
	sigFPE  = 8
	sigSEGV = 11
	sigSYS  = 31
)

// attack judges whether a variant does what no program does by itself.
func attack(in *incident) finding {
	var f finding
	say := func(strength int, format string, args ...any) {
		f.name = report.CauseAttack
		f.strength = max(f.strength, strength)
		f.evidence = append(f.evidence, fmt.Sprintf(format, args...))
	}
	for _, v := range []*report.View{in.leader, in.other} {
		if v.Moment == report.MomentUnknown || v.IP == 0 || len(v.Mappings) == 0 {
			continue
		}
		switch m := v.Find(v.IP - 1); {
		case v.Signal != 0 && !v.Raised:
		case m == nil || m.Prot&protExec == 0:
			say(strengthForeignCode, "%s has jumped to %#x, where there is no code", name(v), v.IP)
		case m.Inode == 0 && m.Region != frontend.RegionVsyscall && !in.alike(v.IP):
			say(strengthForeignCode, "%s runs at %#x, in memory that no file is mapped to", name(v), v.IP)
		}
	}
	if in.d.Kind == report.KindBreach {
		say(strengthBreach, "a call of the variant's own is made by the front-end; only who knows the front-end's memory can make one past it")
	}
	in.brokenReturns(say)
	if in.d.Kind == report.KindSignal || in.d.Kind == report.KindCrash || in.d.Kind == report.KindExit {
		in.crash(say)
	}
	in.foreignCalls(say)
	return f
}

// brokenReturns says which function has a return address that is none.
func (in *incident) brokenReturns(say func(int, string, ...any)) {
	for i := range in.d.Sides {
		s := &in.d.Sides[i]
		v := in.leader
		if s.Variant != 0 {
			v = in.other
		}
		if s.Variant != v.Variant || v.Moment != report.MomentExact || len(v.Mappings) == 0 || len(s.Frames) < 2 || s.Frames[1].Found != report.FoundByRules {
			continue
		}
		if m := v.Find(s.Frames[1].Address); m == nil || m.Prot&protExec == 0 {
			say(strengthForeignCode, "%s would return from %s to %#x, where there is no code: its stack is overwritten", name(v), s.Frames[0].Function, s.Frames[1].Address)
		}
	}
}

// alike reports whether both variants run at the same place, as they do in code that the
// program has made itself.
func (in *incident) alike(ip uint64) bool {
	a, b := in.leader.IP, in.other.IP
	return (ip == a || ip == b) && (a == b || in.same(a, b))
}

func name(v *report.View) string {
	if v.Variant == 0 {
		return "the leader"
	}
	return fmt.Sprintf("variant %d", v.Variant)
}

// crash says how a variant has failed alone.
func (in *incident) crash(say func(int, string, ...any)) {
	for _, v := range []*report.View{in.leader, in.other} {
		fatal, known := faultName(v.Signal)
		if !known || !v.Raised {
			continue
		}
		other := in.other
		if v == in.other {
			other = in.leader
		}
		if other.Signal == v.Signal && in.d.Kind == report.KindSignal && other.Fault == v.Fault {
			continue
		}
		say(strengthCrash, "%s alone gets %s at %#x", name(v), fatal, v.IP)
		switch {
		case other.InSlot(v.Fault) && other.Find(v.Fault) != nil:
			say(strengthForeignCall, "the address that it used, %#x, is one of %s: it knows the memory of one variant", v.Fault, name(other))
		case v.Signal == sigSEGV && v.Fault != 0 && v.Find(v.Fault) == nil:
			say(strengthCrash, "there is nothing at the address that it used, %#x", v.Fault)
		}
	}
	// Without a view: a variant that is dead already.
	for _, t := range []string{in.d.Leader.Text, in.d.Other.Text} {
		for _, n := range []int{sigSEGV, sigILL, sigBUS} {
			if text, _ := faultName(n); in.d.Kind != report.KindSignal && contains(t, "killed by "+text) {
				say(strengthCrash, "a variant died alone: %s", t)
			}
		}
	}
}

func faultName(n int) (string, bool) {
	switch n {
	case sigSEGV:
		return "SIGSEGV", true
	case sigILL:
		return "SIGILL", true
	case sigBUS:
		return "SIGBUS", true
	case sigTRAP:
		return "SIGTRAP", true
	case sigFPE:
		return "SIGFPE", true
	case sigSYS:
		return "SIGSYS", true
	}
	return "", false
}

// foreignCalls says which call that attackers need only one variant makes.
func (in *incident) foreignCalls(say func(int, string, ...any)) {
	d := in.d
	mine, theirs := d.Call, d.VariantCall
	if theirs == "" {
		theirs = mine
	}
	if mine != theirs {
		for _, c := range []struct {
			v    *report.View
			call string
		}{{in.leader, mine}, {in.other, theirs}} {
			switch {
			case c.call == "execve" || c.call == "execveat":
				say(strengthForeignCall, "%s alone executes a program: %s", name(c.v), c.v.Text)
			case (c.call == "mprotect" || c.call == "mmap" || c.call == "pkey_mprotect") && c.v.HasCall && c.v.Args[2]&protExec != 0:
				say(strengthForeignCall, "%s alone makes memory executable: %s", name(c.v), c.v.Text)
			case (c.call == "tgkill" || c.call == "kill" || c.call == "tkill") && c.v.HasCall && (c.v.Args[2] == sigABRT || c.call != "tgkill" && c.v.Args[1] == sigABRT):
				say(strengthAbort, "%s alone gives up, as programs do that find their memory broken", name(c.v))
			}
		}
		return
	}
	switch d.Call {
	case "execve", "execveat":
		if d.Argument == "pathname" || d.Argument == "filename" || d.Argument == "path" {
			say(strengthForeignCall, "the variants execute different programs: %s and %s", d.Leader.Text, d.Other.Text)
		}
	case "mprotect", "mmap", "pkey_mprotect":
		if a, b := in.leader.Args[2], in.other.Args[2]; in.leader.HasCall && in.other.HasCall && (a^b)&protExec != 0 {
			say(strengthForeignCall, "only one variant makes memory executable")
		}
	}
	if d.Kind == report.KindData && (contains(string(in.a), "stack smashing detected") != contains(string(in.b), "stack smashing detected")) {
		say(strengthForeignCall, "one variant finds its stack overwritten")
	}
}
