//go:build linux && amd64

package guestmem_test

import (
	"fmt"

	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
)

// Example gives a program a page and takes it back.
func Example() {
	space, err := guestmem.New(guestmem.Config{
		Tables:      memory(64), // shared with the process that owns the machine
		TablesGPA:   1 << 20,
		KernelPages: 4,
		FirstSlot:   1,
		SlotLimit:   32764,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// The process has just mapped it.
	slots, err := space.Cover(0x400000, 0x401000)
	fmt.Printf("%+v %v\n", slots, err)
	// The virtual machine has them now.
	fmt.Println(space.Fill(0x400000, 0x401000, guestmem.Read|guestmem.Exec))

	gpa, prot, ok := space.Lookup(0x400123)
	fmt.Printf("%#x %d %v\n", gpa, prot, ok)

	// The process is going to unmap all it has.
	err = space.Clear(0, guestmem.UserEnd)
	_, _, ok = space.Lookup(0x400123)
	fmt.Println(ok, err)
	// Output:
	// [{Number:1 GPA:4294967296 HVA:0 Size:67108864}] <nil>
	// <nil>
	// 0x100400123 5 true
	// false <nil>
}
