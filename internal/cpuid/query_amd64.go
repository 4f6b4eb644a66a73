//go:build amd64

package cpuid

// Query executes CPUID on the processor that the caller runs on.
func Query(leaf, subleaf uint32) Registers {
	var r Registers
	r.EAX, r.EBX, r.ECX, r.EDX = query(leaf, subleaf)
	return r
}

func query(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)
