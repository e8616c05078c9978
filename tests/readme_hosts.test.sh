#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# README.md, *More than one host*: its lines, as they stand there, in a network namespace of their own, where etcd's usual ports are free.
set -eu
command -v etcd >/dev/null 2>&1 || { echo "skipped: there is no etcd here (Debian: etcd-server)"; exit 77; }
command -v ip >/dev/null 2>&1 || { echo "skipped: there is no ip here (Debian: iproute2)"; exit 77; }
[ "$(id -u)" = 0 ] && unshare --net true 2>/dev/null || { echo "skipped: no network namespaces here"; exit 77; }
tide=${TIDE_BUILD:-build}/tide
[ "$(timeout 20 "$tide" serve d --upstream etcd://127.0.0.1:1/ 2>&1 >/dev/null | grep -c libcurl)" = 0 ] || { echo "skipped: no libcurl"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/shm"
. tests/lib/readme.sh
awk '/^## More than one host/ { here = 1 } here && /^```sh$/ { inside = 1; next } /^```/ { inside = 0; here = here && !seen } inside { seen = 1; print }' README.md |
    sed "s|/tmp/e |$tmp/e |; s|^build/tide|$tide|" >"$tmp/lines"
[ "$(grep -c . "$tmp/lines")" -ge 5 ] || { echo "README.md has no such lines"; exit 1; }
readme_script <"$tmp/lines" >"$tmp/script"
export TIDE_SHM_DIR="$tmp/shm" readme_said="$tmp/said"
unshare --net setsid -w sh -c 'ip link set lo up && exec sh "$0"' "$tmp/script" >"$tmp/log" 2>&1 || { cat "$tmp/said" "$tmp/log"; exit 1; }
[ "$(tr '\n' ' ' <"$tmp/log" | sed 's/rev:[0-9]*/rev:N/')" = "rev:N vv" ] || { cat "$tmp/said" "$tmp/log"; echo "that is not a token and twice the value"; exit 1; }
