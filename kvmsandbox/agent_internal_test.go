//go:build linux && amd64

package kvmsandbox

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
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
