#!/bin/sh
# Installs those Debian packages of packages.txt that are missing.
#
#   deps.sh demo    what `make demo` needs
#   deps.sh test    what `make demo`, `make test` and `make bench` need
#   deps.sh svm     all of that, and what `make test-svm` needs
#   deps.sh arm64   what `make test` needs, and what `make test-arm64` needs
#   deps.sh -n SET  only names what is missing, a package a line
#
# Does nothing, asks nobody and needs no network when all is there. Servers that
# it installs are neither started nor left enabled.
set -eu

die() {
	printf 'deps: %s\n' "$*" >&2
	exit 1
}

list=$(dirname "$0")/packages.txt
dry=false
if [ "${1-}" = -n ]; then
	dry=true
	shift
fi
case ${1-} in
demo) sets=' demo ' ;;
test) sets=' demo test ' ;;
svm) sets=' demo test svm ' ;;
arm64) sets=' demo test arm64 ' ;;
*) die "usage: deps.sh [-n] demo|test|svm|arm64" ;;
esac

# Servers live in sbin, which is not in the PATH of an ordinary user.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

present() {
	case $1 in
	/*) [ -e "$1" ] ;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac
}

# Prints field $1 (package or service) of each row of the wanted sets that is missing.
missing() {
	while read -r package set probe service; do
		case $package in '' | '#'*) continue ;; esac
		case $sets in *" $set "*) ;; *) continue ;; esac
		if present "$probe"; then continue; fi
		case $1 in
		package) printf '%s\n' "$package" ;;
		service) [ "$service" = - ] || printf '%s\n' "$service" ;;
		esac
	done <"$list"
}

packages=$(missing package)
if $dry; then
	[ -z "$packages" ] || printf '%s\n' "$packages"
	exit 0
fi
[ -n "$packages" ] || exit 0
services=$(missing service)
# One line, for messages and for the command line.
packages=$(printf '%s' "$packages" | tr '\n' ' ')
services=$(printf '%s' "$services" | tr '\n' ' ')
by_hand="install what provides: $packages"

command -v apt-get >/dev/null 2>&1 || die "this is not Debian; $by_hand"

sudo=
if [ "$(id -u)" != 0 ]; then
	by_hand="as root, run: apt-get install $packages"
	command -v sudo >/dev/null 2>&1 || die "not root and no sudo; $by_hand"
	sudo=sudo
	# Without a terminal nobody can type a password.
	[ -t 0 ] || sudo='sudo -n'
	$sudo true 2>/dev/null || die "sudo is refused; $by_hand"
fi

# invoke-rc.d and deb-systemd-invoke ask this program before they start a service;
# 101 means no. An administrator's own policy is left alone, and has to say no too.
policy=/usr/sbin/policy-rc.d
mark='# multivar: remove me'
lift_policy() {
	if grep -qxF "$mark" "$policy" 2>/dev/null; then $sudo rm -f "$policy"; fi
}
if [ ! -e "$policy" ]; then
	trap lift_policy EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\n%s\nexit 101\n' "$mark" | $sudo tee "$policy" >/dev/null
	$sudo chmod 755 "$policy"
elif grep -qxF "$mark" "$policy"; then
	trap lift_policy EXIT
	trap 'exit 1' HUP INT TERM
else
	for service in $services; do
		status=0
		"$policy" "$service" start </dev/null >/dev/null 2>&1 || status=$?
		[ "$status" = 101 ] || die "$policy would let $service start; $by_hand"
	done
fi

printf 'deps: installing %s\n' "$packages" >&2
log=$(mktemp)
# shellcheck disable=SC2086 # $sudo and $packages are lists of words
apt() {
	$sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
		apt-get -o DPkg::Lock::Timeout=120 "$@" </dev/null >>"$log" 2>&1
}
# Lists may be absent or old; an update that fails does no harm if the installation works.
# shellcheck disable=SC2086
if ! { apt update; apt install -y --no-install-recommends $packages; }; then
	tail -n 15 "$log" >&2
	rm -f "$log"
	die "apt-get failed (above); $by_hand"
fi
rm -f "$log"

# Only what was installed just now: somebody's own server stays as it is.
for service in $services; do
	$sudo update-rc.d "$service" disable >/dev/null 2>&1 ||
		printf 'deps: cannot disable %s; it starts at the next boot\n' "$service" >&2
done

packages=$(missing package | tr '\n' ' ')
[ -z "$packages" ] || die "installed, but still not found: $packages"
