package report

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/multivar/multivar/libmultivar/calllog"
)

// The JSON form. Every key is always there but those marked otherwise.
type (
	jsonReport struct {
		Version       int         `json:"version"`
		Kind          Kind        `json:"kind"`
		Variant       int         `json:"variant"`
		Variants      int         `json:"variants"`
		Process       jsonProcess `json:"process"`
		Call          string      `json:"call"`
		VariantCall   string      `json:"variant_call"`
		Argument      string      `json:"argument"`
		ArgumentIndex int         `json:"argument_index"`
		Offset        int         `json:"offset"`
		Leader        jsonValue   `json:"leader"`
		Other         jsonValue   `json:"variant_value"`
		Events        []jsonEntry `json:"events"`
		Policy        string      `json:"policy"`
		EffectOut     bool        `json:"effect_out"`
		Inexact       int         `json:"inexact_signals"`
		Preempted     int         `json:"preemptions"`
		Rules         []jsonRule  `json:"rules,omitempty"`
		When          string      `json:"when,omitempty"`
		Cause         *jsonCause  `json:"cause,omitempty"`
		Sides         []jsonSide  `json:"sides"`
	}
	jsonProcess struct {
		Pid    int    `json:"pid"`
		Comm   string `json:"comm"`
		Thread int    `json:"thread"`
	}
	jsonValue struct {
		Text         string `json:"text"`
		Hex          string `json:"hex"`
		Fault        bool   `json:"fault"`
		WindowOffset int    `json:"window_offset"`
	}
	jsonRule struct {
		Name  string `json:"name"`
		Times int    `json:"times"`
	}
	jsonEntry struct {
		Seq     uint64 `json:"seq"`
		Pid     int    `json:"pid"`
		Thread  int    `json:"thread"`
		Text    string `json:"text"`
		Waiting bool   `json:"waiting"`
	}
)

// JSON returns the report as an indented JSON object that ends with a newline.
// Text is escaped as in [Divergence.WriteText], so that it is valid UTF-8 and may
// be printed; the exact bytes are in the hex values.
func (d *Divergence) JSON() ([]byte, error) {
	p, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("report as JSON: %w", err)
	}
	return append(p, '\n'), nil
}

// WriteJSON writes what JSON returns.
func (d *Divergence) WriteJSON(w io.Writer) error {
	p, err := d.JSON()
	if err != nil {
		return err
	}
	if _, err := w.Write(p); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (d *Divergence) MarshalJSON() ([]byte, error) {
	clean := calllog.Printable
	j := jsonReport{
		Version:       d.Version,
		Kind:          d.Kind,
		Variant:       d.Variant,
		Variants:      d.Variants,
		Process:       jsonProcess{Pid: d.Process.Pid, Comm: clean(d.Process.Comm), Thread: d.Process.Thread},
		Call:          clean(d.Call),
		VariantCall:   clean(d.VariantCall),
		Argument:      clean(d.Argument),
		ArgumentIndex: d.ArgumentIndex,
		Offset:        d.Offset,
		Leader:        valueToJSON(d.Leader),
		Other:         valueToJSON(d.Other),
		Events:        []jsonEntry{},
		Policy:        clean(d.Policy),
		EffectOut:     d.EffectOut,
		Inexact:       d.Inexact,
		Preempted:     d.Preempted,
		When:          clean(d.When),
	}
	j.Cause, j.Sides = causeToJSON(d.Cause), sidesToJSON(d.Sides)
	if j.Version == 0 {
		j.Version = Version
	}
	for _, r := range d.Rules {
		j.Rules = append(j.Rules, jsonRule{clean(r.Name), r.Times})
	}
	for _, e := range d.lastEvents() {
		j.Events = append(j.Events, jsonEntry{e.Seq, e.Pid, e.Thread, clean(e.Text), e.Waiting})
	}
	return json.Marshal(j)
}

// UnmarshalJSON implements json.Unmarshaler. It refuses versions that this
// package does not know.
func (d *Divergence) UnmarshalJSON(p []byte) error {
	var j jsonReport
	if err := json.Unmarshal(p, &j); err != nil {
		return err
	}
	if j.Version != Version {
		return fmt.Errorf("report has version %d, not %d", j.Version, Version)
	}
	leader, err := valueFromJSON(j.Leader)
	if err != nil {
		return fmt.Errorf("leader: %w", err)
	}
	other, err := valueFromJSON(j.Other)
	if err != nil {
		return fmt.Errorf("variant_value: %w", err)
	}
	*d = Divergence{
		Version:       j.Version,
		Kind:          j.Kind,
		Variant:       j.Variant,
		Variants:      j.Variants,
		Process:       Process(j.Process),
		Call:          j.Call,
		VariantCall:   j.VariantCall,
		Argument:      j.Argument,
		ArgumentIndex: j.ArgumentIndex,
		Offset:        j.Offset,
		Leader:        leader,
		Other:         other,
		Policy:        j.Policy,
		EffectOut:     j.EffectOut,
		Inexact:       j.Inexact,
		Preempted:     j.Preempted,
		When:          j.When,
	}
	for _, r := range j.Rules {
		d.Rules = append(d.Rules, RuleUse(r))
	}
	for _, e := range j.Events {
		d.Events = append(d.Events, Entry(e))
	}
	d.Cause = causeFromJSON(j.Cause)
	d.Sides, err = sidesFromJSON(j.Sides)
	return err
}

func valueToJSON(v Value) jsonValue {
	return jsonValue{
		Text:         calllog.Printable(v.Text),
		Hex:          hex.EncodeToString(v.Bytes[:min(len(v.Bytes), MaxBytes)]),
		Fault:        v.Fault,
		WindowOffset: v.WindowOffset,
	}
}

func valueFromJSON(j jsonValue) (Value, error) {
	v := Value{Text: j.Text, Fault: j.Fault, WindowOffset: j.WindowOffset}
	p, err := hex.DecodeString(j.Hex)
	if err != nil {
		return v, fmt.Errorf("hex: %w", err)
	}
	if len(p) > 0 {
		v.Bytes = p
	}
	return v, nil
}

// lastEvents returns the events that are shown.
func (d *Divergence) lastEvents() []Entry {
	return d.Events[max(len(d.Events)-MaxEvents, 0):]
}
