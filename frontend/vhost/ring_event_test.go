//go:build linux && amd64

package vhost

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// eventsInC is a process that encodes and decodes events with the variant host's code,
// under ASan and UBSan.
type eventsInC struct {
	in  io.Writer
	out io.Reader
}

func newEventsInC(t testing.TB) *eventsInC {
	t.Helper()
	// It has to end by itself, without anything to complain of.
	cmd := commandIn(context.WithoutCancel(t.Context()), t, cProgram(t), "ring", "event")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &eventsInC{in, out}
}

// ask sends a request and returns the answer: 'e' encodes what is described, 'd' decodes
// a record into a description or a Fault, 'h' reads a hostile ring.
func (c *eventsInC) ask(t testing.TB, op byte, p []byte) []byte {
	t.Helper()
	q := binary.LittleEndian.AppendUint32([]byte{op}, uint32(len(p)))
	if _, err := c.in.Write(append(q, p...)); err != nil {
		t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(c.out, size[:]); err != nil {
		t.Fatalf("request %c of %x: %v", op, p, err)
	}
	answer := make([]byte, binary.LittleEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.out, answer); err != nil {
		t.Fatalf("request %c of %x: %v", op, p, err)
	}
	return answer
}

// describe returns an event as the C program reads and writes it.
func describe(r *event.Record) []byte {
	p := []byte{byte(r.Kind)}
	p = binary.LittleEndian.AppendUint32(p, uint32(r.Nr))
	p = binary.LittleEndian.AppendUint32(p, uint32(len(r.Fields)))
	for i := range r.Fields {
		f := &r.Fields[i]
		p = append(p, f.Arg, f.Part, byte(f.Kind), byte(f.Flags))
		p = binary.LittleEndian.AppendUint32(p, f.Index)
		p = binary.LittleEndian.AppendUint32(p, uint32(len(f.Data)))
		p = append(p, f.Data...)
	}
	return p
}

// randomEvent returns the bytes of an event that a Builder makes.
func randomEvent(random *rand.Rand) []byte {
	var b event.Builder
	b.Reset(event.Kind(1+random.IntN(eventKinds-1)), int32(random.Uint32()))
	for range random.IntN(8) {
		arg, part, kind := byte(random.Uint32()), byte(random.Uint32()), sysabi.Kind(random.Uint32())
		flags, index := event.Flag(random.IntN(eventNumber)), random.Uint32()
		switch random.IntN(3) {
		case 0:
			b.Number(arg, part, index, kind, flags, random.Uint64()>>random.IntN(64))
		case 1:
			b.Bytes(arg, part, index, kind, flags, payload(random.Uint64(), random.IntN(40)))
		case 2:
			b.Bytes(arg, part, index, kind, flags, payload(random.Uint64(), random.IntN(3000)))
		}
	}
	return b.Record()
}

// checkEvent compares what Go and C make of the bytes of a record. It returns whether
// they are an event.
func checkEvent(t testing.TB, c *eventsInC, p []byte) bool {
	t.Helper()
	got := c.ask(t, 'd', p)
	r, err := event.Decode(p)
	if err != nil {
		if want := []byte{byte(FaultEvent)}; !bytes.Equal(got, want) {
			t.Fatalf("%x\nGo: %v\nC: %x", p, err, got)
		}
		return false
	}
	want := describe(&r)
	if !bytes.Equal(got, want) {
		t.Fatalf("%x is read as\n%x, want\n%x", p, got, want)
	}
	if got := c.ask(t, 'e', want); !bytes.Equal(got, p) {
		t.Fatalf("%x is written as\n%x, want\n%x", want, got, p)
	}
	return true
}

// TestEventsInC: C writes the bytes that Go writes, and reads what Go reads; what one of
// them refuses, the other one does.
func TestEventsInC(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := newEventsInC(t)
	good, bad := 0, 0
	for range 3000 {
		p := randomEvent(random)
		if !checkEvent(t, c, p) {
			t.Fatalf("a Builder's bytes are no event: %x", p)
		}
		for range 3 {
			q := bytes.Clone(p)
			switch random.IntN(4) {
			case 0:
				q = q[:random.IntN(len(q))]
			case 1:
				q = append(q, payload(random.Uint64(), 1+random.IntN(20))...)
			default:
				for range 1 + random.IntN(3) {
					// Mostly where headers are.
					q[random.IntN(min(len(q), []int{16, 32, len(q)}[random.IntN(3)]))] = byte(random.IntN(256) >> random.IntN(8))
				}
			}
			if checkEvent(t, c, q) {
				good++
			} else {
				bad++
			}
		}
	}
	t.Logf("%d changed records are events, %d are not", good, bad)
	if good < 100 || bad < 100 {
		t.Errorf("%d changed records are events, %d are not", good, bad)
	}
}

// TestEventConstants: what C has of the encoding is what Go has.
func TestEventConstants(t *testing.T) {
	if event.Version != eventVersion || event.Number != eventNumber {
		t.Errorf("version %d, number %d", event.Version, event.Number)
	}
	var b event.Builder
	b.Reset(event.Call, 0)
	header := b.Record()
	b.Bytes(0, 0, 0, 0, 0, nil)
	if len(header) != eventHeader || len(b.Record()) != eventHeader+eventField {
		t.Errorf("%d bytes, and %d with a field", len(header), len(b.Record()))
	}
	for kind := range 256 {
		p := bytes.Clone(header)
		p[1] = byte(kind)
		if _, err := event.Decode(p); (err == nil) != (kind > 0 && kind < eventKinds) {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
	for flags := range 256 {
		var b event.Builder
		b.Reset(event.Call, 0)
		b.Bytes(0, 0, 0, 0, event.Flag(flags), make([]byte, 8))
		if _, err := event.Decode(b.Record()); (err == nil) != (flags < eventFlags) {
			t.Errorf("flags %#x: %v", flags, err)
		}
	}
}

// FuzzEventsInC compares what Go and C make of any bytes.
func FuzzEventsInC(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		f.Add(randomEvent(random))
	}
	c := newEventsInC(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		checkEvent(t, c, p[:min(len(p), 1<<15)])
	})
}

// hostileRing returns the bytes of a ring for the C program: the writer's position, and
// data in which there are records.
func hostileRing(random *rand.Rand) []byte {
	pos := uint64(0)
	data := make([]byte, 0, 300)
	back := uint64(0)
	for seq := range random.Uint64N(6) {
		var b event.Builder
		b.Reset(event.Kind(random.IntN(eventKinds)), int32(seq))
		for range random.IntN(2) {
			b.Number(0, 0, 0, 0, 0, seq)
		}
		p := b.Record()
		data = binary.LittleEndian.AppendUint64(data, uint64(len(p)))
		data = binary.LittleEndian.AppendUint64(data, seq)
		data = binary.LittleEndian.AppendUint64(data, back)
		data = binary.LittleEndian.AppendUint64(data, uint64(p[1]))
		data = append(data, p...)
		back = recordHeader + uint64(len(p))
	}
	pos = uint64(len(data))
	for range random.IntN(3) {
		if len(data) > 0 {
			data[random.IntN(len(data))] = byte(random.Uint32())
		}
	}
	if random.IntN(4) == 0 {
		pos += random.Uint64() >> random.IntN(64)
	}
	return append(binary.LittleEndian.AppendUint64(nil, pos), data...)
}

// TestHostileRingInC: whatever is in a ring, its reader ends with a fault.
func TestHostileRingInC(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := newEventsInC(t)
	faults := map[Fault]int{}
	for range 10000 {
		answer := c.ask(t, 'h', hostileRing(random))
		if len(answer) != 1 {
			t.Fatalf("%x", answer)
		}
		faults[Fault(answer[0])]++
	}
	t.Log(fmt.Sprint(faults))
	for f := range faults {
		switch f {
		case FaultPosition, FaultRecord, FaultEvent, FaultImpatient:
			if faults[f] < 10 {
				t.Errorf("%v: %d times", f, faults[f])
			}
		default:
			t.Errorf("%v", f)
		}
	}
}

// FuzzHostileRingInC has C read any ring.
func FuzzHostileRingInC(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		f.Add(hostileRing(random))
	}
	c := newEventsInC(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		if answer := c.ask(t, 'h', p); len(answer) != 1 {
			t.Fatalf("%x", answer)
		}
	})
}
