package signals

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Bits of XCR0 and of XSTATE_BV (AMD64 manual, volume 2, section 11.5).
const (
	featureX87  = 1 << 0
	featureSSE  = 1 << 1
	featureAVX  = 1 << 2
	featurePKRU = 1 << pkru

	pkru = 9
)

// Layout of an XSAVE area in standard format.
const (
	areaFCW       = 0
	areaMXCSR     = 24
	areaMXCSRMask = 28
	areaST        = 32
	areaXMM       = 160
	areaXMMEnd    = 416
	areaSoftware  = 464
	areaHeader    = 512
	areaExtended  = 576

	headerSize     = 64
	headerPresent  = areaHeader
	headerReserved = areaHeader + 8 // up to byte 24 the processor wants zeros
	headerIgnored  = areaHeader + 24
)

// Values of registers that have not been used.
const (
	initFCW   = 0x37f
	initMXCSR = 0x1f80
	// initPKRU is what the kernel gives to programs and to handlers: only key 0
	// (init_pkru_value in arch/x86/mm/pkeys.c).
	initPKRU = 0x5555_5554
)

// The software's part of an XSAVE area in a frame: struct _fpx_sw_bytes
// (uapi/asm/sigcontext.h).
const (
	softwareMagic    = areaSoftware
	softwareExtended = areaSoftware + 4
	softwareFeatures = areaSoftware + 8
	softwareSize     = areaSoftware + 16

	magic1    = 0x46505853
	magic2    = 0x46505845
	magicSize = 4
)

// maxArea bounds an XSAVE area; processors of today need 11 KiB.
const maxArea = 1 << 16

// Component is where a processor puts one kind of state in the standard format, as
// CPUID leaf 0xD, subleaf i, tells in EBX and EAX.
type Component struct {
	Offset, Size uint32
}

// XState is the extended state of the processors that programs run on. It does not
// change and may be used concurrently.
type XState struct {
	features   uint64
	size       int
	mxcsrMask  uint32
	components []placed
}

type placed struct {
	feature      uint64
	offset, size int
}

// NewXState returns a description of processors that have the given features enabled,
// which is XCR0. component returns the place of feature i, 2 or higher. mxcsrMask is
// what FXSAVE tells about the bits of MXCSR, 0 standing for the default.
func NewXState(features uint64, component func(i int) Component, mxcsrMask uint32) (*XState, error) {
	if features&(featureX87|featureSSE) != featureX87|featureSSE || features>>63 != 0 {
		return nil, fmt.Errorf("no processor state with features %#x", features)
	}
	if mxcsrMask == 0 {
		mxcsrMask = 0xffbf
	}
	x := &XState{features: features, size: areaExtended, mxcsrMask: mxcsrMask}
	for i := 2; i < 63; i++ {
		if features>>i&1 == 0 {
			continue
		}
		c := component(i)
		if c.Offset < areaExtended || c.Offset > maxArea || c.Size == 0 || c.Size > maxArea-c.Offset {
			return nil, fmt.Errorf("processor state %d at %d, %d bytes", i, c.Offset, c.Size)
		}
		p := placed{feature: 1 << i, offset: int(c.Offset), size: int(c.Size)}
		for _, other := range x.components {
			if p.offset < other.offset+other.size && other.offset < p.offset+p.size {
				return nil, fmt.Errorf("processor state %d overlaps another", i)
			}
		}
		if i == pkru && p.size < 4 {
			return nil, errors.New("PKRU does not fit")
		}
		x.size = max(x.size, p.offset+p.size)
		x.components = append(x.components, p)
	}
	return x, nil
}

// Size is the size of an XSAVE area in bytes.
func (x *XState) Size() int { return x.size }

// MinStack is the size of a stack on which a frame fits whatever its alignment, the
// value of AT_MINSIGSTKSZ (init_sigframe_size in arch/x86/kernel/signal.c). As in a
// kernel that also runs 32-bit programs it has room for their larger frames.
func (x *XState) MinStack() uint64 {
	const (
		frame32   = 736 // struct sigframe_ia32
		float32   = 112 // struct fregs_state
		framePad  = frameAlign - 1
		areaPad   = areaAlign - 1
		rounding  = frameAlign
		overheads = frame32 + framePad + magicSize + float32 + areaPad
	)
	return (overheads + uint64(x.size) + rounding - 1) / rounding * rounding
}

// Init returns the state with which handlers start (fpu__clear_user_states in
// arch/x86/kernel/fpu/core.c), in standard format.
func (x *XState) Init() []byte {
	b := x.unused()
	if p := x.placeOf(featurePKRU); p != nil {
		binary.LittleEndian.PutUint64(b[headerPresent:], featurePKRU)
		binary.LittleEndian.PutUint32(b[p.offset:], initPKRU)
	}
	return b
}

// unused returns the state of a processor that has not been used, with no feature
// marked as present.
func (x *XState) unused() []byte {
	b := make([]byte, x.size)
	binary.LittleEndian.PutUint16(b[areaFCW:], initFCW)
	binary.LittleEndian.PutUint32(b[areaMXCSR:], initMXCSR)
	binary.LittleEndian.PutUint32(b[areaMXCSRMask:], x.mxcsrMask)
	return b
}

func (x *XState) placeOf(feature uint64) *placed {
	for i := range x.components {
		if x.components[i].feature == feature {
			return &x.components[i]
		}
	}
	return nil
}

// saved returns what the kernel's XSAVE puts into a frame, with the mark of a frame,
// from an area in standard format (copy_fpstate_to_sigframe). area is at least Size
// long.
func (x *XState) saved(area []byte) []byte {
	b := x.unused()
	present := binary.LittleEndian.Uint64(area[headerPresent:]) & x.features
	x.copyState(b, area, present)
	// It is there even when no feature that it belongs to is in use.
	copy(b[areaMXCSR:areaMXCSRMask], area[areaMXCSR:])
	// What programs that know nothing of the header change takes effect then, and
	// PKRU comes back whatever its value (update_pkru_in_sigframe).
	present |= featureX87 | featureSSE | x.features&featurePKRU
	binary.LittleEndian.PutUint64(b[headerPresent:], present)

	binary.LittleEndian.PutUint32(b[softwareMagic:], magic1)
	binary.LittleEndian.PutUint32(b[softwareExtended:], uint32(x.size+magicSize))
	binary.LittleEndian.PutUint64(b[softwareFeatures:], x.features)
	binary.LittleEndian.PutUint32(b[softwareSize:], uint32(x.size))
	return binary.LittleEndian.AppendUint32(b, magic2)
}

// copyState copies the state of features, without MXCSR, which belongs to two.
func (x *XState) copyState(dst, src []byte, features uint64) {
	if features&featureX87 != 0 {
		copy(dst[:areaMXCSR], src)
		copy(dst[areaST:areaXMM], src[areaST:])
	}
	if features&featureSSE != 0 {
		copy(dst[areaXMM:areaXMMEnd], src[areaXMM:])
	}
	for _, p := range x.components {
		if features&p.feature != 0 {
			copy(dst[p.offset:p.offset+p.size], src[p.offset:])
		}
	}
}

// errState says that a frame's floating point state cannot be loaded.
var errState = errors.New("floating point state is not valid")

// restored returns the state in a frame at addr, in standard format
// (__fpu_restore_sig).
func (x *XState) restored(read Reader, addr uint64) ([]byte, error) {
	if !isUser(addr, uint64(x.size+magicSize)) {
		return nil, errState
	}
	src := make([]byte, x.size)
	if err := read(addr, src[:areaHeader]); err != nil {
		return nil, err
	}
	// check_xstate_in_sigframe: without both marks it is data of FXSAVE.
	size := binary.LittleEndian.Uint32(src[softwareSize:])
	if binary.LittleEndian.Uint32(src[softwareMagic:]) != magic1 || size < areaExtended ||
		size > uint32(x.size) || size > binary.LittleEndian.Uint32(src[softwareExtended:]) {
		return x.restoredFX(src, addr)
	}
	var mark [magicSize]byte
	if err := read(addr+uint64(size), mark[:]); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(mark[:]) != magic2 {
		return x.restoredFX(src, addr)
	}
	return x.restoredXSave(read, src, addr)
}

// restoredXSave is XRSTOR of those features that both the frame and the kernel know
// (AMD64 manual, volume 4); the others are reset. src holds the first areaHeader
// bytes.
func (x *XState) restoredXSave(read Reader, src []byte, addr uint64) ([]byte, error) {
	const align = 64
	if err := read(addr+areaHeader, src[areaHeader:areaExtended]); err != nil {
		return nil, err
	}
	wanted := binary.LittleEndian.Uint64(src[softwareFeatures:]) & x.features
	present := binary.LittleEndian.Uint64(src[headerPresent:])
	if addr%align != 0 || present&^x.features != 0 || !zero(src[headerReserved:headerIgnored]) {
		return nil, errState
	}
	if wanted&(featureSSE|featureAVX) != 0 && !x.validMXCSR(src) {
		return nil, errState
	}
	present &= wanted
	for _, p := range x.components {
		if present&p.feature == 0 {
			continue
		}
		if err := read(addr+uint64(p.offset), src[p.offset:p.offset+p.size]); err != nil {
			return nil, err
		}
	}
	b := x.unused()
	x.copyState(b, src, present)
	// XRSTOR of the standard format loads MXCSR even where XSTATE_BV has it unused.
	if wanted&featureSSE != 0 {
		copy(b[areaMXCSR:areaMXCSRMask], src[areaMXCSR:])
	}
	x.markRestored(b, present)
	return b, nil
}

// restoredFX is FXRSTOR; everything else is reset. src holds the data.
func (x *XState) restoredFX(src []byte, addr uint64) ([]byte, error) {
	const align = 16
	if addr%align != 0 || !x.validMXCSR(src) {
		return nil, errState
	}
	b := x.unused()
	copy(b[:areaMXCSRMask], src)
	copy(b[areaST:areaXMMEnd], src[areaST:])
	x.markRestored(b, 0)
	return b, nil
}

// markRestored sets which features of a restored area are present. The two of FXSAVE
// always are, since not every reader of an area takes MXCSR from it otherwise, and so
// is PKRU, which KVM_SET_XSAVE else leaves as it is (fpu_copy_uabi_to_guest_fpstate in
// arch/x86/kernel/fpu/core.c).
func (x *XState) markRestored(b []byte, present uint64) {
	present |= featureX87 | featureSSE | x.features&featurePKRU
	binary.LittleEndian.PutUint64(b[headerPresent:], present)
}

func (x *XState) validMXCSR(area []byte) bool {
	return binary.LittleEndian.Uint32(area[areaMXCSR:])&^x.mxcsrMask == 0
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
