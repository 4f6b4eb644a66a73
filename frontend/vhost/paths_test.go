//go:build linux

package vhost

import (
	"bytes"
	"strings"
	"testing"
)

// Each path has an entry of its own, as long as there are any.
func TestPaths(t *testing.T) {
	p, err := NewPaths()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, path := range []string{"/with\x00end", "/" + strings.Repeat("x", maxPathSize-1)} {
		if o, ok := p.Put(path, 0, 0, 0); ok {
			t.Errorf("%.20q is at %#x", path, o.Name)
		}
	}
	var all []OpenPath
	seen := map[uint64]bool{}
	for i := range paths {
		path := "/" + strings.Repeat("y", maxPathSize-2-i)
		o, ok := p.Put(path, uint64(i), 2, 3)
		if !ok || seen[o.How] || o.How < PathsAddr || o.Name+maxPathSize > PathsAddr+paths*pathSize {
			t.Fatalf("path %d: %+v, %v", i, o, ok)
		}
		seen[o.How] = true
		all = append(all, o)
		e := p.mem[o.How-PathsAddr:]
		if !bytes.HasPrefix(e[o.Name-o.How:], append([]byte(path), 0)) || e[pathFlags] != byte(i) || e[pathMode] != 2 || e[pathResolve] != 3 {
			t.Errorf("path %d is not what it was", i)
		}
	}
	if _, ok := p.Put("/", 0, 0, 0); ok {
		t.Error("there was room for one more")
	}
	p.Release(all[7])
	if o, ok := p.Put("/", 0, 0, 0); !ok || o != all[7] {
		t.Errorf("%+v, %v in place of %+v", o, ok, all[7])
	}
}
