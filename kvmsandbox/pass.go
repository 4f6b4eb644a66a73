//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

// message is the layout in a task's block of what recvmsg(2) needs: struct msghdr,
// one struct iovec, the payload and the control data of one descriptor.
const (
	messageVector  = 56
	messagePayload = 72
	messageControl = 80
	messageSize    = 104

	payloadSize = 8
	controlSize = 24
	controlUsed = 20
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

// rightsImage is the image for sendmsg(2) of a message with a number and descriptor fd.
func rightsImage(addr, number uint64, fd int) []byte {
	b := messageImage(addr)
	le := binary.LittleEndian
	le.PutUint64(b[messagePayload:], number)
	le.PutUint64(b[messageControl:], controlUsed)
	le.PutUint32(b[messageControl+8:], unix.SolSocket)
	le.PutUint32(b[messageControl+12:], unix.ScmRights)
	le.PutUint32(b[messageControl+16:], uint32(fd))
	return b
}

// parseMessage returns the number and the descriptor (-1 for none) of a message as
// recvmsg left it.
func parseMessage(b []byte) (number uint64, fd int) {
	le := binary.LittleEndian
	number, fd = le.Uint64(b[messagePayload:]), -1
	c := b[messageControl:]
	if le.Uint64(b[40:]) >= controlUsed && le.Uint64(c) >= controlUsed &&
		le.Uint32(c[8:]) == unix.SolSocket && le.Uint32(c[12:]) == unix.ScmRights {
		fd = int(int32(le.Uint32(c[16:])))
	}
	return number, fd
}

// errNoDescriptor says that a process has no room for another descriptor.
var errNoDescriptor = errors.New("no room for another descriptor")

// takeFile takes the file of message number from a variant's process; those of tasks
// that died before theirs were taken c closes.
func (v *variant) takeFile(c *closer, number uint64) (int, error) {
	for range maxStale {
		var payload [payloadSize]byte
		n, fd, err := unix.ReceiveFile(v.socket, payload[:])
		if err != nil && fd < 0 && n == 0 {
			return -1, err
		}
		if err == nil && n == payloadSize && binary.LittleEndian.Uint64(payload[:]) == number {
			return fd, nil
		}
		if fd >= 0 {
			c.closeFD(fd)
		}
	}
	return -1, syscall.EBADMSG
}

// maxStale bounds how many files of tasks that died before they took them are
// cleared away at once.
const maxStale = 1024

// receive gives t's process a duplicate of f and returns its number there. The
// descriptor is close-on-exec.
func (s *session) receive(t *task, f frontend.File) (int, error) {
	defer s.lift(t)()
	return s.receiveLimited(t, f)
}

// receiveLimited is receive within the limits of the program: the error wraps
// errNoDescriptor when it has no room for another descriptor.
func (s *session) receiveLimited(t *task, f frontend.File) (int, error) {
	fds, err := s.receiveAll(t, f)
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

// receiveAll is receiveLimited for several files, which the task takes in one turn.
func (s *session) receiveAll(t *task, files ...frontend.File) ([]int, error) {
	v := t.proc.variant
	first := v.sent + 1
	for _, f := range files {
		v.sent++
		var payload [payloadSize]byte
		binary.LittleEndian.PutUint64(payload[:], v.sent)
		// Where nobody has the other end the task is dying, as the next call shows.
		if err := unix.SendFile(v.socket, payload[:], int(f)); err != nil && err != syscall.EPIPE {
			return nil, fmt.Errorf("send a file to %v: %w", t.id, err)
		}
	}
	fds, got := make([]int, len(files)), make([]bool, len(files))
	room, missing := true, len(files)
	for range maxStale {
		if missing == 0 {
			break
		}
		x := t.scratch()
		at, calls := make([]uint64, missing), make([]vhost.Call, missing)
		for i := range calls {
			at[i] = x.put(messageImage(x.blk.Addr(vhost.Scratch + x.used)))
			calls[i] = vhost.Call{Nr: unix.SysRecvmsg, Args: [6]uint64{uint64(v.hidden.control), at[i], unix.MsgCmsgCloexec | unix.MsgDontWait}}
		}
		if err := s.do(t, calls...); err != nil {
			return nil, err
		}
		for i := range calls {
			ret, cause := t.blk.Result(i), error(nil)
			if i >= t.blk.Done() {
				cause = errCutShort
			} else if ret < 0 {
				cause = syscall.Errno(-ret)
			}
			if cause != nil {
				for k, fd := range fds {
					if got[k] && fd >= 0 {
						t.dump(fd)
					}
				}
				return nil, fmt.Errorf("receive a file in %v: %w", t.id, cause)
			}
			number, fd := parseMessage(x.get(at[i], messageSize))
			if k := number - first; ret == payloadSize && k < uint64(len(files)) && !got[k] {
				got[k], fds[k], room = true, fd, room && fd >= 0
				missing--
			} else if fd >= 0 {
				// It is a task's that died before it took it.
				t.dump(fd)
			}
		}
	}
	if missing > 0 || !room {
		for k, fd := range fds {
			if got[k] && fd >= 0 {
				t.dump(fd)
			}
		}
	}
	switch {
	case missing > 0:
		return nil, fmt.Errorf("%v did not receive a file", t.id)
	case !room:
		return nil, fmt.Errorf("%v: %w", t.id, errNoDescriptor)
	}
	return fds, nil
}
