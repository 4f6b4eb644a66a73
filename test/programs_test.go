//go:build linux && amd64

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// realProgram is a program that people use, on the list of what must run.
type realProgram struct {
	name string
	// make builds the case; it may skip the test.
	make func(t *testing.T) Case
}

// realPrograms is the list. Where a case names no comparator every byte counts.
var realPrograms = []realProgram{
	{"ls", func(t *testing.T) Case {
		return Case{Prepare: fixture, Args: []string{tool(t, "ls"), "-lR", "--time-style=full-iso", "tree"}}
	}},
	{"find-sort-uniq", func(t *testing.T) Case {
		return shellCase(t, "dash", `find tree -type f | sed 's/.*[./]//' | sort | uniq -c | sort -rn
find tree -printf '%y %m %s %p\n' | sort
find tree -type f -exec cat {} + | sort | uniq -c | wc -l
`)
	}},
	{"tar-gzip-dash", func(t *testing.T) Case { return shellCase(t, "dash", archiveScript) }},
	{"tar-gzip-bash", func(t *testing.T) Case {
		return shellCase(t, "bash", archiveScript+`
declare -A sizes
while read -r size name; do sizes[$name]=$size; done < <(find copy/many -type f -printf '%s %p\n')
for name in $(printf '%s\n' "${!sizes[@]}" | sort); do printf '%s=%s\n' "$name" "${sizes[$name]}"; done
coproc cat
echo through the coprocess >&"${COPROC[1]}"
read -r line <&"${COPROC[0]}"
echo "$line"
eval "exec ${COPROC[1]}>&-"
wait
echo "$BASH_SUBSHELL $(echo "$BASH_SUBSHELL") ${PIPESTATUS[*]}"
`)
	}},
	{"shell-features", func(t *testing.T) Case {
		return shellCase(t, "dash", `set -e
trap 'echo end' EXIT
trap 'echo usr1' USR1
kill -USR1 $$
cat <<here | tr a-z A-Z
a document of $((6 * 7)) lines
here
(exit 3) || echo "status $?"
f() { local x="$1"; echo "f $x"; }
for i in 1 2 3; do f $i & wait $!; done
{ echo out; echo err >&2; } 2>&1 >from-out | sed 's/^/piped /'
echo appended >>from-out
read -r first <from-out
echo "$first"
yes | head -n 100000 | wc -c
printf '%s\n' tree/* | while read -r e; do [ -d "$e" ] && echo "dir $e" || echo "file $e"; done
mkfifo f
echo through >f & cat f
wait
umask 077
: >private
exec 3>third 4<tree/words
read -r word <&4
echo "$word" >&3
cd tree/dir && pwd -P >/dev/null && ls
exit 7
`).ends(7)
	}},
	{"gcc", func(t *testing.T) Case {
		tool(t, "gcc")
		return shellCase(t, "dash", `gcc -O2 -Wall -c hello.c && gcc -O2 -Wall -c util.c && gcc -o hello hello.o util.o && ./hello a b
gcc -O1 -g "-fdebug-prefix-map=$PWD=." -o at-once hello.c util.c -lm && ./at-once
gcc -c wrong.c; echo "status $?"
gcc -E hello.c | grep -c util
`, sources)
	}},
	{"make", func(t *testing.T) Case {
		tool(t, "make")
		tool(t, "gcc")
		// Which of two jobs comes first is not make's business.
		return Case{Prepare: project, Args: []string{tool(t, "make"), "-j2"}, Stdout: sortedLines, Stderr: sortedLines}
	}},
	{"git", func(t *testing.T) Case {
		tool(t, "git")
		c := shellCase(t, "dash", `set -e
git init -q repo
cd repo
git add .
cp -r ../tree .
git add tree
git commit -q -m 'first commit'
echo more >>tree/words
git commit -q -a -m 'second commit'
git checkout -q -b side HEAD~1
echo side >side
git add side
git commit -q -m 'on the side'
git checkout -q main
git merge -q -m 'merged' side
git tag -a -m 'a tag' v1
git log --graph --format='%H %an %ad %s' --date=iso
git diff --stat HEAD~2
git status --short
cd ..
git clone -q repo clone
cd clone
git log --oneline | cat
git fsck --full
git rev-parse HEAD v1
git show --stat v1 | cat
`)
		c.Env = gitEnv(
			// Programs with threads are none of this list.
			"pack.threads", "1", "index.threads", "1", "grep.threads", "1", "core.preloadIndex", "false", "checkout.workers", "1",
		)
		// The index holds times and inode numbers.
		c.Volatile = []string{"repo/.git/index", "clone/.git/index"}
		return c
	}},
	{"perl", func(t *testing.T) Case {
		return Case{Prepare: withFiles(map[string]string{"script.pl": perlScript}), Args: []string{tool(t, "perl"), "script.pl", "arg"},
			// The order of a hash is random, and differs between two native runs.
			Stdout: masked(`(?m)^unsorted .*`)}
	}},
	{"python", func(t *testing.T) Case {
		return Case{Prepare: withFiles(map[string]string{"script.py": pythonScript}), Args: []string{tool(t, "python3"), "-B", "script.py"},
			Stdout: masked(`(?m)^(hash|random|pid) .*`)}
	}},
	{"sqlite3", func(t *testing.T) Case { return sqliteCase(t, "delete") }},
	{"sqlite3-wal", func(t *testing.T) Case { return sqliteCase(t, "wal") }},
	{"busybox", func(t *testing.T) Case {
		c := shellCase(t, "dash", "")
		c.Args = []string{tool(t, "busybox"), "sh", "-c", `
busybox ls -l tree | busybox awk '{print $1, $NF}'
busybox find tree/many -type f | busybox sort | busybox xargs busybox md5sum
busybox tar cf - tree | busybox gzip -c | busybox gunzip -c | busybox tar tf - | busybox sort
i=0; while [ $i -lt 50 ]; do i=$((i + 1)); busybox expr $i \* $i; done | busybox tail -n 3
busybox seq 1 1000 | busybox sed -n '/9$/p' | busybox wc -l
sleep 0.01 & wait $!; echo "$?"
busybox sh -c 'exit 5'; echo "$?"
`}
		return c
	}},
	{"openssl-dgst", func(t *testing.T) Case {
		tool(t, "openssl")
		return shellCase(t, "dash", `openssl dgst -sha256 tree/words tree/dir/data.bin
for d in md5 sha1 sha512 sha3-256 blake2b512; do openssl dgst -$d <tree/dir/data.bin; done
openssl enc -aes-256-cbc -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -iv 000102030405060708090a0b0c0d0e0f -in tree/words | openssl base64 | tail -n 2
`)
	}},
	{"openssl-rand", func(t *testing.T) Case {
		// No two runs agree; the variants of one run must, or they diverge.
		return Case{Args: []string{tool(t, "openssl"), "rand", "-hex", "64"}, Stdout: masked(`^[0-9a-f]{128}$`, `^[0-9a-f]{128}\n$`)}
	}},
	{"static-glibc", func(t *testing.T) Case { return prog{name: "file_rw"}.of(t, static) }},
	{"static-pie", func(t *testing.T) Case { return prog{name: "file_rw"}.of(t, staticPIE) }},
	{"static-musl", func(t *testing.T) Case { return prog{name: "file_rw"}.of(t, musl) }},
}

// gitEnv returns an environment in which git does the same everywhere, with more
// settings, each a key and a value.
func gitEnv(settings ...string) []string {
	settings = append([]string{
		"init.defaultBranch", "main", "user.name", "A. Tester", "user.email", "tester@example.org",
		"gc.auto", "0", "maintenance.auto", "false", "safe.directory", "*",
	}, settings...)
	env := []string{
		fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)/2), "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_DATE=2020-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2020-01-02T03:04:05Z",
	}
	for i := 0; i+1 < len(settings); i += 2 {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i/2, settings[i]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i/2, settings[i+1]))
	}
	return env
}

// TestRealPrograms runs the list as two and three variants, and as one or four in turn; in short as
// two or three in turn.
func TestRealPrograms(t *testing.T) {
	t.Parallel()
	for i, p := range realPrograms {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			numbers := append(inTurn(i, 1, 4), 2, 3)
			if testing.Short() {
				numbers = inTurn(i, 2, 3)
			}
			p.make(t).same(t, Run{}, numbers...)
		})
	}
}

// TestRealProgramsNative checks the cases themselves: what is compared is the same
// in two native runs.
func TestRealProgramsNative(t *testing.T) {
	t.Parallel()
	for _, p := range realPrograms {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.make(t).same(t, Run{}, 0)
		})
	}
}

// shellCase is a script over the fixture, and what else is prepared, run by a shell.
func shellCase(t *testing.T, shell, script string, more ...func(*testing.T, string)) Case {
	t.Helper()
	return Case{
		Prepare: func(t *testing.T, dir string) {
			fixture(t, dir)
			for _, prepare := range more {
				prepare(t, dir)
			}
			withFiles(map[string]string{"script": script})(t, dir)
		},
		Args: []string{tool(t, shell), "script"},
	}
}

// ends returns the case with another status.
func (c Case) ends(status int) Case {
	c.Status = status
	return c
}

// withFiles returns a preparation that writes files.
func withFiles(files map[string]string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// fixture makes the directory "tree": files of several kinds, sizes, modes, with
// names that need quoting and times that are always the same.
func fixture(t *testing.T, dir string) {
	t.Helper()
	files := map[string]string{
		"tree/words":                "one\ntwo\nthree\ntwo\none\none\n",
		"tree/empty":                "",
		"tree/dir/data.bin":         strings.Repeat("\x00\x01\xff\xfe binary ", 5000),
		"tree/dir/deeper/a.txt":     "a\n",
		"tree/dir/deeper/b.txt":     "b\n",
		"tree/dir/name with spaces": "spaces\n",
		"tree/dir/new\nline":        "odd\n",
		"tree/dir/.hidden":          "hidden\n",
	}
	for i := range 40 {
		files[fmt.Sprintf("tree/many/file%02d.%s", i, []string{"txt", "c", "h"}[i%3])] = strings.Repeat(fmt.Sprintf("line %d\n", i), i)
	}
	withFiles(files)(t, dir)
	for name, mode := range map[string]os.FileMode{"words": 0o600, "empty": 0o755, "dir/deeper": 0o750, "dir/.hidden": 0o444} {
		if err := os.Chmod(filepath.Join(dir, "tree", name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"link": "words", "dir/up": "..", "dangling": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, "tree", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(dir, "tree", "words"), filepath.Join(dir, "tree", "dir", "hard")); err != nil {
		t.Fatal(err)
	}
	native(t, dir, "find", "tree", "-depth", "-exec", "touch", "-h", "-d", "2021-02-03 04:05:06.789 UTC", "{}", "+")
}

const archiveScript = `set -e
tar cf plain.tar --sort=name tree
tar cf - --sort=name tree | gzip -9n >tree.tgz
gzip -dc tree.tgz | tar tvf - | sort -k6
mkdir copy
tar xzf tree.tgz -C copy --strip-components=1
diff=$(tar cf - -C copy --sort=name --transform 's,^\.,tree,' . | tar tf - | sort | cksum)
echo "$diff"
for f in copy/many/*.txt; do gzip -n "$f"; done
zcat copy/many/*.gz | sort | uniq -c | sort -n | tail -n 3
gzip -t tree.tgz && echo intact
cksum plain.tar tree.tgz copy/dir/data.bin
head -c 100 tree.tgz >broken.tgz
gzip -t broken.tgz || echo "status $?"
rm plain.tar
`

// sources writes a small C program, and a wrong one.
func sources(t *testing.T, dir string) {
	t.Helper()
	withFiles(map[string]string{
		"hello.c": "#include <stdio.h>\n#include \"util.h\"\nint main(int argc, char **argv)\n{\n\tfor (int i = 1; i < argc; i++)\n\t\tputs(argv[i]);\n\tprintf(\"%d\\n\", util(argc));\n\treturn 0;\n}\n",
		"util.c":  "#include \"util.h\"\nint util(int x)\n{\n\treturn x * 7 + sizeof(struct util);\n}\n",
		"util.h":  "struct util {\n\tchar bytes[100];\n};\nint util(int x);\n",
		"wrong.c": "int main(void)\n{\n\treturn undeclared;\n}\n",
	})(t, dir)
}

// project writes a project of eight modules for make.
func project(t *testing.T, dir string) {
	t.Helper()
	files := map[string]string{"main.c": "#include <stdio.h>\n#include \"all.h\"\nint main(void)\n{\n\tint sum = 0;\n"}
	var objects strings.Builder
	for i := range 8 {
		files["all.h"] += fmt.Sprintf("int f%d(int);\n", i)
		files[fmt.Sprintf("f%d.c", i)] = fmt.Sprintf("#include \"all.h\"\nint f%d(int x)\n{\n\treturn x * %d + 1;\n}\n", i, i)
		files["main.c"] += fmt.Sprintf("\tsum += f%d(%d);\n", i, i*3)
		fmt.Fprintf(&objects, " f%d.o", i)
	}
	files["main.c"] += "\tprintf(\"sum %d\\n\", sum);\n\treturn 0;\n}\n"
	files["Makefile"] = "CFLAGS = -O1\nall: program\n\t./program >result\n\t@cat result\nprogram: main.o" + objects.String() +
		"\n\t$(CC) -o $@ $^\n%.o: %.c all.h\n\t$(CC) $(CFLAGS) -c -o $@ $<\n"
	withFiles(files)(t, dir)
}

const perlScript = `use strict; use warnings;
$| = 1;
my %h = map { $_ => length } qw(apple banana cherry dragonfruit elderberry);
print "unsorted @{[keys %h]}\n";
print join(",", map { "$_=$h{$_}" } sort keys %h), "\n";
open my $f, '>', 'perl.out' or die; print $f "line $_\n" for 1 .. 1000; close $f;
open $f, '<', 'perl.out' or die; my $sum = 0; while (<$f>) { $sum += $1 if /(\d+)/ } close $f;
print "sum $sum\n";
my $pid = fork; die unless defined $pid;
if (!$pid) { print "child\n"; exit 3 }
waitpid $pid, 0; print "status ", $? >> 8, "\n";
pipe my $r, my $w; if (!($pid = fork)) { close $r; print $w "from the child\n"; exit }
close $w; print <$r>; wait;
print "shell: ", ` + "`echo hi; exit 2`" + `, $? >> 8, "\n";
local $SIG{USR1} = sub { print "signal\n" }; kill USR1 => $$;
local $SIG{ALRM} = 'IGNORE';
eval { die { code => 7 } }; print "caught $@->{code}\n";
my @s = stat 'perl.out'; print "size $s[7]\n";
opendir my $d, '.' or die; print join(' ', sort grep { !/^\.\.?$/ } readdir $d), "\n";
my $text = "the cat sat on the mat"; (my $t = $text) =~ s/(\w+)/\u$1/g; print "$t\n";
print sprintf("%.10f %s\n", sqrt(2), join '', reverse split //, $text);
require Digest::MD5; print Digest::MD5::md5_hex($text), "\n";
print "@ARGV\n"; exec 'sh', '-c', 'echo exec; exit 0';
`

const pythonScript = `import hashlib, json, mmap, os, random, signal, sqlite3, subprocess, sys, tempfile
print("hash", hash("text"))
print("random", random.random(), os.urandom(8).hex())
print("pid", os.getpid())
out = subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 4"], capture_output=True, text=True)
print(out.stdout, out.stderr, out.returncode)
p = subprocess.Popen(["sort"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print(p.communicate("c\nb\na\n"))
print(subprocess.check_output("seq 1 1000 | tail -n 2", shell=True))
db = sqlite3.connect("python.db")
db.execute("create table t (id integer primary key, name text, value real)")
db.executemany("insert into t (name, value) values (?, ?)", [(f"name{i}", i / 7) for i in range(500)])
db.commit()
print(db.execute("select count(*), sum(value), max(name) from t where id % 3 = 0").fetchone())
db.close()
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(r)
    os.write(w, b"child " + str(os.getppid() != 0).encode())
    os._exit(5)
os.close(w)
print(os.read(r, 100))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
with open("mapped", "wb+") as f:
    f.write(b"0" * 8192)
    f.flush()
    with mmap.mmap(f.fileno(), 0) as m:
        m[100:105] = b"hello"
        m.flush()
        print(m.find(b"hello"), len(m))
print(open("mapped", "rb").read()[98:107])
m = mmap.mmap(-1, 4096)
pid = os.fork()
if pid == 0:
    m[0:3] = b"abc"
    os._exit(0)
os.waitpid(pid, 0)
print(m[0:3])
got = []
signal.signal(signal.SIGUSR1, lambda s, f: got.append(s))
os.kill(os.getpid(), signal.SIGUSR1)
print(got == [signal.SIGUSR1])
with tempfile.TemporaryDirectory(dir=".") as d:
    open(os.path.join(d, "x"), "w").write("x")
    print(os.listdir(d))
print(json.dumps({"b": [1, 2, {"c": None}], "a": "\u00e9"}, sort_keys=True))
print(hashlib.sha256(b"x" * 100000).hexdigest())
print(sorted({"c", "b", "a"}), sum(i * i for i in range(100000)))
print([e.name for e in sorted(os.scandir("."), key=lambda e: e.name)])
sys.exit(0)
`

// sqliteCase works on a database on disk with this journal mode.
func sqliteCase(t *testing.T, journal string) Case {
	t.Helper()
	return Case{
		Prepare: withFiles(map[string]string{"import.csv": "1,one\n2,two\n3,three\n"}),
		Args:    []string{tool(t, "sqlite3"), "test.db"},
		Stdin: "pragma journal_mode=" + journal + `;
create table t (id integer primary key, name text, value real);
create index by_name on t (name);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000) insert into t select i, 'name' || (i * 7919 % 2003), i / 3.0 from n;
begin; update t set value = value * 2 where id % 2 = 0; delete from t where id % 5 = 0; commit;
begin; delete from t; rollback;
select count(*), round(sum(value), 3), min(name), max(name) from t;
select name, value from t order by name limit 5;
create table imported (id integer, name text);
.mode csv
.import import.csv imported
select * from imported order by id desc;
vacuum;
pragma integrity_check;
.mode list
explain query plan select * from t where name = 'name7';
select missing from t;
`,
		Status: 1,
	}
}
