package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/manual"
)

// doctorName is the sub-command when it is the very first argument.
const doctorName = "doctor"

// statusCannotServe is the doctor's status when nothing can run here.
const statusCannotServe = 1

// diagnosis is what the doctor says. Its JSON is read by other programs: members
// are added, never changed.
type diagnosis struct {
	Version string `json:"version"`
	// Auto is the front-end that --frontend auto takes, OK whether it can run.
	Auto      string              `json:"auto"`
	OK        bool                `json:"ok"`
	FrontEnds []frontEndDiagnosis `json:"frontends"`
	// Host is what helps all front-ends; nothing of it is required.
	Host frontend.Features `json:"host"`
}

type frontEndDiagnosis struct {
	Name string `json:"name"`
	// Built is false when this kvmsandbox does not have the front-end.
	Built bool `json:"built"`
	// Usable is true when the host has all that the front-end requires.
	Usable bool `json:"usable"`
	// Kind is how the host does it, where there are several ways.
	Kind     string            `json:"kind,omitempty"`
	Error    string            `json:"error,omitempty"`
	Features frontend.Features `json:"features,omitempty"`
}

// doctorUsage is the text of doctor --help.
func doctorUsage() string {
	command := manual.Doctor()
	return command.Usage()
}

// doctor is the sub-command.
func (c *command) doctor(ctx context.Context, args, env []string) status {
	var asJSON, help bool
	var o options
	fs := flag.NewFlagSet(doctorName, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.BoolVar(&asJSON, "json", false, "")
	fs.IntVar(&o.variants, "n", 0, "")
	fs.BoolVar(&help, "help", false, "")
	fs.BoolVar(&help, "h", false, "")
	if err := fs.Parse(args); err != nil {
		return c.fail(statusFailed, fmt.Errorf("doctor: %w; kvmsandbox doctor --help lists the flags", err))
	}
	given := false
	fs.Visit(func(f *flag.Flag) { given = given || f.Name == "n" })
	if help {
		return c.print(doctorUsage())
	}
	if fs.NArg() > 0 {
		return c.fail(statusFailed, fmt.Errorf("doctor takes no argument %q; the program doctor is run by kvmsandbox -- doctor", fs.Arg(0)))
	}
	if err := o.setVariants(given, env); err != nil {
		return c.fail(statusFailed, err)
	}

	d := c.methods.diagnose(ctx)
	d.Version = version()
	d.Host = c.host(o.variants)
	if above := c.above(); above != 0 && !d.OK {
		d.Host = append(d.Host, nesting(above))
	}
	text := d.text()
	if asJSON {
		p, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			return c.fail(statusFailed, err)
		}
		text = string(p) + "\n"
	}
	s := c.print(text)
	if s == (status{}) && !d.OK {
		s.code = statusCannotServe
	}
	return s
}

// diagnose tests all front-ends, also those that are not built in.
func (ms methods) diagnose(ctx context.Context) diagnosis {
	var d diagnosis
	verdicts := map[string]verdict{}
	usable := map[string]bool{}
	for _, m := range ms {
		f := frontEndDiagnosis{Name: m.name, Built: m.new != nil}
		if m.only != "" {
			f.Error = "for " + m.only + " only"
		}
		if m.test != nil {
			v, err := m.test(ctx)
			if err != nil {
				f.Error = err.Error()
			} else {
				verdicts[m.name] = v
				f.Usable, f.Kind, f.Features = v.features.Usable(), v.kind, v.features
			}
		}
		usable[m.name] = f.Built && f.Usable
		d.FrontEnds = append(d.FrontEnds, f)
	}
	auto, _ := ms.auto(func(m method) verdict { return verdicts[m.name] })
	d.Auto = auto.name
	d.OK = usable[d.Auto]
	return d
}

// latencyPath holds processors out of deep sleep while it is open with a bound in
// it (Documentation/power/pm_qos_interface.rst of the kernel).
const latencyPath = "/dev/cpu_dma_latency"

// thisHost tests what all front-ends profit from.
func thisHost(variants int) frontend.Features {
	processors := frontend.Feature{Name: "processors", State: frontend.FeaturePresent, Found: fmt.Sprintf("%d for %d variants", runtime.NumCPU(), variants)}
	if runtime.NumCPU() < variants {
		processors.State = frontend.FeatureMissing
		processors.Fix = "allow more processors (taskset, cpuset), or take fewer variants: until then they take turns, which costs time only"
	}
	return frontend.Features{processors, latency(latencyPath)}
}

// latency tests whether this user may keep processors awake. Opening the file asks
// for nothing yet.
func latency(path string) frontend.Feature {
	f := frontend.Feature{Name: "wake-up latency", State: frontend.FeaturePresent, Found: path + " can be held"}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		file.Close()
		return f
	}
	f.State, f.Found = frontend.FeatureMissing, err.Error()
	f.Fix = "nothing to repair: this kernel or container has no " + path + ", and waking a sleeping processor takes longer"
	if errors.Is(err, syscall.EACCES) {
		f.Fix = `sudo chown "$USER" ` + path
	}
	return f
}

// text is the diagnosis for people.
func (d *diagnosis) text() string {
	var b strings.Builder
	for _, f := range d.FrontEnds {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.summary())
		writeFeatures(&b, f.Features)
	}
	b.WriteString("all front-ends\n")
	writeFeatures(&b, d.Host)
	fmt.Fprintf(&b, "--frontend auto: %s", d.Auto)
	if !d.OK {
		b.WriteString(", which cannot run here")
	}
	b.WriteByte('\n')
	return b.String()
}

// summary is one line on a front-end.
func (f *frontEndDiagnosis) summary() string {
	kind := ""
	if f.Kind != "" {
		kind = " (kind: " + f.Kind + ")"
	}
	switch {
	case f.Error != "":
		return f.Error
	case len(f.Features) == 0:
		return "not built yet"
	case !f.Built && f.Usable:
		return "not built into this kvmsandbox; could run here" + kind
	case !f.Built:
		return "not built into this kvmsandbox, and could not run here"
	case f.Usable:
		return "can run here" + kind
	}
	return "cannot run here"
}

// writeFeatures writes a line per feature, and one more for what is to be done. What
// was not tested is a number.
func writeFeatures(w io.Writer, fs frontend.Features) {
	untested := 0
	for _, f := range fs {
		if f.State == frontend.FeatureUntested {
			untested++
			continue
		}
		line := fmt.Sprintf("  %-8s  %-16s  %s", f.State, f.Name, f.Found)
		if f.State != frontend.FeaturePresent && !f.Required {
			line += " (not required)"
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
		if f.Fix != "" {
			fmt.Fprintf(w, "  %-8s  fix: %s\n", "", f.Fix)
		}
	}
	if untested > 0 {
		fmt.Fprintf(w, "  %-8s  %d more, until then\n", frontend.FeatureUntested, untested)
	}
}
