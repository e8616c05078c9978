#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# docs/layout.md against shm/layout.h: every offset, size and constant of the page is compiled as an assertion, and every
# field that the header asserts has its row. And the list behind the fingerprint (shm/layout.c) has every field, and so has the list of words
# that the scribbler changes (tests/lib/scribble_words.c; of the histograms it has the bytes). Exit codes: 0 they agree, 1 they do not.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The page as assertions, and the list of its fields.
awk -v fields="$work/page" '
    function cell(n) { c = part[n]; gsub(/^[ `]+|[ `]+$/, "", c); return c }
    BEGIN { print "#include \"shm/layout.h\"" }
    /^#/ { type = ""; constants = /^## Constants/ }
    /^### `struct / {
        type = $3
        gsub(/[`,]/, "", type)
        printf "_Static_assert(sizeof(struct %s) == %s, \"docs/layout.md:%d: size of %s\");\n", type, $4, FNR, type
        next
    }
    /^\| `/ && (type != "" || constants) {
        split($0, part, "|")
        name = cell(2)
        value = cell(3)
        if (value !~ /^[0-9]+$/)
            name = "no_number_in_this_row"
        if (constants)
            printf "_Static_assert(%s == UINT64_C(%s), \"docs/layout.md:%d: %s\");\n", name, value, FNR, name
        else {
            printf "_Static_assert(offsetof(struct %s, %s) == %s, \"docs/layout.md:%d: %s.%s\");\n", type, name, value,
                FNR, type, name
            print type "." name >fields
        }
    }' docs/layout.md >"$work/page.c"
${CC:-cc} -std=gnu11 -I. -fsyntax-only "$work/page.c"

sed -n 's/^LAYOUT_AT(\([a-z_]*\), \([a-z_]*\), .*/\1.\2/p' shm/layout.h | sort >"$work/header"
sort "$work/page" | uniq -d >"$work/twice"
[ -s "$work/header" ] || { echo "shm/layout.h has no LAYOUT_AT lines: this test looks for the wrong thing"; exit 1; }
if [ -s "$work/twice" ]; then
    echo "docs/layout.md has two rows for:" && cat "$work/twice"
    exit 1
fi
sort "$work/page" | comm -3 "$work/header" - >"$work/differs"
if [ -s "$work/differs" ]; then
    echo "fields without a row in docs/layout.md (left), rows without a LAYOUT_AT in shm/layout.h (right):"
    cat "$work/differs"
    exit 1
fi

sed -n '/^#/d; s/\(FIELD\|FLEXIBLE\)(/\n&/gp' shm/layout.c |
    sed -n 's/^\(FIELD\|FLEXIBLE\)(\([a-z_]*\), \([a-z_]*\)).*/\2.\3/p' | sort >"$work/printed"
comm -3 "$work/header" "$work/printed" >"$work/differs"
if [ -s "$work/differs" ]; then
    echo "fields without a line in shm/layout.c (left), lines without a LAYOUT_AT in shm/layout.h (right):"
    cat "$work/differs"
    exit 1
fi

grep -Ev '^(hdr|lag_windows)[.]|[.]reserved' "$work/header" | while IFS=. read -r _ field; do
    grep -qw "$field" tests/lib/scribble_words.c || echo "$field"
done >"$work/unchanged"
if [ -s "$work/unchanged" ]; then
    echo "fields that no kind of word in tests/lib/scribble_words.c names:"
    cat "$work/unchanged"
    exit 1
fi

# The test itself must notice a page that is wrong.
sed 's/offsetof(struct frame, crc) == 4/offsetof(struct frame, crc) == 5/' "$work/page.c" >"$work/wrong.c"
if ${CC:-cc} -std=gnu11 -I. -fsyntax-only "$work/wrong.c" 2>/dev/null; then
    echo "a wrong offset was not noticed"
    exit 1
fi
echo "docs/layout.md: $(grep -c _Static_assert "$work/page.c") numbers agree with shm/layout.h"
