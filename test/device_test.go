//go:build linux && amd64

package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/multivar/multivar/kvmsandbox/probe"
)

// Tests that root runs also run programs as an ordinary user, who may use virtual
// machines only where the device allows it. Whether it does is the machine's affair;
// so the tests of that front-end have a device of their own, in a mount namespace of
// their own, that everybody may use.

// deviceEnv says that the test process is in that namespace.
const deviceEnv = "MV_TEST_DEVICE"

const devicePath = "/dev/kvm"

// noMachines says what this machine lacks for tests on virtual machines, nothing when
// they can run or another front-end is under test.
func noMachines() string {
	if frontEnd != "kvm" {
		return ""
	}
	r, err := probe.KVM(context.Background())
	if err != nil {
		return err.Error()
	}
	if f, obstacle := r.Features.Obstacle(); obstacle {
		return fmt.Sprintf("%s (%s): %s; %s", probe.Path, f.Name, f.Found, f.Fix)
	}
	return ""
}

// needsDevice says whether the tests have to move to a namespace of their own.
func needsDevice() bool {
	info, err := os.Stat(devicePath)
	return err == nil && frontEnd == "kvm" && os.Getuid() == 0 && os.Getenv(deviceEnv) == "" && info.Mode().Perm()&0o006 != 0o006
}

// inNamespace runs the tests of this process in another one, in a mount namespace of
// its own, and returns its exit status.
func inNamespace() int {
	// The kernel kills a process whose parent thread ends.
	runtime.LockOSThread()
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "test:", err)
		return 1
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), deviceEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "test:", err)
	return 1
}

// openDevice puts a device that everybody may use in the place of the machine's; its
// node is made in dir.
func openDevice(dir string) error {
	var st syscall.Stat_t
	if err := syscall.Stat(devicePath, &st); err != nil {
		return &os.PathError{Op: "stat", Path: devicePath, Err: err}
	}
	path := filepath.Join(dir, "device")
	if err := syscall.Mknod(path, syscall.S_IFCHR|0o666, int(st.Rdev)); err != nil {
		return &os.PathError{Op: "mknod", Path: path, Err: err}
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return err
	}
	if err := syscall.Mount(path, devicePath, "", syscall.MS_BIND, ""); err != nil {
		return &os.PathError{Op: "mount over", Path: devicePath, Err: err}
	}
	return nil
}
