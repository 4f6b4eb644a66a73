package docs_test

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the directory of the module.
const root = ".."

// withCode are the documents that show Go code.
var withCode = []string{"README.md", "docs/embedding.md", "docs/frontends.md"}

// snippet is a block of Go code in a document, and the file it says it comes from.
type snippet struct {
	line int
	file string
	code []string
}

// snippets returns the blocks of Go code of a document.
func snippets(doc string) []snippet {
	var all []snippet
	var in *snippet
	file := ""
	for i, line := range strings.Split(doc, "\n") {
		switch {
		case in != nil && line == "```":
			all = append(all, *in)
			in, file = nil, ""
		case in != nil:
			in.code = append(in.code, line)
		case line == "```go":
			in = &snippet{line: i + 1, file: file}
		case strings.HasPrefix(line, "<!-- from "):
			file = strings.TrimSuffix(strings.TrimPrefix(line, "<!-- from "), " -->")
		case line != "":
			file = ""
		}
	}
	return all
}

// contains reports whether lines stand in a row in text, whatever they are indented by.
func contains(text string, lines []string) bool {
	trimmed := func(lines []string) []string {
		var out []string
		for _, l := range lines {
			out = append(out, strings.TrimSpace(l))
		}
		return out
	}
	all, want := trimmed(strings.Split(text, "\n")), trimmed(lines)
	for i := range all {
		if len(all)-i >= len(want) && slices.Equal(all[i:i+len(want)], want) {
			return true
		}
	}
	return false
}

// checkSnippets returns what is wrong with the code in a document.
func checkSnippets(doc string, read func(name string) ([]byte, error)) (problems []string, n int) {
	list := snippets(doc)
	for _, s := range list {
		if s.file == "" {
			problems = append(problems, fmt.Sprintf("line %d: no file is named above the code", s.line))
			continue
		}
		text, err := read(s.file)
		if err != nil {
			problems = append(problems, fmt.Sprintf("line %d: %v", s.line, err))
			continue
		}
		if !contains(string(text), s.code) {
			problems = append(problems, fmt.Sprintf("line %d: the code is not in %s", s.line, s.file))
		}
	}
	return problems, len(list)
}

// The code in documents is code that is compiled and run by tests.
func TestSnippets(t *testing.T) {
	for _, name := range withCode {
		doc, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		problems, n := checkSnippets(string(doc), func(name string) ([]byte, error) {
			return os.ReadFile(filepath.Join(root, name))
		})
		if n == 0 {
			t.Errorf("%s shows no code", name)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", name, p)
		}
	}
}

func TestCheckSnippets(t *testing.T) {
	read := func(name string) ([]byte, error) {
		if name != "a.go" {
			return nil, fs.ErrNotExist
		}
		return []byte("package a\n\n\tx := 1\n\ty := 2\n"), nil
	}
	for doc, want := range map[string]int{
		"<!-- from a.go -->\n```go\nx := 1\ny := 2\n```":     0,
		"<!-- from a.go -->\n\n```go\nx := 1\n```":           0,
		"<!-- from a.go -->\n```go\nx := 1\ny := 3\n```":     1,
		"<!-- from a.go -->\n```go\nx := 1\n\ny := 2\n```":   1,
		"<!-- from b.go -->\n```go\nx := 1\n```":             1,
		"```go\nx := 1\n```":                                 1,
		"<!-- from a.go -->\ntext\n```go\nx := 1\n```":       1,
		"<!-- from a.go -->\n```sh\nx\n```\n```go\ny\n```\n": 1,
	} {
		if got, _ := checkSnippets(doc, read); len(got) != want {
			t.Errorf("%q: %q, want %d problems", doc, got, want)
		}
	}
}

// Every package that others can import says in doc.go what it is, and has an example that
// runs.
func TestPackagesHaveExamples(t *testing.T) {
	packages := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			return nil
		}
		name := d.Name()
		if path != root && (strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "internal", "cmd", "docs", "test"}, name)) {
			return fs.SkipDir
		}
		files, err := filepath.Glob(filepath.Join(path, "*.go"))
		if err != nil {
			return err
		}
		library, doc, example := false, false, false
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, text, parser.PackageClauseOnly)
			if err != nil {
				return err
			}
			switch {
			case strings.HasSuffix(file, "_test.go"):
				example = example || bytes.Contains(text, []byte("\nfunc Example")) && bytes.Contains(text, []byte("// Output:"))
			case f.Name.Name != "main":
				library = true
				doc = doc || filepath.Base(file) == "doc.go"
			}
		}
		if library {
			packages++
			if !doc {
				t.Errorf("%s has no doc.go", path)
			}
			if !example {
				t.Errorf("%s has no example that runs", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if packages < 14 {
		t.Errorf("only %d packages were found", packages)
	}
}
