#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A host that was away while keys were changed, removed and made, and etcd compacted its history: it takes the difference, all of it and nothing
# else, and a watch tells it from where it was. tests/env/upstream_million.test.sh is the same with a million keys. Exit codes: 0 good, 1 not,
# 77 skipped.
cd "$(dirname "$0")/.." || exit 1
. tests/lib/commands.sh
. tests/lib/etcd.sh
need_libcurl
rm -rf "${TIDE_SHM_DIR:?}"/tidemark.*
same_keys() { # the domain's keys and values are the cluster's
    expect 0 "scan" scan d --json
    sed -n 's/.*"key": "\([^"]*\)", "value": "\([^"]*\)".*/\1 \2/p' "$work/out" | sort >"$work/ours"
    control get app/ --prefix | paste -d ' ' - - | sed 's/^app.//' | sort >"$work/theirs"
    [ -s "$work/ours" ] && cmp -s "$work/ours" "$work/theirs" || bad "the domain has other keys than the cluster: $(diff "$work/ours" "$work/theirs" | head -n 5)"
}

etcd_start 1
etcd_load put app/ 0 3000 v
begin first serve d --upstream "etcd://$etcd/app/"
server=$begun
ready first
same_keys
expect 0 "the last put before" put d mark x
token=$(cat "$work/out")
kill "$server"
ended "$server" 0 "serve"

etcd_load put app/ 0 300 w
etcd_load del app/ 300 300
etcd_load put app/ 3000 150 v
etcd_load put other/ 0 300 x
revision=$(control get app/none -w json | sed 's/.*"revision":\([0-9]*\).*/\1/')
control compaction "$revision" >/dev/null

begin away serve d --upstream "etcd://$etcd/app/"
server=$begun
ready away
# Ready is behind the difference, not before it.
grep -q "is compacted (up to" "$work/away.err" && grep -q "copied at revision [0-9]*: 2851 keys, of which 450 were new or others, and 300 removed" "$work/away.err" ||
    { cat "$work/away.err"; bad "not the difference"; }
same_keys
expect 0 "the page of what was" get d mark --token "$token" --max-staleness any
is x
begin watch watch d --from "$token" --json
until_true 30 "the watch tells all of it" sh -c "[ \$(grep -c '\"kind\": \"\\(put\\|delete\\)\"' '$work/watch') = 750 ]"
kill "$begun"
[ "$(grep -c '"kind": "delete"' "$work/watch")" = 300 ] || bad "the watch does not tell the 300 that were removed"
[ "$(grep '"kind": "put"' "$work/watch" | grep -c '"value": "w-')" = 300 ] || bad "the watch does not tell the 300 that were changed"
expect 0 "verify" verify d
[ $failed = 0 ] && echo "the difference, and nothing else"
exit $failed
