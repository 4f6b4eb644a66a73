// Command genmanual writes the manual page of kvmsandbox and the completions of shells.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/multivar/multivar/internal/manual"
)

func main() {
	dir := flag.String("d", "docs", "write the files below `DIRECTORY`")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintf(os.Stderr, "genmanual: %v\n", err)
		os.Exit(1)
	}
}

// write writes all files.
func write(dir string) error {
	command, doctor, policy := manual.Kvmsandbox(), manual.Doctor(), manual.Policy()
	for name, text := range map[string]string{
		"kvmsandbox.1":               manual.Page(command, doctor, policy),
		"completion/kvmsandbox.bash": manual.Bash(command, doctor, policy),
		"completion/_kvmsandbox":     manual.Zsh(command, doctor, policy),
		"completion/kvmsandbox.fish": manual.Fish(command, doctor, policy),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
