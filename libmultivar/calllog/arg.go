package calllog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// maxElements is how many elements of an array a line shows.
const maxElements = 16

// vectorBits is the number of low bits of Field.Index that count the vectors of
// one message; the bits above count messages.
const vectorBits = 12

// argPrinter prints one argument from its word, from the fields of the request
// and from what the kernel wrote.
type argPrinter struct {
	arg   *sysabi.Arg
	value uint64
	in    []event.Field
	out   []event.Field
}

func (p *argPrinter) append(dst []byte) []byte {
	a := p.arg
	switch a.Kind {
	case sysabi.Path, sysabi.String, sysabi.StrVec, sysabi.Buf, sysabi.Struct,
		sysabi.Iovec, sysabi.Msghdr, sysabi.Mmsghdr, sysabi.Sockaddr, sysabi.SockLen:
		if p.value == 0 {
			return append(dst, "NULL"...)
		}
	default:
		return appendNumber(dst, a.Kind, a.Names, p.value, false)
	}

	start := len(dst)
	if a.Dir&sysabi.Out == 0 || a.Dir&sysabi.In != 0 {
		dst = p.appendIn(dst)
	}
	if a.Dir&sysabi.Out != 0 && len(p.out) > 0 {
		if len(dst) > start {
			dst = append(dst, " => "...)
		}
		dst = p.appendOut(dst)
	}
	if len(dst) == start {
		// Nothing is known of the pointee.
		return appendHex(dst, p.value)
	}
	return dst
}

// appendIn appends what the program passed; nothing when it is not known.
func (p *argPrinter) appendIn(dst []byte) []byte {
	switch p.arg.Kind {
	case sysabi.Path, sysabi.String:
		if f := find(p.in, func(f *event.Field) bool { return len(f.Data) > 0 || f.Flags&event.Fault == 0 }); f != nil {
			return AppendQuoted(dst, f.Data, f.Part == event.PartLen || f.Flags&event.Fault != 0)
		}
	case sysabi.Buf, sysabi.Sockaddr, sysabi.SockLen:
		if f := findPart(p.in, event.PartBase); f != nil {
			return p.appendData(dst, f)
		}
	case sysabi.StrVec:
		return appendStrings(dst, p.in)
	case sysabi.Struct:
		return p.appendStructs(dst)
	case sysabi.Iovec:
		return appendVectors(dst, p.in, 0)
	case sysabi.Msghdr:
		return appendMessage(dst, p.in, 0)
	case sysabi.Mmsghdr:
		return appendMessages(dst, p.in)
	}
	return dst
}

// appendOut appends what the kernel wrote.
func (p *argPrinter) appendOut(dst []byte) []byte {
	switch p.arg.Kind {
	case sysabi.Struct:
		return appendRecords(dst, p.arg, p.out[0].Data)
	case sysabi.Msghdr:
		return appendMessage(dst, p.out, 0)
	case sysabi.Mmsghdr:
		return appendMessages(dst, p.out)
	}
	return p.appendData(dst, &p.out[0])
}

// appendData appends a block of bytes by the argument's kind.
func (p *argPrinter) appendData(dst []byte, f *event.Field) []byte {
	if f.Flags&event.Hashed != 0 {
		return appendHashed(dst, f.Data)
	}
	switch p.arg.Kind {
	case sysabi.SockLen:
		return appendLength(dst, f)
	case sysabi.Sockaddr:
		return appendSockaddr(dst, f)
	}
	if len(f.Data) == 0 && f.Flags&event.Fault != 0 {
		return appendHex(dst, p.value)
	}
	return AppendQuoted(dst, f.Data, f.Flags&event.Fault != 0)
}

// appendStructs appends one record or an array of them from their fields.
func (p *argPrinter) appendStructs(dst []byte) []byte {
	layout := p.arg.Struct
	if layout == nil {
		return dst
	}
	array := p.arg.Len.Kind != sysabi.LenNone
	start := len(dst)
	if array {
		dst = append(dst, '[')
	}
	var index uint32
	elements, open := 0, false
	for i := range p.in {
		f := &p.in[i]
		if f.Part == event.PartCount {
			continue
		}
		if f.Part == event.PartLen || f.Part == event.PartBase {
			// Memory that could not be read, or a record of another size.
			if open {
				dst = append(dst, "}, "...)
			}
			open = false
			elements++
			if f.Part == event.PartBase {
				dst = AppendQuoted(dst, f.Data, f.Flags&event.Fault != 0)
			} else {
				dst = append(dst, "..."...)
			}
			break
		}
		if int(f.Part) >= len(layout.Fields) {
			continue
		}
		if !open || f.Index != index {
			if open {
				dst = append(dst, "}, "...)
				open = false
			}
			if elements == maxElements {
				dst = append(dst, "..."...)
				break
			}
			dst = append(dst, '{')
			elements, open, index = elements+1, true, f.Index
		} else {
			dst = append(dst, ", "...)
		}
		dst = append(dst, layout.Fields[f.Part].Name...)
		dst = append(dst, '=')
		dst = appendMember(dst, f)
	}
	if open {
		dst = append(dst, '}')
	}
	if array {
		return append(dst, ']')
	}
	if elements == 0 {
		return dst[:start]
	}
	return dst
}

// appendMember appends a field of a record as it is encoded in a request.
func appendMember(dst []byte, f *event.Field) []byte {
	if f.Flags&event.Number == 0 {
		return AppendQuoted(dst, f.Data, f.Flags&event.Fault != 0)
	}
	if f.Kind == sysabi.Ptr {
		return appendNullness(dst, f)
	}
	return appendNumber(dst, f.Kind, nil, f.Value(), f.Flags&event.Relative != 0)
}

// appendNullness appends a pointer of which only this is recorded.
func appendNullness(dst []byte, f *event.Field) []byte {
	if f.Value() == 0 {
		return append(dst, "NULL"...)
	}
	return append(dst, "(pointer)"...)
}

// appendRecords appends raw records with the argument's layout.
func appendRecords(dst []byte, a *sysabi.Arg, data []byte) []byte {
	layout := a.Struct
	if layout == nil || len(layout.Fields) == 0 || layout.Size == 0 || uint64(len(data)) < layout.Size {
		dst = append(dst, '{')
		dst = strconv.AppendInt(dst, int64(len(data)), 10)
		return append(dst, " bytes}"...)
	}
	array := a.Len.Kind != sysabi.LenNone
	if array {
		dst = append(dst, '[')
	}
	for n := 0; uint64(len(data)) >= layout.Size; n++ {
		if n > 0 {
			dst = append(dst, ", "...)
		}
		if n == maxElements {
			dst = append(dst, "..."...)
			break
		}
		dst = appendRecord(dst, layout, data[:layout.Size])
		data = data[layout.Size:]
		if !array {
			break
		}
	}
	if array {
		dst = append(dst, ']')
	}
	return dst
}

func appendRecord(dst []byte, layout *sysabi.Layout, rec []byte) []byte {
	dst = append(dst, '{')
	for k := range layout.Fields {
		f := &layout.Fields[k]
		if k > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, f.Name...)
		dst = append(dst, '=')
		if f.Off > uint64(len(rec)) || f.Size > uint64(len(rec))-f.Off {
			dst = append(dst, '?')
			continue
		}
		p := rec[f.Off : f.Off+f.Size]
		switch {
		case f.Kind == sysabi.Buf || f.Size > 8:
			dst = AppendQuoted(dst, p, false)
		case f.Kind == sysabi.None:
			dst = strconv.AppendUint(dst, littleEndian(p), 10)
		default:
			dst = appendNumber(dst, f.Kind, nil, littleEndian(p), false)
		}
	}
	return append(dst, '}')
}

// appendStrings appends a vector of strings.
func appendStrings(dst []byte, fields []event.Field) []byte {
	dst = append(dst, '[')
	n := 0
	for i := range fields {
		f := &fields[i]
		if f.Part != event.PartBase {
			continue
		}
		if n > 0 {
			dst = append(dst, ", "...)
		}
		if n == maxElements {
			dst = append(dst, "..."...)
			break
		}
		dst = AppendQuoted(dst, f.Data, f.Flags&event.Fault != 0)
		n++
	}
	return append(dst, ']')
}

// appendVectors appends the vectors of message number message.
func appendVectors(dst []byte, fields []event.Field, message uint32) []byte {
	dst = append(dst, '[')
	n := 0
	var length *event.Field
	for i := range fields {
		f := &fields[i]
		if f.Kind != sysabi.Iovec || f.Index>>vectorBits != message {
			continue
		}
		if f.Part == event.PartLen {
			length = f
			continue
		}
		if f.Part != event.PartBase || length == nil {
			continue
		}
		if n > 0 {
			dst = append(dst, ", "...)
		}
		if n == maxElements {
			dst = append(dst, "..."...)
			break
		}
		n++
		dst = append(dst, "{iov_base="...)
		switch {
		case f.Flags&event.Hashed != 0:
			dst = appendHashed(dst, f.Data)
		case f.Flags&event.Null != 0:
			dst = append(dst, "NULL"...)
		case len(f.Data) == 0 && length.Value() != 0:
			dst = append(dst, "(pointer)"...)
		default:
			dst = AppendQuoted(dst, f.Data, f.Flags&event.Fault != 0)
		}
		dst = append(dst, ", iov_len="...)
		dst = strconv.AppendUint(dst, length.Value(), 10)
		dst = append(dst, '}')
		length = nil
	}
	return append(dst, ']')
}

// appendMessages appends an array of messages.
func appendMessages(dst []byte, fields []event.Field) []byte {
	dst = append(dst, '[')
	n := 0
	for i := range fields {
		f := &fields[i]
		if f.Kind != sysabi.Msghdr || (f.Part != event.PartNameLen && f.Part != event.PartIov) {
			continue
		}
		if n > 0 {
			dst = append(dst, ", "...)
		}
		if n == maxElements {
			dst = append(dst, "..."...)
			break
		}
		n++
		dst = appendMessage(dst, fields, f.Index)
	}
	return append(dst, ']')
}

// appendMessage appends message number message.
func appendMessage(dst []byte, fields []event.Field, message uint32) []byte {
	dst = append(dst, '{')
	first := true
	member := func(name string) {
		if !first {
			dst = append(dst, ", "...)
		}
		first = false
		dst = append(dst, name...)
	}
	vectors := false
	for i := range fields {
		f := &fields[i]
		if f.Kind == sysabi.Iovec && f.Part != event.PartIov {
			vectors = vectors || f.Index>>vectorBits == message
			continue
		}
		if f.Index != message {
			continue
		}
		switch f.Part {
		case event.PartName:
			if len(f.Data) > 0 {
				member("msg_name=")
				dst = appendSockaddr(dst, f)
			} else if f.Flags&event.Null != 0 {
				member("msg_name=NULL")
			}
		case event.PartNameLen:
			member("msg_namelen=")
			dst = appendLength(dst, f)
		case event.PartControl:
			member("msg_control=")
			if f.Flags&event.Number != 0 {
				dst = strconv.AppendUint(dst, f.Value(), 10)
			} else {
				dst = AppendQuoted(dst, f.Data, f.Flags&event.Fault != 0)
			}
		case event.PartControlLen:
			member("msg_controllen=")
			dst = appendLength(dst, f)
		case event.PartFlags:
			member("msg_flags=")
			dst = appendHex(dst, littleEndian(f.Data))
		case event.PartIov:
			member("msg_iov=")
			if f.Flags&event.Fault != 0 && len(f.Data) == 0 {
				dst = append(dst, "..."...)
			} else {
				dst = AppendQuoted(dst, f.Data, false)
			}
		}
	}
	if vectors {
		member("msg_iov=")
		dst = appendVectors(dst, fields, message)
	}
	return append(dst, '}')
}

// appendLength appends a length, encoded as a number or as raw bytes.
func appendLength(dst []byte, f *event.Field) []byte {
	dst = append(dst, '[')
	if len(f.Data) == 0 || len(f.Data) > 8 {
		dst = append(dst, '?')
	} else {
		dst = strconv.AppendUint(dst, littleEndian(f.Data), 10)
	}
	return append(dst, ']')
}

// appendHashed appends data of which only length and SHA-256 sum are recorded.
func appendHashed(dst, data []byte) []byte {
	dst = append(dst, '<')
	if len(data) > 8 {
		dst = strconv.AppendUint(dst, binary.LittleEndian.Uint64(data), 10)
		dst = append(dst, " bytes, sha256 "...)
		dst = hex.AppendEncode(dst, data[8:min(len(data), 16)])
		dst = append(dst, "..."...)
	}
	return append(dst, '>')
}

func littleEndian(p []byte) uint64 {
	var v uint64
	for i := range min(len(p), 8) {
		v |= uint64(p[i]) << (8 * i)
	}
	return v
}

func find(fields []event.Field, ok func(*event.Field) bool) *event.Field {
	for i := range fields {
		if fields[i].Flags&event.Null == 0 && ok(&fields[i]) {
			return &fields[i]
		}
	}
	return nil
}

func findPart(fields []event.Field, part uint8) *event.Field {
	return find(fields, func(f *event.Field) bool { return f.Part == part })
}

// untilNul cuts p at its first NUL.
func untilNul(p []byte) []byte {
	if i := bytes.IndexByte(p, 0); i >= 0 {
		return p[:i]
	}
	return p
}
