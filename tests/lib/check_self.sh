# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Sourced by tests/check_self*.test.sh. A check that cannot fail checks nothing: a small tree that is right, $tmp/good,
# passes all of check.sh; each fault that is put into a copy of it, $tmp/bad, makes exactly the check that is meant for it
# fail, with the words that are expected.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 1
unset TIDE_BUILD
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
write engine/life/engine.c <<END
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
#include "engine/life/private.h"
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

# An object of the tree $tmp/bad, and a source of that name. Nobody reads what it says.
object() { # file, C code
    mkdir -p "$(dirname "$1")" "$(dirname "build/obj/release/$1")"
    [ -f "$1" ] || echo "/* $spdx */" >"$1"
    echo "$2" >"$tmp/object.c"
    $cc -c -o "build/obj/release/${1%.c}.o" "$tmp/object.c" || exit 1
}

build() { # tree [more C code]
    printf '%s\n' '__attribute__((visibility("default"))) int tide_version(void);' 'int tide_version(void) { return 1; }' \
        '__attribute__((visibility("default"))) int tide_name(void);' 'int tide_name(void) { return 1; }' \
        'int hidden(void);' 'int hidden(void) { return 1; }' "${2:-}" >"$tmp/lib.c"
    mkdir -p "$1/build"
    $cc -fvisibility=hidden -c -o "$tmp/lib.o" "$tmp/lib.c" && rm -f "$1/build/libtidemark.a" &&
        ar rcs "$1/build/libtidemark.a" "$tmp/lib.o"
}

check() { # tree
    sh "$here/check.sh" "$1" >"$tmp/out" 2>&1
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

finish() {
    if [ "$wrong" != 0 ]; then
        echo "$wrong of $cases faults were not found as they should be"
        exit 1
    fi
    echo "$cases faults found"
}

build "$tmp/good" || exit 1
cd "$tmp/good" || exit 1
object shm/word.c 'void word_set(int *w) { *w = 1; }'
object engine/life/engine.c 'void word_set(int *); void engine(int *w) { word_set(w); }'
check "$tmp/good" || fail "the tree that is right does not pass"
fresh
