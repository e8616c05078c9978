#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide stat`, `tide ls` and `tide top` in 80 columns, whatever names and labels are; and their colours. Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh
long=a-name-of-forty-eight-characters-is-the-longest.
[ ${#long} = 48 ] || { echo "the name has ${#long} characters"; exit 1; }

begin serve serve d --followers 2 --ring 64K --table 256K
ready serve
server=$begun
begin follow follow d --label 'größer als eine Spalte breit'
ready follow
begin long serve "$long" --followers 0 --ring 64K --table 256K
ready long
for i in 1 2 3; do
    expect 0 "put" put d k v --timeout 20s
    expect 0 "get" get d k --max-staleness any
done

narrow() { # what: no line of the last output is wider than 80 characters
    LC_ALL=C.UTF-8 "$awk" '{ n = length($0) > n ? length($0) : n } END { exit n > 80 }' "$work/out" || bad "$1: wider than 80"
}
# mawk counts bytes.
awk=awk
[ "$(echo ö | LC_ALL=C.UTF-8 awk '{ print length($0) }')" = 1 ] || {
    awk=narrow_awk
    narrow() { # without what continues a character
        LC_ALL=C tr -d '\200-\277' <"$work/out" | LC_ALL=C awk '{ n = length($0) > n ? length($0) : n } END { exit n > 80 }' ||
            bad "$1: wider than 80"
    }
}

expect 0 "stat" stat d
narrow stat
says '^  0 r0 +leads '
says '^  3 größer a\* serving '
expect 0 "stat of a long name" stat "$long"
narrow "stat of a long name"
expect 0 "stat --watch" stat d --watch 50ms --count 2
narrow "stat --watch"
says '^rates +in the last '
says ' READS/S$'
expect 0 "ls" ls
narrow ls
says "^$long\$"
says '^ +alive +r0 '
says '^d +alive +r0 '
expect 0 "top of a long name" top "$long" --once --interval 100ms
narrow "top of a long name"
expect 0 "ls --wide" ls --wide
says "^$long  alive "
expect 0 "stat --wide" stat d --wide
says '  größer als eine Spalte breit  follower  serving '

# What is damaged: the reason has a line of its own, which is narrow, too.
head -c 3000000 /dev/urandom >"$TIDE_SHM_DIR/tidemark.noise.log"
chmod 600 "$TIDE_SHM_DIR/tidemark.noise.log"
expect 0 "ls of noise" ls
narrow "ls of noise"
says '^noise +damaged '
says '^  why '

# Colours repeat a word; a file and a pipe have none, nor has a terminal under NO_COLOR or that is dumb.
! grep -q "$(printf '\033')" "$work/out" || bad "ls: colours in a file"
if command -v script >/dev/null; then
    for how in "TERM=xterm" "TERM=xterm NO_COLOR=1" "TERM=dumb"; do
        env -u NO_COLOR $how script -qec "'$tide' stat d; '$tide' ls" "$work/typescript" </dev/null >"$work/out" 2>&1
        grep -q 'serving' "$work/out" || bad "$how: no word for the state"
        if [ "$how" = "TERM=xterm" ]; then
            grep -q "$(printf '\033')\[32mleads" "$work/out" || bad "$how: no colours"
        else
            ! grep -q "$(printf '\033')\[[0-9]" "$work/out" || bad "$how: colours"
        fi
    done
else
    echo "skipped in part: colours on a terminal (there is no script command)"
fi

kill -9 "$server"
wait "$server" 2>/dev/null
expect 0 "stat with dead replicas" stat d
narrow "stat with dead replicas"
exit $failed
