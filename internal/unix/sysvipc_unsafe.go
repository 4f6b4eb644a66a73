//go:build linux

package unix

import (
	"encoding/binary"
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// Commands of semctl(2) and msgctl(2), and where their results hold what is asked for
// (include/uapi/linux/sem.h and msg.h, arch/x86/include/uapi/asm/sembuf.h).
const (
	ipcInfo    = 3
	semStatAny = 20

	semCountAt   = 80 // sem_nsems of struct semid64_ds
	semOpMaxAt   = 20 // semopm of struct seminfo
	messageMaxAt = 8  // msgmax of struct msginfo
)

// ipcRecord has room for any of the records.
type ipcRecord [128]byte

// SemaphoreCount returns how many semaphores the System V set with this id has, 0 when
// there is no such set. Whether the caller may read it makes no difference.
func SemaphoreCount(id int) int {
	// The lower bits of an id are an index, by which it can be asked for: 15 of them,
	// or 24 when the kernel was started with ipcmni_extend.
	for _, mask := range []int{1<<15 - 1, 1<<24 - 1} {
		var r ipcRecord
		got, _, e := sys.RawSyscall6(sys.SYS_SEMCTL, uintptr(id&mask), 0, semStatAny, uintptr(unsafe.Pointer(&r)), 0, 0)
		if id >= 0 && e == 0 && int(got) == id {
			return int(binary.LittleEndian.Uint64(r[semCountAt:]))
		}
	}
	return 0
}

// SemaphoreOperations returns how many operations semop(2) takes, 0 when there are no
// System V semaphores.
func SemaphoreOperations() uint64 {
	var r ipcRecord
	if _, _, e := sys.RawSyscall6(sys.SYS_SEMCTL, 0, 0, ipcInfo, uintptr(unsafe.Pointer(&r)), 0, 0); e != 0 {
		return 0
	}
	return uint64(binary.LittleEndian.Uint32(r[semOpMaxAt:]))
}

// MessageLimit returns how many bytes of text msgsnd(2) takes, 0 when there are no System
// V message queues.
func MessageLimit() uint64 {
	var r ipcRecord
	if _, _, e := sys.RawSyscall(sys.SYS_MSGCTL, 0, ipcInfo, uintptr(unsafe.Pointer(&r))); e != 0 {
		return 0
	}
	return uint64(binary.LittleEndian.Uint32(r[messageMaxAt:]))
}
