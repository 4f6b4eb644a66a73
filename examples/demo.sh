#!/bin/sh
# Runs real programs as two variants and compares with what they do alone, then
# attacks a vulnerable program: alone, where it succeeds, and under kvmsandbox,
# where it must be caught. Exit status 0 if all of that came out so.
#
# Needs gcc and a built kvmsandbox: `make demo` sees to both. KVMSANDBOX names the
# program; default: bin/kvmsandbox beside this directory.
set -u

here=$(cd "$(dirname "$0")" && pwd)
mvx=${KVMSANDBOX:-$here/../bin/kvmsandbox}
# The status by which kvmsandbox says that the variants differed.
divergence=86
# Keeps a hang from lasting for ever.
bound='timeout --foreground -k 10 120'

work=$(mktemp -d) || exit 1
victim=
cleanup() {
	# Only a demo that was interrupted still has a victim.
	[ -z "$victim" ] || kill "$victim" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

failed=0
fail() {
	printf '   FAILED: %s\n' "$*"
	failed=1
}
die() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}
indent() { sed 's/^/   | /' "$1"; }

[ -x "$mvx" ] || die "$mvx is not there; run make build"
command -v gcc >/dev/null 2>&1 || die 'no gcc; install gcc and libc6-dev'

# alike TITLE COMMAND...: output and status as two variants equal those of a run alone.
alike() {
	title=$1
	shift
	printf ' * %s\n' "$title"
	$bound "$@" >"$work/alone" 2>"$work/alone.err" </dev/null
	alone=$?
	$bound "$mvx" -n 2 "$@" >"$work/variants" 2>"$work/variants.err" </dev/null
	variants=$?
	if [ "$variants" != "$alone" ]; then
		fail "exit status $variants, alone $alone"
		indent "$work/variants.err"
	elif ! cmp -s "$work/alone" "$work/variants"; then
		fail 'its output differs from that of a run alone'
	else
		printf '   same output (%d bytes), same status (%d)\n' "$(wc -c <"$work/alone")" "$alone"
	fi
}

# serve COMMAND...: starts the greeter in a fresh directory, its input a pipe that is
# descriptor 3 here. Sets victim (to wait for) and pid (what the greeter calls itself).
serve() {
	rm -rf "$work/run"
	mkdir "$work/run" && mkfifo "$work/run/in" || die "cannot write to $work"
	# exec: no shell in between, so that $! is the program itself.
	(cd "$work/run" && exec $bound "$@" <in >out 2>err) &
	victim=$!
	exec 3>"$work/run/in"
	tries=0
	pid=
	while [ -z "$pid" ] && [ $tries -lt 600 ] && kill -0 "$victim" 2>/dev/null; do
		pid=$(sed -n 's/^greeter \([0-9][0-9]*\) is ready$/\1/p' "$work/run/out" 2>/dev/null)
		[ -n "$pid" ] || sleep 0.1
		tries=$((tries + 1))
	done
	if [ -z "$pid" ]; then
		indent "$work/run/err"
		die 'the greeter does not start'
	fi
}

# outcome: ends the greeter's input and waits for it. Sets status.
outcome() {
	exec 3>&-
	wait "$victim"
	status=$?
	victim=
}

# caught: the greeter died of a divergence, and a report says so.
caught() {
	if [ "$status" != $divergence ]; then
		fail "exit status $status, not $divergence: the attack was not caught"
		indent "$work/run/err"
	elif [ ! -s "$work/run/report.json" ]; then
		fail 'caught, but no report was written'
	else
		printf '   caught: exit status %d. The report:\n' "$status"
		indent "$work/run/err"
	fi
}

echo 'Real programs as two variants'
alike 'ls -lR' ls -lR "$here"
alike 'a pipeline in sh: tar | gzip | gzip -d | tar' sh -c \
	'cd "$1" && tar cf - . | gzip -9 | gzip -dc | tar tvf - | sort' sh "$here"
alike 'a shell script: find | while read | wc' sh -c \
	'cd "$1" && find . -type f | sort | while read -r f; do wc -c "$f"; done' sh "$here"
if command -v perl >/dev/null 2>&1; then
	alike 'perl, with a child process' perl -e \
		'my @l = `ls -a "$ARGV[0]"`; my %n; $n{length $_}++ for @l; print "$_ $n{$_}\n" for sort { $a <=> $b } keys %n; exit 7' "$here"
fi
if [ -x /usr/bin/python3 ]; then
	alike 'python3' /usr/bin/python3 -c \
		'import json, os, sys; json.dump({n: os.stat(os.path.join(sys.argv[1], n)).st_size for n in sorted(os.listdir(sys.argv[1]))}, sys.stdout, indent=1)' "$here"
fi

printf '\nAn attack\n'
# Position independent, as distributions build today; without the checks by which
# the C library would stop this overflow.
for program in greeter attacker; do
	gcc -O1 -fPIE -pie -U_FORTIFY_SOURCE -o "$work/$program" "$here/attack/$program.c" ||
		die "gcc cannot build examples/attack/$program.c"
done
greeter=$work/greeter
attacker=$work/attacker
target=$(nm "$greeter" | sed -n 's/^\([0-9a-f]*\) [tT] run_shell$/\1/p')
[ -n "$target" ] || die 'nm does not find run_shell in the greeter'

echo ' * an honest visitor, two variants'
serve "$mvx" -n 2 --report report.json "$greeter"
"$attacker" greet Ada >&3
outcome
if [ "$status" = 0 ] && grep -qx 'hello, Ada' "$work/run/out"; then
	printf '   served: hello, Ada\n'
else
	fail "exit status $status"
	indent "$work/run/err"
fi

echo ' * the attacker, greeter alone'
serve "$greeter"
"$attacker" exploit "$pid" "$greeter" "$target" >&3 2>"$work/said" || fail 'the attacker could not attack'
indent "$work/said"
outcome
if [ -e "$work/run/pwned" ]; then
	printf '   the attack works: a shell has written "%s"\n' "$(cat "$work/run/pwned")"
else
	fail "the attack does not work on this machine (exit status $status), so it shows nothing"
fi

echo ' * the same attack, two variants'
serve "$mvx" -n 2 --report report.json "$greeter"
"$attacker" exploit "$pid" "$greeter" "$target" >&3 2>"$work/said" || fail 'the attacker could not attack'
indent "$work/said"
outcome
caught
if [ -e "$work/run/pwned" ]; then fail 'the shell ran: the attack had an effect'; fi

# The answer would hold an address, which is another one in each variant. The policy
# makes every output wait for the comparison, so the attacker learns nothing.
echo ' * a leaked address, two variants, --policy leak'
serve "$mvx" -n 2 --policy leak --report report.json "$greeter"
"$attacker" greet debug >&3
outcome
caught
if [ "$(wc -l <"$work/run/out")" != 1 ] || ! tail -c 10 "$work/run/out" | grep -q 'is ready$'; then
	fail 'the answer got out'
fi

echo
if [ $failed != 0 ]; then
	echo 'demo: something above FAILED' >&2
	exit 1
fi
echo 'All as it should be.'
