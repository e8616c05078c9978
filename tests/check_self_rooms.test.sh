#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The rooms and their arrows: each fault, in an include or in an object's symbols, is found by the check meant for it.
. "$(dirname "$0")/lib/check_self.sh"

# ---- includes
add engine/alone.h "/* $spdx */"
expect includes 'engine/alone.h:1: in no room of the engine'
while read -r from to; do
    mkdir -p "engine/$from"
    add "engine/$from/more.h" "/* $spdx */"
    add "engine/$from/more.h" "#include \"engine/$to/x.h\""
    expect includes "engine/$from/more.h:2: #include \"engine/$to/x.h\": engine/$from takes from"
done <<END_OF_WRONG
table replica
table life
replica log
replica read
log read
log write
read log
read write
write life
END_OF_WRONG
while read -r from to; do
    mkdir -p "engine/$from"
    echo "/* $spdx */" >"engine/$from/more.h"
    add "engine/$from/more.h" "#include \"engine/$to/x.h\""
done <<END_OF_RIGHT
replica table
log replica
read table
write log
write read
life write
END_OF_RIGHT
check "$tmp/bad" || fail "arrows that are right do not pass"
fresh

# ---- symbols: arrows
object engine/replica/replica.c 'void replica_stop(void) { }'
object engine/table/table.c 'void replica_stop(void); void table_end(void) { replica_stop(); }'
expect rooms 'engine/table/table.c: replica_stop() of engine/replica/replica.c: engine/table takes from no other room'
object engine/life/join.c 'int join_count = 1;'
object engine/write/put.c 'extern int join_count; int put(void) { return join_count; }'
expect rooms 'engine/write/put.c: join_count of engine/life/join.c: engine/write takes from table replica log read alone'

# ---- symbols: circles
object shm/a.c 'void b_do(void); void a_do(void) { b_do(); }'
object shm/b.c 'void a_do(void); void b_do(void) { a_do(); }'
expect rooms 'shm/a.c: a circle of files: shm/a.c -> b_do() of shm/b.c -> a_do() of shm/a.c'
object engine/life/a.c 'void b_do(void); void a_do(void) { b_do(); }'
object engine/life/b.c 'void c_do(void); void b_do(void) { c_do(); }'
object engine/life/c.c 'void a_do(void); void d_do(void); void c_do(void) { a_do(); d_do(); }'
object engine/life/d.c 'void d_do(void) { }'
expect rooms 'engine/life/a.c -> b_do() of engine/life/b.c -> c_do() of engine/life/c.c -> a_do() of engine/life/a.c'
object shm/a.c 'void engine(int *); void a_do(int *w) { engine(w); }'
object engine/life/a.c 'void a_do(int *); void life_do(int *w) { a_do(w); }'
expect rooms 'engine/life: a circle of rooms: engine/life -> '
object tools/dump/a.c 'void node_do(void); void dump_do(void) { node_do(); }'
object tools/node/a.c 'void dump_do(void); void node_do(void) { dump_do(); }'
expect rooms 'tools/dump: a circle of rooms: tools/dump -> node_do() of tools/node -> dump_do() of tools/dump'
# Two programs that have a function of the same name each, and a static one: nobody needs the other.
object bench/a.c 'void run(void) { } static int pace(void) { return 1; } int main(void) { run(); return pace(); }'
object bench/lib/b.c 'void run(void); static int pace(void) { return 1; } int other(void) { run(); return pace(); }'
object bench/c.c 'void run(void) { } int other(void); int main(void) { run(); return other(); }'
check "$tmp/bad" || fail "two programs with a function of one name do not pass"
fresh
rm build/obj/release/shm/word.o
expect rooms 'shm/word.c: build/obj/release/shm/word.o is not there'

finish
