#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each name that --json prints stands in what --help says of --json, and no line of a help text is wider than 120 columns.
# Exit codes: 0 good, 1 not.
. tests/lib/commands.sh

names_told() { # code what arguments of tide...
    expect "$@" --json
    grep -oE '"[a-z_]+":' "$work/out" | tr -d '":' | sort -u >"$work/names"
    [ -s "$work/names" ] || bad "$what: printed no name"
    "$tide" "$3" --help | awk '/^  --/ { inside = 0 } /^$/ { inside = 0 } /--json / { inside = 1 } inside' >"$work/told"
    while read -r name; do
        grep -qw -- "$name" "$work/told" || bad "$what: tide $3 --help does not name $name behind --json"
    done <"$work/names"
}

# A failure is an object, too.
for how in --limit=1 --summary; do
    expect 3 "dump of none" dump nothing --json $how
    says '"error": "no_domain".*"exit_code": 3'
    expect 3 "dump of a folder" dump "$work" --json $how
    says '"error": "no_domain".*"exit_code": 3'
done

begin serve serve d
until_true 20 "d serves" grep -q '^ready' "$work/serve"
names_told 0 "put" put d k 1
names_told 0 "a get" get d k
names_told 1 "a get of two" get d k l
names_told 1 "a get of none" get d nothing
names_told 0 "incr" incr d k
names_told 0 "cas" cas d l v --expect 0
names_told 0 "touch" touch d k 1h
names_told 0 "del" del d l
names_told 0 "ls" ls
names_told 0 "verify" verify d
names_told 0 "gc" gc
names_told 0 "save" snapshot save d "$work/snapshot"
names_told 0 "load" snapshot load d "$work/snapshot"
names_told 1 "step-down" step-down d
expect 0 "a key that differs" put d other v
names_told 1 "diff" diff d "$work/snapshot"
names_told 0 "clear" clear d
end_all
names_told 0 "rm" rm d

"$tide" help | awk '/^Commands:/ { inside = 1; next } /^$/ { inside = 0 } inside { print $1 }' >"$work/commands"
[ "$(grep -c . "$work/commands")" -gt 20 ] || bad "tide help lists no commands"
while read -r command; do
    "$tide" "$command" --help >"$work/out" 2>"$work/err" </dev/null
    wide=$(awk 'length($0) > 120' "$work/out")
    [ -z "$wide" ] || bad "tide $command --help: wider than 120 columns: $wide"
done <"$work/commands"
exit $failed
