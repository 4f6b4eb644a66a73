// Command parity writes docs/parity.md, which tells for every scenario of the tests
// on which front-ends it works, from results of `go test -json`. With -check it
// verifies instead that nothing that the file claims has been lost.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	out := flag.String("o", "docs/parity.md", "file to write or to check")
	keep := flag.Bool("keep", false, "keep what the file says of front-ends and scenarios without results")
	check := flag.Bool("check", false, "verify that no scenario was lost")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: parity [-check | -keep] [-o FILE] FRONTEND=RESULTS...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(*out, *check, *keep, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "parity:", err)
		os.Exit(1)
	}
}

func run(out string, check, keep bool, args []string) error {
	t := newTable()
	for _, a := range args {
		name, file, ok := strings.Cut(a, "=")
		if !ok || name == "" {
			return fmt.Errorf("%q is not FRONTEND=RESULTS", a)
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		err = t.add(name, f)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	if len(t.frontEnds) == 0 {
		return fmt.Errorf("no results given")
	}
	if keep {
		b, err := os.ReadFile(out)
		if err != nil {
			return err
		}
		t.keep(string(b))
	}
	if !check {
		return os.WriteFile(out, []byte(t.markdown()), 0o644)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	lost := t.lost(string(b))
	for _, l := range lost {
		fmt.Printf("--- %s on %s:\n%s", l.scenario, l.frontEnd, t.failures[l])
	}
	fmt.Print(strings.Join(t.missing, ""))
	for _, f := range t.frontEnds {
		fmt.Println(f + ": " + t.count(f))
	}
	if len(lost) > 0 {
		return fmt.Errorf("%d scenarios fail that %s does not say fail", len(lost), out)
	}
	return nil
}
