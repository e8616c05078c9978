# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The memory orders: awk -f check_mo.awk TABLE SOURCE... prints a line for each thing that is wrong.
#
# - A use of an order weaker than seq_cst has an id, MO(module.word), on its line or in the six lines above.
# - Each id stands on at least two lines (both ends of the pair) and has a row in TABLE (docs/memory-model.md).
# - Each row has its six cells, an id that occurs in the code, and tests that exist.
#
# Words in comments are no uses. TESTS (-v) is the list of test files, for the last cell of each row.

FNR == 1 {
    file++
    in_comment = 0
    last_id = -100
}

# ---- the table -------------------------------------------------------------------------------------------------------

file == 1 {
    if ($0 !~ /^\|/)
        next
    line = $0
    gsub(/\\\|/, "/", line)
    cells = split(line, cell, "|") - 2
    id = cell[2]
    gsub(/[ `]/, "", id)
    sub(/^MO\(/, "", id)
    sub(/\)$/, "", id)
    if (id == "id" || id ~ /^:?-+:?$/)
        next
    at = FILENAME ":" FNR
    if (id !~ /^[a-z0-9_]+(\.[a-z0-9_]+)*$/) {
        print at ": \"" id "\" is no id"
        next
    }
    if (id in row)
        print at ": a second row of MO(" id "), the first is at " row[id]
    row[id] = at
    if (cells != 6)
        print at ": the row of MO(" id ") has " cells " cells, not 6"
    for (i = 3; i <= 7; i++)
        if (cell[i] ~ /^ *$/)
            print at ": the row of MO(" id ") has an empty cell " i - 1
    tests = cell[7]
    named = 0
    while (match(tests, /(test_|stress_)[a-z0-9_]+|[a-z0-9_]+\.test\.sh/)) {
        name = substr(tests, RSTART, RLENGTH)
        named++
        if (!tests_has(name))
            print at ": MO(" id ") names the test " name ", which is not there"
        tests = substr(tests, RSTART + RLENGTH)
    }
    if (!named)
        print at ": MO(" id ") names no test"
    next
}

function tests_has(name) {
    return index(" " TESTS " ", "/" name ".c ") || index(" " TESTS " ", "/" name " ")
}

# ---- the code --------------------------------------------------------------------------------------------------------

# What is left of a line without its comments. Remembers whether one is open at its end.
function code_of(line,    out, i, two) {
    out = ""
    for (i = 1; i <= length(line); i++) {
        two = substr(line, i, 2)
        if (in_comment) {
            if (two == "*/") {
                in_comment = 0
                i++
            }
        } else if (two == "/*") {
            in_comment = 1
            i++
        } else if (two == "//") {
            break
        } else {
            out = out substr(line, i, 1)
        }
    }
    return out
}

{
    rest = $0
    while (match(rest, /MO\([a-z0-9_.]+\)/)) {
        id = substr(rest, RSTART + 3, RLENGTH - 4)
        last_id = FNR
        if (seen[id] != FILENAME ":" FNR) {
            seen[id] = FILENAME ":" FNR
            ends[id]++
        }
        rest = substr(rest, RSTART + RLENGTH)
    }
    code = in_comment || index($0, "/") ? code_of($0) : $0
    if (code ~ /memory_order_(relaxed|acquire|release|acq_rel|consume)/ ||
        code ~ /__ATOMIC_(RELAXED|ACQUIRE|RELEASE|ACQ_REL|CONSUME)/ ||
        code ~ /uatomic_|CMM_|cmm_|rcu_dereference|rcu_assign_pointer|rcu_set_pointer|rcu_xchg_pointer/)
        if (FNR - last_id > 6)
            print FILENAME ":" FNR ": a memory order weaker than seq_cst without an MO(id) here or up to six lines above"
}

END {
    for (id in ends) {
        if (ends[id] < 2)
            print seen[id] ": MO(" id ") has one end: the other side of the pair names it, too"
        if (!(id in row))
            print seen[id] ": MO(" id ") has no row in docs/memory-model.md"
    }
    for (id in row)
        if (!(id in ends))
            print row[id] ": MO(" id ") does not occur in the code"
}
