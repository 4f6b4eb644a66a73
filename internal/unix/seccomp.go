//go:build linux

package unix

import (
	"encoding/binary"
	"syscall"

	sys "golang.org/x/sys/unix"
)

// What seccomp(2) knows (include/uapi/linux/seccomp.h).
const (
	SeccompFilterListener     = sys.SECCOMP_FILTER_FLAG_NEW_LISTENER
	SeccompFilterWaitKillable = sys.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	SeccompRetAllow           = sys.SECCOMP_RET_ALLOW
	SeccompRetNotify          = sys.SECCOMP_RET_USER_NOTIF
	SeccompRetTrap            = sys.SECCOMP_RET_TRAP
	SeccompRetKillProcess     = sys.SECCOMP_RET_KILL_PROCESS

	notifyValid    = 0x40082102 // SECCOMP_IOCTL_NOTIF_ID_VALID
	notifySetFlags = 0x40082104 // SECCOMP_IOCTL_NOTIF_SET_FLAGS
)

// FilterInstruction is one of a filter in classic BPF, struct sock_filter.
type FilterInstruction struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}

// filterHeader is the size of struct sock_fprog.
const filterHeader = 16

// FilterSize returns how many bytes FilterImage makes of a filter.
func FilterSize(prog []FilterInstruction) int { return filterHeader + 8*len(prog) }

// FilterImage lays out struct sock_fprog, followed by the filter, for address addr.
func FilterImage(addr uint64, prog []FilterInstruction) []byte {
	b := make([]byte, filterHeader, FilterSize(prog))
	binary.LittleEndian.PutUint16(b, uint16(len(prog)))
	binary.LittleEndian.PutUint64(b[8:], addr+filterHeader)
	for _, in := range prog {
		b = binary.LittleEndian.AppendUint16(b, in.Code)
		b = append(b, in.Jt, in.Jf)
		b = binary.LittleEndian.AppendUint32(b, in.K)
	}
	return b
}

// Notification is a call that a filter has kept for the listener. Its task sleeps
// meanwhile.
type Notification struct {
	// ID is the kernel's name of the notification, as long as the task waits.
	ID uint64
	// Thread is the task's thread id in the caller's namespace.
	Thread int
	Arch   uint32
	Nr     int64
	IP     uint64
	Args   [6]uint64
}

// notificationSize and answerSize are those of struct seccomp_notif and of struct
// seccomp_notif_resp, which the kernel takes from the requests.
const (
	notificationSize = 80
	answerSize       = 24
)

// WakeListenerHere lets the kernel run who waits for a listener's descriptor on the
// processor of the other side, where it can (Linux 6.6).
func WakeListenerHere(fd int) {
	_, _ = IoctlValue(fd, notifySetFlags, sys.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
}

// ReceiveNotification takes the next notification of a listener's. It returns ENOENT
// when the task does not wait any more.
func ReceiveNotification(fd int) (n Notification, err error) {
	var b [notificationSize]byte
	if err := IoctlBytes(fd, sys.SECCOMP_IOCTL_NOTIF_RECV, b[:]); err != nil {
		return n, err
	}
	le := binary.LittleEndian
	n = Notification{
		ID: le.Uint64(b[:]), Thread: int(le.Uint32(b[8:])),
		Nr: int64(int32(le.Uint32(b[16:]))), Arch: le.Uint32(b[20:]), IP: le.Uint64(b[24:]),
	}
	for i := range n.Args {
		n.Args[i] = le.Uint64(b[32+8*i:])
	}
	return n, nil
}

// LetNotifiedGo lets the kernel make the call of a notification. It returns ENOENT when
// the task does not wait any more.
func LetNotifiedGo(fd int, id uint64) error {
	var b [answerSize]byte
	binary.LittleEndian.PutUint64(b[:], id)
	binary.LittleEndian.PutUint32(b[20:], sys.SECCOMP_USER_NOTIF_FLAG_CONTINUE)
	return IoctlBytes(fd, sys.SECCOMP_IOCTL_NOTIF_SEND, b[:])
}

// StillNotified says whether the task of a notification still waits.
func StillNotified(fd int, id uint64) bool {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], id)
	return IoctlBytes(fd, notifyValid, b[:]) == nil
}

// WaitEither sleeps until descriptor a or b is readable or has been hung up, and says
// which of them is: the second one first.
func WaitEither(a, b int) (first, hungUp, second bool, err error) {
	p := []sys.PollFd{{Fd: int32(a), Events: sys.POLLIN}, {Fd: int32(b), Events: sys.POLLIN}}
	for {
		if _, err = sys.Poll(p, -1); err != syscall.EINTR {
			const gone = sys.POLLHUP | sys.POLLERR | sys.POLLNVAL
			return p[0].Revents&sys.POLLIN != 0, p[0].Revents&gone != 0, p[1].Revents != 0, err
		}
	}
}

// ExitOfReaped returns the wait status of a process of a pidfd that has ended and whose
// parent has taken note of that. The kernel says so since Linux 6.15.
func ExitOfReaped(pidfd int) (WaitStatus, bool) {
	const (
		getInfo    = 0xc040ff0b // PIDFD_GET_INFO (include/uapi/linux/pidfd.h)
		withExit   = 8          // PIDFD_INFO_EXIT
		size, code = 64, 60
	)
	var b [size]byte
	le := binary.LittleEndian
	le.PutUint64(b[:], withExit)
	if err := IoctlBytes(pidfd, getInfo, b[:]); err != nil || le.Uint64(b[:])&withExit == 0 {
		return 0, false
	}
	return WaitStatus(le.Uint32(b[code:])), true
}
