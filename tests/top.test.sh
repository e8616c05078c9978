#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide top`: as text and JSON, and on a terminal in tmux: pages, keys, sizes, colours, and the terminal afterwards. TIDE_KEEP_SCREENS=DIR
# keeps what was seen. Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh
escape=$(printf '\033]0;owned\007')

expect 2 "no name" top
expect 2 "two names" top d e
expect 2 "interval" top d --interval 1ms
warns 'from 100ms to 1h'
expect 2 "count" top d --count 0
expect 2 "once and count" top d --once --count 2
expect 3 "no such domain" top nobody
warns "there is no such domain; 'tide ls' lists the domains"
expect 3 "no such domain, JSON" top nobody --json
says '"error": "no_domain".*"exit_code": 3'

begin serve serve d --followers 2 --delay 0,200ms --ring 64K --table 256K
ready serve
server=$begun
begin follow follow d --label "l$escape"
ready follow
follower=$begun
for i in 1 2 3; do
    expect 0 "put" put d "k$i" v --timeout 20s
done
# Something happens all the time.
(while :; do "$tide" put d k1 v --timeout 20s >/dev/null && "$tide" get d k1 >/dev/null && sleep 0.05 || exit; done) 2>/dev/null &
writer=$!
pids="$pids $writer"

# ---- without a terminal

expect 0 "once" top d --once --interval 300ms
says '^ d  alive, r0 leads, process '
says '^r2 .* serving '
says 'l\\x1b\]0;'
! LC_ALL=C grep -q "$(printf '[\001-\010\013-\037\177]')" "$work/out" || bad "once: a control character"
LC_ALL=C "$tide" top d --once --interval 100ms >"$work/out"
[ "$(awk '{ n = length($0) > n ? length($0) : n } END { print n }' "$work/out")" -le 80 ] || bad "once: wider than 80"
expect 0 "a pipe" top d --count 2 --interval 100ms
[ "$(grep -c '^ d  alive' "$work/out")" = 2 ] || bad "a pipe: not two pictures"
expect 0 "JSON" top d --json --count 2 --interval 100ms
[ "$(wc -l <"$work/out")" = 2 ] || bad "JSON: not two lines"
says '"rates": null'
says '"rates": \{"seconds": [0-9.]+, "writes_s": '
says '"events": \[\]'
expect 0 "JSON, once" top d --json --once --interval 100ms
[ "$(wc -l <"$work/out")" = 1 ] || bad "JSON, once: not one line"
! grep -q '"rates": null' "$work/out" || bad "JSON, once: no rates"
says '"label": "l\\u001b\]0;owned\\u0007"'

# It is no member, and it writes nothing: a domain whose processes are dead stays as it is.
begin dead serve dead --followers 1 --ring 64K --table 256K
ready dead
kill -9 "$begun"
wait "$begun" 2>/dev/null
find "$TIDE_SHM_DIR" -name 'tidemark.dead.*' -exec cksum {} + >"$work/before"
expect 0 "a dead domain" top dead --once --interval 100ms
says 'dead: no process, nobody leads'
says '^r1 .* dead '
find "$TIDE_SHM_DIR" -name 'tidemark.dead.*' -exec cksum {} + >"$work/after"
cmp -s "$work/before" "$work/after" || bad "a dead domain: top changed its segments"
log=$TIDE_SHM_DIR/tidemark.dead.log
printf '\377\377' | dd of="$log" bs=1 seek=9 conv=notrunc 2>/dev/null
expect 7 "another version" top dead --once
warns 'another version of Tidemark'
printf 'XXXX' | dd of="$log" bs=1 conv=notrunc 2>/dev/null
expect 1 "damaged" top dead --once
warns 'dead: damaged: '
: >"$log"
expect 1 "an empty file" top dead --json --once
says '"error": "damaged"'

# Events, and a domain that goes while it is looked at.
begin events top d --json --interval 100ms
watcher=$begun
until_true 60 "a sample" grep -q '"state": "alive"' "$work/events"
kill "$follower"
until_true 60 "an event" grep -q '"event": "left", "replica": 3' "$work/events"
kill "$watcher"
ended "$watcher" 0 "top --json, by a signal"

# Replaced while it is looked at.
begin other serve other --followers 0 --ring 64K --table 256K
ready other
begin replaced top other --json --interval 500ms
watcher=$begun
until_true 60 "a sample" grep -q '"state": "alive"' "$work/replaced"
expect 0 "rm --force" rm other --force
begin other2 serve other --followers 0 --ring 64K --table 256K
ended "$watcher" 3 "top --json, of a domain that was replaced"

if ! command -v tmux >/dev/null 2>&1; then
    echo "skipped in part: there is no tmux here (Debian: tmux); the screen is not tried"
    exit $failed
fi

# A build without the header of ncurses leaves the screen out.
sed 's/__has_include(<curses.h>)/0/' tools/top/screen.c >"$work/screen.c"
${CC:-gcc} -std=gnu11 -Wall -Wextra -Werror -D_GNU_SOURCE -I. -fsyntax-only "$work/screen.c" >"$work/out" 2>"$work/err" ||
    bad "does not compile without ncurses"

# ---- on a terminal

socket=$work/tmux
tm() { tmux -S "$socket" -f /dev/null "$@"; }
trap 'tm kill-server 2>/dev/null; end_all; rm -rf "$work" "$TIDE_SHM_DIR"' EXIT
unset NO_COLOR
LC_ALL=C.UTF-8 tm new-session -d -x 80 -y 24 -s t "sh" 2>"$work/err" || { bad "tmux does not start"; exit 1; }

screen() { tm capture-pane -p -t t >"$work/out"; }
# Wait until the screen has it.
sees() { # what pattern
    what=$1
    seen_by() { screen && grep -Eq -- "$2" "$work/out"; }
    until_true 60 "$what: /$2/ on the screen" seen_by "$@" || bad "$what"
}
keep() { # name
    [ -z "${TIDE_KEEP_SCREENS:-}" ] || cp "$work/out" "$TIDE_KEEP_SCREENS/$1.txt"
}
# The terminal's settings go to a file before and after; the words at the end say with which code it ended.
start() { # environment arguments...
    tm send-keys -t t "clear; stty -a >'$work/tty1'; $1 '$tide' $2; echo ended \$?; stty -a >'$work/tty2'; echo over" Enter
}
is_over() { # what code
    sees "$1" '^over'
    grep -q "^ended $2\$" "$work/out" || bad "$1: did not end with $2"
    as_it_was "$1"
}
as_it_was() { # what
    settled() { stty_now; cmp -s "$work/tty1" "$work/tty2" && [ "$(tm display-message -p -t t '#{alternate_on} #{cursor_flag}')" = "0 1" ]; }
    until_true 60 "$1: the terminal as it was" settled
    tm send-keys -t t clear Enter
    until_true 60 "$1: the screen is clear" is_clear # the next would take its last words for its own
}
is_clear() { screen && ! grep -q '^over' "$work/out"; }
# Where the shell went on before the terminal was given back, what it wrote is too old.
stty_now() {
    cmp -s "$work/tty1" "$work/tty2" || tm send-keys -t t "stty -a >'$work/tty2'" Enter
}

start "" "top d"
sees "the domain's page" '^r3? *r?2 .*serving|^r2 .* serving'
sees "80 x 24" ' q quit .* \? help$'
says '^READS/S +FRESH +IN BOUND'
says '^ring \['
grep -q '▇\|▆\|▅\|▁' "$work/out" || bad "no sparkline"
keep main80
tm send-keys -t t '?'
sees "help" '^KEYS AND WORDS'
keep help80
tm send-keys -t t Escape
sees "back" '^ring \['
tm send-keys -t t Down Down Enter
sees "a replica" '^r2 r2  serving, process'
sees "its histogram" '^ +[0-9.]+ms +[0-9.]+ % '
keep replica80
tm send-keys -t t b
sees "back again" '^ring \['
tm send-keys -t t r
# Both orders show both replicas, so the order itself is waited for.
line_of() { grep -n "^$1 " "$work/out" | cut -d: -f1; }
is_reversed() { screen && [ "$(line_of r2 || :)" ] && [ "$(line_of r0 || :)" ] && [ "$(line_of r2)" -lt "$(line_of r0)" ]; }
until_true 60 "reversed: r2 above r0" is_reversed || bad "reversed: is not"
tm send-keys -t t p
sees "paused" ' PAUSED '
first=$(grep -o 'commit [0-9]*' "$work/out")
sleep 1.2
screen
[ "$first" = "$(grep -o 'commit [0-9]*' "$work/out")" ] || bad "paused: goes on"
tm send-keys -t t p +
sees "more often" 'every 500ms'
tm capture-pane -e -p -t t >"$work/out"
grep -q "$(printf '\033\\[3[0-9]m')" "$work/out" || bad "no colour"
tm resize-window -t t -x 120 -y 40
sees "120 x 40" '^ID .* PID .*STALENESS'
keep main120
tm resize-window -t t -x 60 -y 15
sees "60 x 15" 'this is 60 x 15'
keep small
tm resize-window -t t -x 80 -y 24
sees "80 x 24 again" '^ring \['
tm send-keys -t t q
is_over "q" 0

[ $failed = 0 ] || exit 1 # what follows would wait in vain
start "NO_COLOR=1" "top d"
sees "no colour" '^ring \['
tm capture-pane -e -p -t t >"$work/out"
! grep -q "$(printf '\033\\[[0-9;]*[34][0-7]m')" "$work/out" || bad "NO_COLOR: colours all the same"
tm send-keys -t t C-c
is_over "Ctrl-C" 0

start "LC_ALL=C" "top d"
sees "no UTF-8" '^ring \[[.]+.*[|]'
! LC_ALL=C grep -q "$(printf '[\200-\377]')" "$work/out" || bad "LC_ALL=C: more than ASCII"
tm send-keys -t t C-z
sees "Ctrl-Z" 'Stopped'
sees "Ctrl-Z, the shell goes on" '^over'
tm send-keys -t t "clear; fg; echo ended \$?; echo over" Enter
sees "fg" '^ring \['
tm send-keys -t t q
is_over "q after fg" 0

# What ncurses has of a terminal that it does not know, it never frees (new_prescr).
leave=
[ -z "${TIDE_SANITIZED:-}" ] || leave="ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0"
for term in dumb no-such-terminal; do
    start "TERM=$term $leave" "top d"
    is_over "TERM=$term" 7
done

# Whatever kills it, and whichever of its two processes. A sanitizer would take SIGSEGV for itself, and abort.
leave=
[ -z "${TIDE_SANITIZED:-}" ] || leave="ASAN_OPTIONS=$ASAN_OPTIONS:handle_segv=0 TSAN_OPTIONS=$TSAN_OPTIONS:handle_segv=0"
shell=$(tm display-message -p -t t '#{pane_pid}')
child_of() { sed 's/ .*//' "/proc/$1/task/$1/children" 2>/dev/null; }
for signal in KILL:137 SEGV:139 TERM:0 HUP:0; do
    for whose in parent child; do
        start "$leave" "top d"
        sees "before $signal to the $whose" '^ring \['
        parent=$(child_of "$shell")
        victim=$parent
        [ "$whose" = parent ] || victim=$(child_of "$parent")
        kill -"${signal%:*}" "$victim"
        if [ "$signal $whose" = "KILL:137 parent" ]; then
            as_it_was "$signal to the $whose" # the shell goes on at once, so nothing can be said of its words
        else
            is_over "$signal to the $whose" "${signal#*:}"
        fi
        [ $failed = 0 ] || exit 1 # what follows would wait in vain
    done
done

# The domain goes.
kill "$writer" "$server"
wait "$server" 2>/dev/null
start "" "top d --interval 100ms"
sees "the server has gone" 'nobody leads'
expect 0 "rm" rm d --force
is_over "the domain was removed" 3
[ "$(find "$TIDE_SHM_DIR" -name 'tidemark.d.*' | wc -l)" = 0 ] || bad "something of the domain is left"
exit $failed
