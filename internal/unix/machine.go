//go:build linux

package unix

import sys "golang.org/x/sys/unix"

// LoadModule loads a kernel module from its file's contents (init_module(2)).
func LoadModule(image []byte) error { return sys.InitModule(image, "") }

// DrainTerminal waits until everything written to a terminal has been sent
// (tcdrain(3)).
func DrainTerminal(fd int) error {
	const tcsbrk, drain = 0x5409, 1
	_, err := IoctlValue(fd, tcsbrk, drain)
	return err
}
