#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Each fault of a tree is found by the check that is meant for it: memory orders, words, licence lines, files, symbols.
# The others: check_self_rooms.test.sh and check_self_names.test.sh.
. "$(dirname "$0")/lib/check_self.sh"

# ---- memory orders
printf '\n\n\n\n\n\n' >>shm/word.c
add shm/word.c 'int f(_Atomic int *w) { return atomic_load_explicit(w, memory_order_relaxed); }'
add shm/word.c 'int g(_Atomic int *w) { return __atomic_load_n(w, __ATOMIC_ACQUIRE); }'
expect mo 'shm/word.c:12: a memory order weaker than seq_cst'
{ sed 's/MO(a.word)/MO a.word/' shm/word.c >x && mv x shm/word.c; }
expect mo 'shm/word.c:4: a memory order weaker than seq_cst'
printf '\n\n\n\n\n\n\n\n' >>shm/word.h
add shm/word.h 'static inline int h(_Atomic int *w) { return __atomic_load_n(w, __ATOMIC_RELAXED); }'
expect mo 'shm/word.h:18: a memory order'
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

# ---- descriptors
add tools/tools.h 'static inline int o(void) { return open("x", 0); }'
expect fds 'tools/tools.h:5: a descriptor that may be 0, 1 or 2'
add engine/life/engine.c 'int e(void) { return eventfd(0, 0); }'
expect fds 'a descriptor that may be 0, 1 or 2'

# ---- include directions
add shm/word.h '#include "engine/tidemark.h"'
expect includes 'shm includes shm and the system alone'
add shm/word.h '#include <urcu/urcu-memb.h>'
expect includes 'shm includes shm and the system alone'
add shm/word.h '# include <xxhash.h>'
expect includes 'shm includes shm and the system alone'
add shm/word.h '#include <cjson/cJSON.h>'
expect includes 'cJSON is for bench and tests'
add engine/life/engine.c '#include "tools/tools.h"'
expect includes 'engine includes engine and shm alone'
add engine/life/engine.c '#include <cjson/cJSON.h>'
expect includes 'cJSON is for bench and tests'
add engine/life/engine.c '#include "engine.h"'
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
add shm/word.h 'static inline int w(int x) {
    if (x > 0 &&
        x < 9)
        return 1;
    else if (x > 9) { /* large */
        return 2;
    } else /* small */
        x++;
    do {
        x--;
    } while (x > 0);
    while (x < 0)
        x++;
    return x;
}'
expect text 'shm/word.h:11: a body without braces'
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

input=timeout-0123456789abcdef0123456789abcdef01234567
add $input x
expect files "$input: the input of a fuzzer"
rm $input

# ---- symbols
build . '__attribute__((visibility("default"))) int ring_append; __attribute__((visibility("default"))) int tide_x;'
expect symbols 'ring_append is visible'
add engine/tidemark.h 'TIDE_API struct tide *tide_more(int x);'
expect symbols 'tide_more() is declared, but nowhere defined'
rm build/libtidemark.a
expect symbols 'libtidemark.a is not there'

# ---- models
model() {
    mkdir -p tests/models
    printf '%s\n' "/* $spdx */" '/*' ' * STANDS FOR: shm/word.c word_set' ' */' >tests/models/word.pml
    sh "$here/models/lines.sh" --accept
}
model
add shm/word.c '/* Another function, and a comment, change nothing. */'
check "$tmp/bad" || fail 'a model whose functions did not change does not pass'
fresh
model
{ sed 's/atomic_store_explicit(w, 1/atomic_store_explicit(w, 2/' shm/word.c >x && mv x shm/word.c; }
expect models 'word_set() is not as it was when tests/models/word.pml was compared'
model
{ sed 's/word_set/word_lost/' tests/models/word.pml >x && mv x tests/models/word.pml; }
expect models 'stands for word_lost() of shm/word.c, which is not there'

# ---- mutants
mutant() { # text
    mkdir -p tests/mutants
    printf '%s\n' 'name: one' 'file: shm/word.c' "was: $1" 'now: x' 'tests: word' >tests/mutants/list
}
mutant 'atomic_store_explicit(w, 1'
check "$tmp/bad" || fail 'a fault that fits does not pass'
fresh
mutant 'no such text'
expect mutants 'one: its text occurs 0 times in shm/word.c'

finish
