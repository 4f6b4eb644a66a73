package report_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/multivar/multivar/libmultivar/report"
)

// schema returns the published schema. Strictly, keys that it does not describe are
// errors.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	p, err := os.ReadFile("../../docs/report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	closeObjects(doc)
	c := jsonschema.NewCompiler()
	if err := c.AddResource("report.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("report.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// closeObjects forbids keys that a schema does not describe.
func closeObjects(doc any) {
	switch v := doc.(type) {
	case map[string]any:
		if v["type"] == "object" {
			v["additionalProperties"] = false
		}
		for _, child := range v {
			closeObjects(child)
		}
	case []any:
		for _, child := range v {
			closeObjects(child)
		}
	}
}

func TestReportsFitTheSchema(t *testing.T) {
	s := schema(t)
	for name, d := range cases() {
		p, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct{ old, bad string }{
		{`"version": 1`, `"version": 2`},
		{`"kind": "data"`, `"kind": "other"`},
		{`"events": [`, `"unknown": [`},
		{`"address": "0x`, `"address": "x`},
		{`"name": "address"`, `"name": "bad luck"`},
	} {
		p, err := cases()["sides"].JSON()
		if err != nil {
			t.Fatal(err)
		}
		broken := strings.Replace(string(p), c.old, c.bad, 1)
		if broken == string(p) {
			t.Fatalf("%s is not in the report", c.old)
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(broken))
		if err != nil {
			t.Fatal(err)
		}
		if s.Validate(doc) == nil {
			t.Errorf("%s is accepted", c.bad)
		}
	}
}

// A page must not contain anything of a program's but as text, nor load anything.
func TestPageIsHarmless(t *testing.T) {
	evil := `</pre><script>alert(1)</script><img src="http://127.0.0.1/x" onerror='x()'>{{.}}` + "\x1b[2J\u202e"
	d := &report.Divergence{
		Kind: report.KindData, Variant: 1, Variants: 2, Call: evil, Argument: evil, Offset: 0, Policy: evil, When: evil,
		Process: report.Process{Comm: evil}, Leader: report.Value{Text: evil, Bytes: []byte(evil)}, Other: report.Value{Text: evil + "x", Bytes: []byte(evil + "x")},
		Events: []report.Entry{{Text: evil}},
		Cause:  &report.Cause{Name: report.CauseName(evil), Evidence: []string{evil}, Rule: evil},
		Sides: []report.Side{{
			State: evil, Call: evil, Note: evil, Descriptor: &report.Descriptor{Path: evil},
			Registers: []report.Register{{Name: evil}},
			Frames:    []report.Frame{{Module: evil, Function: evil, File: evil}, {Module: evil}},
			Code:      []report.Instruction{{Text: evil, Current: true}, {Text: evil}},
		}},
	}
	var b bytes.Buffer
	if err := d.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, never := range []string{"<script", "<img", "onerror='", "{{", "\x1b", "\u202e", `src="`, "url(", "<link", "@import"} {
		if strings.Contains(strings.ReplaceAll(page, `{{.}}`, ""), never) {
			t.Errorf("the page contains %q", never)
		}
	}
	if n := strings.Count(page, "&lt;script&gt;"); n < 15 {
		t.Errorf("%d texts are in the page", n)
	}
	if strings.Count(page, "<pre>") != strings.Count(page, "</pre>") {
		t.Error("an element has been closed from inside")
	}
}
