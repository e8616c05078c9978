# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The rooms and which way they look. docs/design.md has the picture; this file is what holds it.

BEGIN {
    # Of whom a room of the engine may take something, in headers and in symbols.
    may["engine/table"] = ""
    may["engine/replica"] = "table"
    may["engine/log"] = "table replica"
    may["engine/read"] = "table replica"
    may["engine/make"] = "table replica log read write"
    may["engine/watch"] = "table replica"
    may["engine/write"] = "table replica log read"
    may["engine/life"] = "table replica log read write"
}

function room_of(path) {
    sub(/\/[^\/]*$/, "", path)
    return path
}

function is_engine_room(room) {
    return room in may
}

# Between two rooms of the engine; whatever else there is, check_includes.awk knows.
function room_may(from, to) {
    sub(/^engine\//, "", to)
    return index(" " may[from] " ", " " to " ") > 0
}

function room_says(from) {
    return from (may[from] == "" ? " takes from no other room" : " takes from " may[from] " alone")
}
