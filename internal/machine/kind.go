package machine

import "fmt"

// Kind is what a machine is like. It does not change and is safe for concurrent use.
type Kind struct {
	// name is that of the make target that installs what a machine of this kind needs, behind
	// "deps-".
	name string
	// arch is the instruction set, as the Go tool chain calls it.
	arch     string
	emulator string
	// arguments are the emulator's for processor and serial ports. One port has the
	// character device resultsPort and is resultsDevice in the machine, another has
	// consolePort.
	arguments  []string
	parameters string // of the kernel
	// modules are loaded in this order, those that the kernel has.
	modules []string
}

// Character devices of the emulator.
const (
	resultsPort = "results"
	consolePort = "console"
)

// Name is the machine's in names of files and of targets of make.
func (k Kind) Name() string { return k.name }

// Arch is the instruction set, as the Go tool chain calls it.
func (k Kind) Arch() string { return k.arch }

func (k Kind) missing(err error) error {
	return fmt.Errorf("%w: %w; make deps-%s installs it", ErrMissing, err, k.name)
}

// quiet are parameters of all kernels. What protects against speculation only costs time.
const quiet = "quiet panic=-1 nowatchdog mitigations=off rcupdate.rcu_cpu_stall_suppress=1"

// SVM returns a machine with an AMD processor that has SVM.
func SVM() Kind {
	// The processor has nested paging and is without what the emulation does not
	// have. Nor does it have SMAP: QEMU 7.2 reads the stack of a far return in ring 3 as ring
	// 0 would, which the kernel would take for its own fault.
	const processor = "EPYC,+svm,+npt,-smap,-rdseed,-sha-ni,-fxsr-opt,-misalignsse,-3dnowprefetch,-osvw,-topoext,-nrip-save,-xsavec"
	// All processors are emulated in one thread. With a thread per processor QEMU
	// loses interrupts: at the end of a guest's turn a processor changes its
	// interrupt_request without the lock under which others set bits there
	// (target/i386/tcg/sysemu/svm_helper.c, do_vmexit), and a processor that has lost the
	// one it was woken by sleeps for ever.
	const accelerator = "tcg,thread=single"
	return Kind{
		name: "svm", arch: "amd64", emulator: "qemu-system-x86_64",
		arguments: []string{"-accel", accelerator, "-cpu", processor, "-serial", "chardev:" + resultsPort, "-serial", "chardev:" + consolePort},
		// Checks of timers fail at random under emulation. All processors have one time stamp counter,
		// which the kernel does not take for granted.
		parameters: "console=ttyS1 no_timer_check tsc=reliable " + quiet,
		modules:    []string{"irqbypass", "ccp", "kvm", "kvm-amd"},
	}
}

// ARM64 returns a machine with an arm64 processor. Its clock counts instructions, two
// nanoseconds each, and jumps where the processor has nothing to do: a busy host does not
// make programs of the machine miss their times, and what hangs there without computing
// has its limit at once.
func ARM64() Kind {
	return Kind{
		name: "arm64", arch: "arm64", emulator: "qemu-system-aarch64",
		// The board has one serial port of its own.
		arguments: []string{
			"-machine", "virt", "-accel", "tcg", "-icount", "shift=1,sleep=off", "-cpu", "max,pauth-impdef=on",
			"-device", "pci-serial,chardev=" + resultsPort, "-serial", "chardev:" + consolePort,
		},
		parameters: "console=ttyAMA0 " + quiet,
	}
}
