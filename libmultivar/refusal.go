package libmultivar

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// noticeRefusal tells the user of a call for which programs exist that do nothing without
// it, as debuggers do. Others that are refused are for programs that do without.
func (e *Engine) noticeRefusal(ev *record) {
	if sub := ev.call.Sub; sub != nil && sub.NamesUnknown {
		e.noticeUnknown(ev)
		return
	}
	if ev.call.Errno == sysabi.EPERM {
		e.notice(ev.name, fmt.Sprintf("%s is refused with EPERM: %s", ev.title(), ev.call.Reason))
	}
}

// maxNamed is how many unknown commands notices name: a program may try all there are.
const maxNamed = 32

// noticeUnknown tells the user of a command that is refused because nothing is known of it.
// Whoever wants the program to have it can tell by its encoding whose it is.
func (e *Engine) noticeUnknown(ev *record) {
	cmd, known := ev.call.Sub.Case(ev.raw.Args)
	if known || e.named >= maxNamed {
		return
	}
	key := fmt.Sprintf("%s %#x", ev.name, cmd)
	if e.noticed[key] {
		return
	}
	e.named++
	e.notice(key, fmt.Sprintf("%s of unknown command %#x, %v, is refused with %s: %s", ev.name, cmd,
		sysabi.EncodingOf(cmd), sysabi.ErrnoName(int(ev.call.Errno)), ev.call.Reason))
}
