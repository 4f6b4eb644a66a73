package calllog

import (
	"strconv"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// atFDCWD is AT_FDCWD (include/uapi/linux/fcntl.h).
const atFDCWD = -100

// appendNumber appends a number by its kind. relative says that v is an offset
// into the variant's address slot.
func appendNumber(dst []byte, kind sysabi.Kind, names *sysabi.Names, v uint64, relative bool) []byte {
	if relative {
		return appendHex(append(dst, "slot+"...), v)
	}
	switch kind {
	case sysabi.Int, sysabi.FD, sysabi.Pid:
		if names != nil {
			return appendNamed(dst, names, uint64(int64(int32(v))))
		}
		return strconv.AppendInt(dst, int64(int32(v)), 10)
	case sysabi.DirFD:
		if int32(v) == atFDCWD {
			return append(dst, "AT_FDCWD"...)
		}
		return strconv.AppendInt(dst, int64(int32(v)), 10)
	case sysabi.Signal:
		if n := int(int32(v)); n > 0 {
			return append(dst, sysabi.SignalName(n)...)
		}
		return strconv.AppendInt(dst, int64(int32(v)), 10)
	case sysabi.Uint:
		if names != nil {
			return appendNamed(dst, names, uint64(uint32(v)))
		}
		return strconv.AppendUint(dst, uint64(uint32(v)), 10)
	case sysabi.Flags:
		if names != nil {
			return appendNamed(dst, names, v)
		}
		if v == 0 {
			return append(dst, '0')
		}
		return appendHex(dst, v)
	case sysabi.Mode:
		return strconv.AppendUint(append(dst, '0'), uint64(uint32(v)), 8)
	case sysabi.Long:
		if names != nil {
			return appendNamed(dst, names, v)
		}
		return strconv.AppendInt(dst, int64(v), 10)
	}
	if v == 0 {
		return append(dst, "NULL"...)
	}
	return appendHex(dst, v)
}

// appendNamed appends a value by its names. Sets of names list negative numbers
// of 32 bits with or without their sign.
func appendNamed(dst []byte, names *sysabi.Names, v uint64) []byte {
	if _, ok := names.Of[v]; !ok {
		if _, ok := names.Of[uint64(uint32(v))]; ok {
			v = uint64(uint32(v))
		}
	}
	return append(dst, names.Format(v)...)
}
