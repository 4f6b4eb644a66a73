//go:build linux

package unix

// semCountAt is where struct semid64_ds has sem_nsems (include/uapi/asm-generic/sembuf.h).
const semCountAt = 64
