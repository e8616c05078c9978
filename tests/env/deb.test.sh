#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The Debian packages are built, lintian finds nothing, and they are installed into an empty tree of their own, used there, and removed:
# as root, with a package database of its own, so that this machine's packages stay as they are.
set -eu
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: packages are built without a sanitizer"; exit 77; }
for command in dpkg-buildpackage dh; do
    command -v $command >/dev/null 2>&1 || { echo "skipped: there is no $command here (Debian: debhelper, dpkg-dev)"; exit 77; }
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/build"
unset MAKEFLAGS MAKEOVERRIDES
DEB_BUILD_OPTIONS="noopt noautodbgsym" make -s deb BUILD="$tmp/build" TIDE_NO_INSTALL=1 >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
debs=$(ls "$tmp"/build/deb/libtidemark0_*.deb "$tmp"/build/deb/libtidemark-dev_*.deb "$tmp"/build/deb/tidemark-tools_*.deb)
if command -v lintian >/dev/null 2>&1; then
    # shellcheck disable=SC2086 # names of files are words
    lintian --allow-root --fail-on error,warning --tag-display-limit 0 $debs >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
    [ ! -s "$tmp/log" ] || { cat "$tmp/log"; exit 1; }
else
    echo "no lintian: it was not tried"
fi
[ "$(id -u)" = 0 ] || { echo "not root: the packages were built, not installed"; exit 0; }

root=$tmp/root
mkdir -p "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/info" "$root/var/log"
: >"$root/var/lib/dpkg/status"
package() { # action packages...
    # What they depend on is this machine's.
    dpkg --root="$root" --force-depends --force-not-root --force-script-chrootless --log="$tmp/dpkg.log" "$@" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
}
# shellcheck disable=SC2086
package --install $debs
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
lib=$root/usr/lib/$triplet
cat >"$tmp/program.c" <<'END'
#include <tidemark.h>
int main(void) { return tide_version() != TIDE_VERSION; }
END
${CC:-gcc} -I"$root/usr/include" -o "$tmp/program" "$tmp/program.c" -L"$lib" -ltidemark
LD_LIBRARY_PATH=$lib "$tmp/program"
${CC:-gcc} -I"$root/usr/include" -o "$tmp/program" "$tmp/program.c" "$lib/libtidemark.a" -lurcu-memb -lurcu-common -lm -pthread
"$tmp/program"
[ "$("$root/usr/bin/tide" version)" = "tide $(dpkg-parsechangelog -l debian/changelog -SVersion)" ]
[ -s "$root/usr/share/man/man1/tide-get.1.gz" ]
package --purge tidemark-tools libtidemark-dev libtidemark0
left=$(find "$root" ! -type d ! -path '*/var/*')
[ -z "$left" ] || { echo "removed, but still there:"; echo "$left"; exit 1; }
