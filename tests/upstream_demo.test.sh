#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide demo --upstream`: a host whose link is broken grows stale, refuses what its bound forbids, and catches up. Exit codes: 0 good, 1 not, 77
# skipped.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh
. tests/lib/etcd.sh
need_libcurl
before=$(ls -d /dev/shm/tide-demo-* /tmp/tide-demo-* 2>/dev/null | wc -l)
expect 0 "the demo, as JSON" demo --upstream --seconds 6 --json
says '"link": "broken", .*"within_300ms": "refused", "linearizable": "no answer"\}\]\}$'
# In one of the lines behind the break, not in the last one: each gives a read 50 ms, which a busy machine may not keep.
sed -n '/"link": "broken"/,$p' "$work/out" | grep -q '"link": "whole", .*"linearizable": "yes"}\]}$' || bad "host c does not come back"
expect 0 "the demo, as text" demo --upstream --seconds 1
says "wrote   1, c's link whole"
says '^  TIDE_SHM_DIR=/dev/shm/tide-demo-[A-Za-z0-9]+-c tide web demo$'
after=$(ls -d /dev/shm/tide-demo-* /tmp/tide-demo-* 2>/dev/null | wc -l)
[ "$after" -le "$before" ] || bad "the demo left folders behind"
[ $failed = 0 ] && echo "a host without its link tells the truth"
exit $failed
