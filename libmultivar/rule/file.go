package rule

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
	"github.com/multivar/multivar/libmultivar/tomlfile"
)

// file is a set of rules as users write it.
type file struct {
	Masks  []maskRule  `toml:"mask"`
	Extras []extraRule `toml:"extra"`
}

type maskRule struct {
	Name     string  `toml:"name"`
	Call     string  `toml:"call"`
	Argument string  `toml:"argument"`
	Member   string  `toml:"member"`
	Bytes    []int64 `toml:"bytes"`
	Path     string  `toml:"path"`
	Paths    string  `toml:"paths"`
	Class    string  `toml:"class"`
	Variants []int64 `toml:"variants"`
}

type extraRule struct {
	Name     string   `toml:"name"`
	In       *int64   `toml:"in"`
	Calls    []string `toml:"calls"`
	Times    *int64   `toml:"times"`
	Variants []int64  `toml:"variants"`
}

// Bounds of what a rule may say.
const (
	maxName     = 100
	maxSequence = 64
	maxTimes    = 1 << 30
	maxByte     = 4 << 20
)

// Parse returns the rules of a file. Errors are of type *[tomlfile.Error].
func Parse(data []byte) (*Set, error) {
	var f file
	at, err := tomlfile.Decode(data, &f)
	if err != nil {
		return nil, err
	}
	s := &Set{masks: make(map[int][]Mask), extras: make(map[int][]Extra)}
	for i := range f.Masks {
		if key, err := s.addMask(&f.Masks[i]); err != nil {
			return nil, at.Errorf([]string{"mask", tomlfile.Element(i), key}, "%w", err)
		}
	}
	for i := range f.Extras {
		if key, err := s.addExtra(&f.Extras[i]); err != nil {
			return nil, at.Errorf([]string{"extra", tomlfile.Element(i), key}, "%w", err)
		}
	}
	return s, nil
}

// addName takes the name of the next rule.
func (s *Set) addName(name string) (id int, err error) {
	switch {
	case name == "":
		return 0, errors.New("the rule has no name, by which reports could call it")
	case len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return 0, fmt.Errorf("name %q: at most %d bytes, all of which can be printed", name, maxName)
	case slices.Contains(s.names, name):
		return 0, fmt.Errorf("there is a rule %q already", name)
	}
	s.names = append(s.names, name)
	return len(s.names) - 1, nil
}

// addPair takes the variants of which the rule id holds; the result is the follower.
func (s *Set) addPair(id int, variants []int64) (follower int, err error) {
	if variants == nil {
		return anyFollower, nil
	}
	if len(variants) != 2 || variants[0] != frontend.Leader || variants[1] < 1 || variants[1] >= frontend.MaxVariants {
		return 0, fmt.Errorf("want [0, N] with N from 1 to %d: variants are compared with the leader, 0", frontend.MaxVariants-1)
	}
	s.mentions(id, int(variants[1]))
	return int(variants[1]), nil
}

// mentions notes that the rule id is about variant v.
func (s *Set) mentions(id, v int) {
	if v > s.most {
		s.most, s.mostRule = v, id
	}
}

// addMask adds a rule; with an error it returns the key that is to blame.
func (s *Set) addMask(r *maskRule) (key string, err error) {
	m := Mask{member: -1, pathArg: -1, Path: r.Path, Pattern: r.Paths}
	if m.ID, err = s.addName(r.Name); err != nil {
		return "name", err
	}
	row, ok := sysabi.ByName(r.Call)
	if !ok {
		return "call", fmt.Errorf("unknown call %q", r.Call)
	}
	if err := maskable(row); err != nil {
		return "call", err
	}
	i := slices.IndexFunc(row.Args, func(a sysabi.Arg) bool { return a.Name == r.Argument })
	if i < 0 {
		return "argument", fmt.Errorf("%s has no argument %q; it has %s", row.Name, r.Argument, argumentNames(row))
	}
	m.arg = uint8(i)
	if err := maskableArg(row, i); err != nil {
		return "argument", err
	}
	if key, err = m.setPart(row, &row.Args[i], r); err != nil {
		return key, err
	}
	if key, err = m.setWhere(row, r); err != nil {
		return key, err
	}
	if m.follower, err = s.addPair(m.ID, r.Variants); err != nil {
		return "variants", err
	}
	s.masks[row.ID] = append(s.masks[row.ID], m)
	return "", nil
}

// maskable returns an error when no argument of calls of r may be masked: followers would
// do something else than the leader, and the engine's account of them would be wrong.
func maskable(r *sysabi.Row) error {
	switch {
	case r.Exec != sysabi.Leader:
		return fmt.Errorf("%s is not a call that the leader makes for all, so its arguments have to be the same", r.Name)
	case r.Sub != nil:
		return fmt.Errorf("what the arguments of %s mean depends on a command; they cannot be masked", r.Name)
	case r.Handler != sysabi.HandlerNone && r.Handler != sysabi.HandlerOpen && r.Handler != sysabi.HandlerMemfd:
		return fmt.Errorf("the arguments of %s cannot be masked: variants keep more of them than the leader's answer", r.Name)
	}
	return nil
}

// maskableArg returns an error when argument i of calls of r must not be masked.
func maskableArg(r *sysabi.Row, i int) error {
	a := &r.Args[i]
	for k := range r.Args {
		other := &r.Args[k]
		if other.If.Mask != 0 && other.If.Arg == i {
			return fmt.Errorf("%s of %s says whether %s counts; it cannot be masked", a.Name, r.Name, other.Name)
		}
		if counts(other) && other.Len.Arg == i {
			return fmt.Errorf("%s of %s is the length of %s; it cannot be masked", a.Name, r.Name, other.Name)
		}
	}
	switch a.Kind {
	case sysabi.Int, sysabi.Uint, sysabi.Long, sysabi.Flags, sysabi.Mode, sysabi.Path, sysabi.String:
		return nil
	case sysabi.Buf, sysabi.Struct, sysabi.Iovec, sysabi.Msghdr:
		if a.Dir&sysabi.In != 0 {
			return nil
		}
		return fmt.Errorf("%s of %s is an answer, which is the leader's in all variants", a.Name, r.Name)
	}
	return fmt.Errorf("%s of %s cannot be masked: it is no data, no name and no plain number", a.Name, r.Name)
}

// counts reports whether the length of a is in another argument.
func counts(a *sysabi.Arg) bool {
	switch a.Kind {
	case sysabi.Iovec, sysabi.Mmsghdr, sysabi.Sockaddr:
		return true
	}
	switch a.Len.Kind {
	case sysabi.LenNone, sysabi.LenConst, sysabi.LenAsked:
		return false
	}
	return true
}

func argumentNames(r *sysabi.Row) string {
	if len(r.Args) == 0 {
		return "none"
	}
	var names []string
	for i := range r.Args {
		names = append(names, r.Args[i].Name)
	}
	return strings.Join(names, ", ")
}

// setPart takes the member or the bytes of the argument that a rule names.
func (m *Mask) setPart(row *sysabi.Row, a *sysabi.Arg, r *maskRule) (key string, err error) {
	if r.Member != "" && a.Kind != sysabi.Struct {
		return "member", fmt.Errorf("%s of %s has no members", a.Name, row.Name)
	}
	if a.Kind == sysabi.Struct {
		m.member = slices.IndexFunc(a.Struct.Fields, func(f sysabi.Field) bool { return f.Name == r.Member })
		if m.member < 0 {
			return "member", fmt.Errorf("%s of %s needs the name of a member; there are %s", a.Name, row.Name, memberNames(a.Struct))
		}
		if !maskableMember(a.Struct, m.member) {
			return "member", fmt.Errorf("%s.%s of %s cannot be masked: it is no plain number, or others depend on it", a.Name, r.Member, row.Name)
		}
	}
	if r.Bytes == nil {
		return "", nil
	}
	switch a.Kind {
	case sysabi.Buf, sysabi.Iovec, sysabi.Msghdr, sysabi.Path, sysabi.String:
	default:
		return "bytes", fmt.Errorf("%s of %s has no bytes to choose from", a.Name, row.Name)
	}
	if len(r.Bytes) != 2 || r.Bytes[0] < 0 || r.Bytes[1] <= r.Bytes[0] || r.Bytes[1] > maxByte {
		return "bytes", fmt.Errorf("want [FROM, TO] with 0 <= FROM < TO <= %d; TO is the first byte behind", maxByte)
	}
	m.part, m.from, m.to = true, uint64(r.Bytes[0]), uint64(r.Bytes[1])
	return "", nil
}

// maskableMember reports whether member k of a record may be masked.
func maskableMember(l *sysabi.Layout, k int) bool {
	f := &l.Fields[k]
	for i := range l.Fields {
		if c := &l.Fields[i].If; c.Size != 0 && c.Off < f.Off+f.Size && f.Off < c.Off+c.Size {
			return false
		}
	}
	switch f.Kind {
	case sysabi.Int, sysabi.Uint, sysabi.Long, sysabi.Flags, sysabi.Mode, sysabi.Buf:
		return f.Points == nil
	}
	return false
}

func memberNames(l *sysabi.Layout) string {
	var names []string
	for i := range l.Fields {
		names = append(names, l.Fields[i].Name)
	}
	return strings.Join(names, ", ")
}

// setWhere takes what the rule says of the call's file or descriptor.
func (m *Mask) setWhere(row *sysabi.Row, r *maskRule) (key string, err error) {
	_, hasFD := row.Descriptor()
	switch r.Class {
	case "":
	case policy.Socket.String():
		m.Class = policy.Socket
	case policy.NonSocket.String():
		m.Class = policy.NonSocket
	default:
		return "class", fmt.Errorf("unknown class %q; there are %v, %v", r.Class, policy.Socket, policy.NonSocket)
	}
	if m.Class != policy.Unknown && !hasFD {
		return "class", fmt.Errorf("%s does not act on one descriptor", row.Name)
	}
	if !m.hasPath() {
		return "", nil
	}
	key = "path"
	if r.Paths != "" {
		key = "paths"
	}
	if r.Path != "" && r.Paths != "" {
		return key, errors.New("there is one of path and paths")
	}
	if strings.Contains(r.Path+r.Paths, "\x00") {
		return key, errors.New("a path has no NUL")
	}
	if _, err := path.Match(r.Paths, ""); err != nil {
		return key, fmt.Errorf("%q is no pattern of paths", r.Paths)
	}
	paths := 0
	for i := range row.Args {
		if row.Args[i].Kind == sysabi.Path {
			m.pathArg = i
			paths++
		}
	}
	switch {
	case paths > 1:
		return key, fmt.Errorf("%s has several paths", row.Name)
	case paths == 0 && !hasFD:
		return key, fmt.Errorf("%s has no path and does not act on one descriptor", row.Name)
	}
	return "", nil
}

// addExtra adds a rule; with an error it returns the key that is to blame.
func (s *Set) addExtra(r *extraRule) (key string, err error) {
	x := Extra{Times: 1}
	if x.ID, err = s.addName(r.Name); err != nil {
		return "name", err
	}
	if r.In == nil || *r.In < 0 || *r.In >= frontend.MaxVariants {
		return "in", fmt.Errorf("in has to be the variant that makes the calls, 0 to %d", frontend.MaxVariants-1)
	}
	in := int(*r.In)
	s.mentions(x.ID, in)
	if x.follower, err = s.addPair(x.ID, r.Variants); err != nil {
		return "variants", err
	}
	if in != frontend.Leader {
		if x.follower != anyFollower && x.follower != in {
			return "variants", fmt.Errorf("variant %d, which makes the calls, is none of the two", in)
		}
		x.follower = in
	}
	if len(r.Calls) == 0 || len(r.Calls) > maxSequence {
		return "calls", fmt.Errorf("want 1 to %d calls", maxSequence)
	}
	for _, name := range r.Calls {
		row, ok := sysabi.ByName(name)
		if !ok {
			return "calls", fmt.Errorf("unknown call %q", name)
		}
		if row.Alone == sysabi.NotAlone {
			return "calls", fmt.Errorf("%s is not harmless, so no variant may make it alone; harmless are %s", name, harmless())
		}
		x.Calls = append(x.Calls, row.ID)
	}
	if r.Times != nil {
		if *r.Times < 1 || *r.Times > maxTimes {
			return "times", fmt.Errorf("want 1 to %d", maxTimes)
		}
		x.Times = int(*r.Times)
	}
	s.extras[in] = append(s.extras[in], x)
	return "", nil
}

// harmless lists the calls that a variant may make alone.
func harmless() string {
	var names []string
	for _, r := range sysabi.Rows() {
		if r.Alone != sysabi.NotAlone {
			names = append(names, r.Name)
		}
	}
	return strings.Join(names, ", ")
}
