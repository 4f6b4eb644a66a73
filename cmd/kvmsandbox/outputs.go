package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/report"
)

// outputs are the files that kvmsandbox writes. All are opened before the program
// starts. Lines are written at once, so that none is lost when the monitor is
// killed. Not safe for concurrent use.
type outputs struct {
	// report and page are nil when nobody asked for them.
	report, page *reportFile
	log          *os.File
	perVariant   []*os.File
	line         []byte
	// err is the first failed write.
	err error
}

// openOutputs creates the files that the options ask for, empty.
func openOutputs(o options) (*outputs, error) {
	out := &outputs{}
	var err error
	if out.report, err = openReport(o.report); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if out.page, err = openReport(o.reportHTML); err != nil {
		out.abandon()
		return nil, fmt.Errorf("report: %w", err)
	}
	if o.log != "" {
		if out.log, err = create(o.log); err != nil {
			out.abandon()
			return nil, fmt.Errorf("log: %w", err)
		}
	}
	if o.perVariant {
		for v := range o.variants {
			f, err := create(fmt.Sprintf("out.%d", v))
			if err != nil {
				out.abandon()
				return nil, fmt.Errorf("MV_OUT_TO_FILE: %w", err)
			}
			out.perVariant = append(out.perVariant, f)
		}
	}
	return out, nil
}

func create(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
}

// logsCalls reports whether call has anything to do.
func (o *outputs) logsCalls() bool { return o.log != nil || len(o.perVariant) > 0 }

// call writes a call of a variant to the logs that want it. An error ends the
// session; finish returns it, too.
func (o *outputs) call(variant int, line []byte) error {
	o.line = append(append(o.line[:0], bytes.TrimSuffix(line, []byte{'\n'})...), '\n')
	if o.log != nil && variant == frontend.Leader {
		o.write(o.log)
	}
	if variant < len(o.perVariant) {
		o.write(o.perVariant[variant])
	}
	return o.err
}

// note writes a line that is no call to the log.
func (o *outputs) note(text string) {
	if o.log != nil {
		o.line = append(append(o.line[:0], text...), '\n')
		o.write(o.log)
	}
}

func (o *outputs) write(f *os.File) {
	if o.err != nil {
		return
	}
	if _, err := f.Write(o.line); err != nil {
		o.err = fmt.Errorf("the call log is incomplete: %w", err)
	}
}

// finish writes the reports when there is a divergence and closes all files. It
// returns the first error of any write. Without a divergence no new report file is
// left behind.
func (o *outputs) finish(d *report.Divergence, now time.Time) error {
	err := o.err
	if d == nil {
		o.abandon()
	} else {
		if d.When == "" {
			dated := *d
			dated.When = now.UTC().Format(time.RFC3339)
			d = &dated
		}
		err = errors.Join(err, o.report.write(d.WriteJSON), o.page.write(d.WriteHTML))
	}
	for _, f := range append([]*os.File{o.log}, o.perVariant...) {
		if f == nil {
			continue
		}
		if cerr := f.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("the call log is incomplete: %w", cerr)
		}
	}
	return err
}

// abandon closes the files of reports and removes those that did not exist before.
func (o *outputs) abandon() {
	o.report.abandon()
	o.page.abandon()
}

// withdraw removes the files of reports that are new and empty, for who ends the process without
// finish. Unlike the other methods it may be called while another one hangs.
func (o *outputs) withdraw() {
	if o == nil {
		return
	}
	for _, r := range []*reportFile{o.report, o.page} {
		if r == nil || !r.isNew {
			continue
		}
		if info, err := os.Stat(r.f.Name()); err == nil && info.Size() == 0 {
			_ = os.Remove(r.f.Name())
		}
	}
}

// reportFile is a file for a report. The nil pointer is none.
type reportFile struct {
	f *os.File
	// isNew is true when it did not exist before.
	isNew bool
}

// openReport creates the file, or empties it: what an earlier run wrote must not pass for
// this one's report. A new one is for its owner alone: it has memory of the program in it.
// No name gives none.
func openReport(path string) (*reportFile, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	isNew := err == nil
	if errors.Is(err, fs.ErrExist) {
		f, err = create(path)
	}
	if err != nil {
		return nil, err
	}
	return &reportFile{f, isNew}, nil
}

// write writes the report and closes the file.
func (r *reportFile) write(to func(io.Writer) error) error {
	if r == nil {
		return nil
	}
	if err := errors.Join(to(r.f), r.f.Close()); err != nil {
		return fmt.Errorf("the report is incomplete: %w", err)
	}
	return nil
}

// abandon closes the file, and removes it if it did not exist before.
func (r *reportFile) abandon() {
	if r == nil {
		return
	}
	_ = r.f.Close()
	if r.isNew {
		_ = os.Remove(r.f.Name())
	}
}
