package tomlfile

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// MaxSize is the largest file in bytes. It bounds what nested values make the parser
// recurse.
const MaxSize = 64 << 10

// Error is what is wrong with a file.
type Error struct {
	// Line counts from 1; 0 when it is not known.
	Line int
	Text string
	err  error
}

// Error implements error. The text is one line.
func (e *Error) Error() string {
	text := strings.Join(strings.Fields(e.Text), " ")
	if e.Line == 0 {
		return text
	}
	return fmt.Sprintf("line %d: %s", e.Line, text)
}

// Unwrap returns the cause, if there is one.
func (e *Error) Unwrap() error { return e.err }

// File is a decoded file. It may be used by several goroutines.
type File struct {
	// lines maps keys, and elements of arrays of tables, to their lines.
	lines map[string]int
}

// Decode fills the struct that v points to from a file. Errors are of type *[Error].
func Decode(data []byte, v any) (*File, error) {
	if len(data) > MaxSize {
		return nil, &Error{Text: fmt.Sprintf("%d bytes; at most %d are read", len(data), MaxSize)}
	}
	d := toml.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return nil, convert(err)
	}
	f := &File{lines: lines(data)}
	// The library takes Name for name, and so both of them in one table.
	for _, path := range slices.Sorted(maps.Keys(f.lines)) {
		if strings.ToLower(path) != path {
			keys := strings.Split(path, "\x00")
			return nil, &Error{Line: f.lines[path], Text: fmt.Sprintf("unknown key %q: keys are written in lower case", keys[len(keys)-1])}
		}
	}
	return f, nil
}

// convert returns the error of the library as one for users.
func convert(err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		first := &unknown.Errors[0]
		line, _ := first.Position()
		return &Error{Line: line, Text: fmt.Sprintf("unknown key %q", strings.Join(first.Key(), ".")), err: err}
	}
	text := strings.TrimPrefix(err.Error(), "toml: ")
	var at *toml.DecodeError
	if errors.As(err, &at) {
		line, _ := at.Position()
		return &Error{Line: line, Text: text, err: err}
	}
	return &Error{Text: text, err: err}
}

// Errorf returns an error at the key with this path; see [File.Line].
func (f *File) Errorf(path []string, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Line: f.Line(path...), Text: err.Error(), err: errors.Unwrap(err)}
}

// Line returns the line of a key, the path to it being the names of tables and its own.
// Behind the name of an array of tables stands the number of the element. A key that is
// not found is where the last part of its path is that was.
func (f *File) Line(path ...string) int {
	for n := len(path); n > 0; n-- {
		if line := f.lines[join(path[:n])]; line > 0 {
			return line
		}
	}
	return 0
}

// Element is the part of a path that stands for element i of an array of tables.
func Element(i int) string { return fmt.Sprintf("#%d", i) }

func join(path []string) string { return strings.Join(path, "\x00") }

// lines finds the keys of a file that is known to be well-formed.
func lines(data []byte) map[string]int {
	out := make(map[string]int)
	elements := make(map[string]int)
	var table []string
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
		node := p.Expression()
		if node.Kind != unstable.Table && node.Kind != unstable.ArrayTable && node.Kind != unstable.KeyValue {
			continue
		}
		var key []string
		line := 0
		for it := node.Key(); it.Next(); {
			if line == 0 {
				line = p.Shape(it.Node().Raw).Start.Line
			}
			key = append(key, string(it.Node().Data))
		}
		switch node.Kind {
		case unstable.Table:
			table = withElements(key, elements)
			out[join(table)] = line
		case unstable.ArrayTable:
			parent := withElements(key[:len(key)-1], elements)
			array := join(append(parent, key[len(key)-1]))
			table = append(strings.Split(array, "\x00"), Element(elements[array]))
			elements[array]++
			out[join(table)] = line
		default:
			path := append([]string(nil), table...)
			for _, k := range key {
				path = append(path, k)
				if at := join(path); out[at] == 0 {
					out[at] = line
				}
			}
		}
	}
	return out
}

// withElements puts the number of the last element behind each name of an array of
// tables in a key.
func withElements(key []string, elements map[string]int) []string {
	var path []string
	for _, k := range key {
		path = append(path, k)
		if n := elements[join(path)]; n > 0 {
			path = append(path, Element(n-1))
		}
	}
	return path
}
