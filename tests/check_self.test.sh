#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A check that cannot fail checks nothing. A small tree that is right passes all of check.sh; each fault that is put
# into a copy of it makes exactly the check that is meant for it fail, with the words that are expected.
set -u
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
cc=${CC:-gcc}
cases=0
wrong=0

write() { # file, content from stdin
    mkdir -p "$(dirname "$tmp/good/$1")"
    cat >"$tmp/good/$1"
}

spdx='SPDX-License-Identifier: LGPL-2.1-or-later'
write shm/word.h <<END
/* $spdx */
#include <stdatomic.h>
static inline int word_get(_Atomic int *w) {
    /* MO(a.word): acquire; pairs with word_set(). */
    return atomic_load_explicit(w, memory_order_acquire);
}
END
write shm/word.c <<END
/* $spdx */
#include "shm/word.h"
void word_set(_Atomic int *w) {
    atomic_store_explicit(w, 1, memory_order_release); /* MO(a.word): pairs with word_get(). */
}
END
write engine/tidemark.h <<END
/* $spdx */
#include <stdint.h>
#define TIDE_API __attribute__((visibility("default")))
TIDE_API uint32_t tide_version(void);
TIDE_API const char *tide_name(void);
END
write engine/engine.c <<END
/* $spdx */
#include <urcu/urcu-memb.h>
#include "engine/tidemark.h"
#include "shm/word.h"
/* In a comment memory_order_relaxed is a word,
 * also on its second line: memory_order_acquire. */
uint32_t tide_version(void) { return 1; } // __ATOMIC_RELAXED
const char *tide_name(void) { return "x"; }
END
write tools/tide.c <<END
/* $spdx */
#include "engine/tidemark.h"
#include "tools/tools.h"
END
write tools/tools.h <<END
/* $spdx */
typedef void tool_fn(void);
END
write tools/dump/ring.c <<END
/* $spdx */
#include "shm/word.h"
END
write bench/lib/lib.c <<END
/* $spdx */
#include "shm/hdr.h"
#include "engine/tidemark.h"
END
write tests/test_word.c <<END
/* $spdx */
#include <cmocka.h>
#include "engine/private.h"
END
write tests/readme.test.sh <<END
# $spdx
: README.md
END
write docs/memory-model.md <<'END'
| id | writer | reader | what it protects | what goes wrong without it | test |
| --- | --- | --- | --- | --- | --- |
| `a.word` | word_set() | word_get() | it \| that | all | test_word |
END
write Makefile <<END
# $spdx
PREFIX ?= /usr/local
END
write .ci/run <<END
#!/bin/sh
# $spdx
END
write README.md <<'END'
A file lies in /dev/shm or in framework/home.
```c
int main(void) { return 0; }
```
END
printf 'GNU LESSER GENERAL PUBLIC LICENSE\nVersion 2.1\n' | write LICENSE

build() { # tree [more C code]
    printf '%s\n' '__attribute__((visibility("default"))) int tide_version(void);' 'int tide_version(void) { return 1; }' \
        '__attribute__((visibility("default"))) int tide_name(void);' 'int tide_name(void) { return 1; }' \
        'int hidden(void);' 'int hidden(void) { return 1; }' "${2:-}" >"$tmp/lib.c"
    mkdir -p "$1/build"
    $cc -fvisibility=hidden -c -o "$tmp/lib.o" "$tmp/lib.c" && rm -f "$1/build/libtidemark.a" &&
        ar rcs "$1/build/libtidemark.a" "$tmp/lib.o"
}

check() { # tree
    (unset TIDE_BUILD && sh "$here/check.sh" "$1") >"$tmp/out" 2>&1
}

fail() {
    wrong=$((wrong + 1))
    echo "$*"
    sed 's/^/    /' "$tmp/out"
}

# expect CHECK WORDS: the tree $tmp/bad, made by the caller from fresh(), fails in CHECK alone, saying WORDS.
expect() {
    cases=$((cases + 1))
    if check "$tmp/bad"; then
        fail "not found: $2"
    elif ! grep -qF -- "$2" "$tmp/out"; then
        fail "not said: $2"
    elif [ "$(grep -c '^check .*wrong$' "$tmp/out")" != 1 ] || ! grep -q "^check $1: .*wrong$" "$tmp/out"; then
        fail "not the check $1 alone: $2"
    fi
    fresh
}

fresh() {
    rm -rf "$tmp/bad"
    cp -R "$tmp/good" "$tmp/bad"
    cd "$tmp/bad" || exit 1
}

add() { # file line
    printf '%s\n' "$2" >>"$1"
}

build "$tmp/good" || exit 1
check "$tmp/good" || fail "the tree that is right does not pass"
fresh

# ---- memory orders
printf '\n\n\n\n\n\n' >>shm/word.c
add shm/word.c 'int f(_Atomic int *w) { return atomic_load_explicit(w, memory_order_relaxed); }'
add shm/word.c 'int g(_Atomic int *w) { return __atomic_load_n(w, __ATOMIC_ACQUIRE); }'
expect mo 'shm/word.c:12: a memory order weaker than seq_cst'
{ sed 's/MO(a.word)/MO a.word/' shm/word.c >x && mv x shm/word.c; }
expect mo 'shm/word.c:4: a memory order weaker than seq_cst'
printf '\n\n\n\n\n\n\n\n' >>shm/word.h
add shm/word.h 'static inline int h(_Atomic int *w) { return __atomic_load_n(w, __ATOMIC_RELAXED); }'
expect mo 'shm/word.h:15: a memory order'
add shm/word.c '/* MO(b.word): here */ /* MO(b.word): on one line */'
add docs/memory-model.md '| b.word | w | r | p | wrong | test_word |'
expect mo 'MO(b.word) has one end'
add shm/word.c '/* MO(b.word): one */'
add shm/word.c '/* MO(b.word): two */'
expect mo 'MO(b.word) has no row'
add docs/memory-model.md '| b.word | w | r | p | wrong | test_word |'
expect mo 'MO(b.word) does not occur in the code'
add docs/memory-model.md '| a.word | w | r | p | wrong | test_word |'
expect mo 'a second row of MO(a.word)'
{ sed 's/| all |/|/' docs/memory-model.md >x && mv x docs/memory-model.md; }
expect mo 'has 5 cells, not 6'
{ sed 's/| all |/| |/' docs/memory-model.md >x && mv x docs/memory-model.md; }
expect mo 'has an empty cell'
{ sed 's/test_word/test_none/' docs/memory-model.md >x && mv x docs/memory-model.md; }
expect mo 'names the test test_none, which is not there'
{ sed 's/test_word/by hand/' docs/memory-model.md >x && mv x docs/memory-model.md; }
expect mo 'names no test'
rm docs/memory-model.md
expect mo 'docs/memory-model.md is not there'

# ---- include directions
add shm/word.h '#include "engine/tidemark.h"'
expect includes 'shm includes shm and the system alone'
add shm/word.h '#include <urcu/urcu-memb.h>'
expect includes 'shm includes shm and the system alone'
add shm/word.h '# include <xxhash.h>'
expect includes 'shm includes shm and the system alone'
add shm/word.h '#include <cjson/cJSON.h>'
expect includes 'cJSON is for bench and tests'
add engine/engine.c '#include "tools/tools.h"'
expect includes 'engine includes engine and shm alone'
add engine/engine.c '#include <cjson/cJSON.h>'
expect includes 'cJSON is for bench and tests'
add engine/engine.c '#include "engine.h"'
expect includes 'includes are written from the root'
add engine/tidemark.h '#include "shm/layout.h"'
expect includes 'the public header includes nothing of ours'
add tools/dump/ring.c '#include "engine/table/table.h"'
expect includes 'tools and bench see tidemark.h alone'
add bench/lib/lib.c '#include "engine/table/table.h"'
expect includes 'tools and bench see tidemark.h alone'
add bench/lib/lib.c '#include "shm/ring.h"'
expect includes 'bench sees the utilities alone'
add bench/lib/rawlog.c "/* $spdx */"
add bench/lib/rawlog.c '#include "shm/ring.h"'
add bench/lib/rawlog.c '#include "shm/member.h"'
expect includes 'bench sees the utilities alone'
add bench/lib/lib.c '#include "tools/tools.h"'
expect includes 'bench includes neither tools nor tests'
add tools/tide.c '#include "shm/layout.h"'
expect includes 'dump alone looks inside'
add tools/tide.c '#include "bench/lib/lib.h"'
expect includes 'tools include neither bench nor tests'
add tools/tide.c '#include <cjson/cJSON.h>'
expect includes 'cJSON is for bench and tests'
add tools/tide.c '#include <cmocka.h>'
expect includes 'cmocka is for tests'

# ---- words, licence lines, files
for word in work home root; do
    add docs/notes.md "see /$word/x"
    expect text 'docs/notes.md:1: a path of one machine'
    add shm/word.c "const char *p = \"/$word/x\";"
    expect text 'shm/word.c:6: a path of one machine'
done
add shm/word.h 'typedef struct word { int x; } word;'
expect text 'structs have no typedef'
add shm/word.h "$(printf '\tint x;')"
expect text 'a tab'
add shm/word.h 'int x; '
expect text 'blanks at the end'
for file in shm/word.h tools/tide.c tests/readme.test.sh Makefile .ci/run; do
    { sed 's/SPDX-License/Some/' $file >x && mv x $file; }
    expect spdx "$file:1: no line SPDX"
done
{ sed 's/LGPL-2.1-or-later/MIT/' shm/word.h >x && mv x shm/word.h; }
expect spdx 'shm/word.h:1: no line SPDX'
rm LICENSE
expect files 'LICENSE: not the text'
add x x && mv x README.md
expect files 'README.md: no example'
rm README.md
expect files 'README.md: no example'
rm tests/readme.test.sh
expect files 'no test compiles the example'

# ---- symbols
build . '__attribute__((visibility("default"))) int ring_append; __attribute__((visibility("default"))) int tide_x;'
expect symbols 'ring_append is visible'
add engine/tidemark.h 'TIDE_API struct tide *tide_more(int x);'
expect symbols 'tide_more() is declared, but nowhere defined'
rm build/libtidemark.a
expect symbols 'libtidemark.a is not there'

if [ "$wrong" != 0 ]; then
    echo "$wrong of $cases faults were not found as they should be"
    exit 1
fi
echo "$cases faults found"
