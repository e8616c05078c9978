#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide serve --upstream`: what is wrong is said, and what the domain cannot hold does not stop it for good. Exit codes: 0 good, 1 not, 77
# skipped.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh
. tests/lib/etcd.sh
need_libcurl

# ---- arguments ----
usage() { # words arguments...
    words=$1
    shift
    expect 2 "$*" serve d "$@"
    warns "$words"
}
usage 'does not begin with etcd://' --upstream http://127.0.0.1:2379/
usage 'no HOST:PORT' --upstream etcd://127.0.0.1/a
usage 'port from 1 to 65535' --upstream etcd://127.0.0.1:70000/a
usage 'an endpoint is empty' --upstream etcd://127.0.0.1:1,/a
usage 'is no byte' --upstream etcd://127.0.0.1:1/a%2
usage 'without --upstream' --upstream-user /nowhere
usage 'are for TLS' --upstream etcd://127.0.0.1:1/ --upstream-ca /nowhere
usage 'without --upstream-cert' --upstream etcds://127.0.0.1:1/ --upstream-key /dev/null
usage '-upstream-ca /nowhere cannot be read' --upstream etcds://127.0.0.1:1/ --upstream-ca /nowhere
usage '-upstream-cert /nowhere cannot be read' --upstream etcds://127.0.0.1:1/ --upstream-cert /nowhere
usage '-upstream-key /nowhere cannot be read' --upstream etcds://127.0.0.1:1/ --upstream-cert /dev/null --upstream-key /nowhere
usage 'not for a domain with --upstream' --upstream etcd://127.0.0.1:1/ --evict s3fifo
usage 'not for a domain with --upstream' --upstream etcd://127.0.0.1:1/ --default-ttl 1s
usage 'cannot be read' --upstream etcd://127.0.0.1:1/ --upstream-user /nowhere
echo root:wrong >"$work/user"
chmod 644 "$work/user"
usage 'others can read it' --upstream etcd://127.0.0.1:1/ --upstream-user "$work/user"
chmod 600 "$work/user"
echo nocolon >"$work/nocolon"
chmod 600 "$work/nocolon"
usage 'not one line NAME:PASSWORD' --upstream etcd://127.0.0.1:1/ --upstream-user "$work/nocolon"
rm -rf "${TIDE_SHM_DIR:?}"/tidemark.*

# ---- nobody there ----
expect 7 "wrong address" serve d --upstream "etcd://127.0.0.1:$(random_port),127.0.0.1:$(random_port)/a/"
warns '127.0.0.1:[0-9]+: .*127.0.0.1:[0-9]+: ' # why, of both
rm -rf "${TIDE_SHM_DIR:?}"/tidemark.*

# ---- one cluster, and what it may hold ----
etcd_start 1
url=etcd://$etcd/app/
begin plain serve plain
ready plain
expect 0 "put" put plain k v
kill "$begun"
ended "$begun" 0 "a domain that is not fed"
expect 4 "a domain that is there and not fed" serve plain --upstream "$url"
warns 'no source feeds it: it takes writes of its own'

control put app/ nothing-behind-the-prefix >/dev/null
control put app/k v >/dev/null
begin serve serve d --upstream "$url" --ring 64K --table 1M
server=$begun
ready serve
grep -q 'a key of 0 bytes behind the prefix is left out' "$work/serve.err" || { cat "$work/serve.err"; failed=1; }
expect 0 "the others are there" get d k
is v
expect 0 "without its upstream it cannot be led" stat d
expect 4 "led already" serve d

# A value that the ring cannot take holds everything up, since nothing may be skipped: said, and over when it is gone.
head -c 30000 /dev/zero | tr '\0' x >"$work/large"
control put app/large <"$work/large" >/dev/null
until_true 20 "says that it is too large" grep -q 'over a quarter of the ring' "$work/serve.err"
expect 4 "bound 0 is not kept meanwhile" get d k --fallback wait --wait 300ms
expect 0 "older data are" get d k --max-staleness 1h
control put app/large small >/dev/null
small() { [ "$("$tide" get d large --wait 1s)" = small ]; }
until_true 30 "goes on" small

# A transaction that the ring does not take at once: in parts, and nothing is copied again.
copies=$(grep -c 'copied at' "$work/serve.err")
i=0
value=$(head -c 1000 "$work/large")
{
    echo
    while [ $i -lt 40 ]; do
        echo "put app/part$i $value"
        i=$((i + 1))
    done
    echo
    echo
} | control txn >/dev/null
parts() { [ "$("$tide" scan d --prefix part --wait 1s --json | grep -c '"key": "part')" = 40 ]; }
until_true 30 "all of a large transaction" parts
[ "$(grep -c 'copied at' "$work/serve.err")" = "$copies" ] || { cat "$work/serve.err"; bad "a large transaction was copied"; }
control del app/part --prefix >/dev/null

# A full table: the same.
i=0
head -c 10000 "$work/large" >"$work/ten"
while [ $i -lt 120 ]; do
    control put app/fill$i <"$work/ten" >/dev/null
    i=$((i + 1))
    grep -q 'more --table is needed' "$work/serve.err" && break
done
until_true 20 "says that it is full" grep -q 'more --table is needed' "$work/serve.err"
control del app/fill --prefix >/dev/null
control put app/k after >/dev/null
after() { [ "$("$tide" get d k --wait 1s)" = after ]; }
until_true 60 "goes on when there is room" after
# Who follows for when the leader dies, and names another prefix, leaves the domain as it is: also a second `tide serve`.
for role in follow 'serve --followers 0'; do
    # shellcheck disable=SC2086 # words
    begin stray $role d --upstream "etcd://$etcd/other/"
    stray=$begun
    ready stray
    kill -9 "$server"
    ended "$stray" 7 "$role with another prefix"
    grep -q 'of another cluster or prefix: leaving it as it is' "$work/stray.err" || { cat "$work/stray.err"; failed=1; }
    begin back serve d --upstream "$url" --ring 64K --table 1M
    server=$begun
    ready back
    grep -q 'begins anew' "$work/back.err" && bad "the stray one cost the domain its data"
    expect 0 "what was there is" get d k
    is after
done
kill "$server"
ended "$server" 0 "serve"

# What the domain holds is of another prefix: it begins anew.
begin other serve d --upstream "etcd://$etcd/other/"
server=$begun
ready other
grep -q 'begins anew' "$work/other.err" || { cat "$work/other.err"; failed=1; }
expect 1 "keys of the other prefix" get d k
kill "$server"
ended "$server" 0 "serve of another prefix"
expect 4 "a fed domain without its upstream" serve d

# ---- users ----
control user add root:r >/dev/null
control user add reader:r >/dev/null
control role add reads >/dev/null
control role grant-permission reads read app/ --prefix=true >/dev/null
control user grant-role reader reads >/dev/null
control user grant-role root root >/dev/null
control auth enable >/dev/null
expect 7 "a wrong password" serve e --upstream "$url" --upstream-user "$work/user"
warns 'user root: .*authentication failed'
expect 7 "no user" serve e --upstream "$url"
warns 'user name is empty'
# Who may only read: a write says that the source refused it, and so does the leader.
printf 'reader:r\n' >"$work/user"
expect 7 "no permission on the prefix" serve f --upstream "etcd://$etcd/other/" --upstream-user "$work/user"
warns 'permission denied .*: reader needs a role that may read every key under the prefix'
begin reads serve f --upstream "$url" --upstream-user "$work/user"
reader=$begun
ready reads
for write in 'put f k w' 'cas f k w --expect 0' 'del f k' 'incr f n' 'touch f k 1h' 'clear f'; do
    # shellcheck disable=SC2086 # words
    expect 4 "$write, by a user who may not write" $write
    warns 'the source that feeds the domain refused it'
done
expect 4 "the same, as JSON" put f k w --json
says '"error": "refused", .*the source that feeds the domain refused it'
grep -q 'a write is refused: .*permission denied' "$work/reads.err" || { cat "$work/reads.err"; failed=1; }
expect 0 "and reads" get f k
is after
kill "$reader"
ended "$reader" 0 "serve of a user who may read"
printf 'root:r\n' >"$work/user"
begin good serve e --upstream "$url" --upstream-user "$work/user"
ready good
expect 0 "the right password" get e k
is after
"$tide" stat e | grep -q 'root:r' && bad "the password is shown"
tr '\0' ' ' <"/proc/$begun/cmdline" | grep -q 'root:r' && bad "the password is in the list of processes"

[ $failed = 0 ] && echo "what is wrong is said"
exit $failed
