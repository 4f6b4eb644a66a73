//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
)

// recorded is what the ring has of the memory that a call of the leader's reads. It implements
// frontend.AgentEvent.
type recorded struct {
	s *session
	// leader is nil when it is gone.
	leader *task
	parts  []recordedPart
	// rest is how many bytes belong to no part.
	rest int
}

// recordedPart is a part of memory. missed says of each byte that nobody has read it yet; it is nil
// where the ring has no such bytes.
type recordedPart struct {
	at     uint64
	data   []byte
	missed []bool
	name   bool
}

// recorded takes apart what the leader's call has read: data, its vector first and behind that one
// part of memory after the other. Where there is a hash in place of the memory, data is the vector and
// nothing else.
func (s *session) recorded(leader *task, nr int64, args [6]uint64, data []byte, hashed bool) *recorded {
	r := &recorded{s: s, leader: leader}
	add := func(at, size uint64) []byte {
		n := min(size, uint64(len(data)))
		p := data[:n]
		data = data[n:]
		if leader != nil {
			// The follower's memory is read without jumps, too.
			s.unwritten(leader.id, at, p)
		}
		r.add(at, p)
		return p
	}
	if c := s.agentCall(nr, args); c != nil {
		var vector []byte
		for k, a := range c.Args {
			if a.Kind == frontend.AgentVector && args[k] != 0 {
				vector = add(args[k], iovecSize*min(args[a.Count], vhost.HotRanges))
			}
		}
		for k, a := range c.Args {
			switch {
			case a.Kind == frontend.AgentMessage && (!a.In || hashed) && args[k] != 0 && data != nil:
				// Of one that is to be received, or of which there is a hash, there is the vector.
				r.parts = append(r.parts, recordedPart{at: args[k], data: plainMessage(len(data)/iovecSize, 0)})
				r.add(vhost.HotTableAddr, data)
				data = data[len(data):]
			case !a.In || args[k] == 0:
			case a.Kind == frontend.AgentVector:
				for ; len(vector) >= iovecSize; vector = vector[iovecSize:] {
					add(binary.LittleEndian.Uint64(vector), binary.LittleEndian.Uint64(vector[8:]))
				}
			case a.Kind == frontend.AgentMessage && data != nil:
				var buffers [][2]uint64
				if a.Count > 0 {
					buffers = r.messages(&data, args[k], uint32(args[a.Count]))
				} else {
					buffers = r.message(&data, args[k])
				}
				for _, p := range buffers {
					add(p[0], p[1])
				}
			case a.Kind == frontend.AgentName:
				// It is all that there is.
				add(args[k], uint64(len(data)))
				r.parts[len(r.parts)-1].name = true
			case a.Kind == frontend.AgentBuffer:
				add(args[k], sizeBefore(&a, args))
			}
		}
	}
	r.rest = len(data)
	return r
}

func (r *recorded) add(at uint64, p []byte) {
	missed := make([]bool, len(p))
	for i := range missed {
		missed[i] = true
	}
	r.parts = append(r.parts, recordedPart{at: at, data: p, missed: missed})
}

// Read implements frontend.AgentEvent.
func (r *recorded) Read(addr uint64, p []byte) bool {
	found := false
	for _, x := range r.parts {
		if addr >= x.at && addr-x.at < uint64(len(x.data)) && uint64(len(p)) <= uint64(len(x.data))-(addr-x.at) {
			if !found {
				copy(p, x.data[addr-x.at:])
			}
			// Other parts may have the same bytes once more.
			if found = true; x.missed != nil {
				clear(x.missed[addr-x.at:][:len(p)])
			}
			continue
		}
		if end := x.at + uint64(len(x.data)); x.name && addr < end && addr+uint64(len(p)) > x.at {
			// Who reads a name asks for whole pages, and looks at nothing else in them.
			clear(p)
			off := max(addr, x.at) - x.at
			n := copy(p[x.at+off-addr:], x.data[off:])
			clear(x.missed[off:][:n])
			found = true
		}
	}
	return found
}

// Unread implements frontend.AgentEvent.
func (r *recorded) Unread() int {
	n := r.rest
	for _, x := range r.parts {
		for _, missed := range x.missed {
			if missed {
				n++
			}
		}
	}
	return n
}

// readAny is Read, or else reads what the leader has there now.
func (r *recorded) readAny(addr uint64, p []byte) bool {
	if r.Read(addr, p) {
		return true
	}
	if r.leader == nil {
		return false
	}
	_, err := r.s.ReadVariantMem(r.leader.id, addr, p)
	return err == nil
}

// message adds the message whose struct msghdr was at that address, cuts its vector from the beginning
// of data, and returns it. It had nothing but data. Where it was there may be another one by now.
func (r *recorded) message(data *[]byte, at uint64) (parts [][2]uint64) {
	vector := *data
	parts = buffersOf(data)
	r.parts = append(r.parts, recordedPart{at: at, data: plainMessage(len(parts), 0)})
	r.add(vhost.HotTableAddr, vector[:len(vector)-len(*data)])
	return parts
}

// messages is message for an array of struct mmsghdr. In front of the parts of each message one that
// is none says how many there are.
func (r *recorded) messages(data *[]byte, at uint64, count uint32) (parts [][2]uint64) {
	behind := 0
	for range min(count, vhost.HotRanges) {
		room := len(*data)/iovecSize - 1
		if room < 0 {
			break
		}
		n := int(min(binary.LittleEndian.Uint64((*data)[8:]), uint64(room)))
		vector := (*data)[iovecSize:][:n*iovecSize]
		*data = (*data)[(1+n)*iovecSize:]
		behind++
		r.parts = append(r.parts, recordedPart{at: at, data: plainMessage(n, behind)})
		r.add(vhost.HotTableAddr+uint64(behind*iovecSize), vector)
		for ; len(vector) > 0; vector = vector[iovecSize:] {
			parts = append(parts, [2]uint64{binary.LittleEndian.Uint64(vector), binary.LittleEndian.Uint64(vector[8:])})
		}
		at, behind = at+mmsghdrSize, behind+n
	}
	return parts
}

// plainMessage returns a struct msghdr that has so many buffers and nothing else. Their vector is
// shown where no program has anything, behind so many other parts.
func plainMessage(buffers, behind int) []byte {
	const vector, count, size = 16, 24, 56
	m := make([]byte, size)
	binary.LittleEndian.PutUint64(m[vector:], vhost.HotTableAddr+uint64(behind*iovecSize))
	binary.LittleEndian.PutUint64(m[count:], uint64(buffers))
	return m
}

// buffersOf cuts a vector from the beginning of data, behind which are the bytes of its parts and
// nothing else, and returns it: where each part is, and how many bytes there are.
func buffersOf(data *[]byte) (parts [][2]uint64) {
	for used := uint64(0); uint64(len(parts)*iovecSize)+used < uint64(len(*data)) && len(parts) < vhost.HotRanges; {
		next := (*data)[len(parts)*iovecSize:]
		if len(next) < iovecSize {
			break
		}
		p := [2]uint64{binary.LittleEndian.Uint64(next), binary.LittleEndian.Uint64(next[8:])}
		if p[1] > uint64(len(*data)) {
			break
		}
		parts, used = append(parts, p), used+p[1]
	}
	*data = (*data)[len(parts)*iovecSize:]
	return parts
}

// sizeBefore is the size of a buffer that a call reads.
func sizeBefore(a *frontend.AgentArg, args [6]uint64) uint64 {
	n := args[a.Count]
	switch a.Length {
	case frontend.AgentInt:
		return uint64(a.Size) * uint64(max(int32(n), 0))
	case frontend.AgentUint:
		return uint64(a.Size) * uint64(uint32(n))
	case frontend.AgentCount:
		return uint64(a.Size) * n
	case frontend.AgentBits:
		return (uint64(max(int32(n), 0)) + 63) / 64 * 8
	}
	return uint64(a.Size)
}
