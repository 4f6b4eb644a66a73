package policy

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/multivar/multivar/libmultivar/sysabi"
	"github.com/multivar/multivar/libmultivar/tomlfile"
)

// file is a policy as users write it.
type file struct {
	// Inherits is the policy that decides about calls that Waits does not name.
	Inherits string            `toml:"inherits"`
	Waits    map[string]string `toml:"waits"`
}

// Parse returns the policy of a file, with the given name. Errors are of type
// *[tomlfile.Error].
func Parse(name string, data []byte) (Policy, error) {
	var f file
	at, err := tomlfile.Decode(data, &f)
	if err != nil {
		return Policy{}, err
	}
	if f.Inherits == "" {
		return Policy{}, at.Errorf([]string{"inherits"}, "inherits is missing: the name of the policy for calls that the file does not name")
	}
	from, err := ByName(f.Inherits)
	if err != nil {
		return Policy{}, at.Errorf([]string{"inherits"}, "inherits: %w", err)
	}
	own := make(map[string]Decision, len(f.Waits))
	for _, call := range slices.Sorted(maps.Keys(f.Waits)) {
		where := []string{"waits", call}
		row, ok := sysabi.ByName(call)
		if !ok {
			return Policy{}, at.Errorf(where, "unknown call %q", call)
		}
		d, err := parseDecision(f.Waits[call])
		if err == nil {
			err = d.check(row)
		}
		if err != nil {
			return Policy{}, at.Errorf(where, "%w", err)
		}
		own[call] = d
	}
	return Policy{name: name, table: compile(func(r *sysabi.Row) Decision {
		if d, ok := own[r.Name]; ok {
			return d
		}
		return from.Decision(r)
	})}, nil
}

// Format returns the policy as a file that names every call. Parse makes the same policy
// of it.
func (p Policy) Format() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %q\n", p.Name())
	if text := Summary(p.Name()); text != "" {
		fmt.Fprintf(&b, "# waits at: %s\n", text)
	}
	fmt.Fprintf(&b, "inherits = %q\n\n[waits]\n", Comprehensive)
	for _, r := range sysabi.Rows() {
		fmt.Fprintf(&b, "%s = %q\n", r.Name, p.Decision(r))
	}
	return b.Bytes()
}
