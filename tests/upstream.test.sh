#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide serve --upstream`: two hosts (two folders of shared memory) on one etcd. What one writes, the other reads. Exit codes: 0 good, 1 not,
# 77 skipped.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh
. tests/lib/etcd.sh
etcd_start 1
url=etcd://$etcd/app/

on a
begin a serve d --upstream "$url"
if until_true 30 "ready, or an end" sh -c "grep -q '^ready' '$work/a' || grep -q libcurl '$work/a.err'" && grep -q libcurl "$work/a.err"; then
    echo "skipped: $(cat "$work/a.err")"
    exit 77
fi
host_a=$begun
on b
begin b serve d --upstream "$url"
host_b=$begun
ready b

# Linearizable across hosts, as the default bound is.
on a
expect 0 "put at a" put d k one
on b
expect 0 "get at b" get d k
is one
expect 0 "put at b" put d k two --json
on a
expect 0 "get at a" get d k --json
says '"value": "two", .*"linearizable": true'
version=$(field version)
expect 6 "cas at a, of another version" cas d k three --expect $((version - 1))
expect 0 "cas at a" cas d k three --expect "$version"
expect 6 "cas of a key that should not be there" cas d k four --expect 0
on b
expect 0 "get after cas" get d k
is three
expect 0 "incr at b" incr d n 5
is 5
on a
expect 0 "incr at a" incr d n 37
is 42
printf 'x\000y' >"$work/bytes"
"$tide" put d bytes - --timeout 10s <"$work/bytes" >/dev/null 2>"$work/err" || bad "put of bytes"
on b
"$tide" get d bytes >"$work/got" 2>"$work/err"
cmp -s "$work/bytes" "$work/got" || bad "bytes came as others"
expect 0 "del at b" del d k
on a
expect 1 "get of what b deleted" get d k
expect 0 "ttl" put d short v --ttl 1s
on b
expect 0 "it is there at b" get d short
expect 0 "ttl of a key with a lease" ttl d short
is "until etcd removes it"
expect 0 "ttl of a key with a lease, as JSON" ttl d short --json
says '"ttl_ns": null, "removed_by": "etcd"'
expired() { "$tide" get d short; [ $? = 1 ]; }
until_true 30 "the lease ends" expired

# etcd's own client and ours see the same.
control put app/by-etcdctl 7 >/dev/null
control put other/key x >/dev/null
expect 0 "get of what etcdctl put" get d by-etcdctl
is 7
control get app/n --print-value-only >"$work/out"
is 42
expect 0 "scan" scan d --json
grep -q other "$work/out" && bad "a key outside of the prefix is there"

# A watch tells what came by the other host.
begin watch watch d --initial --json
until_true 60 "the watch is there" grep -q '"kind": "synced"' "$work/watch"
on a
expect 0 "put for the watch" put d watched v
until_true 20 "the watch tells it" grep -q '"key": "watched"' "$work/watch"
kill -TERM "$begun"

# A session goes from host to host by its token.
expect 0 "put with a token" put d session v1
token=$(cat "$work/out")
case $token in rev:[0-9]*) ;; *) bad "the token $token is none of a source" ;; esac
on b
expect 0 "get at least as new as it" get d session --token "$token" --max-staleness 1h --fallback wait --wait 10s
is v1
# So does this host's own kind of token, within the host.
expect 0 "stat" stat d --json
incarnation=$(field incarnation) index=$(field tide_commit_index)
expect 0 "get behind an index of this host's log" get d session --token "$incarnation:$index" --max-staleness 1h --fallback wait --wait 10s
is v1
on a
expect 4 "an index of another host's log" get d session --token "$incarnation:$index" --max-staleness 1h
on b

# What cannot be is said before anything is sent.
head -c 1600000 /dev/zero | "$tide" put d large - --timeout 10s >"$work/out" 2>"$work/err"
[ $? != 0 ] || bad "a value over 1.5 MiB was taken"
until_true 10 "the leader says why" grep -q 'etcd takes 1572864' "$work/b.err"

# The source ends keys, also those with a lease: nothing that it supplied ends by itself.
expect 0 "a summary of the log" dump d --summary
says '; 0 expire, '
expect 0 "stat" stat d
says "$etcd"

# The page tells what stat does.
begin page web d --listen 127.0.0.1:0
until_true 20 "the page, or why not" sh -c "grep -q '^listening' '$work/page' || grep -q libmicrohttpd '$work/page.err'"
page=$(sed -n 's/^listening http:..127.0.0.1:\([0-9]*\).*/\1/p' "$work/page")
if [ -n "$page" ]; then
    what="the page's figures of the source"
    "$(dirname "$tide")/tests/tool_http" get "$page" GET /state.json >"$work/out" 2>"$work/err" || bad "no answer"
    says '"source": \{"kind": "etcd", "note": "etcd://'"$etcd"'.* watching '
    says '"tide_source_revision": [0-9]+, "tide_source_complete_revision": [0-9]+, "complete_ns": [0-9]+, "questions": [0-9]+, "answered": [0-9]+'
fi
kill "$begun"

# Nothing is written without the cluster; what is there is read by bounds that allow it; then it goes on.
kill -STOP "$etcd_pid_0"
until_true 20 "the cluster is stopped" grep -q '^State:.*T' "/proc/$etcd_pid_0/status"
expect 4 "bound 0 without the cluster" get d session --fallback wait --wait 300ms --json
expect 0 "a bound that allows it" get d session --max-staleness 1h
expect 4 "refused at once" get d session --max-staleness 1ns --fallback error
kill -CONT "$etcd_pid_0"
fresh() { "$tide" get d session --wait 2s; }
until_true 30 "bound 0 again" fresh

# The leader of a host is killed: its follower goes on where the log ends, and nothing is copied again.
on a
begin a2 follow d --upstream "$url"
ready a2
kill -9 "$host_a"
on b
expect 0 "put at b while a changes its leader" put d k five
on a
five() { [ "$("$tide" get d k --wait 2s)" = five ]; }
until_true 30 "a's new leader has it" five
expect 0 "put at a by the new leader" put d k six
on b
expect 0 "get at b" get d k
is six
grep -q 'copied' "$work/a2.err" && bad "the new leader copied everything: $(cat "$work/a2.err")"

# A restart of the whole host goes on from what lies in shared memory.
kill -TERM "$host_b"
ended "$host_b" 0 "serve at b"
on a
expect 0 "put while b is down" put d k seven
on b
begin b2 serve d --upstream "$url"
ready b2
expect 0 "get after the restart" get d k
is seven
grep -q 'copied' "$work/b2.err" && bad "a restart copied everything: $(cat "$work/b2.err")"

# The cluster is put back to nothing: the domain begins anew, and says so.
kill -9 "$etcd_pid_0"
wait "$etcd_pid_0" 2>/dev/null
rm -rf "$work/etcd0"
etcd_begin 0
until_true 60 "it begins anew" grep -q 'begins anew' "$work/b2.err"
anew() { "$tide" put d after v --timeout 2s; }
until_true 60 "it takes writes again" anew
expect 1 "what the old cluster had is gone" get d k
expect 0 "what the new one has is there" get d after

[ $failed = 0 ] && echo "two hosts hold one cluster's keys"
exit $failed
