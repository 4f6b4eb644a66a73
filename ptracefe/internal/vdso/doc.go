// Package vdso has the code that stands in for the kernel's vDSO in programs that read clocks
// beside the monitor, and knows the page of data by which the session talks with it.
//
// Values are not safe for concurrent use unless they are only read.
package vdso

//go:generate go run ../../../internal/cmd/genvdso -s stub.S -o zz_stub_amd64.o
