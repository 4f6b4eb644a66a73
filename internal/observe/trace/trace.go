package trace

import (
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
	out io.Writer
	// file is out when what was written can be overwritten, and at is where its next event
	// goes: where the end of the array is until then.
	file io.WriterAt
	at   int64
	// names are those that the trace has for threads.
	names map[key]string
	// events are those that have not been written, whole.
	events []byte
	// written is when some were.
	written time.Duration
	err     error
}

type key struct {
	variant int
	id      uint32
}

// Events are written when there are more bytes than bufferSize, or, as soon as there is
// another one, when a session has gone on for bufferTime.
const (
	bufferSize = 64 << 10
	bufferTime = time.Second
)

// end is the end of the array of events.
const end = "\n]\n"

// New begins a trace of a session with so many variants. The trace is an array of events,
// which viewers take without its end. When w is a file with a position, the end is always
// there: a trace whose writer was killed is whole JSON up to the events that were written.
func New(w io.Writer, variants int) *Writer {
	t := &Writer{out: w, names: make(map[key]string)}
	if f, ok := w.(interface {
		io.WriterAt
		io.Seeker
	}); ok {
		if at, err := f.Seek(0, io.SeekCurrent); err == nil {
			t.file, t.at = f, at
		}
	}
	t.events = append(t.events, '[')
	for v := range variants {
		name := fmt.Sprintf("variant %d", v)
		if v == frontend.Leader {
			name += " (leader)"
		}
		if v > 0 {
			t.events = append(t.events, ',')
		}
		t.events = append(t.events, '\n')
		t.events = appendHead(t.events, "M", "process_name", process(v), process(v))
		t.events = append(appendString(append(t.events, `,"args":{"name":`...), name), "}}"...)
		t.events = appendHead(append(t.events, ",\n"...), "M", "process_sort_index", process(v), process(v))
		t.events = append(strconv.AppendInt(append(t.events, `,"args":{"sort_index":`...), int64(v), 10), "}}"...)
	}
	t.write("")
	return t
}

// process is the id of a variant in the trace. Viewers take 0 for the idle task.
func process(variant int) int { return variant + 1 }

// thread is the id of the thread of s in the trace. Perfetto finds a thread that is given a name
// by that number alone, so it is in no other variant and no process's; the name has the one that
// the program sees.
func thread(s *timing.Step) int { return process(s.Variant)<<maxThreadBits + s.Thread }

// maxThreadBits is how many bits ids of threads have (PID_MAX_LIMIT in include/linux/threads.h).
const maxThreadBits = 22

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
	if len(t.events) > bufferSize || len(t.events) > 0 && s.At-t.written > bufferTime {
		t.write("")
		t.written = s.At
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

// name gives the thread of s its name, when it is new or has another one now. It has a time,
// because Perfetto puts events without one in any order, and shows the name that comes last.
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
	t.events = appendHead(append(t.events, ",\n"...), "M", "thread_name", process(s.Variant), thread(s))
	t.events = appendMicroseconds(append(t.events, `,"ts":`...), s.At)
	t.events = append(appendString(append(t.events, `,"args":{"name":`...), name), "}}"...)
}

// slice begins a slice of the thread of s; end ends it.
func (t *Writer) slice(s *timing.Step, name, category string, from, to time.Duration) {
	t.events = appendHead(append(t.events, ",\n"...), "X", name, process(s.Variant), thread(s))
	t.events = append(append(append(t.events, `,"cat":"`...), category...), `","ts":`...)
	t.events = appendMicroseconds(t.events, from)
	t.events = appendMicroseconds(append(t.events, `,"dur":`...), to-from)
}

// end ends an event with these arguments.
func (t *Writer) end(args string) {
	if args != "" {
		t.events = append(append(append(t.events, `,"args":{`...), args...), '}')
	}
	t.events = append(t.events, '}')
}

// instant writes an event without duration: of a thread (scope t) or of all (g).
func (t *Writer) instant(s *timing.Step, name, scope string) {
	t.name(s)
	t.events = appendHead(append(t.events, ",\n"...), "i", name, process(s.Variant), thread(s))
	t.events = append(append(append(t.events, `,"s":"`...), scope...), `","ts":`...)
	t.events = appendMicroseconds(t.events, s.At)
	t.end("")
}

// write writes the events that are there, and last behind them.
func (t *Writer) write(last string) {
	n := len(t.events)
	if t.file != nil {
		last = end
	}
	t.events = append(t.events, last...)
	switch {
	case t.err != nil:
	case t.file != nil:
		_, t.err = t.file.WriteAt(t.events, t.at)
		t.at += int64(n)
	default:
		_, t.err = t.out.Write(t.events)
	}
	t.events = t.events[:0]
}

// Close ends the trace. It returns the first error of any write.
func (t *Writer) Close() error {
	t.write(end)
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
