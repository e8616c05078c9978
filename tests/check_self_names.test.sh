#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Pointers that lead nowhere, and sources that are not as clang-format writes them, are found by the checks meant for them.
. "$(dirname "$0")/lib/check_self.sh"

page() { # text
    mkdir -p docs
    printf '%s\n' '# The page' '' '## Staleness, *exactly*' '' "$1" >docs/page.md
}

# ---- what is right
page 'See [it](page.md#staleness-exactly), [that](../README.md), [the table](memory-model.md) and [here](#the-page).'
add docs/page.md 'page.md, *Staleness, exactly*, has word_set() in shm/word.c, `word.h`, `tests/test_word` and shm/*.h.'
add docs/page.md 'MO(a.word) is an order, tide_version() and TIDE_API are public, tests/test_NAME.c stands for any.'
add docs/page.md 'RFC 3720 section 12.1 keeps its number.'
add shm/word.c '/* docs/page.md, "Staleness, exactly": fork() and exec() are known, and #include <sys/mman.h> is the system. */'
add shm/word.c 'int fork(void); int two(void) { return fork(); }'
add shm/word.c '/* As docs/page.md,'
add shm/word.c ' * *Staleness, exactly*, has it. */'
check "$tmp/bad" || fail "pointers that are right do not pass"
fresh

# ---- functions, and public words
add shm/word.c '/* As table_attach() does. */'
expect names 'shm/word.c:6: table_attach(): no such function'
add shm/word.c 'const char *what = "table_attach()"; /* word_set() and'
add shm/word.c ' * table_set_slot(). */'
expect names 'shm/word.c:7: table_set_slot(): no such function'
page 'It is `read_replica()`.'
expect names 'docs/page.md:5: read_replica(): no such function'
add tests/readme.test.sh '# as word_put() does'
expect names 'tests/readme.test.sh:3: word_put(): no such function'
page '`tide_opened` says it.'
expect names 'docs/page.md:5: tide_opened: no source has such a word'
add shm/word.c '/* TIDE_ERR_LATE */'
expect names 'shm/word.c:6: TIDE_ERR_LATE: no source has such a word'

# ---- paths
add shm/word.c '/* See shm/lane.h. */'
expect names 'shm/word.c:6: shm/lane.h: no such file'
add shm/word.c '/* See lane.h. */'
expect names 'shm/word.c:6: lane.h: no such file'
add tools/tide.c 'const char *help = "The format: docs/none.md.";'
expect names 'tools/tide.c:4: docs/none.md: no such file'
page 'In engine/table/ and tests/*.none.'
expect names 'docs/page.md:5: engine/table: no such file'
page 'In tests/lib/NAME.h.'
expect names 'docs/page.md:5: tests/lib/NAME.h: no such file'
page '[it](none.md)'
expect names 'no such file'
add Makefile '# see tests/none.sh'
expect names 'Makefile:3: tests/none.sh: no such file'

# ---- headings
page 'See [it](#staleness).'
expect names 'docs/page.md:5: [](#staleness): no such heading'
page ''
add README.md '[it](docs/page.md#exactly)'
expect names 'README.md:5: [](docs/page.md#exactly): no such heading'
page ''
add shm/word.c '/* docs/page.md, *Freshness* */'
expect names 'shm/word.c:6: page.md, *Freshness*: no such heading'
page ''
add shm/word.c '/* docs/page.md,'
add shm/word.c ' * "Freshness" */'
expect names 'page.md, *Freshness*: no such heading'
page ''
add shm/word.c '/* docs/page.md, section 3 */'
expect names 'shm/word.c:6: section 3: a pointer names a heading, never a number'

# ---- ids
page 'MO(b.word)'
expect names 'docs/page.md:5: MO(b.word): no row in docs/memory-model.md'

# ---- format
{ sed 's/TIDE_SHM_WORD_H/WORD_H/' shm/word.h >x && mv x shm/word.h; }
expect format 'shm/word.h:1: the include guard is WORD_H, not TIDE_SHM_WORD_H'
add shm/more.h "/* $spdx */"
expect format 'shm/more.h:1: the include guard is not there, not TIDE_SHM_MORE_H'
mkdir tools/lib
{ cat tools/tools.h >tools/lib/tools.h; }
expect format 'the include guard TIDE_TOOLS_TOOLS_H is that of'
if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
    cp "$here/../.clang-format" .clang-format
    clang-format -i shm/*.[ch] engine/*/*.[ch] engine/*.h tools/*.[ch] bench/lib/*.c tests/*.c
    cp -R . "$tmp/formatted"
    check "$tmp/bad" || fail "what clang-format wrote does not pass"
    add shm/word.c 'int  f(void);'
    expect format 'shm/word.c:6: not as clang-format writes it'
    cp -R "$tmp/formatted/." .
    add shm/word.c '/* clang-format off */'
    add shm/word.c 'int  f(void);'
    check "$tmp/bad" || fail "what clang-format is to leave alone does not pass"
fi
# Without the program, or with another version, it is said that it was skipped.
mkdir -p "$tmp/bin"
printf '#!/bin/sh\necho clang-format version 99.0\n' >"$tmp/bin/clang-format"
chmod 755 "$tmp/bin/clang-format"
PATH=$tmp/bin:$PATH
fresh
check "$tmp/bad" || fail "without clang-format 14 it does not pass"
grep -q 'skipped: there is no clang-format 14' "$tmp/out" || fail "not said that the format was skipped"

finish
