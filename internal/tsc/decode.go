package tsc

// Decode says whether x86-64 code begins with a read of the counter, of which it returns the size in
// bytes, 0 for none, and whether it reads the processor's id, too.
func Decode(code []byte) (size uint64, withProcessor bool) {
	switch {
	case len(code) >= 2 && code[0] == 0x0f && code[1] == 0x31:
		return 2, false
	case len(code) >= 3 && code[0] == 0x0f && code[1] == 0x01 && code[2] == 0xf9:
		return 3, true
	}
	return 0, false
}
