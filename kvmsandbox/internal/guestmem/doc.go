// Package guestmem owns the guest address space of one virtual machine: its page
// tables and its memory slots. One virtual machine belongs to one address space
// of Linux, that of the process that runs the program; [Space] is its image in
// the machine.
//
// # Layout
//
// Guest-virtual addresses of the program equal the host-virtual addresses of the
// process, so a pointer means the same on both sides. Guest-physical addresses
// are compact, because a processor may have no more than 39 bits of them while a
// program uses 47: what the program may use is divided into chunks of
// [ChunkSize], and [Space.Cover] gives those of a range the next free pieces of
// guest-physical memory from [FirstGPA] on and a memory slot each. A chunk
// keeps both for the life of the Space. Below FirstGPA lie the page tables and
// whatever else the caller puts there.
//
// The program's pages are user pages below [UserEnd]. The few pages of the
// machine's own kernel are supervisor pages in the upper half. Leaf entries are
// always of 4 KiB.
//
// Which memory the process has is known to the host's kernel alone. The caller
// asks it and puts in ranges, at the latest when the program faults; a window of
// [WindowSize], which is what one leaf table maps, is a good measure.
//
// # Order of changes
//
// A hypervisor may shadow the tables and then does not notice that they were
// edited from outside, and a processor may have cached what they said. Host
// mappings are noticed always. So the mapping in the process must never be wider
// than the entries were when they were last made narrower:
//
//   - To take away memory or rights, call [Space.Clear], or [Space.Fill] with the
//     smaller rights, first. Then change the mapping of the process, which makes
//     the hypervisor drop what it derived from the old entries.
//   - To give memory or rights, change the mapping first, let the machine have the
//     slots that [Space.Cover] returns, and call Fill then: other processors use
//     an entry as soon as it is there. A processor that still knows the smaller rights faults once; [Space.Lookup]
//     tells that the entry is good and the access is to be repeated.
//
// The same holds for the tables: a page that was one table must not become
// another while the hypervisor may still have a shadow of the first. A table that
// runs empty therefore stays where it is and serves the same window again. Only
// when space runs out are empty tables taken out, and their pages wait until the
// caller has deleted the memory slot that holds them and added it anew:
//
//	err := space.Fill(start, end, prot)
//	if errors.Is(err, guestmem.ErrNeedsReset) {
//		space.BeginReset()
//		// Delete the memory slot of Config.Tables and add it anew.
//		space.ResetDone()
//		err = space.Fill(start, end, prot)
//	}
//
// # Trust
//
// Ranges come from a hostile program: whatever they are, methods return errors
// and neither panic nor do more than the tables have room for. The memory of the
// tables must be out of the program's reach. Should it be written to all the same,
// methods stay inside of it. One that notices returns [ErrCorrupt], as do all after
// it; what the program can reach then is not known, and the machine must not run on.
package guestmem
