package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/multivar/multivar/libmultivar/calllog"
)

// maxText bounds one text of a report, in bytes after escaping.
const maxText = 400

// SGR sequences of ECMA-48.
const (
	sgrBold  = "\x1b[1m"
	sgrRed   = "\x1b[31m"
	sgrAlert = "\x1b[1;31m"
	sgrReset = "\x1b[0m"
)

// painter puts text into colour, or does not.
type painter bool

func (p painter) paint(sgr, s string) string {
	if !p {
		return s
	}
	return sgr + s + sgrReset
}

// WriteText writes the report for a reader: a headline, where it happened, both
// values, a hexadecimal dump in which brackets enclose the bytes that differ, the
// probable cause, backtraces of all variants and the last events. With colour it uses
// the colours of a terminal as well.
func (d *Divergence) WriteText(w io.Writer, colour bool) error {
	var b bytes.Buffer
	p := painter(colour)
	fmt.Fprintf(&b, "%s\n", p.paint(sgrAlert, "kvmsandbox: "+shown(d.Error())))

	d.facts(func(label, text string) {
		fmt.Fprintf(&b, "  %s%s\n", p.paint(sgrBold, fmt.Sprintf("%-11s", label)), shown(text))
	})
	if len(d.Leader.Bytes) > 0 || len(d.Other.Bytes) > 0 {
		b.WriteByte('\n')
		d.dump(&b, p)
	}
	d.writeCause(&b, p)
	d.writeSides(&b, p)

	if events := d.lastEvents(); len(events) > 0 {
		fmt.Fprintf(&b, "\n  %s\n", p.paint(sgrBold, "last events, oldest first (* waits for all variants)"))
		for _, e := range events {
			mark := ' '
			if e.Waiting {
				mark = '*'
			}
			fmt.Fprintf(&b, "  %6d %c %s %s\n", e.Seq, mark, e.who(), shown(e.Text))
		}
	}
	_, err := w.Write(b.Bytes())
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// facts gives the parts of the report that take a line each, in order.
func (d *Divergence) facts(give func(label, text string)) {
	line := func(label, format string, args ...any) { give(label, fmt.Sprintf(format, args...)) }
	where := fmt.Sprintf("%d", d.Process.Pid)
	if d.Process.Comm != "" {
		where += " (" + d.Process.Comm + ")"
	}
	if d.Process.Thread != 0 && d.Process.Thread != d.Process.Pid {
		where += fmt.Sprintf(", thread %d", d.Process.Thread)
	}
	switch {
	case d.Variants > 0 && d.Variant == 0:
		where += fmt.Sprintf(", the leader of %d variants", d.Variants)
	case d.Variants > 0:
		where += fmt.Sprintf(", variant %d of %d (0 is the leader)", d.Variant, d.Variants)
	}
	line("process", "%s", where)
	if d.Call != "" {
		line("call", "%s", d.Call)
	}
	if d.VariantCall != "" && d.VariantCall != d.Call {
		line("instead", "%s", d.VariantCall)
	}
	if d.Argument != "" {
		position := ""
		if d.ArgumentIndex >= 0 {
			position = fmt.Sprintf(" (argument %d)", d.ArgumentIndex+1)
		}
		line("argument", "%s%s", d.Argument, position)
	}
	if d.Policy != "" {
		line("policy", "%s%s", d.Policy, d.effect())
	}
	if d.Inexact > 0 {
		line("signals", "%d came in the middle of a computation, which is not at the same place in all variants: what they did may be all that differs", d.Inexact)
	}
	if d.Preempted > 0 {
		line("threads", "%d times one that computed had to let others run, which is not at the same place in all variants: what they made of it may be all that differs", d.Preempted)
	}
	for _, r := range d.Rules {
		line("rule", "%q has let %d differences pass", r.Name, r.Times)
	}
	if d.When != "" {
		line("time", "%s", d.When)
	}
	dump := len(d.Leader.Bytes) > 0 || len(d.Other.Bytes) > 0
	// Shortened texts may look alike; the dump then says it all.
	if leader, other := valueText(d.Leader), valueText(d.Other); leader != other || !dump {
		line("leader", "%s", leader)
		line(d.otherLabel(), "%s", other)
	}
}

// who names the task of an event.
func (e *Entry) who() string {
	if e.Thread != 0 && e.Thread != e.Pid {
		return fmt.Sprintf("%d/%d", e.Pid, e.Thread)
	}
	return fmt.Sprintf("%d", e.Pid)
}

// effect says whether the leader's call took place.
func (d *Divergence) effect() string {
	switch {
	case d.Call == "":
		return ""
	case d.EffectOut:
		return "; the leader had made the call when the difference was seen"
	}
	return "; the leader had not made the call when the difference was seen"
}

func (d *Divergence) otherLabel() string {
	if d.Variant == 0 {
		return "others"
	}
	return fmt.Sprintf("variant %d", d.Variant)
}

func valueText(v Value) string {
	text := v.Text
	if text == "" {
		text = "-"
		if len(v.Bytes) > 0 {
			text = fmt.Sprintf("%d bytes", len(v.Bytes))
		}
	}
	if v.Fault {
		text += " (memory beyond is not readable)"
	}
	return text
}

// shown makes text fit for a terminal.
func shown(s string) string {
	s = calllog.Printable(s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	return s
}
