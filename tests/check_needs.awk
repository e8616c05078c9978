# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Who needs what whom defines: nm -A -P OBJECT... | awk -v STRIP=build/obj/release/ -f check_rooms.awk -f check_needs.awk
# Prints a line where a room of the engine needs something of a room that it must not look into, where files of shm/ or
# engine/ need each other in a circle, and where rooms do. It sees what headers cannot hide: a function that is declared
# in one file and called from anywhere.

{
    file = $1
    sub(/:$/, "", file)
    if (index(file, STRIP) == 1)
        file = substr(file, length(STRIP) + 1)
    sub(/\.o$/, ".c", file)
    if ($3 == "U") {
        wants++
        want_file[wants] = file
        want_symbol[wants] = $2
    } else if ($3 ~ /^[A-TV-Z]$/ && $2 != "main") {
        # Two programs may have a function of one name each; nobody else can need it then.
        twice[$2] = $2 in home && home[$2] != file
        home[$2] = file
        is_function[$2] = $3 == "T" || $3 == "W"
    }
}

function is_ours(file) {
    return file ~ /^(shm|engine)\//
}

function named(symbol) {
    return symbol (is_function[symbol] ? "()" : "")
}

# Edges of a graph: nodes are files or rooms, via[] is the first symbol found for each.
function edge(graph, from, to, symbol) {
    if ((graph, from, to) in via)
        return
    via[graph, from, to] = named(symbol)
    if (!((graph, from) in degree)) {
        degree[graph, from] = 0
        nodes[graph]++
        node[graph, nodes[graph]] = from
    }
    next_of[graph, from, ++degree[graph, from]] = to
}

# The shortest way from start back to it, as text; "" where there is none. Marks who lies on it.
function circle(graph, start,    queue, head, tail, came, at, i, to, text, step, behind) {
    head = tail = 1
    queue[1] = start
    while (head <= tail) {
        at = queue[head++]
        for (i = 1; i <= degree[graph, at]; i++) {
            to = next_of[graph, at, i]
            if (to == start) {
                text = start
                behind = start
                for (step = at;; step = came[step]) {
                    text = step " -> " via[graph, step, behind] " of " text
                    told[graph, step] = 1
                    if (step == start)
                        return text
                    behind = step
                }
            }
            if (!(to in came)) {
                came[to] = at
                queue[++tail] = to
            }
        }
    }
    return ""
}

function sort_nodes(graph,    i, j, x) {
    for (i = 2; i <= nodes[graph]; i++) {
        x = node[graph, i]
        for (j = i - 1; j > 0 && node[graph, j] > x; j--)
            node[graph, j + 1] = node[graph, j]
        node[graph, j + 1] = x
    }
}

function circles(graph, what,    i, found) {
    sort_nodes(graph)
    for (i = 1; i <= nodes[graph]; i++) {
        if ((graph, node[graph, i]) in told)
            continue
        found = circle(graph, node[graph, i])
        if (found != "")
            print node[graph, i] ": a circle of " what ": " found
    }
}

END {
    for (i = 1; i <= wants; i++) {
        symbol = want_symbol[i]
        if (!(symbol in home) || twice[symbol])
            continue
        from = want_file[i]
        to = home[symbol]
        if (from == to)
            continue
        room = room_of(from)
        other = room_of(to)
        if (is_ours(from) && is_ours(to))
            edge("file", from, to, symbol)
        if (room == other)
            continue
        edge("room", room, other, symbol)
        if (is_engine_room(room) && is_engine_room(other) && !room_may(room, other))
            print from ": " named(symbol) " of " to ": " room_says(room)
    }
    circles("file", "files")
    circles("room", "rooms")
}
