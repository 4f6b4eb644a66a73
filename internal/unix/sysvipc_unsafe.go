//go:build linux

package unix

import (
	"encoding/binary"
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// Commands of semctl(2) and msgctl(2), and where their results hold what is asked for
// (include/uapi/linux/sem.h and msg.h). Where semCountAt is depends on the architecture.
const (
	ipcInfo    = 3
	semStatAny = 20
	shmStatAny = 15

	semOpMaxAt   = 20 // semopm of struct seminfo
	messageMaxAt = 8  // msgmax of struct msginfo
	segmentAt    = 48 // shm_segsz of struct shmid64_ds
	creatorAt    = 80 // shm_cpid of it
)

// ipcRecord has room for any of the records.
type ipcRecord [128]byte

// indexMasks returns which bits of an id may be the index by which an object can be asked
// for: the lower 15, or 24 when the kernel was started with ipcmni_extend.
func indexMasks() []int { return []int{1<<15 - 1, 1<<24 - 1} }

// SemaphoreCount returns how many semaphores the System V set with this id has, 0 when
// there is no such set. Whether the caller may read it makes no difference.
func SemaphoreCount(id int) int {
	for _, mask := range indexMasks() {
		var r ipcRecord
		got, _, e := sys.RawSyscall6(sys.SYS_SEMCTL, uintptr(id&mask), 0, semStatAny, uintptr(unsafe.Pointer(&r)), 0, 0)
		if id >= 0 && e == 0 && int(got) == id {
			return int(binary.LittleEndian.Uint64(r[semCountAt:]))
		}
	}
	return 0
}

// Segment returns the size in bytes and the creator of the System V segment of shared
// memory with this id, false when there is none. Whether the caller may read it makes no
// difference.
func Segment(id int) (size uint64, creator int, ok bool) {
	for _, mask := range indexMasks() {
		var r ipcRecord
		got, _, e := sys.RawSyscall(sys.SYS_SHMCTL, uintptr(id&mask), shmStatAny, uintptr(unsafe.Pointer(&r)))
		if id >= 0 && e == 0 && int(got) == id {
			return binary.LittleEndian.Uint64(r[segmentAt:]), int(int32(binary.LittleEndian.Uint32(r[creatorAt:]))), true
		}
	}
	return 0, 0, false
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
