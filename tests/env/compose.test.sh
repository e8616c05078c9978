#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The compose file of examples/containers, by podman: two containers, of which one leads and one writes and reads. The image has the
# command and what it needs of this machine, since there may be no registry. Where podman does not run, tests/examples.test.sh does the
# same by namespaces.
set -eu
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: the installed command is the plain one"; exit 77; }
command -v podman >/dev/null 2>&1 || { echo "skipped: there is no podman here; by namespaces: tests/examples.test.sh"; exit 77; }
/usr/bin/python3 -c 'import yaml' 2>/dev/null || { echo "skipped: python3-yaml is not here"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skipped: not root"; exit 77; }
tmp=$(mktemp -d)
tide=${TIDE_BUILD:-build}/tide
export CONTAINERS_CONF="$tmp/containers.conf" CONTAINERS_STORAGE_CONF="$tmp/storage.conf"
clean() {
    podman rm --all --force --time 0 >/dev/null 2>&1 || :
    podman volume rm --all --force >/dev/null 2>&1 || :
    podman unmount --all >/dev/null 2>&1 || :
    rm -rf "$tmp"
}
trap clean EXIT
# A store of this test's own.
cat >"$tmp/storage.conf" <<END
[storage]
driver = "vfs"
graphroot = "$tmp/store"
runroot = "$tmp/run"
END
root=$tmp/root
mkdir -p "$root/bin" "$root/tmp" "$root/shared" "$root/proc" "$root/dev/shm" "$root/etc"
for program in "$tide" /bin/sh; do
    cp -L "$program" "$root/bin/"
    for library in $(ldd "$program" | grep -o '/[^ )]*\.so[^ )]*'); do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
done
tar -C "$root" -cf "$tmp/image.tar" .

# As it is set up here, or with the other runtime and limits that a process without CAP_SYS_RESOURCE may set.
configuration() { # runtime
    cat <<END
[engine]
cgroup_manager = "cgroupfs"
runtime = "$1"
[containers]
default_ulimits = ["nofile=1024:$(ulimit -Hn | sed 's/unlimited/1048576/')", "nproc=1024:4096"]
END
}
works() {
    podman import "$tmp/image.tar" tide-test >/dev/null 2>"$tmp/why" && timeout 60 podman run --rm --network none tide-test tide version >/dev/null 2>"$tmp/why"
}
: >"$tmp/containers.conf"
if ! works; then
    for runtime in crun runc; do
        configuration $runtime >"$tmp/containers.conf"
        ! works || break
    done
fi
works || { echo "skipped: podman does not run here: $(tail -n 1 "$tmp/why"); by namespaces: tests/examples.test.sh"; exit 77; }
timeout 120 /usr/bin/python3 tests/env/compose.py examples/containers/compose.yaml tide-test >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
grep -q '"value": *"hello"' "$tmp/log" || { cat "$tmp/log"; echo "the second container did not read what it wrote"; exit 1; }
