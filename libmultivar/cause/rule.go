package cause

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/multivar/multivar/libmultivar/report"
	"github.com/multivar/multivar/libmultivar/rule"
)

// proposal returns what would allow the divergence, as a file of rules (see the package
// rule), empty when nothing should or no rule can.
func proposal(in *incident, name report.CauseName) string {
	d := in.d
	if name == report.CauseAttack || d.Kind != report.KindData && d.Kind != report.KindArgument || d.Call == "" || d.Argument == "" {
		return ""
	}
	argument, member, _ := strings.Cut(d.Argument, ".")
	argument, element, _ := strings.Cut(argument, "[")
	var b strings.Builder
	b.WriteString("[[mask]]\n")
	fmt.Fprintf(&b, "name = %s\n", quoted(fmt.Sprintf("%s in %s of %s", name, argument, d.Call)))
	fmt.Fprintf(&b, "call = %s\n", quoted(d.Call))
	fmt.Fprintf(&b, "argument = %s\n", quoted(argument))
	switch {
	case element != "":
		// Where its buffer lies among the others is not known here.
	case member != "":
		fmt.Fprintf(&b, "member = %s\n", quoted(member))
	case in.differs():
		fmt.Fprintf(&b, "bytes = [%d, %d]\n", in.start+in.first, in.start+min(in.last, len(in.a)-1, len(in.b)-1)+1)
	}
	if v := in.leader; v.HasDescriptor && v.Path != "" {
		fmt.Fprintf(&b, "path = %s\n", quoted(v.Path))
	}
	if _, err := rule.Parse([]byte(b.String())); err != nil {
		return ""
	}
	return b.String()
}

// quoted returns a basic string of TOML, which JSON's and Go's ASCII forms are but for
// escapes of single bytes.
func quoted(s string) string {
	q := strconv.QuoteToASCII(strings.ToValidUTF8(s, "\uFFFD"))
	return strings.NewReplacer(`\\`, `\\`, `\a`, `\u0007`, `\v`, `\u000b`, `\x`, `\u00`).Replace(q)
}
