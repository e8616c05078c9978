#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide dump --summary` and --html: of a living, a dead and a damaged log. Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh
evil="<b>&\"$(printf '\033[2J\377')"

begin serve serve d --followers 1 --ring 64K --table 256K --delay 1h
ready serve
server=$begun
for i in 1 2 3; do
    expect 0 "put" put d often "value $i" --timeout 20s
done
expect 0 "put" put d "$evil" v --ttl 1h --timeout 20s
expect 0 "put" put d other v --timeout 20s
expect 0 "del" del d other --timeout 20s

expect 0 "summary" dump d --summary
says '^6 entries, from index 1 to 6, over '
says '^0 are not there any more, 0 are damaged; the term changed 0 times'
says '^6 came through lanes, .* 1 expire, 0 are kept'
says '^since the domain was made: 6 entries in 6 groups'
says '^put +5 +83\.3 % '
says '^delete +1 +16\.7 % '
says '^8 to 15 +[0-9]+ +[0-9.]+ % #+$'
says '^ +3 +50\.0 % often$'
says 'KEYS WRITTEN MOST, of 3$'
says '^ +[0-9.]+(ns|us|ms|s) between [0-9] and [0-9], began '
! LC_ALL=C grep -q "$(printf '[\001-\010\013-\037\177-\377]')" "$work/out" || bad "summary: a control character"
! grep -q '^replica' "$work/out" || bad "summary: shows the board as well"
[ "$(awk 'NR > 4 { n = length($0) > n ? length($0) : n } END { print n }' "$work/out")" -le 80 ] || bad "summary: too wide"
expect 0 "summary of a key" dump d --summary --key often
says '^3 entries, '
says '^put +3 +100 % '
expect 0 "summary of a range" dump d --summary --between 4..5
says '^2 entries, from index 4 to 5'
expect 0 "summary of nothing" dump d --summary --at 99
says '^no entry to sum up'
expect 0 "JSON" dump d --summary --json
says '^\{"kind": "summary", "entries": 6, "first": 1, "last": 6, '
says '"types": \[\{"type": "put", "entries": 5, '
says '"keys_most": \[\{"key": "often", "cut": false, "entries": 3\}'
! grep -q '"kind": "frame"' "$work/out" || bad "JSON: single entries as well"
python3 -c 'import json, sys; [json.loads(l) for l in open(sys.argv[1])]' "$work/out" 2>/dev/null || ! command -v python3 >/dev/null ||
    bad "JSON: is none"

page() { # what: the last page is whole, needs nothing from elsewhere, and holds no character that commands
    grep -q '</html>' "$work/page" || bad "$1: not whole"
    grep -q "default-src 'none'" "$work/page" || bad "$1: no policy"
    grep -q 'prefers-color-scheme: dark' "$work/page" || bad "$1: no dark form"
    ! grep -qiE '<script|https?:|<img|@import|url\(|onload' "$work/page" || bad "$1: needs something from elsewhere"
    ! grep -q '<b>' "$work/page" || bad "$1: a key is not escaped"
    ! LC_ALL=C grep -q "$(printf '[\001-\010\013-\037\177]')" "$work/page" || bad "$1: a control character"
}
expect 0 "html" dump d --html "$work/page"
page html
for wanted in 'class="pinned"' 'class="given"' '>commit 6' '&lt;b&gt;&amp;\\x22' '\\x1b\[2J' 'Replica 0 leads' '<code>often</code></td><td>3<'; do
    grep -q -- "$wanted" "$work/page" || bad "html: no $wanted"
done
[ "$(stat -c %a "$work/page")" = 644 ] || bad "html: mode $(stat -c %a "$work/page")"
if command -v chromium >/dev/null 2>&1; then
    timeout 60 chromium --headless --no-sandbox --disable-gpu --dump-dom "file://$work/page" >"$work/dom" 2>/dev/null || :
    [ ! -s "$work/dom" ] || grep -q 'often' "$work/dom" || bad "html: the browser does not show it"
else
    echo "skipped in part: no browser looks at the page (Debian: chromium)"
fi
expect 7 "html in no directory" dump d --html "$work/nowhere/page"
warns 'nowhere/page'

expect 2 "html and json" dump d --html "$work/page" --json
expect 2 "summary of no ring" dump d --summary --no-ring
expect 2 "summary of a table" dump d.r0 --summary
expect 2 "html of a table" dump d.r0 --html "$work/page"

# Batches: a load writes many keys at once.
expect 0 "save" snapshot save d "$work/snap"
begin batch serve batch --followers 0 --ring 64K --table 256K
ready batch
expect 0 "load" snapshot load batch "$work/snap" --timeout 20s
expect 0 "summary of batches" dump batch --summary
says '^1 batches, with 2 entries, at most 2'
says '^ENTRIES OF A BATCH '

# Dead, and damaged.
kill -9 "$server"
wait "$server" 2>/dev/null
expect 0 "summary of the dead" dump d --summary
says '^6 entries, '
# Marks that lie together above the ring: no line of their text reaches down into it (its upper edge is at 60).
begin crowd serve crowd --ring 64K --table 1M --followers 6
until_true 20 "crowd serves" grep -q '^ready' "$work/crowd"
expect 0 "html of a crowd" dump crowd --html "$work/page"
grep -o '<tspan x="210.00" y="[-0-9.]*"' "$work/page" | sed 's/.*y="//; s/"//' >"$work/lines"
[ "$(grep -c . "$work/lines")" -ge 2 ] || bad "html of a crowd: its marks have one line"
awk '$1 > 60 - 8 || $1 < -27 { bad = 1 } END { exit bad }' "$work/lines" || bad "html of a crowd: a line at $(tr '\n' ' ' <"$work/lines")"
kill "$begun" && wait "$begun"

expect 0 "html of the dead" dump d --html "$work/page"
page "html of the dead"
grep -q 'Nobody leads' "$work/page" || bad "html of the dead: somebody leads"
grep -q 'its process is dead' "$work/page" || bad "html of the dead: replicas live"
log=$TIDE_SHM_DIR/tidemark.d.log
at=$(LC_ALL=C grep -obUa 'value 2' "$log" | head -n 1 | cut -d: -f1)
printf 'V' | dd of="$log" bs=1 seek="$at" conv=notrunc 2>/dev/null
expect 1 "summary of a damaged log" dump d --summary
says '^5 entries, '
says ' 1 are damaged'
expect 1 "html of a damaged log" dump d --html "$work/page"
page "html of a damaged log"
grep -q 'Damaged: 1 entries' "$work/page" || bad "html of a damaged log: does not say so"
head -c 3000000 /dev/urandom >"$TIDE_SHM_DIR/tidemark.noise.log"
expect 1 "summary of noise" dump noise --summary
rm "$work/page"
expect 1 "html of noise" dump noise --html "$work/page"
printf '\377\377' | dd of="$log" bs=1 seek=9 conv=notrunc 2>/dev/null
expect 7 "summary of another version" dump d --summary
exit $failed
