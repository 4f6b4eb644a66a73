package tomlfile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/multivar/multivar/libmultivar/tomlfile"
)

type config struct {
	Name  string            `toml:"name"`
	Count int               `toml:"count"`
	Waits map[string]string `toml:"waits"`
	Rules []rule            `toml:"rule"`
}

type rule struct {
	Calls []string `toml:"calls"`
	Where struct {
		Path string `toml:"path"`
	} `toml:"where"`
}

const sample = `name = "x"

[waits]
read = "a"
write.b = "c"

[[rule]]
calls = ["a",
  "b"]
where.path = "/x"

[[rule]]
[rule.where]
path = "/y"
`

func TestLines(t *testing.T) {
	var c config
	f, err := tomlfile.Decode([]byte(strings.Replace(sample, "write.b = ", "write = ", 1)), &c)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Rules) != 2 || c.Rules[1].Where.Path != "/y" || c.Waits["write"] != "c" {
		t.Fatalf("decoded %+v", c)
	}
	for _, tc := range []struct {
		path []string
		want int
	}{
		{[]string{"name"}, 1},
		{[]string{"waits", "read"}, 4},
		{[]string{"waits", "write"}, 5},
		{[]string{"waits", "nothing"}, 3},
		{[]string{"rule", tomlfile.Element(0)}, 7},
		{[]string{"rule", tomlfile.Element(0), "calls"}, 8},
		{[]string{"rule", tomlfile.Element(0), "where", "path"}, 10},
		{[]string{"rule", tomlfile.Element(1)}, 12},
		{[]string{"rule", tomlfile.Element(1), "where", "path"}, 14},
		{[]string{"rule", tomlfile.Element(1), "calls"}, 12},
		{[]string{"absent"}, 0},
	} {
		if got := f.Line(tc.path...); got != tc.want {
			t.Errorf("line of %q: %d, want %d", tc.path, got, tc.want)
		}
	}
	cause := errors.New("cause")
	err = f.Errorf([]string{"waits", "read"}, "bad: %w", cause)
	if err.Error() != "line 4: bad: cause" || !errors.Is(err, cause) {
		t.Errorf("error %q", err)
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for _, tc := range []struct{ data, want string }{
		{"name = \"x\"\nnonsense = 1\n", `line 2: unknown key "nonsense"`},
		{"name = \"x\"\n\n[rules]\nx = 1\n", "line 3: "},
		{"[[rule]]\ncalls = []\ncolour = \"red\"\n", `line 3: unknown key "rule.colour"`},
		{"name = 3\n", "line 1: "},
		{"\ncount = \"x\"\n", "line 2: "},
		{"\n\nname = \n", "line 3: "},
		{"name = \"a\"\nname = \"b\"\n", "line 2: "},
		{"count = 99999999999999999999\n", "line 1: "},
		{"Name = \"x\"\n", "line 1: unknown key"},
		{"name = \"\xff\"\n", "line 1: "},
		{strings.Repeat("#\n", tomlfile.MaxSize), "at most"},
		{"name = " + strings.Repeat("[", tomlfile.MaxSize-10), "line 1: "},
	} {
		var c config
		_, err := tomlfile.Decode([]byte(tc.data), &c)
		var e *tomlfile.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tc.want) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%.40q: error %v, want one with %q", tc.data, err, tc.want)
		}
	}
}

// Whatever the bytes, there is an answer, an error is one line, and what is decoded can
// be found.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("[[rule]]\n[[rule]]\nwhere = {path = \"x\"}\n"))
	f.Add([]byte("waits = {a = \"b\"}\n"))
	f.Add([]byte("rule = [{calls = []}, {}]\n[a.b.c]\n[[a.b.d]]"))
	f.Add([]byte("\"\" = 1\n'\x00' = 2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c config
		file, err := tomlfile.Decode(data, &c)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		if c.Name != "" && file.Line("name") == 0 {
			t.Error("no line for a key that is there")
		}
	})
}
