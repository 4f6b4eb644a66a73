#!/bin/sh
# Fetches the kernel of the emulated machine (make test-svm) from Debian's archive.
#
#   svm-kernel.sh DIR   leaves DIR/vmlinuz and the modules that KVM on SVM needs
#
# Nothing is installed, and no rights are needed but for updating the package lists
# where they are absent. Does nothing when DIR is there.
set -eu

die() {
	printf 'svm-kernel: %s\n' "$*" >&2
	exit 1
}

[ $# = 1 ] || die 'usage: svm-kernel.sh DIR'
dir=$1
[ ! -e "$dir/vmlinuz" ] || exit 0
command -v apt-get >/dev/null 2>&1 || die "this is not Debian; put a kernel with kvm_amd into $dir by hand: vmlinuz, irqbypass.ko, kvm.ko, kvm-amd.ko"

# The kernel for clouds is the smaller one and boots faster; it is enough.
meta=linux-image-cloud-amd64
newest() {
	apt-cache depends "$meta" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1
}
package=$(newest)
if [ -z "$package" ]; then
	sudo=
	[ "$(id -u)" = 0 ] || sudo='sudo -n'
	$sudo apt-get -o DPkg::Lock::Timeout=120 update >/dev/null 2>&1 || :
	package=$(newest)
fi
[ -n "$package" ] || die "no $meta in the package lists; as root, run: apt-get update"

mkdir -p "$(dirname "$dir")"
tmp=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
printf 'svm-kernel: fetching %s\n' "$package" >&2
# apt-get would do it as another user, who may not write here.
(cd "$tmp" && apt-get -o APT::Sandbox::User=root -q download "$package" >log 2>&1) || {
	cat "$tmp/log" >&2
	die "cannot fetch $package; where the package lists are old, as root run: apt-get update"
}
dpkg-deb --fsys-tarfile "$tmp"/*.deb >"$tmp/tar"
rm -f "$tmp"/*.deb
mkdir "$tmp/x" "$tmp/kernel"
tar -x -f "$tmp/tar" -C "$tmp/x" --wildcards './boot/vmlinuz-*' '*/kvm.ko*' '*/kvm-amd.ko*' '*/irqbypass.ko*'
mv "$tmp/x"/boot/vmlinuz-* "$tmp/kernel/vmlinuz"
find "$tmp/x" -name '*.ko.xz' -exec unxz {} +
find "$tmp/x" -name '*.ko' -exec mv {} "$tmp/kernel/" \;
for file in kvm kvm-amd; do
	[ -e "$tmp/kernel/$file.ko" ] || die "$package has no module $file"
done
chmod 755 "$tmp/kernel"
# Somebody else may have been faster.
mv -T "$tmp/kernel" "$dir" 2>/dev/null || [ -e "$dir/vmlinuz" ] || die "cannot make $dir"
