#!/bin/sh
# Checks the models in this directory, and that each mutant of them is found.
#
#   check.sh         all of it
#   check.sh NAME    the lines of the table whose name begins so
#
# What is built goes to a temporary directory. The trail of an error is shown. Compilers
# are most of the work, so they do not optimise.
set -u
cd "$(dirname "$0")" || exit 1
dir=$(pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
bad=0 only=${1-}

# verify MODEL FLAGS...: makes and runs the checker; leaves its output in out.
verify() {
	model=$1
	shift
	rm -f ./*
	cp "$dir"/*.pml .
	spin "$@" -a "$model.pml" >spin.log 2>&1 || { cat spin.log; return 2; }
	gcc -O0 -w -DSAFETY -DNOREDUCE -DVECTORSZ=2048 -o pan pan.c || return 2
	timeout -s KILL 300 ./pan -m100000 >out 2>&1
	grep -q 'errors:' out && ! grep -q -e 'max search depth too small' -e 'out of memory' out || { cat out; return 2; }
	grep -q 'errors: 0$' out
}

states() { sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out; }

# good NAME MODEL FLAGS...: has no error.
good() {
	case $1 in "$only"*) ;; *) return ;; esac
	name=$1
	shift
	if verify "$@"; then
		printf '%-22s %9s states\n' "$name" "$(states)"
	else
		printf '%-22s ERROR: %s\n' "$name" "$(grep '^pan:' out | head -n 1)"
		model=$1
		shift
		spin -t "$@" "$model.pml" 2>&1 | grep -v '^ *$' | tail -n 200
		bad=$((bad + 1))
	fi
}

# wrong NAME WHAT MODEL FLAGS...: has an error of that kind.
wrong() {
	case $1 in "$only"*) ;; *) return ;; esac
	name=$1 what=$2
	shift 2
	verify "$@"
	if [ $? = 1 ] && grep -q "^pan:1: $what" out; then
		printf '%-22s found: %s\n' "$name" "$what"
	else
		printf '%-22s NOT FOUND: %s\n' "$name" "$what"
		bad=$((bad + 1))
	fi
}

# half NAME: does what is left of the table in a directory of its own.
half() {
	mkdir "$work/$1" && cd "$work/$1" || exit 1
	. "$dir/table.sh"
	[ "$bad" = 0 ] || {
		echo "model: $bad of these are not as they should be" >&2
		exit 1
	}
}

# The trap is for the last of all to go.
(trap - EXIT; wrong() { :; }; half good) &
right=$!
(trap - EXIT; good() { :; }; half wrong) &
found=$!
wait "$right" || bad=1
wait "$found" || bad=1
exit "$bad"
