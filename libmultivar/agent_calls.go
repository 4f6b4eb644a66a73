package libmultivar

import (
	"maps"
	"slices"
	"strings"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// agentCalls returns the calls that agents deal with, by ascending rows, where the program's reach
// is as caps say. They know of no difference that would be expected.
func agentCalls(caps frontend.Capabilities, cfg *Config) []frontend.AgentCall {
	arch := caps.Arch
	var calls []frontend.AgentCall
	for _, r := range sysabi.Rows() {
		if r.Nr[arch] == sysabi.Absent || len(cfg.Rules.Masks(r)) > 0 {
			continue
		}
		if r.Sub == nil {
			call := r.Resolve([6]uint64{})
			if c, why := agentCall(&call, [6]uint64{}, caps, cfg); why == "" {
				calls = append(calls, c)
			}
			continue
		}
		if c, ok := agentCommands(r, caps, cfg); ok {
			calls = append(calls, c)
		}
	}
	// Who verifies knows of calls only.
	if caps.Rdtsc && cfg.Hooks.OnRdtsc == nil && !cfg.VerifyAgents {
		calls = append(calls, frontend.AgentCall{Nr: frontend.StampNr})
	}
	return calls
}

// agentCommands is agentCall for a row whose arguments depend on a command; false when agents
// deal with none of its commands.
func agentCommands(r *sysabi.Row, caps frontend.Capabilities, cfg *Config) (frontend.AgentCall, bool) {
	if r.Sub.Mask != 0xffff_ffff {
		return frontend.AgentCall{}, false
	}
	other := r.Resolve(noCommand)
	c, why := agentCall(&other, noCommand, caps, cfg)
	if why != "" || r.Sub.Encoded != nil {
		c = frontend.AgentCall{Nr: r.Nr[caps.Arch], Instant: frontend.AgentInstant{Nr: -1}}
	} else {
		c.Other = true
	}
	c.CommandArg, c.UpperArg = r.Sub.Arg, r.Sub.Upper
	for _, command := range slices.Sorted(maps.Keys(r.Sub.Cases)) {
		args := commandArgs(r.Sub, command)
		call := r.Resolve(args)
		sub, why := agentCall(&call, args, caps, cfg)
		if why != "" && !c.Other {
			continue
		}
		if why != "" {
			// What holds for other commands does not hold for this one.
			return c, false
		}
		sub.Command = command
		c.Commands = append(c.Commands, sub)
	}
	return c, len(c.Commands) > 0
}

// noCommand are arguments with no command that a row knows.
var noCommand = [6]uint64{0xffff_fffe, 0xffff_fffe, 0xffff_fffe}

// commandArgs returns arguments with a command.
func commandArgs(t *sysabi.SubTable, command uint64) (args [6]uint64) {
	args[t.Arg] = command
	if t.Upper != 0 {
		args[t.Arg], args[t.Upper] = uint64(uint32(command)), command>>32
	}
	return args
}

// Beside says why agents leave a call of x86-64's to the monitor, under a configuration that
// does not keep them from anything; empty for one that they deal with, and then only says with
// which names or messages, empty for any or where it has none. Where a row has commands it is about that one.
func Beside(r *sysabi.Row, command uint64) (why, only string) {
	var args [6]uint64
	if r.Sub != nil {
		args = commandArgs(r.Sub, command)
	}
	call := r.Resolve(args)
	caps := frontend.Capabilities{Arch: sysabi.AMD64}
	_, why = agentCall(&call, args, caps, &Config{})
	if why == whyPower {
		caps.Contains = true
		if _, apart := agentCall(&call, args, caps, &Config{}); apart == "" {
			return "", besideApart
		}
	}
	switch {
	case why != "":
	case r.Named.Opens:
		only = besideKnown
	case r.Tame == sysabi.TameLook:
		only = besideLooks
	case r.Bare != "":
		only = besideBare
	}
	return why, only
}

// With which names agents deal, where a call has one, or with which messages, or where.
const (
	besideKnown = "known names"
	besideLooks = "not /proc"
	besideBare  = "data only"
	besideApart = "kvm only"
)

// Why agents leave a call to the monitor.
const (
	// whyVariants: each variant makes it, or none.
	whyVariants = "variants"
	// whyPower: it is not tame, so the filter keeps it until the monitor has confirmed it.
	whyPower = "power"
	// whyEngine: the engine has to know of it.
	whyEngine = "engine"
	// whyResult: its result is more than a number.
	whyResult = "result"
	// whyArgument: an argument leads to more than bytes of a length that is known.
	whyArgument = "argument"
)

// agentHandlers are those of calls of which the engine knows no more than agents do, or can do
// without: which descriptor a program has closed matters only for what it opened in a
// process of whose files the engine has to know.
var agentHandlers = map[sysabi.Handler]bool{
	sysabi.HandlerNone: true, sysabi.HandlerEpollWait: true, sysabi.HandlerEpollCtl: true,
	sysabi.HandlerPoll: true, sysabi.HandlerClock: true, sysabi.HandlerClose: true, sysabi.HandlerSigprocmask: true,
	sysabi.HandlerDup: true,
}

// tameCall says whether an agent may make a call: where the program can reach it because the
// filter lets that pass, elsewhere (apart) because it would.
func tameCall(call *sysabi.Call, args [6]uint64, apart bool) bool {
	tame := call.Tame
	if tame == sysabi.NotTame && call.Sub != nil {
		if command, ok := call.Sub.Case(args); ok {
			tame = call.Sub.Cases[command].Tame
		}
	}
	return tame == sysabi.TameHere || apart && tame == sysabi.TameApart
}

// agentCall says what agents do about a call, or why they leave it to the engine. Only a
// command counts among the arguments.
func agentCall(call *sysabi.Call, args [6]uint64, caps frontend.Capabilities, cfg *Config) (c frontend.AgentCall, why string) {
	arch := caps.Arch
	c = frontend.AgentCall{Nr: call.Nr[arch], Blocks: call.Blocks, Instant: frontend.AgentInstant{Nr: -1}}
	switch {
	case call.Handler == sysabi.HandlerSigprocmask:
		// Each variant makes it, of its task's mask alone, which agents have.
		c.Mask = true
	case call.Exec != sysabi.Leader:
		return c, whyVariants
	case call.Named.Opens:
		return agentOpen(call, args, arch, cfg)
	case call.Tame == sysabi.TameLook:
		c.Looks = true
		if call.Named.Call != "" && !agentNameless(call, &c, arch) {
			return c, whyPower
		}
	case call.Bare != "":
		if c.Bare = tameRow(call.Bare, arch); c.Bare == sysabi.Absent {
			return c, whyPower
		}
	case !tameCall(call, args, caps.Contains):
		return c, whyPower
	}
	switch {
	case !agentHandlers[call.Handler]:
		return c, whyEngine
	case isDuplicate(call):
		// Of those that can change a file the engine has to know, which agents leave to it.
		c.Own, c.Duplicates, c.Replaces = true, true, len(call.Args) > 1 && call.Args[1].Kind == sysabi.FD
	case call.Ret == sysabi.RetFD && call.Handler == sysabi.HandlerNone && call.Sub == nil:
		// The engine would forget what it knew of the number, which it does for none that is closed
		// beside it.
		c.Own, c.Makes = true, true
	case call.Ret != sysabi.RetInt && (call.Ret != sysabi.RetPid || cfg.Pids != PidsLeader):
		return c, whyResult
	}
	results := 0
	for i := range call.Args {
		if i >= len(c.Args) || !agentArg(call, i, &c, cfg) {
			return c, whyArgument
		}
		if c.Args[i].Written == frontend.AgentResult {
			results++
		}
	}
	if results > 1 {
		return c, whyArgument
	}
	agentSleep(call, &c, arch)
	if call.Lingers != sysabi.LingersNever {
		c.Blocks, c.Lingers = true, call.Lingers == sysabi.LingersAway
	}
	if call.Sub != nil {
		if command, ok := call.Sub.Case(args); ok {
			c.Forgets = call.Sub.Cases[command].Unblocks
		}
	}
	if call.Handler == sysabi.HandlerClose {
		// Where tasks share descriptors numbers may belong to others for a while.
		c.Own, c.Closes, c.Turns = true, true, !asksClasses(cfg)
	}
	c.Alone = call.Syncs
	why = agentWaits(call, args, &c, cfg)
	return c, why
}

// asksClasses reports whether a policy or a rule decides about calls by what their descriptors are.
// The engine has to know of each number then that becomes free while another thread is in such a
// call: it may be something else's by the time at which the kernel makes that.
func asksClasses(cfg *Config) bool {
	for _, row := range sysabi.Rows() {
		if _, asks := cfg.Policy.Descriptor(row); asks || cfg.Rules.AsksDescriptor(row) {
			return true
		}
	}
	return false
}

// isDuplicate says whether the result of a call is a duplicate of its first argument.
func isDuplicate(call *sysabi.Call) bool {
	return call.Handler == sysabi.HandlerDup || call.Ret == sysabi.RetFD && strings.HasPrefix(call.Command, "F_DUPFD")
}

// agentWaits fills in whether a call waits, and says why that is not for agents to know.
func agentWaits(call *sysabi.Call, args [6]uint64, c *frontend.AgentCall, cfg *Config) (why string) {
	c.Waits = cfg.Variants > 1 && cfg.Policy.Waits(call, args, policy.Unknown)
	if c.Waits {
		// What waits by its descriptor is the engine's, which knows what that is.
		for _, class := range []policy.Class{policy.Socket, policy.NonSocket} {
			if !cfg.Policy.Waits(call, args, class) {
				return whyEngine
			}
		}
	}
	return ""
}

// agentOpen is agentCall for a call that opens a file. The engine remembers of a descriptor
// what it can change, and whose content is different in each variant: nothing of a file that a
// host knows not to be of procfs, and that is opened to be read.
func agentOpen(call *sysabi.Call, args [6]uint64, arch sysabi.Arch, cfg *Config) (c frontend.AgentCall, why string) {
	c = frontend.AgentCall{Nr: call.Nr[arch], Own: true, Instant: frontend.AgentInstant{Nr: -1}, Named: agentNamed(call, 0)}
	for i := range call.Args {
		switch a := &call.Args[i]; a.Kind {
		case sysabi.Path:
			c.Args[i] = frontend.AgentArg{Kind: frontend.AgentName, In: true}
		case sysabi.Flags, sysabi.DirFD:
			c.Args[i].Kind = frontend.AgentHalf
		case sysabi.Mode:
			// Only who makes a file has one.
		default:
			return c, whyArgument
		}
	}
	why = agentWaits(call, args, &c, cfg)
	return c, why
}

// agentNameless fills in what agents do about a call that may have no name, and says whether
// they can.
func agentNameless(call *sysabi.Call, c *frontend.AgentCall, arch sysabi.Arch) bool {
	nr := tameRow(call.Named.Call, arch)
	c.Named = agentNamed(call, nr)
	return nr != sysabi.Absent
}

// tameRow returns the number of a call that the filter lets pass, Absent for any other.
func tameRow(name string, arch sysabi.Arch) int {
	if row, ok := sysabi.ByName(name); ok && row.Tame == sysabi.TameHere {
		return row.Nr[arch]
	}
	return sysabi.Absent
}

// agentNamed returns what a call's row says about names; nr is that of the call without one.
func agentNamed(call *sysabi.Call, nr int) frontend.AgentNamed {
	n := &call.Named
	return frontend.AgentNamed{Opens: n.Opens, Nr: nr, Flags: n.Flags, Has: n.Has, Only: n.Only}
}

// agentSleep says how agents keep a call from sleeping.
func agentSleep(call *sysabi.Call, c *frontend.AgentCall, arch sysabi.Arch) {
	vector := false
	for i := range call.Args {
		switch a := &call.Args[i]; {
		case a.Kind == sysabi.Iovec:
			vector = true
		case a.Name == "timeout" && call.AwaitsEvents:
			c.Timeout, c.Pointed = i, a.Kind == sysabi.Struct
			c.Micro = c.Pointed && a.Struct.Name == "timeval"
		}
	}
	c.Prompt = call.Blocks && len(call.Args) > 0 && call.Args[0].Kind == sysabi.FD && (call.Moves != 0 || vector || call.Ret == sysabi.RetFD)
	in := call.Instant
	if row, ok := sysabi.ByName(in.Call); ok && row.Nr[arch] != sysabi.Absent {
		c.Instant = frontend.AgentInstant{
			Nr: row.Nr[arch], Gathers: in.Gathers, Current: in.Current, Arg: in.Arg, Flag: in.Flag, Unless: in.Unless,
		}
	}
}

// agentArg fills in argument i of c and says whether agents know what to do with it.
func agentArg(call *sysabi.Call, i int, c *frontend.AgentCall, cfg *Config) bool {
	a, to := &call.Args[i], &c.Args[i]
	if a.Most != 0 || a.Len.Head != 0 {
		return false
	}
	if a.If.Mask != 0 && a.Kind != sysabi.SockLen {
		// Where its condition does not hold a length is of no address: that is the monitor's.
		if a.Kind != sysabi.Int || a.If.Mask != ^uint64(0) {
			return false
		}
		to.UnlessNull, to.Count = true, a.If.Arg
	}
	to.In, to.Out, to.OnErr = a.Dir&sysabi.In != 0, a.Dir&sysabi.Out != 0, a.OnErr
	if a.OnErr != 0 && a.Dir == sysabi.Out {
		to.Written = frontend.AgentNothing
	}
	switch a.Kind {
	case sysabi.None:
	case sysabi.Int, sysabi.Uint, sysabi.Flags, sysabi.Mode, sysabi.DirFD:
		to.Kind = frontend.AgentHalf
	case sysabi.Pid:
		to.Kind = frontend.AgentHalf
		return cfg.Pids == PidsLeader
	case sysabi.FD:
		to.Kind = frontend.AgentFD
	case sysabi.Long:
		to.Kind = frontend.AgentLong
	case sysabi.Ptr:
		to.Kind = frontend.AgentPointer
	case sysabi.SigsetArg:
		// Who waits with another mask has it while its signals are delivered.
		to.Kind = frontend.AgentNull
	case sysabi.SockLen:
		to.Kind, to.Size = frontend.AgentBuffer, 4
	case sysabi.Sockaddr:
		if a.Dir == sysabi.In {
			// The filter lets no call with an address pass.
			to.Kind = frontend.AgentNull
			return true
		}
		return agentBuffer(call, a, to)
	case sysabi.Iovec:
		to.Kind, to.Count = frontend.AgentVector, a.Len.Arg
		if to.Out {
			to.Written = frontend.AgentResult
		}
		return a.Dir != sysabi.InOut
	case sysabi.Buf:
		if a.Name == "sigmask" {
			to.Kind = frontend.AgentNull
			return true
		}
		return agentBuffer(call, a, to)
	case sysabi.Path:
		to.Kind = frontend.AgentName
		return call.Tame == sysabi.TameLook
	case sysabi.Msghdr, sysabi.Mmsghdr:
		to.Kind, to.Count = frontend.AgentMessage, a.Len.Arg
		// Of those that are sent, too, the kernel writes to an array how long they were.
		if to.Out || a.Kind == sysabi.Mmsghdr {
			to.Written = frontend.AgentResult
		}
		return i == 1 && call.Bare != "" && a.Dir != sysabi.InOut
	case sysabi.Struct:
		if call.Bare != "" {
			// Without a limit in time messages are received as a vector is.
			to.Kind = frontend.AgentNull
			return true
		}
		return agentBuffer(call, a, to) && agentRecord(a, to, c)
	default:
		return false
	}
	return true
}

// agentBuffer is agentArg for memory.
func agentBuffer(call *sysabi.Call, a *sysabi.Arg, to *frontend.AgentArg) bool {
	to.Kind, to.Size, to.Count = frontend.AgentBuffer, int(max(a.Len.N, 1)), a.Len.Arg
	to.Bulk = a.Kind == sysabi.Buf && a.Dir == sysabi.In && call.Moves != 0 && a.Len.Kind == sysabi.LenArg && a.Len.Arg == call.Moves
	switch a.Len.Kind {
	case sysabi.LenNone:
		if a.Kind != sysabi.Struct {
			return false
		}
		to.Size, to.Count = int(a.Struct.Size), 0
	case sysabi.LenConst:
		to.Count = 0
	case sysabi.LenArg, sysabi.LenRet:
		if a.Len.Kind == sysabi.LenRet {
			to.Written = frontend.AgentResult
		}
		switch call.Args[a.Len.Arg].Kind {
		case sysabi.Int:
			to.Length = frontend.AgentInt
		case sysabi.Uint, sysabi.Flags:
			to.Length = frontend.AgentUint
		case sysabi.Long:
			to.Length = frontend.AgentCount
		default:
			return false
		}
	case sysabi.LenBits:
		to.Length = frontend.AgentBits
		return a.Len.N == 0
	case sysabi.LenPtr:
		to.Length = frontend.AgentAt
		return a.Len.N == 0 && a.Dir == sysabi.Out && call.Args[a.Len.Arg].Kind == sysabi.SockLen
	default:
		return false
	}
	return true
}

// unlessNegative is the condition of members that count only where the first one, a
// descriptor, is not negative.
var unlessNegative = sysabi.FieldCond{Size: 4, Min: 0, Max: 1<<31 - 1}

// agentRecord says how agents compare records of the argument's layout, and what they translate
// in them, and whether they can.
func agentRecord(a *sysabi.Arg, to *frontend.AgentArg, c *frontend.AgentCall) bool {
	pieces, gap := 0, a.Len.Kind != sysabi.LenNone && to.Size != int(a.Struct.Size)
	for i := range a.Struct.Fields {
		f := &a.Struct.Fields[i]
		switch f.Kind {
		case sysabi.None:
			continue
		case sysabi.Word:
			if f.Size != 8 || to.Words || c.Word != 0 && c.Word != int(f.Off) {
				return false
			}
			to.Words, c.Word = true, int(f.Off)
		case sysabi.FD:
			if !to.In {
				// New ones, whose numbers are the leader's.
				c.Own = true
				continue
			}
			if f.Off != 0 || f.Size != 4 {
				return false
			}
			to.Descriptors = true
		case sysabi.Addr, sysabi.Ptr, sysabi.Code, sysabi.Pid:
			return false
		}
		if f.If.Size != 0 && (f.If != unlessNegative || !to.Descriptors) {
			return false
		}
		if !to.In {
			continue
		}
		if pieces > 0 {
			if last := &to.Pieces[pieces-1]; uint64(last[0])+uint64(last[1]) == f.Off {
				last[1] += uint8(f.Size)
				continue
			}
		}
		if pieces == len(to.Pieces) || f.Off+f.Size > 0xff {
			return false
		}
		to.Pieces[pieces] = [2]uint8{uint8(f.Off), uint8(f.Size)}
		pieces++
	}
	if to.Words && gap {
		return false
	}
	if to.In && (pieces == 0 || gap) {
		return false
	}
	if to.Pieces[0] == [2]uint8{0, uint8(a.Struct.Size)} && a.Struct.Size < 0x100 && !to.Words && !to.Descriptors {
		// All of it counts.
		to.Pieces[0] = [2]uint8{}
	}
	return true
}
