package cause

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/multivar/multivar/libmultivar/report"
)

// rule returns what would allow the divergence, as TOML, empty when nothing should: the
// one place that knows the form of rules.
func rule(in *incident, name report.CauseName) string {
	d := in.d
	if name == report.CauseAttack || name == report.CauseUnknown && d.Kind != report.KindData && d.Kind != report.KindArgument {
		return ""
	}
	if d.Call == "" || d.Argument == "" || d.Kind != report.KindData && d.Kind != report.KindArgument {
		return ""
	}
	var b strings.Builder
	b.WriteString("[[mask]]\n")
	fmt.Fprintf(&b, "call = %s\n", quoted(d.Call))
	fmt.Fprintf(&b, "arg = %s\n", quoted(d.Argument))
	if v := in.leader; v.HasDescriptor && v.Path != "" {
		fmt.Fprintf(&b, "path = %s\n", quoted(v.Path))
	}
	if in.differs() {
		fmt.Fprintf(&b, "bytes = \"%d-%d\"\n", in.start+in.first, in.start+min(in.last, len(in.a)-1, len(in.b)-1))
	}
	fmt.Fprintf(&b, "reason = %s\n", quoted(string(name)))
	return b.String()
}

// quoted returns a basic string of TOML, which JSON's and Go's ASCII forms are but for
// escapes of single bytes.
func quoted(s string) string {
	q := strconv.QuoteToASCII(strings.ToValidUTF8(s, "\uFFFD"))
	return strings.NewReplacer(`\\`, `\\`, `\a`, `\u0007`, `\v`, `\u000b`, `\x`, `\u00`).Replace(q)
}
