package calllog

import (
	"fmt"

	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// FieldName returns the name of a field of c's request for people: "buf",
// "iov[2].base", "fds[0].events", "argv[1]".
func FieldName(c *sysabi.Call, f *event.Field) string {
	if f.Arg == event.ArgResult || int(f.Arg) >= len(c.Args) {
		if f.Part == event.PartMapped {
			return fmt.Sprintf("mapped file memory (page %#x)", f.Index)
		}
		return fmt.Sprintf("part %d", f.Part)
	}
	a := &c.Args[f.Arg]
	switch a.Kind {
	case sysabi.StrVec:
		if f.Part == event.PartBase {
			return fmt.Sprintf("%s[%d]", a.Name, f.Index)
		}
	case sysabi.Struct:
		return structFieldName(a, f)
	case sysabi.Iovec:
		return a.Name + vectorName(f)
	case sysabi.Msghdr:
		return a.Name + messageName(f)
	case sysabi.Mmsghdr:
		if f.Kind == sysabi.Mmsghdr {
			break
		}
		message := f.Index
		if f.Kind == sysabi.Iovec && f.Part != event.PartCount {
			message >>= vectorBits
		}
		return fmt.Sprintf("%s[%d]%s", a.Name, message, messageName(f))
	}
	if f.Part == event.PartCount {
		return a.Name + ".count"
	}
	return a.Name
}

func structFieldName(a *sysabi.Arg, f *event.Field) string {
	name := a.Name
	if a.Len.Kind != sysabi.LenNone && f.Part != event.PartCount {
		name = fmt.Sprintf("%s[%d]", name, f.Index)
	}
	if a.Struct != nil && int(f.Part) < len(a.Struct.Fields) {
		return name + "." + a.Struct.Fields[f.Part].Name
	}
	return name
}

// vectorName returns the name of a member of an iovec array.
func vectorName(f *event.Field) string {
	i := f.Index & (1<<vectorBits - 1)
	switch f.Part {
	case event.PartCount:
		return ".count"
	case event.PartLen:
		return fmt.Sprintf("[%d].len", i)
	case event.PartBase:
		return fmt.Sprintf("[%d].base", i)
	}
	return ""
}

// messageName returns the name of a member of a msghdr.
func messageName(f *event.Field) string {
	if f.Kind == sysabi.Iovec {
		return ".iov" + vectorName(f)
	}
	switch f.Part {
	case event.PartName:
		return ".name"
	case event.PartNameLen:
		return ".namelen"
	case event.PartControl:
		return ".control"
	case event.PartControlLen:
		return ".controllen"
	case event.PartFlags:
		return ".flags"
	case event.PartIov:
		return ".iov"
	}
	return ""
}

// AppendField appends the value of one field of c's request.
func AppendField(dst []byte, c *sysabi.Call, f *event.Field) []byte {
	var a *sysabi.Arg
	if int(f.Arg) < len(c.Args) {
		a = &c.Args[f.Arg]
	}
	switch {
	case f.Flags&event.Null != 0:
		return append(dst, "NULL"...)
	case f.Flags&event.Hashed != 0:
		return appendHashed(dst, f.Data)
	case f.Kind == sysabi.Sockaddr || (f.Kind == sysabi.Msghdr && f.Part == event.PartName):
		if len(f.Data) == 0 && f.Flags&event.Fault == 0 {
			return append(dst, "(pointer)"...)
		}
		return appendSockaddr(dst, f)
	case f.Flags&event.Number == 0:
		if len(f.Data) == 0 && f.Flags&event.Fault == 0 && f.Part != event.PartBase && isPointer(f.Kind) {
			return append(dst, "(pointer)"...)
		}
		return AppendQuoted(dst, f.Data, f.Flags&event.Fault != 0)
	case f.Kind == sysabi.Ptr:
		return appendNullness(dst, f)
	case f.Part >= event.PartCount:
		return appendNumber(dst, sysabi.Long, nil, f.Value(), false)
	}
	var names *sysabi.Names
	if a != nil && f.Kind == a.Kind {
		names = a.Names
	}
	return appendNumber(dst, f.Kind, names, f.Value(), f.Flags&event.Relative != 0)
}

// isPointer reports whether fields of this kind without data record a pointer
// that is not null.
func isPointer(k sysabi.Kind) bool {
	switch k {
	case sysabi.Buf, sysabi.Struct, sysabi.SockLen, sysabi.Iovec, sysabi.Msghdr, sysabi.Mmsghdr:
		return true
	}
	return false
}
