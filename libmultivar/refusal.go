package libmultivar

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// noticeRefusal tells the user of a call for which programs exist that do nothing without
// it, as debuggers do. Others that are refused are for programs that do without.
func (e *Engine) noticeRefusal(ev *record) {
	if ev.call.Errno == sysabi.EPERM {
		e.notice(ev.name, fmt.Sprintf("%s is refused with EPERM: %s", ev.title(), ev.call.Reason))
	}
}
