package sysabi

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Command is what a row says of one command, or of all of a kind.
type Command struct {
	// Name is unique in its row: the name of the command, or its value where it has none,
	// "any other" and the like for those that have no case of their own.
	Name string
	// Value is the command. Case is false for those that have no case of their own.
	Value uint64
	Case  bool
	SubCase
}

// Commands returns what r says of its commands, those with a case first, in the order of their
// values. It is empty for rows without commands.
func (r *Row) Commands() []Command {
	if r.Sub == nil {
		return nil
	}
	var list []Command
	for _, v := range slices.Sorted(maps.Keys(r.Sub.Cases)) {
		c := r.Sub.Cases[v]
		list = append(list, Command{Name: r.caseName(v), Value: v, Case: true, SubCase: c})
	}
	if e := r.Sub.Encoded; e != nil {
		for _, c := range e.all() {
			list = append(list, Command{Name: e.name(c), SubCase: *c})
		}
	}
	return append(list, Command{Name: anyOther, SubCase: r.Sub.Default})
}

// CommandOf returns the name of the command that the arguments select, as Commands has it.
func (r *Row) CommandOf(args [6]uint64) string {
	if cmd, ok := r.Sub.Case(args); ok {
		return r.caseName(cmd)
	} else if e := r.Sub.Encoded; e != nil {
		if c, ok := e.of(cmd); ok {
			return e.name(&c)
		}
	}
	return anyOther
}

// anyOther is the name of the commands that the default of a table is for.
const anyOther = "any other"

func (e *Encoded) name(c *SubCase) string {
	return fmt.Sprintf("%s %s of at most %d bytes", anyOther, c.Name, e.Most)
}

// caseName returns the name of a case: its own, that of the command argument, or its value.
func (r *Row) caseName(v uint64) string {
	name := r.Sub.Cases[v].Name
	if names := r.Args[r.Sub.Arg].Names; name == "" && names != nil {
		name = names.Format(v)
	}
	return cmp.Or(name, r.Sub.Text(v))
}

// Text returns a command as a number: with the second argument in front that is its upper
// half, where it has one.
func (t *SubTable) Text(v uint64) string {
	switch {
	case t.Upper != 0:
		return fmt.Sprintf("%d/%d", v>>32, v&0xffffffff)
	case v < 4096:
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%#x", v)
}
