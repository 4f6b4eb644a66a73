package cause

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/multivar/multivar/libmultivar/report"
)

// Distances within which numbers count as times: of each other, and of the monitor's
// clocks.
const (
	maxApart    = time.Hour
	maxFromWall = 36 * time.Hour
	maxFromUp   = time.Hour
)

// units are those in which programs count time, by what one is.
func units() []time.Duration {
	return []time.Duration{time.Second, time.Millisecond, time.Microsecond, time.Nanosecond}
}

// times judges whether what differs is a time.
func times(in *incident) finding {
	for _, p := range in.pairs() {
		if text := in.clockTime(p); text != "" {
			return finding{report.CauseTime, strengthDate, []string{text}}
		}
	}
	if in.differs() {
		if text := in.dateText(); text != "" {
			return finding{report.CauseTime, strengthDate, []string{text}}
		}
	}
	for _, p := range in.pairs() {
		if text := in.counter(p); text != "" {
			return finding{report.CauseTime, strengthClock, []string{text}}
		}
	}
	if in.differs() {
		if text := in.duration(); text != "" {
			return finding{report.CauseTime, strengthDuration, []string{text}}
		}
	}
	return finding{}
}

// clockTime says which time of day two numbers are, empty when they are none.
func (in *incident) clockTime(p pair) string {
	if in.clock.Wall.IsZero() || p.a == p.b || p.base == 16 {
		return ""
	}
	for _, unit := range units() {
		now := uint64(in.clock.Wall.UnixNano() / int64(unit))
		near := uint64(maxFromWall / unit)
		if distance(p.a, now) < near && distance(p.b, now) < near && distance(p.a, p.b) <= uint64(maxApart/unit) {
			return fmt.Sprintf("%d and %d are times of this day, %v apart, counted in units of %v since 1970", p.a, p.b, time.Duration(distance(p.a, p.b))*unit, unit)
		}
	}
	return ""
}

// counter says which counter two numbers are readings of, empty when of none.
func (in *incident) counter(p pair) string {
	if p.a == p.b || p.base == 16 {
		return ""
	}
	if in.clock.Uptime > 0 && p.bits == 64 {
		for _, unit := range units()[1:] {
			now := uint64(in.clock.Uptime / unit)
			if near := uint64(maxFromUp / unit); distance(p.a, now) < near && distance(p.b, now) < near && p.a > 1<<16 && distance(p.a, p.b) <= uint64(time.Minute/unit) {
				return fmt.Sprintf("%d and %d are close to what the clock shows that counts from the start of the machine, in units of %v", p.a, p.b, unit)
			}
		}
	}
	// A time stamp that the program has read shortly before.
	const close = 1 << 10
	for _, e := range in.d.Events {
		if v, ok := stamp(e.Text); ok && p.bits == 64 && v > 1<<32 && distance(p.a, v) < v/close && distance(p.b, v) < v/close {
			return fmt.Sprintf("%d and %d are close to the time stamp counter, which was %d in event %d", p.a, p.b, v, e.Seq)
		}
	}
	return ""
}

// stamp returns the time stamp of a line of the call log.
func stamp(line string) (uint64, bool) {
	name, value, ok := strings.Cut(line, "() = ")
	if !ok || name != "rdtsc" && name != "rdtscp" {
		return 0, false
	}
	v, err := strconv.ParseUint(value, 10, 64)
	return v, err == nil
}

// dateText says that the difference is in a date or a time of day in text.
func (in *incident) dateText() string {
	forms := []*regexp.Regexp{
		regexp.MustCompile(`\d{4}-\d{2}-\d{2}[T ]?(\d{2}:\d{2}(:\d{2}([.,]\d+)?)?)?`),
		regexp.MustCompile(`\d{1,2}:\d{2}:\d{2}([.,]\d+)?`),
		regexp.MustCompile(`(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2}[ ,]`),
	}
	for _, form := range forms {
		a, b := around(form, in.a, in.first), around(form, in.b, in.first)
		if a != "" && b != "" {
			return fmt.Sprintf("%q and %q are times", a, b)
		}
	}
	return ""
}

// around returns the match of a form that byte i is part of.
func around(form *regexp.Regexp, p []byte, i int) string {
	const reach = 64
	from, to := max(i-reach, 0), min(i+reach, len(p))
	for _, m := range form.FindAllIndex(p[from:to], -1) {
		if i >= from+m[0] && i < from+m[1] {
			return string(p[from+m[0] : from+m[1]])
		}
	}
	return ""
}

// duration says that the difference is in a number that is called a time.
func (in *incident) duration() string {
	class := func(c byte) bool { return c >= '0' && c <= '9' || c == '.' }
	fromA, toA := token(in.a, in.first, class)
	fromB, toB := token(in.b, in.first, class)
	x, err := strconv.ParseFloat(string(in.a[fromA:toA]), 64)
	y, err2 := strconv.ParseFloat(string(in.b[fromB:toB]), 64)
	if err != nil || err2 != nil || fromA != fromB {
		return ""
	}
	line := in.a[bytes.LastIndexByte(in.a[:fromA], '\n')+1:]
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	if !regexp.MustCompile(`(?i)\b(time|elapsed|took|duration|latency|seconds?|secs?|ms|us|ns|uptime|cycles|µs)\b|[0-9] ?(s|ms|us|ns|µs)\b`).Match(line) {
		return ""
	}
	return fmt.Sprintf("%v and %v are called a time where they are written: %q", x, y, line)
}
