#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Keys, values, labels and names that others chose do not command the terminal of whoever looks at them. Exit codes: 0
# good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh

escape=$(printf '\033]0;owned\007')
c1=$(printf '\302\23331m') # U+009B, what ESC [ is as one character
delete=$(printf '\177')
broken=$(printf '\377\376')
evil="k$escape$c1$delete$broken"

begin serve serve d --followers 0 --ring 64K --table 256K
ready serve
begin follow follow d --label "l$escape$c1"
ready follow
begin plain follow d --label "größe"
ready plain
expect 0 "put" put d "$evil" "v$escape$c1$delete$broken" --timeout 20s
expect 0 "put of a text" put d text "zwei
Zeilen, größer" --timeout 20s

# Nothing but newlines, tabs and what shows: no C0, no DEL, no U+0080 to U+009F, nothing that is not UTF-8.
harmless() { # file what
    if LC_ALL=C tr -d '\n\t' <"$1" | LC_ALL=C grep -q "$(printf '[\001-\037\177]')"; then
        bad "$2: a control character"
    elif LC_ALL=C grep -q "$(printf '\302[\200-\237]')" "$1"; then
        bad "$2: a control character from U+0080 to U+009F"
    elif ! iconv -f UTF-8 -t UTF-8 "$1" >/dev/null 2>&1; then
        bad "$2: not UTF-8"
    fi
}

for c in 'stat d' 'stat d --wide' 'top d --once' 'top d --json --once' 'ls --wide' 'stat d --json' 'scan d' 'scan d --json' 'scan d --keys' 'get d text --json' 'ls' 'ls --json' 'dump d' \
    'dump d --json' 'dump d --full' 'dump d.r0' 'verify d' 'verify d --json' 'gc d' 'gc d --json' 'metrics d' 'metrics' 'watch d --initial --count 2' \
    'watch d --initial --count 2 --json' 'watch d --initial --count 1 --prefix k' 'dump d --at 1' 'dump d --between 1..2' \
    'stat d --watch 10ms --count 2' 'get d text text' 'get d text text --json' 'ttl d text' 'ttl d text --json'; do
    # shellcheck disable=SC2086
    expect 0 "$c" $c
    harmless "$work/out" "$c"
    harmless "$work/err" "$c, standard error"
done
expect 0 "get --json of a key of control characters" get d "$evil" --json
harmless "$work/out" "get --json"
for c in "get --json|1|get d $evil none --json" "get of two|0|get d $evil text" "get of one that is not there|1|get d $evil x$evil" \
    "ttl --json|0|ttl d $evil --json" "touch|0|touch d $evil never" "incr of no number|7|incr d $evil" "del --prefix|0|del d --prefix x$evil" \
    "clear --prefix|0|clear d --prefix x$evil --json" "watch --prefix|0|watch d --initial --count 1 --prefix $evil" \
    "watch --prefix --json|0|watch d --initial --count 1 --prefix $evil --json"; do
    rest=${c#*|}
    # shellcheck disable=SC2086
    expect "${rest%%|*}" "${c%%|*}" ${rest#*|}
    harmless "$work/out" "${c%%|*}"
    harmless "$work/err" "${c%%|*}, standard error"
done
expect 0 "stat" stat d --wide
says 'l\\x1b\]0;owned\\x07\\xc2\\x9b31m'
says ' größe '

# The answer of JSON is the same for a program.
expect 0 "stat --json" stat d --json
says '"label": "l\\u001b\]0;owned\\u0007\\u009b31m"'

# In messages.
for c in "get $evil k" "get d k --token $evil" "stat $evil" "dump $evil" "rm $evil" "serve d --label$evil" "$evil" "help $evil" \
    "put d k --file $work/$evil" "snapshot load d $work/$evil" "snapshot save d $work/none/$evil" "ls $evil" "ttl $evil k" "touch d k $evil" "touch $evil k never" \
    "incr d k $evil" "incr $evil k" "clear $evil" "del $evil --prefix x" "watch $evil" "watch d --from $evil" "watch d --count $evil" "metrics $evil" \
    "metrics d --listen $evil" "web $evil" "web d --listen $evil" "web d --listen unix:$work/none/$evil" "metrics --textfile $work/none/$evil" "dump d --at $evil" "dump d --between $evil" "put d k v --ttl $evil" \
    "serve d --default-ttl $evil" "serve d --evict $evil"; do
    # shellcheck disable=SC2086
    timeout -k 5 30 "$tide" $c >"$work/out" 2>"$work/err" </dev/null && bad "a bad argument is taken"
    harmless "$work/err" "standard error of a bad argument"
    harmless "$work/out" "standard output of a bad argument"
    # shellcheck disable=SC2086
    timeout -k 5 30 "$tide" $c --json >"$work/out" 2>"$work/err" </dev/null
    harmless "$work/out" "the JSON of a bad argument"
done

# The value of a key is given byte by byte, but to a terminal.
expect 0 "get" get d "$evil"
printf 'v%s%s%s%s' "$escape" "$c1" "$delete" "$broken" | cmp -s - "$work/out" || bad "get: the value is not what was put"
if command -v script >/dev/null; then
    script -qec "'$tide' get d '$evil'" "$work/typescript" </dev/null >"$work/out" 2>&1
    sed '/^Script /d' "$work/out" | tr -d '\r' >"$work/shown"
    harmless "$work/shown" "get on a terminal"
    grep -qF 'v\x1b]0;owned\x07\xc2\x9b31m\x7f\xff\xfe' "$work/shown" || bad "get on a terminal does not show the value"
    script -qec "'$tide' get d text" "$work/typescript" </dev/null >"$work/out" 2>&1
    grep -q 'Zeilen, größer' "$work/out" || bad "get on a terminal escapes text"
else
    echo "skipped: get on a terminal (there is no script command)"
fi

exit "$failed"
