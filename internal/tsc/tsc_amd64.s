//go:build linux

#include "textflag.h"

// func rdtsc() uint64
TEXT ·Read(SB), NOSPLIT, $0-8
	RDTSC
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, ret+0(FP)
	RET

// func rdtscp() (cycles uint64, processor uint32)
TEXT ·ReadProcessor(SB), NOSPLIT, $0-12
	RDTSCP
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, cycles+0(FP)
	MOVL CX, processor+8(FP)
	RET
