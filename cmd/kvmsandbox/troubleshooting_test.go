package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// anything stands in documented messages for what differs.
const anything = "…"

// documented returns the messages of docs/troubleshooting.md.
func documented(t *testing.T) []string {
	t.Helper()
	p, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	var messages []string
	for line := range strings.Lines(string(p)) {
		if rest, ok := strings.CutPrefix(line, "### `"); ok {
			messages = append(messages, strings.TrimSuffix(strings.TrimSpace(rest), "`"))
		}
	}
	if len(messages) < 50 {
		t.Fatalf("only %d messages", len(messages))
	}
	return messages
}

// verb is a verb of package fmt.
var verb = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`)

// plain returns a format with what differs replaced.
func plain(format string) string {
	text := verb.ReplaceAllString(format, anything)
	for strings.Contains(text, anything+anything) {
		text = strings.ReplaceAll(text, anything+anything, anything)
	}
	return text
}

// literal returns the text of a constant or of a sum of constants, with anything for what is
// none.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, e.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		x, okX := literal(e.X)
		y, okY := literal(e.Y)
		if e.Op != token.ADD || !okX && !okY {
			return "", false
		}
		if !okX {
			x = anything
		}
		if !okY {
			y = anything
		}
		return x + y, true
	}
	return "", false
}

// sourceTexts returns the texts of all packages of dir, and those of them that users get
// for sure: the command's errors and the notices of the engine.
func sourceTexts(t *testing.T, dir string) (all map[string]bool, told []string) {
	t.Helper()
	all = map[string]bool{}
	files := token.NewFileSet()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(name, ".") && path != dir:
			return fs.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok {
				if text, ok := literal(e); ok {
					all[plain(text)] = true
				}
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			inCommand := strings.HasSuffix(filepath.Dir(path), "cmd/kvmsandbox")
			from, _ := f.X.(*ast.Ident)
			switch {
			case inCommand && from != nil && (from.Name == "fmt" && f.Sel.Name == "Errorf" || from.Name == "errors" && f.Sel.Name == "New"):
				if text, ok := literal(call.Args[0]); ok {
					told = append(told, plain(text))
				}
			case f.Sel.Name == "notice":
				e := call.Args[len(call.Args)-1]
				if inner, ok := e.(*ast.CallExpr); ok {
					e = inner.Args[0]
				}
				if text, ok := literal(e); ok {
					told = append(told, plain(text))
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, told
}

// hasWords reports whether a text says more than what was wrapped.
func hasWords(text string) bool {
	return regexp.MustCompile(`[a-z]{3}`).MatchString(strings.ReplaceAll(text, anything, " "))
}

// Each message that docs/troubleshooting.md explains is one of the source's, and each that
// the command or the engine's notices have is explained.
func TestTroubleshooting(t *testing.T) {
	messages := documented(t)
	all, told := sourceTexts(t, "../..")
	known := func(message string) bool {
		if all[message] {
			return true
		}
		want := strings.TrimSuffix(message, anything)
		for text := range all {
			if hasWords(want) && strings.HasPrefix(text, want) {
				return true
			}
		}
		return false
	}
	for _, m := range messages {
		if !known(m) {
			t.Errorf("%q is explained, but in no source", m)
		}
	}
	if len(told) < 50 {
		t.Errorf("only %d messages in the source", len(told))
	}
	explained := map[string]bool{}
	for _, m := range messages {
		explained[m] = true
	}
	for _, text := range told {
		if hasWords(text) && !explained[text] {
			t.Errorf("%q is not explained in docs/troubleshooting.md", text)
		}
	}
}
