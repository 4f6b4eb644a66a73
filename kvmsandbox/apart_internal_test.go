//go:build linux && amd64

package kvmsandbox

import (
	"testing"

	"github.com/multivar/multivar/frontend"
)

// A helper that is not made because its process has been killed leaves no block in use.
func TestHelperOfTheDead(t *testing.T) {
	s, tasks := tableUsers(t, 1)
	dead := tasks[0]
	v := dead.proc.variant
	dead.proc.pid, dead.proc.killed = gone(t), true
	b, err := v.newBlock(0)
	if err != nil {
		t.Fatal(err)
	}
	v.arena.FreeBlock(b)
	for range 3 {
		if h, _, err := s.helper(dead); !isGone(err) {
			t.Fatalf("helper %v: %v", h, err)
		}
	}
	after, err := v.newBlock(0)
	if err != nil || after.Index() != b.Index() {
		t.Errorf("the next block is %d, before it was %d (%v)", after.Index(), b.Index(), err)
	}
}

// A helper keeps a slot only as long as it has one.
func TestDeadHelperKeepsNothing(t *testing.T) {
	s, tasks := tableUsers(t, 3)
	opener, f := tasks[0], tasks[0].files
	f.users = 2
	dead, lives := tasks[1], tasks[2]
	dead.id = frontend.Task{Host: gone(t)}
	s.retireHelper(&apart{task: opener, helper: dead})
	if f.keeper != nil || dead.state != ended || s.opensApart(f) {
		t.Error("a helper that has been killed is a keeper")
	}
	s.retireHelper(&apart{task: opener, helper: lives})
	if f.keeper != lives || lives.state == ended {
		t.Error("a helper that lives is none")
	}
}
