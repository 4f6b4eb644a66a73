// Package addrspace decides where everything in a variant's address space goes
// and keeps account of it.
//
// The part of the user address space that Linux leaves empty at exec, the band,
// is divided into one slot per variant (Layout). An address inside a variant's
// own slot is relative: its offset from the slot's base is the same in all
// variants. Every other address is absolute: it is the same in all variants.
// The pair of the two facts is the canonical form of an address (Address), by
// which variants are compared and their memory maps (Space) are kept: one Space
// describes a process in all variants at once. Plan arranges the address space
// of a freshly executed program accordingly.
//
// The package is pure: it asks nothing of the operating system, never blocks,
// and draws its random numbers from its caller. Its values are not safe for
// concurrent use unless their comment says so. No input makes it panic.
package addrspace
