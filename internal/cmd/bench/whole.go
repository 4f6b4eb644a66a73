//go:build linux && amd64

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// whole is a program that is timed from its start to its end.
type whole struct {
	name string
	argv []string
	// rate, when it is not nil, takes from what the program has printed how many bytes a
	// second it has worked on; the time of a gigabyte then counts. Variants print
	// different rates, so only one runs.
	rate func(out string) (float64, error)
}

// gzipSize is how much is compressed, in bytes.
const gzipSize = 100 << 20

// wholePrograms times programs that compute, that use much memory, and that do
// nothing: the cost of a start.
func wholePrograms(ctx context.Context, out, progress io.Writer, contenders []contender, dir string, runs int) error {
	data := filepath.Join(dir, "data")
	if err := writeData(data); err != nil {
		return err
	}
	touch, err := compileTouch(ctx, dir)
	if err != nil {
		return err
	}
	programs := []whole{
		{name: "true", argv: []string{"true"}},
		{name: "perl, a loop", argv: []string{"perl", "-e", "my $x = 0; for my $i (1 .. 4e7) { $x = ($x * 3 + $i) % 1000003 } print $x"}},
		{name: "openssl speed, 1 GB", argv: []string{"openssl", "speed", "-seconds", "1", "-bytes", "8192", "-evp", "sha256"}, rate: opensslRate},
		{name: "gzip 100 MB", argv: []string{"gzip", "-c", data}},
		{name: "touch 512 MB", argv: []string{touch}},
	}
	times := map[string][]time.Duration{}
	for round := range runs {
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)]
			for _, p := range programs {
				if p.rate != nil && c.variants > 1 {
					continue
				}
				fmt.Fprintf(progress, "\rrun %d of %d: %-10s %-14s", round+1, runs, c.name, p.name)
				d, err := timeProgram(ctx, c, p, dir)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", c.name, p.name, err)
				}
				key := c.name + "/" + p.name
				times[key] = append(times[key], d)
			}
		}
	}
	fmt.Fprintf(progress, "\r%50s\r", "")
	median := func(c contender, p whole) time.Duration {
		all := times[c.name+"/"+p.name]
		slices.Sort(all)
		return all[len(all)/2]
	}
	var b strings.Builder
	b.WriteString("\nWhole programs, wall time:\n\n|")
	for _, c := range contenders {
		b.WriteString(" | " + c.name)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|---:", len(contenders)) + "|\n")
	for _, p := range programs {
		native := median(contenders[0], p)
		b.WriteString("| " + p.name)
		for i, c := range contenders {
			if p.rate != nil && c.variants > 1 {
				b.WriteString(" | -")
				continue
			}
			d := median(c, p)
			fmt.Fprintf(&b, " | %s", short(d))
			if i > 0 {
				fmt.Fprintf(&b, " (%.3gx)", float64(d)/float64(native))
			}
		}
		b.WriteString(" |\n")
	}
	_, err = io.WriteString(out, b.String())
	return err
}

func short(d time.Duration) string {
	if d >= time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

// timeProgram runs one program once.
func timeProgram(ctx context.Context, c contender, p whole, dir string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	argv := append(append([]string{}, c.prefix...), p.argv...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	var stdout, stderr strings.Builder
	cmd.Stderr = &stderr
	if p.rate != nil {
		cmd.Stdout = &stdout
	}
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	took := time.Since(start)
	if p.rate != nil {
		bytes, err := p.rate(stdout.String())
		if err != nil {
			return 0, err
		}
		took = time.Duration(1e9 / bytes * float64(time.Second))
	}
	return took, nil
}

// opensslRate reads the last line that `openssl speed` prints: the algorithm and
// thousands of bytes a second, with a k.
func opensslRate(out string) (float64, error) {
	fields := strings.Fields(out)
	if len(fields) == 0 {
		return 0, errors.New("openssl speed printed nothing")
	}
	rate, err := strconv.ParseFloat(strings.TrimSuffix(fields[len(fields)-1], "k"), 64)
	if err != nil || rate <= 0 {
		return 0, fmt.Errorf("openssl speed printed %q at last", fields[len(fields)-1])
	}
	return rate * 1e3, nil
}

// writeData writes a file that compresses like text.
func writeData(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	x := uint32(1)
	for written := 0; written < gzipSize; written += len(block) {
		for i := range block {
			x = x*1664525 + 1013904223
			block[i] = "etaoin shrdlu\n"[x>>24%14]
		}
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return f.Close()
}

// touchSource writes to each page of much memory once.
const touchSource = `#include <sys/mman.h>
int main(void)
{
	unsigned long i, size = 512ul << 20;
	char *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || madvise(p, size, MADV_NOHUGEPAGE))
		return 1;
	for (i = 0; i < size; i += 4096)
		p[i] = 1;
	return 0;
}
`

func compileTouch(ctx context.Context, dir string) (string, error) {
	src, bin := filepath.Join(dir, "touch.c"), filepath.Join(dir, "touch")
	if err := os.WriteFile(src, []byte(touchSource), 0o644); err != nil {
		return "", err
	}
	if msg, err := exec.CommandContext(ctx, "gcc", "-O1", "-o", bin, src).CombinedOutput(); err != nil {
		return "", fmt.Errorf("gcc: %w: %s", err, msg)
	}
	return bin, nil
}
