package cause

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/multivar/multivar/libmultivar/report"
)

// ordering judges whether variants do the same in another order.
func ordering(in *incident) finding {
	if in.differs() {
		if what := in.permuted(); what != "" {
			return finding{report.CauseOrdering, strengthPermuted, []string{"the same " + what + " come in another order"}}
		}
	}
	want, _, _ := strings.Cut(in.other.Text, " = ")
	if next := in.leader.Next; next != "" && next == want && in.other.HasCall {
		return finding{report.CauseOrdering, strengthMoved, []string{
			fmt.Sprintf("what variant %d asks for is what the leader asks for next: %s", in.other.Variant, next),
		}}
	}
	if e := in.moved(); e != nil {
		who := "later"
		if e.Thread != in.d.Process.Thread {
			who = fmt.Sprintf("in thread %d", e.Thread)
		}
		return finding{report.CauseOrdering, strengthMoved, []string{
			fmt.Sprintf("what variant %d asks for is what the leader does %s, in event %d: %s", in.other.Variant, who, e.Seq, e.Text),
		}}
	}
	var marks []string
	if in.d.Preempted > 0 {
		marks = append(marks, fmt.Sprintf("a thread that computed had to let others run %d times, which is not at the same instruction in all variants", in.d.Preempted))
	}
	if in.d.Inexact > 0 {
		marks = append(marks, fmt.Sprintf("%d signals came in the middle of computations, which is not at the same instruction in all variants", in.d.Inexact))
	}
	if in.d.Kind == report.KindHang && in.d.Scene != nil && in.d.Scene.Threads > 1 {
		marks = append(marks, "one of several threads waits for another one by looking at memory")
	}
	if len(marks) > 0 {
		return finding{report.CauseOrdering, strengthMarks, marks}
	}
	return finding{}
}

// permuted says of what parts both data consist in another order, empty when they do not.
func (in *incident) permuted() string {
	if len(in.a) != len(in.b) {
		return ""
	}
	if textual(in.a) && textual(in.b) {
		for _, by := range []struct{ sep, what string }{{"\n", "lines"}, {"\x00", "texts"}, {" ", "words"}, {",", "words"}} {
			if permutation(bytes.Split(in.a, []byte(by.sep)), bytes.Split(in.b, []byte(by.sep))) {
				return by.what
			}
		}
		words := func(p []byte) [][]byte {
			return bytes.FieldsFunc(p, func(r rune) bool { return strings.ContainsRune(" \t\n\r,;:=\"'()[]{}<>\x00", r) })
		}
		if permutation(words(in.a), words(in.b)) {
			return "words"
		}
		return ""
	}
	for _, size := range []int{8, 4, 16, 2} {
		if len(in.a)%size != 0 || len(in.a) < 2*size {
			continue
		}
		split := func(p []byte) [][]byte { return slices.Collect(slices.Chunk(p, size)) }
		if permutation(split(in.a), split(in.b)) {
			return fmt.Sprintf("records of %d bytes", size)
		}
	}
	return ""
}

// permutation reports whether two lists have the same elements in another order.
func permutation(a, b [][]byte) bool {
	if len(a) != len(b) || len(a) < 2 {
		return false
	}
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, bytes.Compare)
	slices.SortFunc(b, bytes.Compare)
	return slices.EqualFunc(a, b, bytes.Equal)
}

// moved returns the event of the leader's that is what the other variant asks for, done
// later or by another thread, nil when there is none.
func (in *incident) moved() *report.Entry {
	want, _, _ := strings.Cut(in.other.Text, " = ")
	mine, _, _ := strings.Cut(in.leader.Text, " = ")
	if want == "" || want == mine || in.other.Moment != report.MomentExact || !in.other.HasCall {
		return nil
	}
	behind := false
	for i := range in.d.Events {
		e := &in.d.Events[i]
		text, _, _ := strings.Cut(e.Text, " = ")
		if e.Thread == in.d.Process.Thread && text == mine {
			behind = true
		}
		if text == want && (behind || e.Thread != in.d.Process.Thread) {
			return e
		}
	}
	return nil
}
