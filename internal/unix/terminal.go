//go:build linux

package unix

import (
	"fmt"
	"os"

	sys "golang.org/x/sys/unix"
)

// OpenTerminal returns the two ends of a new pseudoterminal, both close-on-exec: what a
// person has, and what programs take for a terminal. It becomes nobody's controlling one.
func OpenTerminal() (person, terminal *os.File, err error) {
	person, err = os.OpenFile("/dev/ptmx", sys.O_RDWR|sys.O_NOCTTY|sys.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	conn, err := person.SyscallConn()
	if err != nil {
		person.Close()
		return nil, nil, err
	}
	// Fd would make the file a blocking one, whose reads Close does not end.
	var number int
	ctlErr := conn.Control(func(fd uintptr) {
		if err = sys.IoctlSetPointerInt(int(fd), sys.TIOCSPTLCK, 0); err == nil {
			number, err = sys.IoctlGetInt(int(fd), sys.TIOCGPTN)
		}
	})
	if err == nil {
		err = ctlErr
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), sys.O_RDWR|sys.O_NOCTTY|sys.O_CLOEXEC, 0)
	}
	if err != nil {
		person.Close()
		return nil, nil, err
	}
	return person, terminal, nil
}

// SetWindowSize tells a terminal of how many rows and columns it is.
func SetWindowSize(fd int, rows, columns uint16) error {
	return sys.IoctlSetWinsize(fd, sys.TIOCSWINSZ, &sys.Winsize{Row: rows, Col: columns})
}

// ForegroundGroup returns the process group that a terminal's input goes to.
func ForegroundGroup(fd int) (int, error) { return sys.IoctlGetInt(fd, sys.TIOCGPGRP) }
