#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two hosts on a cluster of three whose network loses packets: in a network namespace of its own, whose loopback drops one in so many of the
# packets that arrive. TCP sends them again after 0.2 s and more, so bytes stall, on every connection, between members, too. Sessions of both
# hosts and what their watches tell are checked as elsewhere (tests/lib/upstream_world.h). TIDE_SECONDS=N: for so long. Exit codes: 0 good, 1 not,
# 77 skipped.
cd "$(dirname "$0")/.." || exit 1
build=${TIDE_BUILD:-build}
for need in etcd nft ip; do
    command -v $need >/dev/null 2>&1 || { echo "skipped: there is no $need here (Debian: etcd-server, nftables, iproute2)"; exit 77; }
done
[ "$(id -u)" = 0 ] && unshare --net true 2>/dev/null || { echo "skipped: no network namespaces here"; exit 77; }
lossy='table inet loss { chain arrive { type filter hook input priority 0; meta l4proto tcp numgen random mod 100 < 3 counter drop; }; }'
echo "$lossy" | unshare --net nft -f - 2>/dev/null || { echo "skipped: nft cannot drop packets at random here"; exit 77; }
TIDE_SECONDS=${TIDE_SECONDS:-15}
export TIDE_SECONDS
out=$(mktemp)
trap 'rm -f "$out"' EXIT
echo "$lossy" | unshare --net sh -c 'ip link set lo up && nft -f - && "$1" </dev/null; code=$?; nft list ruleset; exit $code' \
    sh "$build/tests/test_upstream" >"$out" 2>&1
code=$?
if grep -q '^1..1$' "$out"; then
    cat "$out"
    exit 77
fi
dropped=$(sed -n 's/.*counter packets \([0-9]*\) .*/\1/p' "$out")
[ "${dropped:-0}" -gt 0 ] || { echo "no packet was dropped"; code=1; }
[ $code = 0 ] || { cat "$out"; exit 1; }
sed '/^table/,$d' "$out"
echo "packets dropped: $dropped"
