//go:build linux && (amd64 || arm64)

package ptracefe

import "encoding/binary"

// Instructions of classic BPF (linux/bpf_common.h) and offsets in struct
// seccomp_data (linux/seccomp.h).
const (
	bpfLoadWord  = 0x20 // BPF_LD | BPF_W | BPF_ABS
	bpfJumpEqual = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
	bpfJumpGE    = 0x35 // BPF_JMP | BPF_JGE | BPF_K
	bpfReturn    = 0x06 // BPF_RET | BPF_K

	dataNr   = 0
	dataArch = 4
)

// Data of the filter's events.
const (
	nativeCall  = 0
	foreignCall = 1
)

type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// filterImage lays out struct sock_fprog, followed by the instructions, for
// address addr.
func filterImage(addr uint64, prog []instruction) []byte {
	const header = 16
	b := make([]byte, header, header+8*len(prog))
	binary.LittleEndian.PutUint16(b, uint16(len(prog)))
	binary.LittleEndian.PutUint64(b[8:], addr+header)
	for _, in := range prog {
		b = binary.LittleEndian.AppendUint16(b, in.code)
		b = append(b, in.jt, in.jf)
		b = binary.LittleEndian.AppendUint32(b, in.k)
	}
	return b
}
