package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/multivar/multivar/libmultivar/calllog"
)

//go:embed page.html
var pageText string

// page is what the template of the HTML form sees: text that is fit to be printed, which
// the template escapes for HTML.
type page struct {
	Headline string
	Facts    []fact
	Dump     string
	Cause    *pageCause
	Sides    []pageSide
	Events   []pageEvent
}

type fact struct{ Label, Text string }

type pageCause struct {
	Name     string
	Evidence []string
	Rule     string
}

type pageSide struct {
	Name, State, Call, Descriptor, Note string
	Frames                              []string
	Code                                []pageCode
	Registers                           []fact
}

type pageCode struct {
	Text    string
	Current bool
}

type pageEvent struct {
	Seq     uint64
	Who     string
	Text    string
	Waiting bool
}

// WriteHTML writes the report as one page that needs nothing else.
func (d *Divergence) WriteHTML(w io.Writer) error {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return fmt.Errorf("template of the report: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, d.page()); err != nil {
		return fmt.Errorf("report as HTML: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (d *Divergence) page() page {
	p := page{Headline: d.Error()}
	d.facts(func(label, text string) { p.Facts = append(p.Facts, fact{label, shown(text)}) })
	if len(d.Leader.Bytes) > 0 || len(d.Other.Bytes) > 0 {
		var b bytes.Buffer
		d.dump(&b, false)
		p.Dump = b.String()
	}
	if d.Cause != nil {
		p.Cause = &pageCause{Name: shown(string(d.Cause.Name))}
		for _, e := range d.Cause.Evidence {
			p.Cause.Evidence = append(p.Cause.Evidence, shown(e))
		}
		for _, line := range ruleLines(d.Cause.Rule) {
			p.Cause.Rule += shown(line) + "\n"
		}
	}
	for i := range d.Sides {
		p.Sides = append(p.Sides, d.Sides[i].page())
	}
	for _, e := range d.lastEvents() {
		p.Events = append(p.Events, pageEvent{e.Seq, e.who(), calllog.Printable(e.Text), e.Waiting})
	}
	return p
}

func (s *Side) page() pageSide {
	out := pageSide{Name: s.name(), State: shown(s.State), Call: shown(s.Call), Note: shown(s.Note)}
	if s.Descriptor != nil {
		out.Descriptor = shown(s.Descriptor.text())
	}
	for i := range s.Frames[:min(len(s.Frames), MaxFrames)] {
		out.Frames = append(out.Frames, shown(s.Frames[i].where()))
	}
	for i := range s.Code[:min(len(s.Code), MaxCode)] {
		out.Code = append(out.Code, pageCode{shown(s.Code[i].line()), s.Code[i].Current})
	}
	for _, r := range s.Registers {
		out.Registers = append(out.Registers, fact{shown(r.Name), fmt.Sprintf("%#x", r.Value)})
	}
	return out
}
