//go:build linux && amd64

package kvmsandbox

import "github.com/multivar/multivar/internal/unix"

// asksForMore says whether by an option of setsockopt(2) more than data may come with what is
// received by TCP: times, how much is left, or what kind of record it is
// (include/uapi/asm-generic/socket.h, include/uapi/linux/tcp.h).
func asksForMore(level, option uint32) bool {
	const (
		solIP, solTCP, solIPv6 = 0, 6, 41

		timestamp, timestampNS, timestamping          = 29, 35, 37
		timestampNew, timestampNSNew, timestampingNew = 63, 64, 65

		tcpULP, tcpInq = 31, 36
	)
	switch level {
	case solIP, solIPv6:
		return false
	case unix.SolSocket:
		switch option {
		case timestamp, timestampNS, timestamping, timestampNew, timestampNSNew, timestampingNew:
			return true
		}
		return false
	case solTCP:
		return option == tcpULP || option == tcpInq
	}
	return true
}
