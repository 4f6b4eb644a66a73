// Command genvdso assembles the code that stands in for the vDSO's. The result depends on the
// source and on the assembler only.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
)

func main() {
	source := flag.String("s", "", "source")
	out := flag.String("o", "", "object file to write")
	compiler := flag.String("cc", "gcc", "C compiler")
	flag.Parse()
	if err := run(*source, *out, *compiler); err != nil {
		fmt.Fprintln(os.Stderr, "genvdso:", err)
		os.Exit(1)
	}
}

func run(source, out, compiler string) error {
	if source == "" || out == "" {
		return fmt.Errorf("both -s and -o are needed")
	}
	cmd := exec.Command(compiler, "-Wall", "-Wextra", "-Werror", "-c", "-o", out, source)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", compiler, err)
	}
	return os.Chmod(out, 0o644)
}
