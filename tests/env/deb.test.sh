#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The Debian packages are built, lintian finds nothing, and they are installed into an empty tree of their own, used there, and removed:
# as root, with a package database of its own, so that this machine's packages stay as they are.
set -eu
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: packages are built without a sanitizer"; exit 77; }
for command in dpkg-buildpackage dh dh_python3 pkg-config; do
    command -v $command >/dev/null 2>&1 || { echo "skipped: there is no $command here (Debian: debhelper, dpkg-dev, dh-python, pkg-config)"; exit 77; }
done
/usr/bin/python3 -c 'import setuptools, sysconfig, os, sys; sys.exit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"))' 2>/dev/null ||
    { echo "skipped: python3-dev or python3-setuptools is not here"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/build"
unset MAKEFLAGS MAKEOVERRIDES
# What is built is taken as it is: compiled with Debian's flags it would be the same files, minutes later.
DEB_BUILD_OPTIONS=noautodbgsym make -s deb BUILD="$tmp/build" DEB_PREBUILT="$PWD/${TIDE_BUILD:-build}" TIDE_NO_INSTALL=1 >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
debs=$(ls "$tmp"/build/deb/libtidemark0_*.deb "$tmp"/build/deb/libtidemark-dev_*.deb "$tmp"/build/deb/tidemark-tools_*.deb "$tmp"/build/deb/python3-tidemark_*.deb)
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
# Scripts of packages run outside of that tree, and Python's compiler would look for the module in this machine's: ours take $DPKG_ROOT.
mkdir "$tmp/bin"
printf '#!/bin/sh\nexec /usr/bin/python3 -m compileall -q "$DPKG_ROOT/usr/lib/python3/dist-packages"\n' >"$tmp/bin/py3compile"
printf '#!/bin/sh\nfind "$DPKG_ROOT/usr/lib/python3/dist-packages" -name __pycache__ -prune -exec rm -r {} +\n' >"$tmp/bin/py3clean"
chmod +x "$tmp"/bin/*
PATH=$tmp/bin:$PATH
package() { # action packages...
    # What they depend on is this machine's.
    dpkg --root="$root" --force-depends --force-not-root --force-script-chrootless --force-unsafe-io --log="$tmp/dpkg.log" "$@" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
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
# The module is found, linked with the installed library, and of every Python 3: no copy of the library is in it.
module=$(ls "$root"/usr/lib/python3/dist-packages/tidemark/_tidemark.abi3.so)
readelf -dW "$module" | grep -q 'NEEDED.*\[libtidemark\.so\.0\]' || { echo "python3-tidemark does not use libtidemark0"; exit 1; }
[ -n "$(find "$root" -name '_types.*.pyc')" ] || { echo "python3-tidemark: nothing was compiled when it was installed"; exit 1; }
mkdir "$tmp/shm"
said=$(cd "$tmp" && TIDE_SHM_DIR=$tmp/shm PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$root/usr/lib/python3/dist-packages LD_LIBRARY_PATH=$lib /usr/bin/python3 -c '
import tidemark
with tidemark.open("deb", ephemeral=True, ring=1 << 16, table=1 << 20) as t:
    t["k"] = b"v"
    print(tidemark.__file__, t["k"].decode(), t.cached()(lambda: b"made")().decode())')
[ "$said" = "$root/usr/lib/python3/dist-packages/tidemark/__init__.py v made" ] || { echo "python3-tidemark: it said: $said"; exit 1; }
depends=$(dpkg-deb -f "$tmp"/build/deb/python3-tidemark_*.deb Depends)
case $depends in *python3*libtidemark0* | *libtidemark0*python3*) ;; *) echo "python3-tidemark depends on: $depends"; exit 1 ;; esac
package --purge python3-tidemark tidemark-tools libtidemark-dev libtidemark0
left=$(find "$root" ! -type d ! -path '*/var/*')
[ -z "$left" ] || { echo "removed, but still there:"; echo "$left"; exit 1; }
