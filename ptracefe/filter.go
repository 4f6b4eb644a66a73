//go:build linux && (amd64 || arm64)

package ptracefe

// Instructions of classic BPF (linux/bpf_common.h) and offsets in struct
// seccomp_data (linux/seccomp.h).
const (
	bpfLoadWord  = 0x20 // BPF_LD | BPF_W | BPF_ABS
	bpfJumpEqual = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
	bpfJumpGE    = 0x35 // BPF_JMP | BPF_JGE | BPF_K
	bpfReturn    = 0x06 // BPF_RET | BPF_K

	dataNr   = 0
	dataArch = 4
	dataArgs = 16
)

// Data of the filter's events.
const (
	nativeCall  = 0
	foreignCall = 1
)
