//go:build linux && amd64

package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// hostFacts is what explains why the device cannot be opened.
type hostFacts struct {
	// vmx and svm are the processor's flags.
	vmx, svm bool
	// module is the loaded module that offers KVM, empty if none is.
	module string
	// owner describes the device file; nil when there is none.
	owner *deviceOwner
	// groups are those of this process, user's is whether the device's group lists
	// the user already.
	groups []int
	member bool
}

// deviceOwner is who may open the device.
type deviceOwner struct {
	group     int
	groupName string
	// groupMay is true when the group may read and write.
	groupMay bool
}

// modules offer KVM, each for its processors.
var modules = []string{"kvm_intel", "kvm_amd", "kvm_pvm"}

// thisHost collects the facts; what cannot be read stays unknown.
func thisHost() hostFacts {
	var h hostFacts
	h.vmx, h.svm = processorFlags("/proc/cpuinfo")
	for _, m := range modules {
		// A module that is built in has a directory only if it has parameters.
		if _, err := os.Stat("/sys/module/" + m); err == nil {
			h.module = m
		}
	}
	var st syscall.Stat_t
	if syscall.Stat(Path, &st) == nil {
		h.owner = &deviceOwner{group: int(st.Gid), groupMay: st.Mode&0o060 == 0o060}
		name, members := groupEntry("/etc/group", int(st.Gid))
		h.owner.groupName = name
		h.member = slices.Contains(members, os.Getenv("USER"))
	}
	h.groups, _ = os.Getgroups()
	return h
}

// explainDevice says why the device cannot be opened and what to do.
func explainDevice(path string, err error, h hostFacts) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return &missing{found: err.Error(), fix: fixKVM}
	}
	m := &missing{found: fmt.Sprintf("%s: %v", path, errno), fix: fixKVM}
	switch errno {
	case syscall.ENOENT, syscall.ENXIO, syscall.ENODEV, syscall.ENOTDIR:
		m.fix = fixAbsent(h)
	case syscall.EACCES:
		m.fix = fixPermission(path, h)
	case syscall.EPERM:
		m.found += " (a control group forbids it)"
		m.fix = "start the container with: --device " + path
	case syscall.EBUSY:
		m.fix = fixBusy
	}
	return m
}

const fixBusy = "stop the other hypervisor (VirtualBox, VMware) that uses the processor's virtualisation"

// fixAbsent is for a host without the device.
func fixAbsent(h hostFacts) string {
	const firmware = "; if that fails, enable virtualisation in the firmware (BIOS)"
	switch {
	case h.module != "":
		return h.module + " is loaded, so pass the device into this container: --device " + Path
	case h.vmx:
		return "sudo modprobe kvm_intel" + firmware
	case h.svm:
		return "sudo modprobe kvm_amd" + firmware
	}
	return "enable virtualisation (VT-x, AMD-V) in the firmware (BIOS), or nested virtualisation for this virtual machine at its host"
}

// fixPermission is for a device that this user may not open.
func fixPermission(path string, h hostFacts) string {
	switch o := h.owner; {
	case o == nil || !o.groupMay || o.group == 0 || o.groupName == "":
		return `sudo chown "$USER" ` + path
	case h.member && !slices.Contains(h.groups, o.group):
		return "log out and in again: this session began before you were added to group " + o.groupName
	default:
		return fmt.Sprintf(`sudo usermod -aG %s "$USER", then log out and in again`, o.groupName)
	}
}

// explainMachine says why there is no virtual machine although there is a device.
func explainMachine(err error) error {
	switch {
	case errors.Is(err, syscall.EBUSY):
		return &missing{found: err.Error(), fix: fixBusy}
	case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.EIO):
		return &missing{found: err.Error(), fix: "enable virtualisation in the firmware (BIOS)"}
	case errors.Is(err, syscall.ENOMEM):
		return &missing{found: err.Error(), fix: "free some memory, or raise this control group's limit"}
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return &missing{found: err.Error(), fix: "raise the limit of open files: ulimit -n 1024"}
	}
	return err
}

// processorFlags reads the flags of the first processor.
func processorFlags(path string) (vmx, svm bool) {
	f, err := os.Open(path)
	if err != nil {
		return false, false
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 1<<16))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(key) != "flags" {
			continue
		}
		flags := strings.Fields(value)
		return slices.Contains(flags, "vmx"), slices.Contains(flags, "svm")
	}
	return false, false
}

// groupEntry returns name and members of a group, as group(5) lists them.
func groupEntry(path string, id int) (name string, members []string) {
	f, err := os.Open(path)
	if err != nil {
		return "", nil
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) == 4 && fields[2] == strconv.Itoa(id) {
			return fields[0], strings.Split(fields[3], ",")
		}
	}
	return "", nil
}
