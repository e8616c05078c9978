# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The direction of includes: awk -f check_rooms.awk -f check_includes.awk SOURCE... with paths from the root of the tree.
# tools, bench, tests -> engine -> shm -> libc; cJSON in bench and tests alone; only tests and the dump tool look
# inside. Between the rooms of the engine: check_rooms.awk.

FNR == 1 {
    path = FILENAME
    sub(/^\.\//, "", path)
    room = path
    sub(/\/.*/, "", room)
    if (room == "engine" && path != "engine/tidemark.h" && !is_engine_room(room_of(path)))
        print path ":1: in no room of the engine that check_rooms.awk knows"
}

function bad(why) {
    print path ":" FNR ": " $0 ": " why
}

# Utilities that know nothing of a domain: the benchmark measures with the histograms that the replicas use.
function is_utility(name) {
    return name ~ /^shm\/(hdr|clock|crc|park|nap|bytes)\.h$/
}

# The log without a domain around it: for the one benchmark whose question is what the log alone can carry.
function is_log_alone(path, name) {
    return path ~ /^bench\/lib\/rawlog\.[ch]$/ && name ~ /^shm\/(ring|board|segment)\.h$/
}

# A plain copy is compared with a join: into memory that is made as a table's is, or one of the two would be flattered.
function is_peer_memory(name) {
    return path == "bench/join.c" && name == "shm/segment.h"
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
    name = $0
    sub(/^[^"]*"/, "", name)
    sub(/".*/, "", name)
    if (name !~ /^(shm|engine|tools|bench|tests)\//)
        bad("includes are written from the root of the tree")
    else if (path == "engine/tidemark.h")
        bad("the public header includes nothing of ours")
    else if (room == "shm" && name !~ /^shm\//)
        bad("shm includes shm and the system alone")
    else if (room == "engine" && name !~ /^(engine|shm)\//)
        bad("engine includes engine and shm alone")
    else if (is_engine_room(room_of(path)) && is_engine_room(room_of(name)) && room_of(path) != room_of(name) &&
             !room_may(room_of(path), room_of(name)))
        bad(room_says(room_of(path)))
    else if (room == "tools" && name ~ /^(bench|tests)\//)
        bad("tools include neither bench nor tests")
    else if (room == "bench" && name ~ /^(tools|tests)\//)
        bad("bench includes neither tools nor tests")
    else if ((room == "tools" || room == "bench") && name ~ /^engine\// && name != "engine/tidemark.h")
        bad("of the engine, tools and bench see tidemark.h alone")
    else if (room == "tools" && name ~ /^shm\// && name != "shm/fd.h" && name != "shm/escaped.h" && path !~ /^tools\/dump\//)
        bad("of the tools, dump alone looks inside; the others see shm/fd.h and shm/escaped.h")
    else if (room == "bench" && name ~ /^shm\// && !is_utility(name) && !is_log_alone(path, name) &&
             !is_peer_memory(name))
        bad("of shm, bench sees the utilities alone: hdr, clock, crc, park, nap, bytes")
}

/^[ \t]*#[ \t]*include[ \t]*</ {
    name = $0
    sub(/^[^<]*</, "", name)
    sub(/>.*/, "", name)
    if (name ~ /^cjson\// && room != "bench" && room != "tests")
        bad("cJSON is for bench and tests")
    if (name ~ /^cmocka/ && room != "tests")
        bad("cmocka is for tests")
    if (name ~ /^(urcu|urcu\/.*|urcu.*\.h|xxhash\.h|xxh.*|zlib\.h)$/ && room == "shm")
        bad("shm includes shm and the system alone")
    if (name ~ /^urcu/ && room == "tools")
        bad("only the engine knows RCU")
    if (name == "zlib.h" && room == "engine")
        bad("the engine needs no zlib")
    if (path == "engine/tidemark.h" && name !~ /^(stddef|stdint|stdbool)\.h$/)
        bad("the public header needs stddef.h and stdint.h alone")
}
