//go:build linux && amd64

package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// threadPrograms are programs of several threads or processes that work on one thing at
// the same time, in the languages that people write them in. What they print does not
// depend on how these interleave.
var threadPrograms = []realProgram{
	{"go", func(t *testing.T) Case {
		return Case{Args: []string{threaded(t, "goroutines", "go", "build", "-o", "OUT", "./threads/goroutines")}}
	}},
	{"c++", func(t *testing.T) Case {
		return Case{Args: []string{threaded(t, "pool", tool(t, "g++"), "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", "OUT", "threads/pool.cc")}}
	}},
	{"openmp", func(t *testing.T) Case {
		return Case{Args: []string{threaded(t, "openmp", tool(t, "gcc"), "-O1", "-Wall", "-Wextra", "-Werror", "-fopenmp", "-o", "OUT", "threads/openmp.c")}}
	}},
	{"python", func(t *testing.T) Case { return Case{Args: []string{tool(t, "python3"), source(t, "pool.py")}} }},
	{"python-processes", func(t *testing.T) Case { return Case{Args: []string{tool(t, "python3"), source(t, "processes.py")}} }},
	{"python-events", func(t *testing.T) Case { return Case{Args: []string{tool(t, "python3"), source(t, "events.py")}} }},
	{"python-signals", func(t *testing.T) Case {
		return Case{Args: []string{tool(t, "python3"), source(t, "signals.py")}}
	}},
	{"perl", func(t *testing.T) Case { return Case{Args: []string{tool(t, "perl"), source(t, "threads.pl")}} }},
	{"perl-signals", func(t *testing.T) Case { return Case{Args: []string{tool(t, "perl"), source(t, "signals.pl")}} }},
	{"xz", func(t *testing.T) Case {
		return Case{Args: []string{tool(t, "xz"), "-T2", "-c", "-1", "--block-size=64KiB"}, Stdin: standardInput()}
	}},
	{"pigz", func(t *testing.T) Case {
		return Case{Args: []string{tool(t, "pigz"), "-p2", "-n", "-c"}, Stdin: standardInput()}
	}},
	{"git-gc", gcCase},
	{"sqlite3-writers", func(t *testing.T) Case { return writersCase(t, "delete") }},
	{"sqlite3-writers-wal", func(t *testing.T) Case { return writersCase(t, "wal") }},
	{"stress-ng", func(t *testing.T) Case {
		// Its lines have process ids and times. The last one says how it went.
		return Case{
			Args:   []string{tool(t, "stress-ng"), "--futex", "2", "--pthread", "2", "--fork", "2", "-t", "5"},
			Stdout: lastLine, Stderr: comparator{"last line but for minutes", func(s string) string {
				return lastLine.normal(minutes.ReplaceAllString(s, ""))
			}},
		}
	}},
}

// minutes is what stress-ng adds to a time of more than a minute.
var minutes = regexp.MustCompile(` \([0-9]+ mins?, [0-9.]+ secs?\)`)

// lastLine compares the last line, but for decimal numbers.
var lastLine = comparator{"last line", func(s string) string {
	s = strings.TrimSuffix(s, "\n")
	return digits.normal(s[strings.LastIndexByte(s, '\n')+1:])
}}

// gcCase packs a repository with several threads. How well these find what to pack
// together depends on which is faster, natively as well, so the packs go away when it
// has been looked at what is in them.
func gcCase(t *testing.T) Case {
	tool(t, "git")
	c := shellCase(t, "dash", `set -e
git init -q repo
cd repo
i=0
while [ $i -lt 5 ]; do
	i=$((i + 1))
	seq $i $((i * 150)) >numbers
	seq $((i * 7)) 400 >"file$((i % 5))"
	git add .
	git commit -q -m "commit $i"
	[ $i != 5 ] || git branch side
done
git reset -q --hard HEAD~1
check() {
	git fsck --full --strict
	git rev-list --objects --all | sort
	git count-objects -v | grep -v size
	git verify-pack -v .git/objects/pack/*.idx | awk '$2 ~ /^(commit|tree|blob)$/ {print $1, $2}' | sort
}
git gc --quiet --aggressive
check
git branch -D side
git reflog expire --expire=now --all
git gc --quiet --prune=now
check
git log --format='%H %s'
cd ..
rm -rf repo
`)
	c.Env = gitEnv("pack.threads", "2", "index.threads", "2")
	return c
}

// writersCase has two processes write to one database with this journal mode. Which of
// them comes first each time is not sqlite3's business, but each transaction sees all
// those before it.
func writersCase(t *testing.T, journal string) Case {
	tool(t, "sqlite3")
	c := shellCase(t, "dash", `set -e
sqlite3 test.db 'pragma journal_mode=`+journal+`; create table t (writer, i, before); create table total (n); insert into total values (0);'
write() {
	i=0
	while [ $i -lt 15 ]; do
		i=$((i + 1))
		echo "begin immediate; insert into t select $1, $i, n from total; update total set n = n + 1; commit;"
	done | sqlite3 -bail -cmd '.timeout 100000' test.db
}
write 1 & first=$!
write 2 & second=$!
wait $first
wait $second
sqlite3 test.db 'select writer, i from t order by writer, i; select count(distinct before), max(before) from t; select n from total;' \
	'select count(*) from t a join t b using (writer) where a.i < b.i and a.before >= b.before;' \
	'pragma journal_mode; pragma integrity_check;'
`)
	c.Volatile = []string{"test.db"}
	return c
}

// source returns the absolute path of a file of threads.
func source(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("threads", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// threaded builds a program of threads, by a command in which OUT stands for the file.
func threaded(t *testing.T, name string, command ...string) string {
	t.Helper()
	out := filepath.Join(root, "threads", name)
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range command {
		if command[i] == "OUT" {
			command[i] = out
		}
	}
	if text, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, text)
	}
	return out
}

// TestThreads runs programs whose threads compute, natively and as variants.
func TestThreads(t *testing.T) {
	t.Parallel()
	for i, p := range threadPrograms {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			numbers := []int{1, 2, 3}
			if testing.Short() {
				numbers = inTurn(i, 2, 3)
			}
			p.make(t).same(t, Run{}, numbers...)
		})
	}
}

// TestContinuedThreads has processes of threads stopped and continued so often that one signal meets the
// other on its way.
func TestContinuedThreads(t *testing.T) {
	t.Parallel()
	Case{Args: []string{program(t, "sig_cont", dynamic), "threads"}}.same(t, Run{}, 2, 3)
}
