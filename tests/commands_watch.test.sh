#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tide watch, as a user would call it.
. tests/lib/commands.sh

expect 2 "help first" watch
expect 2 "a bad count" watch w --count 0
expect 2 "a bad token" watch w --from 17
expect 2 "a bad revision" watch w --from rev:
expect 2 "from and initial" watch w --initial --from 1234567812345678:1
warns 'leave --from out'
expect 2 "no such option" watch w --pre x --what
expect 3 "no domain" watch none
expect 2 "a word like it" wach w
warns "did you mean 'tide watch'"

begin ready serve w --ring 64K --table 2M
until_true 20 "the domain serves" grep -q ^ready "$work/ready"
expect 0 "a first put" put w a/1 one
token=$(cut -d' ' -f1 "$work/out")
expect 0 "a second put" put w b/1 "$(printf 'two\twords')"
expect 0 "a delete" del w a/1

expect 0 "initial" watch w --initial --count 2
says '^put	2	b/1	two\\x09words$'
says '^synced	3$'

tokens=$("$tide" watch w --initial --count 2 --json | sed -n 's/.*"kind": *"synced".*"token": *"\([^"]*\)".*/\1/p')
[ -n "$tokens" ] || { echo "synced without a token"; failed=1; }
first=${tokens%:*}:0
expect 0 "from the beginning" watch w --from "$first" --count 3
says '^put	1	a/1	one$'
says '^delete	3	a/1$'
expect 0 "one prefix, json" watch w --from "$first" --prefix a/ --count 2 --json
says '^."kind": *"put", *"index": *1, *"time_ns": *[0-9]+, *"more": *false, *"key": *"a/1", *"value": *"one", *"encoding": *"utf-8", *"token": *"'
says '^."kind": *"delete", *"index": *3,.*"key": *"a/1", *"token": *"'"${tokens%:*}"':3"\}$'
expect 4 "from the future" watch w --from "${tokens%:*}:4000"
expect 4 "of another domain" watch w --from "00000000000000aa:1"

# What comes later; a signal ends it well, and what was told before is there.
begin told watch w --prefix k --initial
watch=$begun
until_true 60 "the watch is there" grep -q '^synced' "$work/told"
expect 0 "put while somebody watches" put w k1 v1
until_true 20 "the watch tells it" grep -q '^put	4	k1	v1$' "$work/told"
kill -TERM "$watch"
wait "$watch"
[ $? = 0 ] || { echo "SIGTERM: not ended with 0"; failed=1; }
begin told watch w --initial
watch=$begun
until_true 60 "the watch is there" grep -q '^synced' "$work/told"
kill -INT "$watch" 2>/dev/null
kill -TERM "$watch" 2>/dev/null # a job of a shell without job control ignores SIGINT
wait "$watch"
[ $? = 0 ] || { echo "SIGINT: not ended with 0"; failed=1; }

# Output that cannot be written, and a reader that is gone.
"$tide" watch w --from "$first" --count 3 >/dev/full 2>"$work/err"
[ $? = 7 ] || { echo "a full device: not 7"; failed=1; }
grep -q 'cannot be written' "$work/err" || { echo "a full device: does not say so"; failed=1; }
timeout 20 "$tide" watch w --from "$first" >/dev/full 2>"$work/err"
[ $? = 7 ] || { echo "a full device, no end: not 7"; failed=1; }

# A ring that went round: what is lost is said, and how to begin anew.
i=0
head -c 15000 /dev/zero | tr '\0' x >"$work/big"
while [ $i -lt 8 ]; do
    expect 0 "a large put" put w big --file "$work/big"
    i=$((i + 1))
done
expect 4 "overwritten" watch w --from "$first" --count 1 --json
says '^."oldest": *"[0-9a-f]+:[0-9]+", *"error": *"lost"'
warns 'slower than the writers by more than the ring holds'
warns 'begin anew with --initial, or with what is left: --from'
! grep -q 'section' "$work/err" || bad "a watch is told of a section"
oldest=$(sed -n 's/.*"oldest": *"\([^"]*\)".*/\1/p' "$work/out")
expect 0 "from the oldest" watch w --from "$oldest" --count 1
says '^put	'

# The domain goes away under it.
begin told watch w --initial
watch=$begun
until_true 60 "the watch is there" grep -q '^synced' "$work/told"
"$tide" rm w --force >/dev/null 2>&1
wait "$watch"
[ $? = 3 ] || { echo "removed: not 3"; failed=1; }
[ $failed = 0 ]
