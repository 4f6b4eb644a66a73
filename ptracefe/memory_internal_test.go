//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"bytes"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
)

// Where /proc does not give protected pages, ptrace gives the same bytes.
func TestPeekPage(t *testing.T) {
	m := &frontendtest.Script{}
	looked := false
	m.Call = func(id frontend.Task, _ frontend.Call, _ string) []frontend.Action {
		if looked {
			return nil
		}
		looked = true
		maps, err := m.Host.Mappings(id)
		if err != nil {
			t.Fatal(err)
		}
		start := maps[0].Start
		for _, r := range []struct{ off, size, want int }{
			{0, 8, 8}, {5, 100, 100}, {3, 2, 2}, {7, 10, 10}, {0, pageSize, pageSize}, {pageSize - 3, 100, 3}, {9, 0, 0},
		} {
			want, got := make([]byte, r.want), make([]byte, r.size)
			if _, err := m.Host.ReadVariantMem(id, start+uint64(r.off), want); err != nil {
				t.Fatal(err)
			}
			if n := peekPage(id.Host, start+uint64(r.off), got); n != r.want || !bytes.Equal(got[:n], want) {
				t.Errorf("%d bytes at offset %d: %d, %x; want %x", r.size, r.off, n, got, want)
			}
		}
		if n := peekPage(id.Host, 8, make([]byte, 8)); n != 0 {
			t.Errorf("%d bytes of nothing", n)
		}
		return nil
	}
	_, err := New().Run(t.Context(), frontend.Spec{Programs: []string{"/bin/true"}, Args: []string{"true"}, Variants: 1}, m.NewMonitor)
	if err != nil || !looked {
		t.Errorf("Run: %v", err)
	}
}
