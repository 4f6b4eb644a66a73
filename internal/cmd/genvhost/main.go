// Command genvhost writes the header that the variant host shares with Go and
// builds the variant host's image. The result depends on the sources and on the
// compiler only.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/multivar/multivar/frontend/vhost"
)

func main() {
	dir := flag.String("dir", "", "directory of the sources")
	out := flag.String("o", "", "image to write")
	compiler := flag.String("cc", "gcc", "C compiler")
	flag.Parse()
	if err := run(*dir, *out, *compiler); err != nil {
		fmt.Fprintln(os.Stderr, "genvhost:", err)
		os.Exit(1)
	}
}

func run(dir, out, compiler string) error {
	if dir == "" || out == "" {
		return fmt.Errorf("both -dir and -o are needed")
	}
	if err := os.WriteFile(filepath.Join(dir, "zz_layout.h"), []byte(vhost.Header()), 0o644); err != nil {
		return err
	}
	target, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	args := append(flags(), "-o", target)
	cmd := exec.Command(compiler, append(args, "entry.S", "start.c", "serve.c", "native.c", "gate.c", "gate.S", "guest.c", "ring0.c", "ring0.S", "agent.c", "agent_args.c", "agent_lead.c", "agent_follow.c", "agent_wait.c", "agent_name.c", "agent_mask.c", "agent_account.c", "agent_stamp.c", "agent_hash.c", "agent_message.c", "copy.S", "ring_read.c", "ring_wait.c", "ring_write.c")...)
	// Names that the compiler might record must not depend on where it runs.
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", compiler, err)
	}
	return os.Chmod(out, 0o644)
}

func flags() []string {
	return []string{
		"-std=gnu11", "-O2", "-flto", "-Wall", "-Wextra", "-Werror",
		// A block's stack is small, and a signal's frame needs most of it.
		"-Wframe-larger-than=512",
		"-ffreestanding", "-fpie", "-mgeneral-regs-only", "-mcmodel=small", "-mno-red-zone",
		"-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables",
		"-fno-builtin", "-fno-tree-loop-distribute-patterns", "-fno-jump-tables",
		"-fvisibility=hidden",
		"-static", "-no-pie", "-nostdlib", "-s",
		"-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,norelro", "-Wl,-z,max-page-size=4096",
		fmt.Sprintf("-Wl,-Ttext-segment=%#x", vhost.Image), "-Wl,--defsym=vhost_end=_end", fmt.Sprintf("-Wl,--defsym=vhost_first=%#x", vhost.Image),
	}
}
