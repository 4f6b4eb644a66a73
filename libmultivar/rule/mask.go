package rule

import (
	"bytes"
	"path"

	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Descriptor is what the leader's kernel says of a call's descriptor. The zero value
// stands for one of which that is not certain.
type Descriptor struct {
	Class policy.Class
	Name  string
}

// Holds reports whether the rule holds for a call of which leader are the fields and
// whose descriptor is d, where follower v is compared.
func (m *Mask) Holds(v int, leader []event.Field, d Descriptor) bool {
	if m.follower != anyFollower && m.follower != v {
		return false
	}
	if m.Class != policy.Unknown && m.Class != d.Class {
		return false
	}
	switch {
	case !m.hasPath():
		return true
	case m.pathArg < 0:
		return d.Class != policy.Unknown && m.names(d.Name)
	}
	for i := range leader {
		if f := &leader[i]; int(f.Arg) == m.pathArg {
			return f.Kind == sysabi.Path && f.Part == event.PartValue && f.Flags == 0 && m.names(string(f.Data))
		}
	}
	return false
}

// hasPath reports whether the rule holds of some files only.
func (m *Mask) hasPath() bool { return m.Path != "" || m.Pattern != "" }

// names reports whether a file of this name is one of which the rule holds.
func (m *Mask) names(name string) bool {
	if m.Path != "" {
		return name == m.Path
	}
	ok, err := path.Match(m.Pattern, name)
	return ok && err == nil
}

// Allows reports whether field i of the leader's call and the same field of a follower's
// may differ as they do. Whether memory can be read, and how long data are that have a
// length, are never what a mask is about.
func (m *Mask) Allows(leader, follower []event.Field, i int) bool {
	a, b := &leader[i], &follower[i]
	if a.Arg != m.arg || b.Arg != a.Arg || a.Part != b.Part || a.Index != b.Index || a.Kind != b.Kind || a.Flags != b.Flags {
		return false
	}
	if a.Flags&^event.Number != 0 {
		return false
	}
	switch {
	case a.Part == event.PartBase && (a.Kind == sysabi.Buf || a.Kind == sysabi.Iovec):
		return len(a.Data) == len(b.Data) && m.covers(leader, i, a.Data, b.Data)
	case a.Part >= event.PartCount:
		return false
	case a.Kind == sysabi.Path || a.Kind == sysabi.String:
		return !m.part || len(a.Data) == len(b.Data) && m.covers(leader, i, a.Data, b.Data)
	}
	return !m.part && (m.member < 0 || m.member == int(a.Part)) && len(a.Data) == len(b.Data)
}

// covers reports whether data of the same length differ only where they may. Those of
// several vectors count as if they lay behind each other.
func (m *Mask) covers(fields []event.Field, i int, a, b []byte) bool {
	if !m.part {
		return true
	}
	var start uint64
	for k := range fields[:i] {
		if f := &fields[k]; f.Arg == m.arg && f.Part == event.PartBase && f.Kind == fields[i].Kind {
			if f.Flags != 0 {
				return false
			}
			start += uint64(len(f.Data))
		}
	}
	// Cut to the data, the range may be empty.
	at := func(pos uint64) int { return int(min(max(pos, start)-start, uint64(len(a)))) }
	from, to := at(m.from), at(m.to)
	return bytes.Equal(a[:from], b[:from]) && bytes.Equal(a[to:], b[to:])
}
