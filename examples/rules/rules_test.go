// Package rules_test parses the rules of this directory.
package rules_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/multivar/multivar/libmultivar/rule"
)

// The rules that come with the project are rules.
func TestRules(t *testing.T) {
	files, err := filepath.Glob("*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if set, err := rule.Parse(data); err != nil || len(set.Names()) == 0 {
			t.Errorf("%s: %d rules, %v", file, len(set.Names()), err)
		}
	}
}
