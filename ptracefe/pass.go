//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// controlFD is the descriptor of a follower's control socket in the follower:
// the only one that a follower has.
const controlFD = 0

// message is the layout in a task's memory of what recvmsg(2) needs: struct
// msghdr, one struct iovec, the payload and the control data of one descriptor.
const (
	messageVector  = 56
	messagePayload = 72
	messageControl = 80
	messageSize    = 104

	payloadSize = 8
	controlSize = 24
)

func messageImage(addr uint64) []byte {
	b := make([]byte, messageSize)
	le := binary.LittleEndian
	le.PutUint64(b[16:], addr+messageVector)
	le.PutUint64(b[24:], 1)
	le.PutUint64(b[32:], addr+messageControl)
	le.PutUint64(b[40:], controlSize)
	le.PutUint64(b[messageVector:], addr+messagePayload)
	le.PutUint64(b[messageVector+8:], payloadSize)
	return b
}

// parseMessage returns the number and the descriptor (-1 for none) of a message
// as recvmsg left it in the task's memory.
func parseMessage(b []byte) (number uint64, fd int) {
	le := binary.LittleEndian
	number, fd = le.Uint64(b[messagePayload:]), -1
	c := b[messageControl:]
	if le.Uint64(b[40:]) >= 20 && le.Uint64(c) >= 20 &&
		le.Uint32(c[8:]) == unix.SolSocket && le.Uint32(c[12:]) == unix.ScmRights {
		fd = int(int32(le.Uint32(c[16:])))
	}
	return number, fd
}

// maxStale bounds how many files of tasks that died before they took them are
// cleared away at once.
const maxStale = 1024

// receive gives the task behind in a duplicate of f and returns its number
// there. The descriptor is close-on-exec.
func (in *injector) receive(f frontend.File) (int, error) {
	s, t := in.s, in.t
	socket := s.sockets[t.id.Variant]
	if socket < 0 {
		return -1, errors.New("the leader is given no files")
	}
	b, err := s.borrow(t, stackPointer(&in.base), messageImage, messageSize)
	if err != nil {
		return -1, err
	}
	s.sent++
	number := s.sent
	var payload [payloadSize]byte
	binary.LittleEndian.PutUint64(payload[:], number)
	// Where nobody has the other end the task is dying, as the next call shows.
	if err := unix.SendFile(socket, payload[:], int(f)); err != nil && err != syscall.EPIPE {
		return -1, fmt.Errorf("send a file to %v: %w", t.id, err)
	}
	for range maxStale {
		ret, err := in.call(unix.SysRecvmsg, controlFD, b.addr, unix.MsgCmsgCloexec|unix.MsgDontWait)
		if err != nil {
			return -1, err
		}
		if ret < 0 {
			return -1, fmt.Errorf("receive a file in %v: %w", t.id, syscall.Errno(-ret))
		}
		got := make([]byte, messageSize)
		if _, err := s.ReadVariantMem(t.id, b.addr, got); err != nil {
			return -1, err
		}
		gotNumber, fd := parseMessage(got)
		if ret == payloadSize && gotNumber == number && fd >= 0 {
			return fd, s.giveBack(t, b)
		}
		if fd >= 0 {
			if err := in.must("close", unix.SysClose, uint64(fd)); err != nil {
				return -1, err
			}
		}
		if _, err := s.WriteVariantMem(t.id, b.addr, messageImage(b.addr)); err != nil {
			return -1, err
		}
	}
	return -1, fmt.Errorf("%v did not receive the file", t.id)
}
