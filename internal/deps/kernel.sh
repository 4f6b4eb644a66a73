#!/bin/sh
# Fetches the kernel of an emulated machine (make test-svm, make test-arm64) from Debian's
# archive.
#
#   kernel.sh svm DIR     leaves DIR/vmlinuz and the modules that KVM on SVM needs
#   kernel.sh arm64 DIR   leaves DIR/vmlinuz and DIR/busybox, both for arm64
#
# Nothing is installed, and no rights are needed but, for svm, for updating the package
# lists where they are absent. Does nothing when DIR is there.
set -eu

die() {
	printf 'kernel: %s\n' "$*" >&2
	exit 1
}

[ $# = 2 ] || die 'usage: kernel.sh svm|arm64 DIR'
kind=$1
dir=$2
[ ! -e "$dir/vmlinuz" ] || exit 0
# The kernel for clouds is the smaller one and boots faster; it is enough.
case $kind in
svm) meta=linux-image-cloud-amd64 more= by_hand='vmlinuz, irqbypass.ko, kvm.ko, kvm-amd.ko' ;;
arm64) meta=linux-image-cloud-arm64 more=busybox-static by_hand='vmlinuz, busybox' ;;
*) die "there is no machine $kind" ;;
esac
command -v apt-get >/dev/null 2>&1 || die "this is not Debian; put into $dir by hand: $by_hand"

mkdir -p "$(dirname "$dir")"
# Absolute: to apt a relative directory is one of /.
dir=$(cd "$(dirname "$dir")" && pwd)/${dir##*/}
tmp=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# Packages of another architecture than the host's come by package lists of their own: the
# host's configuration stays as it is. What is downloaded belongs to the caller; apt-get
# would do it as another user, who may not write here.
apt() {
	command=$1
	shift
	if [ "$kind" = arm64 ]; then
		set -- -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
			-o Dir::State="$tmp/state" -o Dir::State::status=/dev/null -o Dir::Cache="$tmp/cache" "$@"
	fi
	"$command" -o APT::Sandbox::User=root -o Acquire::Retries=1 -o Acquire::http::Timeout=20 "$@"
}
newest() {
	apt apt-cache depends "$meta" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1
}
package=
case $kind in
arm64)
	mkdir -p "$tmp/state/lists/partial" "$tmp/cache/archives/partial"
	# Of the lists only those of packages are wanted.
	apt apt-get -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false update >"$tmp/log" 2>&1 || :
	;;
svm)
	package=$(newest)
	if [ -z "$package" ]; then
		sudo=
		[ "$(id -u)" = 0 ] || sudo='sudo -n'
		$sudo apt-get -o DPkg::Lock::Timeout=120 update >/dev/null 2>&1 || :
	fi
	;;
esac
[ -n "$package" ] || package=$(newest)
if [ -z "$package" ]; then
	[ ! -e "$tmp/log" ] || tail -n 5 "$tmp/log" >&2
	die "no $meta in the package lists; is the archive reachable? for svm, as root run: apt-get update"
fi

printf 'kernel: fetching %s\n' "$package $more" >&2
# shellcheck disable=SC2086 # $more is a list of words
(cd "$tmp" && apt apt-get -q download "$package" $more >log 2>&1) || {
	cat "$tmp/log" >&2
	die "cannot fetch $package; where the package lists are old, as root run: apt-get update"
}
mkdir "$tmp/x" "$tmp/kernel"
for deb in "$tmp"/*.deb; do
	dpkg-deb --fsys-tarfile "$deb" >"$tmp/tar"
	tar -x -f "$tmp/tar" -C "$tmp/x" --wildcards \
		'./boot/vmlinuz-*' './bin/busybox' '*/kvm.ko*' '*/kvm-amd.ko*' '*/irqbypass.ko*' 2>/dev/null || :
	rm -f "$deb"
done
mv "$tmp/x"/boot/vmlinuz-* "$tmp/kernel/vmlinuz" || die "$package has no kernel"
case $kind in
arm64)
	mv "$tmp/x/bin/busybox" "$tmp/kernel/busybox" || die "$more has no busybox"
	;;
svm)
	find "$tmp/x" -name '*.ko.xz' -exec unxz {} +
	find "$tmp/x" -name '*.ko' -exec mv {} "$tmp/kernel/" \;
	for file in kvm kvm-amd; do
		[ -e "$tmp/kernel/$file.ko" ] || die "$package has no module $file"
	done
	;;
esac
chmod 755 "$tmp/kernel"
# Somebody else may have been faster.
mv -T "$tmp/kernel" "$dir" 2>/dev/null || [ -e "$dir/vmlinuz" ] || die "cannot make $dir"
