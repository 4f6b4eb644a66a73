package trace

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/sysabi"
	"github.com/multivar/multivar/libmultivar/timing"
)

// Writer writes a trace. It is a timing.Sink, and not safe for concurrent use.
type Writer struct {
	out *bufio.Writer
	// names are those that the trace has for threads.
	names map[key]string
	line  []byte
	err   error
}

type key struct {
	variant int
	id      uint32
}

// bufferSize is how much is kept before it is written.
const bufferSize = 64 << 10

// New begins a trace of a session with so many variants.
func New(w io.Writer, variants int) *Writer {
	t := &Writer{out: bufio.NewWriterSize(w, bufferSize), names: make(map[key]string)}
	_, t.err = t.out.WriteString(`{"displayTimeUnit":"ns","traceEvents":[`)
	for v := range variants {
		name := fmt.Sprintf("variant %d", v)
		if v == frontend.Leader {
			name += " (leader)"
		}
		if v > 0 {
			t.line = append(t.line, ',')
		}
		t.line = append(t.line, '\n')
		t.line = appendHead(t.line, "M", "process_name", process(v), 0)
		t.line = append(appendString(append(t.line, `,"args":{"name":`...), name), "}}"...)
		t.line = appendHead(append(t.line, ",\n"...), "M", "process_sort_index", process(v), 0)
		t.line = append(strconv.AppendInt(append(t.line, `,"args":{"sort_index":`...), int64(v), 10), "}}"...)
	}
	t.flush()
	return t
}

// process is the id of a variant in the trace. Viewers take 0 for the idle task.
func process(variant int) int { return variant + 1 }

// Step implements timing.Sink.
func (t *Writer) Step(s *timing.Step) {
	switch s.Kind {
	case libmultivar.CallFinished:
		t.call(s)
	case libmultivar.TurnGiven:
		if s.Took() > 0 {
			t.name(s)
			t.slice(s, "waits for its turn", "turn", s.Since, s.At)
			t.end("")
		}
	case libmultivar.CallAgreed:
		t.instant(s, "all variants agree: "+s.Call, "t")
	case libmultivar.SignalDelivered:
		t.instant(s, sysabi.SignalName(s.Signal), "t")
	case libmultivar.TaskPreempted:
		t.instant(s, "preempted", "t")
	case libmultivar.Diverged:
		t.instant(s, "divergence", "g")
	case libmultivar.TaskEnded:
		delete(t.names, key{s.Variant, s.ID})
	}
}

// call writes a call and, inside it, the wait at the engine and the kernel's part.
func (t *Writer) call(s *timing.Step) {
	t.name(s)
	t.slice(s, s.Call, "call", s.Since, s.At)
	switch {
	case s.Unfinished:
		t.end(`"unfinished":true`)
	case s.Restarted():
		t.end(`"interrupted":true`)
	default:
		t.end(`"result":` + strconv.FormatInt(s.Result, 10))
	}
	if s.Waited() > 0 {
		what := "waits for the leader"
		if s.Variant == frontend.Leader {
			what = "waits for followers"
		}
		t.slice(s, what, "wait", s.Since, s.Entered)
		t.end("")
	}
	if s.At > s.Entered {
		t.slice(s, "kernel", "kernel", s.Entered, s.At)
		t.end("")
	}
}

// name gives the thread of s its name, when it is new or has another one now.
func (t *Writer) name(s *timing.Step) {
	name := fmt.Sprintf("%s %d", s.Command, s.Process)
	if s.Thread != s.Process {
		name += fmt.Sprintf("/%d", s.Thread)
	}
	k := key{s.Variant, s.ID}
	if t.names[k] == name {
		return
	}
	t.names[k] = name
	t.line = appendHead(append(t.line, ",\n"...), "M", "thread_name", process(s.Variant), s.Thread)
	t.line = append(appendString(append(t.line, `,"args":{"name":`...), name), "}}"...)
}

// slice begins a slice of the thread of s; end ends it.
func (t *Writer) slice(s *timing.Step, name, category string, from, to time.Duration) {
	t.line = appendHead(append(t.line, ",\n"...), "X", name, process(s.Variant), s.Thread)
	t.line = append(append(append(t.line, `,"cat":"`...), category...), `","ts":`...)
	t.line = appendMicroseconds(t.line, from)
	t.line = appendMicroseconds(append(t.line, `,"dur":`...), to-from)
}

// end ends an event with these arguments and writes it.
func (t *Writer) end(args string) {
	if args != "" {
		t.line = append(append(append(t.line, `,"args":{`...), args...), '}')
	}
	t.line = append(t.line, '}')
	t.flush()
}

// instant writes an event without duration: of a thread (scope t) or of all (g).
func (t *Writer) instant(s *timing.Step, name, scope string) {
	t.name(s)
	t.line = appendHead(append(t.line, ",\n"...), "i", name, process(s.Variant), s.Thread)
	t.line = append(append(append(t.line, `,"s":"`...), scope...), `","ts":`...)
	t.line = appendMicroseconds(t.line, s.At)
	t.end("")
}

func (t *Writer) flush() {
	if t.err == nil {
		_, t.err = t.out.Write(t.line)
	}
	t.line = t.line[:0]
}

// Close ends the trace. It returns the first error of any write.
func (t *Writer) Close() error {
	t.line = append(t.line, "\n]}\n"...)
	t.flush()
	if t.err == nil {
		t.err = t.out.Flush()
	}
	return t.err
}

// appendHead appends the beginning of an event, up to the thread.
func appendHead(dst []byte, phase, name string, pid, tid int) []byte {
	dst = append(append(append(dst, `{"ph":"`...), phase...), `","name":`...)
	dst = appendString(dst, name)
	dst = strconv.AppendInt(append(dst, `,"pid":`...), int64(pid), 10)
	return strconv.AppendInt(append(dst, `,"tid":`...), int64(tid), 10)
}

// appendString appends text that a program may have chosen as a JSON string.
func appendString(dst []byte, text string) []byte {
	p, err := json.Marshal(text)
	if err != nil {
		return append(dst, `""`...)
	}
	return append(dst, p...)
}

// appendMicroseconds appends a time in microseconds, exactly.
func appendMicroseconds(dst []byte, d time.Duration) []byte {
	d = max(d, 0)
	dst = strconv.AppendInt(dst, int64(d/time.Microsecond), 10)
	ns := int(d % time.Microsecond)
	return append(dst, '.', byte('0'+ns/100), byte('0'+ns/10%10), byte('0'+ns%10))
}
