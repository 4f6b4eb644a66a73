package event

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Version is the version of the encoding; it changes with every change of it.
const Version = 1

// Kind says what happened.
type Kind uint8

// The kinds of records.
const (
	// Call is the request half of a system call.
	Call Kind = 1 + iota
	// TimeStamp is a read of the time stamp counter.
	TimeStamp
	// Signal is a signal delivered to the task.
	Signal
	// Killed says that the leader's task was killed from outside.
	Killed
	// Result is the result half of a system call: its value and its output.
	Result
	// Preempted says that the task was stopped where it computed to let others run.
	Preempted
	kindEnd
)

// Flag qualifies a field.
type Flag uint8

// The flags of a field.
const (
	// Null: the pointer was null, there are no data.
	Null Flag = 1 << iota
	// Fault: memory could not be read beyond the data given.
	Fault
	// Relative: the value is an offset into the variant's slot.
	Relative
	// Hashed: the data are the length (8 bytes) and the SHA-256 sum of the bytes.
	Hashed
	// Number: the data are an 8-byte number.
	Number
	flagEnd
)

// Field is one part of what a variant asked or got. Data is not owned.
type Field struct {
	// Arg is the index of the call's argument, or ArgResult.
	Arg uint8
	// Part is the member: an index into the layout's fields for structures, one
	// of the Part constants otherwise.
	Part uint8
	Kind sysabi.Kind
	// Flags qualify Data.
	Flags Flag
	// Index is the element of an array (iovec, pollfd, argv).
	Index uint32
	Data  []byte
}

// Parts of arguments that are no plain structures.
const (
	// PartValue is the value itself.
	PartValue = 0
	// PartCount is the number of elements.
	PartCount = 200 + iota
	// PartLen is the length of an element.
	PartLen
	// PartBase is the buffer of an element.
	PartBase
	// PartName, PartNameLen, PartControl, PartControlLen, PartFlags, PartIov are
	// the members of a msghdr.
	PartName
	PartNameLen
	PartControl
	PartControlLen
	PartFlags
	PartIov
	// PartMapped is the content of writable shared memory.
	PartMapped
)

// ArgResult is the Arg of fields that belong to no argument.
const ArgResult = 0xff

// Value returns the number in a field, 0 when it holds none.
func (f *Field) Value() uint64 {
	if f.Flags&Number == 0 || len(f.Data) != 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(f.Data)
}

// Record is a decoded record; Data of its fields point into the encoded bytes.
type Record struct {
	Kind Kind
	// Nr identifies the call: its number, or the signal's.
	Nr     int32
	Fields []Field
}

const (
	headerSize = 16
	fieldSize  = 12
)

// ErrMalformed is returned (wrapped) by Decode.
var ErrMalformed = errors.New("malformed event record")

// Builder encodes records. The zero value is ready; a Builder may be reused
// after Reset, which keeps its memory. It is not safe for concurrent use.
type Builder struct {
	buf    []byte
	fields uint32
}

// Reset starts a record.
func (b *Builder) Reset(kind Kind, nr int32) {
	b.buf = append(b.buf[:0], Version, byte(kind), 0, 0)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, uint32(nr))
	b.buf = append(b.buf, 0, 0, 0, 0, 0, 0, 0, 0)
	b.fields = 0
}

func (b *Builder) head(arg, part uint8, kind sysabi.Kind, flags Flag, index uint32, n int) {
	b.buf = append(b.buf, arg, part, byte(kind), byte(flags))
	b.buf = binary.LittleEndian.AppendUint32(b.buf, index)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, uint32(n))
	b.fields++
}

// Number appends a number.
func (b *Builder) Number(arg, part uint8, index uint32, kind sysabi.Kind, flags Flag, v uint64) {
	b.head(arg, part, kind, flags|Number, index, 8)
	b.buf = binary.LittleEndian.AppendUint64(b.buf, v)
}

// Bytes appends a copy of data. Data of 4 GiB and more are not representable;
// callers hash long before that.
func (b *Builder) Bytes(arg, part uint8, index uint32, kind sysabi.Kind, flags Flag, data []byte) {
	b.head(arg, part, kind, flags, index, len(data))
	b.buf = append(b.buf, data...)
}

// Fill appends a field of at most n bytes that read puts into p; it returns how
// many bytes are valid and the field's flags. So large data are copied once.
func (b *Builder) Fill(arg, part uint8, index uint32, kind sysabi.Kind, n int, read func(p []byte) (int, Flag)) {
	at := len(b.buf)
	b.head(arg, part, kind, 0, index, 0)
	start := len(b.buf)
	b.buf = slices.Grow(b.buf, n)
	got, flags := read(b.buf[start : start+n])
	got = max(min(got, n), 0)
	b.buf = b.buf[:start+got]
	b.buf[at+3] = byte(flags)
	binary.LittleEndian.PutUint32(b.buf[at+8:], uint32(got))
}

// keepMemory is up to which size a Builder keeps its memory for the next record.
const keepMemory = 16 << 10

// finish completes the header.
func (b *Builder) finish() {
	binary.LittleEndian.PutUint32(b.buf[8:], b.fields)
	binary.LittleEndian.PutUint32(b.buf[12:], uint32(len(b.buf)-headerSize))
}

// Equal reports whether the finished record is the same as record, without a copy of it.
func (b *Builder) Equal(record []byte) bool {
	b.finish()
	return bytes.Equal(b.buf, record)
}

// Record returns the finished record, which the caller owns.
func (b *Builder) Record() []byte {
	b.finish()
	if len(b.buf) <= keepMemory {
		return bytes.Clone(b.buf)
	}
	p := b.buf
	b.buf = nil
	return p
}

// Decode decodes one record that fills p exactly. It accepts any bytes and
// returns an error that wraps ErrMalformed for what no Builder makes.
func Decode(p []byte) (Record, error) {
	var r Record
	if len(p) < headerSize {
		return r, fmt.Errorf("%w: %d bytes are no header", ErrMalformed, len(p))
	}
	if p[0] != Version {
		return r, fmt.Errorf("%w: version %d, want %d", ErrMalformed, p[0], Version)
	}
	r.Kind = Kind(p[1])
	if r.Kind == 0 || r.Kind >= kindEnd || p[2] != 0 || p[3] != 0 {
		return r, fmt.Errorf("%w: kind %d", ErrMalformed, p[1])
	}
	r.Nr = int32(binary.LittleEndian.Uint32(p[4:]))
	fields := binary.LittleEndian.Uint32(p[8:])
	rest := p[headerSize:]
	if size := binary.LittleEndian.Uint32(p[12:]); uint64(size) != uint64(len(rest)) {
		return r, fmt.Errorf("%w: %d bytes of fields, header says %d", ErrMalformed, len(rest), size)
	}
	if uint64(fields)*fieldSize > uint64(len(rest)) {
		return r, fmt.Errorf("%w: %d fields in %d bytes", ErrMalformed, fields, len(rest))
	}
	r.Fields = make([]Field, 0, fields)
	for range fields {
		if len(rest) < fieldSize {
			return r, fmt.Errorf("%w: truncated field", ErrMalformed)
		}
		f := Field{
			Arg: rest[0], Part: rest[1], Kind: sysabi.Kind(rest[2]), Flags: Flag(rest[3]),
			Index: binary.LittleEndian.Uint32(rest[4:]),
		}
		n := binary.LittleEndian.Uint32(rest[8:])
		rest = rest[fieldSize:]
		if uint64(n) > uint64(len(rest)) || f.Flags >= flagEnd || (f.Flags&Number != 0 && n != 8) {
			return r, fmt.Errorf("%w: bad field", ErrMalformed)
		}
		f.Data = rest[:n:n]
		rest = rest[n:]
		r.Fields = append(r.Fields, f)
	}
	if len(rest) != 0 {
		return r, fmt.Errorf("%w: %d bytes left over", ErrMalformed, len(rest))
	}
	return r, nil
}

// Diff returns the index of the first field in which a and b differ, or -1 when
// all are equal. Where one record has more fields the index is the length of the
// shorter one. Kind and Nr are not looked at.
func Diff(a, b Record) int {
	n := min(len(a.Fields), len(b.Fields))
	for i := range n {
		if !Equal(&a.Fields[i], &b.Fields[i]) {
			return i
		}
	}
	if len(a.Fields) != len(b.Fields) {
		return n
	}
	return -1
}

// Equal reports whether two fields are the same in every respect.
func Equal(a, b *Field) bool {
	return a.Arg == b.Arg && a.Part == b.Part && a.Kind == b.Kind && a.Flags == b.Flags &&
		a.Index == b.Index && bytes.Equal(a.Data, b.Data)
}
