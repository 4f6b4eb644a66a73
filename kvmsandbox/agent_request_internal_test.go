//go:build linux && amd64

package kvmsandbox

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// The vector of a message is told from its bytes by its lengths alone.
func TestBuffersOf(t *testing.T) {
	for _, parts := range [][][2]uint64{
		nil, {{0x1000, 5}}, {{0x1000, 0}, {0x2000, 16}}, {{0x1000, 3}, {0x2000, 0}, {0x3000, 40}}, {{0x1000, 21}, {0, 0}},
	} {
		var data, bytesOf []byte
		for i, p := range parts {
			data = binary.LittleEndian.AppendUint64(data, p[0])
			data = binary.LittleEndian.AppendUint64(data, p[1])
			bytesOf = append(bytesOf, bytes.Repeat([]byte{byte(i + 1)}, int(p[1]))...)
		}
		data = append(data, bytesOf...)
		if got := buffersOf(&data); !slices.Equal(got, parts) || !bytes.Equal(data, bytesOf) {
			t.Errorf("%v: %v and %d bytes", parts, got, len(data))
		}
	}
}

// What a variant has written there leads nowhere.
func TestBuffersOfHostile(t *testing.T) {
	for _, data := range [][]byte{
		{1}, bytes.Repeat([]byte{0xff}, 40), bytes.Repeat([]byte{0}, 1000), bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 60),
	} {
		size := len(data)
		if parts := buffersOf(&data); len(parts)*iovecSize+len(data) != size {
			t.Errorf("%d parts and %d bytes of %d", len(parts), len(data), size)
		}
	}
}

// A message is read as it was when it was compared, wherever the leader is by now; where that is not
// known any more nothing is made up.
func TestSnapshotOfMessage(t *testing.T) {
	const nr, at = 46, 0x7000
	s := &session{}
	s.agents.setCalls([]frontend.AgentCall{{
		Nr: nr, Bare: 44, Args: [6]frontend.AgentArg{1: {Kind: frontend.AgentMessage, In: true}},
	}})
	args := [6]uint64{3, at}
	var data []byte
	for _, v := range []uint64{0x1000, 3, 0x2000, 2} {
		data = binary.LittleEndian.AppendUint64(data, v)
	}
	read := s.recorded(nil, nr, args, append(data, "abcde"...), false).readAny
	header, vector, second := make([]byte, 56), make([]byte, 32), make([]byte, 2)
	if !read(at, header) || !read(binary.LittleEndian.Uint64(header[16:]), vector) || !read(0x2000, second) {
		t.Fatal("it cannot be read")
	}
	if count := binary.LittleEndian.Uint64(header[24:]); count != 2 || !bytes.Equal(vector, data) || string(second) != "de" {
		t.Errorf("%d buffers, % x, %q", count, vector, second)
	}
	if read(0x3000, second) || s.recorded(nil, nr, args, nil, false).readAny(at, header) {
		t.Error("what is not there can be read")
	}
}

// Of a message that is compared by a hash there is the vector, whatever length that says.
func TestSnapshotOfHashedMessage(t *testing.T) {
	const nr, at = 46, 0x7000
	s := &session{}
	s.agents.setCalls([]frontend.AgentCall{{
		Nr: nr, Bare: 44, Args: [6]frontend.AgentArg{1: {Kind: frontend.AgentMessage, In: true}},
	}})
	var data []byte
	for _, v := range []uint64{0x1000, 300000} {
		data = binary.LittleEndian.AppendUint64(data, v)
	}
	r := s.recorded(nil, nr, [6]uint64{3, at}, data, true)
	header, vector := make([]byte, 56), make([]byte, 16)
	if !r.Read(at, header) || !r.Read(binary.LittleEndian.Uint64(header[16:]), vector) {
		t.Fatal("it cannot be read")
	}
	if count := binary.LittleEndian.Uint64(header[24:]); count != 1 || !bytes.Equal(vector, data) || r.Read(0x1000, make([]byte, 1)) {
		t.Errorf("%d buffers, % x", count, vector)
	}
}

// Of a message that is to be received there is the vector, all of which is looked at, and nothing that
// the call would write to.
func TestSnapshotOfAnswer(t *testing.T) {
	const nr, at = 47, 0x7000
	s := &session{}
	s.agents.setCalls([]frontend.AgentCall{{
		Nr: nr, Bare: 19, Args: [6]frontend.AgentArg{1: {Kind: frontend.AgentMessage, Out: true}},
	}})
	var data []byte
	for _, v := range []uint64{0x1000, 3, 0x2000, 2} {
		data = binary.LittleEndian.AppendUint64(data, v)
	}
	r := s.recorded(nil, nr, [6]uint64{3, at}, data, false)
	header, vector := make([]byte, 56), make([]byte, 32)
	if !r.Read(at, header) || !r.Read(binary.LittleEndian.Uint64(header[16:]), vector) {
		t.Fatal("it cannot be read")
	}
	if count := binary.LittleEndian.Uint64(header[24:]); count != 2 || !bytes.Equal(vector, data) || r.Unread() != 0 {
		t.Errorf("%d buffers, % x, %d bytes are left", count, vector, r.Unread())
	}
	if r.Read(0x1000, make([]byte, 1)) || s.recorded(nil, nr, [6]uint64{3, at}, nil, false).Read(at, header) {
		t.Error("what is not there can be read")
	}
	if r := s.recorded(nil, nr, [6]uint64{3, at}, data[:30], false); !r.Read(at, header) || header[24] != 1 {
		t.Error("half a buffer counts")
	}
}

// Of several messages each has its own vector, and what says how many parts that has is none of them.
func TestSnapshotOfMessages(t *testing.T) {
	const nr, at = 307, 0x7000
	s := &session{}
	s.agents.setCalls([]frontend.AgentCall{{
		Nr: nr, Bare: 44, Args: [6]frontend.AgentArg{1: {Kind: frontend.AgentMessage, In: true, Count: 2}},
	}})
	args := [6]uint64{3, at, 3}
	var data []byte
	for _, v := range []uint64{0, 1, 0x1000, 3, 0, 0, 0, 2, 0x2000, 2, 0x3000, 1} {
		data = binary.LittleEndian.AppendUint64(data, v)
	}
	r := s.recorded(nil, nr, args, append(data, "abcdef"...), false)
	for i, want := range []string{"abc", "", "def"} {
		header := make([]byte, 56)
		if !r.Read(at+uint64(i)*mmsghdrSize, header) {
			t.Fatalf("message %d cannot be read", i)
		}
		vector := make([]byte, iovecSize*binary.LittleEndian.Uint64(header[24:]))
		if len(vector) > 0 && !r.Read(binary.LittleEndian.Uint64(header[16:]), vector) {
			t.Fatalf("the vector of message %d cannot be read", i)
		}
		var got []byte
		for ; len(vector) > 0; vector = vector[iovecSize:] {
			part := make([]byte, binary.LittleEndian.Uint64(vector[8:]))
			if !r.Read(binary.LittleEndian.Uint64(vector), part) {
				t.Fatalf("message %d has a part that cannot be read", i)
			}
			got = append(got, part...)
		}
		if string(got) != want {
			t.Errorf("message %d is %q, want %q", i, got, want)
		}
	}
	if r.Unread() != 0 || r.Read(at+3*mmsghdrSize, make([]byte, 56)) {
		t.Errorf("%d bytes are left", r.Unread())
	}
	// What a variant has written there leads nowhere.
	for _, data := range [][]byte{nil, {1}, data[:30], bytes.Repeat([]byte{0xff}, 100), bytes.Repeat([]byte{0}, 10000)} {
		left := data
		parts := s.recorded(nil, nr, args, nil, false).messages(&left, at, 1<<31)
		if len(parts)*iovecSize > len(data)-len(left) {
			t.Errorf("%d parts of %d bytes", len(parts), len(data)-len(left))
		}
	}
}

// What of a request nobody reads is counted, also where parts lie over each other; what is not in it
// is not read from anywhere else.
func TestUnreadOfRequest(t *testing.T) {
	const nr = 20
	s := &session{}
	s.agents.setCalls([]frontend.AgentCall{{
		Nr: nr, Args: [6]frontend.AgentArg{1: {Kind: frontend.AgentVector, In: true, Count: 2}},
	}})
	var data []byte
	for _, v := range []uint64{0x1000, 4, 0x1002, 2} {
		data = binary.LittleEndian.AppendUint64(data, v)
	}
	r := s.recorded(nil, nr, [6]uint64{1, 0x7000, 2}, append(data, "abcdcd??"...), false)
	for _, c := range []struct {
		at   uint64
		size int
		ok   bool
		left int
	}{
		{0x7000, 32, true, 8},
		{0x1000, 4, true, 4},
		{0x1002, 3, false, 4},
		{0x1002, 2, true, 2},
		{0x2000, 1, false, 2},
	} {
		if ok := r.Read(c.at, make([]byte, c.size)); ok != c.ok || r.Unread() != c.left {
			t.Errorf("%d bytes at %#x: %v, %d are left; want %v, %d", c.size, c.at, ok, r.Unread(), c.ok, c.left)
		}
	}
}
