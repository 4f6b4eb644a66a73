package kvm

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// statsFile makes a file of statistics with one value per name: 100, 101 and so on.
func statsFile(values uint16, names ...string) []byte {
	const nameSize, id = 16, 24
	descriptors := id + nameSize
	data := descriptors + len(names)*(statDescriptor+nameSize)
	var b []byte
	for _, v := range []int{0, nameSize, len(names), id, descriptors, data} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	b = append(b, make([]byte, nameSize)...)
	for i, name := range names {
		d := make([]byte, statDescriptor+nameSize)
		binary.LittleEndian.PutUint16(d[6:], values)
		binary.LittleEndian.PutUint32(d[8:], uint32(8*i))
		copy(d[statDescriptor:], name)
		b = append(b, d...)
	}
	for i := range names {
		b = binary.LittleEndian.AppendUint64(b, uint64(100+i))
	}
	return b
}

func TestStat(t *testing.T) {
	f := bytes.NewReader(statsFile(1, "exits_more", "exits", "irq_exits"))
	at, err := FindStat(f, "exits")
	if err != nil {
		t.Fatal(err)
	}
	if v, err := ReadStat(f, at); v != 101 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	if _, err := FindStat(f, "exit"); err == nil {
		t.Error("found what is not there")
	}
	for name, b := range map[string][]byte{
		"empty":       nil,
		"cut":         statsFile(1, "a", "exits")[:60],
		"a histogram": statsFile(32, "exits"),
		"large names": append([]byte{0, 0, 0, 0, 255, 255, 255, 255, 1}, make([]byte, 64)...),
		"too many":    append([]byte{0, 0, 0, 0, 48, 0, 0, 0, 255, 255, 255, 255}, make([]byte, 64)...),
	} {
		if _, err := FindStat(bytes.NewReader(b), "exits"); err == nil {
			t.Errorf("%s: found", name)
		}
	}
	if _, err := ReadStat(f, 1<<40); err == nil {
		t.Error("read behind the end")
	}
}
