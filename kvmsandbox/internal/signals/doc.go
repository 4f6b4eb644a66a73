// Package signals is the part of the Linux kernel's x86-64 signal code that a
// monitor needs which is the kernel of programs in a virtual machine: the table
// of actions, the state of a thread, signal frames, their way back, the restart
// of interrupted calls and the signals that exceptions stand for.
//
// The package is arithmetic. It makes no calls of the operating system, touches
// no memory of a program by itself and keeps no state but what its values hold.
// Values are not safe for concurrent use; a [Dispositions] that several threads
// share needs a lock around it or an owner.
//
// # Delivering a signal
//
// The steps are those of arch_do_signal_or_restart and handle_signal:
//
//	act, effect := dispositions.Deliver(signo)      // what is to be done
//	rax, back := AfterCall(ret, nr, &act)           // if it interrupted a call
//	frame, err := BuildFrame(FrameInput{...})       // where the handler runs
//	... write frame.Bytes at frame.Addr, then take over registers, state, mask
//
// When BuildFrame or the write fails, the thread gets SIGSEGV instead, by
// [ForceSegv]. rt_sigreturn(2) is [ParseFrame]; when it fails, SIGSEGV comes by
// [Force]. Neither an address that is no address nor a selector that is none is
// refused by Linux in advance: the return to the program faults. [ReturnFault]
// says whether it will, so that the registers never reach a processor.
//
// # Sources
//
// Facts come from the sources of Linux 6.1 and 6.12, arch/x86/kernel/signal.c,
// signal_64.c, fpu/signal.c, fpu/xstate.h, traps.c, arch/x86/mm/fault.c,
// kernel/signal.c and the headers under arch/x86/include/uapi/asm. The tests compare
// with the kernel that they run on. Two things have changed since 6.1, and here they
// are as in 6.12:
//
//   - rt_sigreturn restores the alternate stack before the registers, and so by
//     the stack pointer of the handler, not of the interrupted code.
//   - A frame always holds PKRU where the processor has it.
//
// # Deviations
//
// They are deliberate, and none is seen by a program that uses frames as
// documented. Where the kernel leaves bytes of the stack between the parts of a
// frame as they were, this package writes zeros, so that frames of variants are
// alike. A frame that was changed to hold compacted XSAVE data, which only a
// program could have done that made it up, is refused. Programs are 64-bit:
// other code segments than the 64-bit one fault. There are no restartable
// sequences and no shadow stacks.
package signals
