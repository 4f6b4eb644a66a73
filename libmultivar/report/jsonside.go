package report

import (
	"encoding/hex"
	"fmt"

	"github.com/multivar/multivar/libmultivar/calllog"
)

// The JSON form of what is known of each variant and of the cause. Addresses and values of
// registers are text, "0x" and hexadecimal digits, since many readers of JSON have no whole
// numbers of 64 bits.
type (
	jsonCause struct {
		Name     CauseName `json:"name"`
		Evidence []string  `json:"evidence"`
		Rule     string    `json:"rule"`
	}
	jsonSide struct {
		Variant    int               `json:"variant"`
		State      string            `json:"state"`
		Call       string            `json:"call"`
		Descriptor *jsonDescriptor   `json:"descriptor,omitempty"`
		Registers  []jsonRegister    `json:"registers"`
		Frames     []jsonFrame       `json:"frames"`
		Code       []jsonInstruction `json:"code"`
		Note       string            `json:"note"`
	}
	jsonDescriptor struct {
		Number int    `json:"number"`
		Path   string `json:"path"`
	}
	jsonRegister struct {
		Name  string `json:"name"`
		Value word   `json:"value"`
	}
	jsonFrame struct {
		Address        word   `json:"address"`
		Module         string `json:"module"`
		Offset         word   `json:"offset"`
		Function       string `json:"function"`
		FunctionOffset word   `json:"function_offset"`
		File           string `json:"file"`
		Line           int    `json:"line"`
		Found          Found  `json:"found"`
	}
	jsonInstruction struct {
		Address word   `json:"address"`
		Hex     string `json:"hex"`
		Text    string `json:"text"`
		Current bool   `json:"current"`
	}
)

// word is a number of 64 bits as text.
type word uint64

// MarshalText implements encoding.TextMarshaler.
func (w word) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%#x", uint64(w)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (w *word) UnmarshalText(p []byte) error {
	if _, err := fmt.Sscanf(string(p), "0x%x", (*uint64)(w)); err != nil {
		return fmt.Errorf("number %q: %w", p, err)
	}
	return nil
}

func causeToJSON(c *Cause) *jsonCause {
	if c == nil {
		return nil
	}
	j := &jsonCause{Name: c.Name, Evidence: []string{}}
	for _, e := range c.Evidence {
		j.Evidence = append(j.Evidence, calllog.Printable(e))
	}
	for _, line := range ruleLines(c.Rule) {
		j.Rule += calllog.Printable(line) + "\n"
	}
	return j
}

func causeFromJSON(j *jsonCause) *Cause {
	if j == nil {
		return nil
	}
	return &Cause{Name: j.Name, Evidence: j.Evidence, Rule: j.Rule}
}

func sidesToJSON(sides []Side) []jsonSide {
	clean := calllog.Printable
	out := []jsonSide{}
	for i := range sides {
		s := &sides[i]
		j := jsonSide{
			Variant: s.Variant, State: clean(s.State), Call: clean(s.Call), Note: clean(s.Note),
			Registers: []jsonRegister{}, Frames: []jsonFrame{}, Code: []jsonInstruction{},
		}
		if s.Descriptor != nil {
			j.Descriptor = &jsonDescriptor{s.Descriptor.Number, clean(s.Descriptor.Path)}
		}
		for _, r := range s.Registers {
			j.Registers = append(j.Registers, jsonRegister{clean(r.Name), word(r.Value)})
		}
		for _, f := range s.Frames[:min(len(s.Frames), MaxFrames)] {
			j.Frames = append(j.Frames, jsonFrame{
				word(f.Address), clean(f.Module), word(f.Offset), clean(f.Function), word(f.FunctionOffset),
				clean(f.File), f.Line, f.Found,
			})
		}
		for _, c := range s.Code[:min(len(s.Code), MaxCode)] {
			j.Code = append(j.Code, jsonInstruction{word(c.Address), hex.EncodeToString(c.Bytes), clean(c.Text), c.Current})
		}
		out = append(out, j)
	}
	return out
}

func sidesFromJSON(in []jsonSide) ([]Side, error) {
	var out []Side
	for i := range in {
		j := &in[i]
		s := Side{Variant: j.Variant, State: j.State, Call: j.Call, Note: j.Note}
		if j.Descriptor != nil {
			s.Descriptor = &Descriptor{j.Descriptor.Number, j.Descriptor.Path}
		}
		for _, r := range j.Registers {
			s.Registers = append(s.Registers, Register{r.Name, uint64(r.Value)})
		}
		for _, f := range j.Frames {
			s.Frames = append(s.Frames, Frame{
				uint64(f.Address), f.Module, uint64(f.Offset), f.Function, uint64(f.FunctionOffset), f.File, f.Line, f.Found,
			})
		}
		for _, c := range j.Code {
			p, err := hex.DecodeString(c.Hex)
			if err != nil {
				return nil, fmt.Errorf("code of variant %d: %w", j.Variant, err)
			}
			s.Code = append(s.Code, Instruction{uint64(c.Address), p, c.Text, c.Current})
		}
		out = append(out, s)
	}
	return out, nil
}
