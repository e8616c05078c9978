# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Pointers that lead somewhere: awk -f check_names.awk LIST pass=1 SYSTEM SOURCE... pass=2 TEXT...
# LIST is the list of all files of the tree, SYSTEM (a name in .h) what the compiler makes of the system's headers. SOURCES tell which names there are; TEXTS (sources, scripts and pages) are
# searched for names. What is found in comments, and in all of a page, has to exist:
#
# - name(): a function or macro that some source or a header of the system has, or one of `known`;
# - tide_name, TIDE_NAME: any word of a source;
# - shm/file.h, docs/page.md, file.c: a file, a folder or a program of that name; also in strings and in scripts' words;
# - page.md, *Heading* and page.md, "Heading" and [text](page.md#heading): a heading of that page;
# - MO(id) in a page: a row of docs/memory-model.md.
#
# A pointer names a heading, never a number, because numbers move. Words in capitals in a path (tests/NAME.test.sh) and
# stars stand for anything.

BEGIN {
    # What neither a source nor the system's headers have: families, bare system calls, peers.
    known = " exec membarrier futex ck_ht_hash _mm_set_epi64x "
    known_words = " TIDE_ROOM_FILE_H "
    known_files = " example.c cmocka.h ck_ht.h lmdb.h stdio.h "
    fixtures = "^tests/(check_names\\.awk|check_self[^/]*|lib/check_self\\.sh)$"
}

function base_of(path) {
    sub(/.*\//, "", path)
    return path
}

# ---- the list of files -----------------------------------------------------------------------------------------------

FILENAME == ARGV[1] {
    path = $0
    sub(/^\.\//, "", path)
    is_file[path] = 1
    files++
    file_of[files] = path
    is_base[base_of(path)] = 1
    while (sub(/\/[^\/]*$/, "", path))
        is_folder[path] = 1
    next
}

FNR == 1 {
    path = FILENAME
    sub(/^\.\//, "", path)
    in_comment = 0
    carried = ""
    is_c = path ~ /\.[ch]$/
    is_page = path ~ /\.md$/
    fenced = 0
}

# ---- a line is code, strings and a comment ---------------------------------------------------------------------------

function split_c(line,    rest, at) {
    code = words = comment = ""
    rest = line
    while (rest != "") {
        if (in_comment) {
            at = index(rest, "*/")
            if (!at) {
                comment = comment rest
                return
            }
            comment = comment substr(rest, 1, at - 1) " "
            rest = substr(rest, at + 2)
            in_comment = 0
        } else if (!match(rest, /\/\*|\/\/|"|'[^']'|'\\.'/)) {
            code = code rest
            return
        } else {
            code = code substr(rest, 1, RSTART - 1)
            what = substr(rest, RSTART, RLENGTH)
            rest = substr(rest, RSTART + RLENGTH)
            if (what == "/*") {
                in_comment = 1
            } else if (what == "//") {
                comment = comment rest
                return
            } else if (what == "\"") {
                if (match(rest, /^([^"\\]|\\.)*"/)) {
                    words = words " " substr(rest, 1, RLENGTH - 1)
                    rest = substr(rest, RLENGTH + 1)
                } else {
                    rest = ""
                }
                code = code "\"\""
            } else {
                code = code "0"
            }
        }
    }
}

function split_line(line) {
    if (is_c) {
        if (in_comment)
            sub(/^ *\* |^ *\*$/, "", line)
        split_c(line)
    } else if (is_page) {
        code = words = ""
        comment = line
        if (line ~ /^```/)
            fenced = !fenced
    } else if (match(line, /(^|[ \t;])#( |$)/)) {
        code = substr(line, 1, RSTART)
        words = code
        comment = substr(line, RSTART + RLENGTH)
    } else {
        code = words = line
        comment = ""
    }
}

# ---- first pass: what there is ---------------------------------------------------------------------------------------

pass == 1 && is_page && /^#+ / {
    title = $0
    sub(/^#+ */, "", title)
    heading[base_of(path), tolower(plain(title))] = 1
    anchor[path, anchor_of(title)] = 1
    next
}

pass == 1 && is_page {
    if (path == "docs/memory-model.md" && match($0, /^\| *`?(MO\()?[a-z0-9_.]+\)?`? *\|/)) {
        id = $0
        sub(/^\| *`?(MO\()?/, "", id)
        sub(/[`|) ].*/, "", id)
        is_order[id] = 1
    }
    next
}

pass == 1 {
    split_line($0)
    rest = code
    while (match(rest, /[A-Za-z_][A-Za-z0-9_]*/)) {
        name = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        is_word[name] = 1
        if (rest ~ /^ *\(/ || rest ~ /^\)\(/)
            is_called[name] = 1
    }
    # A function that a macro makes: name##_get(...), and symbols that strings name.
    rest = words
    while (match(rest, /[A-Za-z_][A-Za-z0-9_]*/)) {
        is_word[substr(rest, RSTART, RLENGTH)] = 1
        rest = substr(rest, RSTART + RLENGTH)
    }
    next
}

function plain(title) {
    gsub(/[`*]/, "", title)
    return title
}

# As GitHub makes it.
function anchor_of(title) {
    title = tolower(title)
    gsub(/[^a-z0-9 _-]/, "", title)
    gsub(/ /, "-", title)
    return title
}

# ---- second pass: what is mentioned ----------------------------------------------------------------------------------

path ~ fixtures {
    next
}

function bad(what, why) {
    print path ":" FNR ": " what ": " why
}

function check_calls(text,    name) {
    while (match(text, /[A-Za-z_][A-Za-z0-9_]*\(\)/)) {
        name = substr(text, RSTART, RLENGTH - 2)
        # **f()** is an f; (name)() and a.name() are names as well.
        if (!(name in is_called) && !index(known, " " name " "))
            bad(name "()", "no such function")
        text = substr(text, RSTART + RLENGTH)
    }
}

function check_public(text,    name) {
    while (match(text, /(^|[^A-Za-z0-9_.\/-])(tide_|TIDE_)[A-Za-z0-9_]*[A-Za-z0-9]([^A-Za-z0-9_*.-]|$)/)) {
        name = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART + RLENGTH - 1)
        gsub(/[^A-Za-z0-9_]/, "", name)
        if (!(name in is_word) && !index(known_words, " " name " "))
            bad(name, "no source has such a word")
    }
}

function exists(name,    pattern, i) {
    if (name in is_file || name in is_folder || (name ".c") in is_file || (name ".test.sh") in is_file)
        return 1
    if (name !~ /[*]|[A-Z][A-Z]|\/[A-Z]$/)
        return 0
    pattern = name
    gsub(/[.]/, "[.]", pattern)
    gsub(/[*]|[A-Z][A-Z]+/, "[^/]*", pattern)
    for (i = 1; i <= files; i++)
        if (file_of[i] ~ "^" pattern "($|/|[.]c$)")
            return 1
    return 0
}

function check_paths(text,    name, before) {
    while (match(text, /(shm|engine|tools|bench|tests|docs|\.ci)\/[A-Za-z0-9_.\/*-]*/)) {
        before = RSTART > 1 ? substr(text, RSTART - 1, 1) : " "
        name = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART + RLENGTH)
        if (before ~ /[A-Za-z0-9_.\/$)}-]/ || text ~ /^[{%$<+\\]/)
            continue
        sub(/[.\/-]+$/, "", name)
        if (!exists(name))
            bad(name, "no such file")
    }
}

# A file by its name alone. Headers of the system are not ours to check: <stdio.h>.
function check_bases(text,    name, before) {
    while (match(text, /[A-Za-z0-9_]+(\.test)?\.(c|h|md|sh|awk)/)) {
        before = RSTART > 1 ? substr(text, RSTART - 1, 1) : " "
        name = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART + RLENGTH)
        if (before ~ /[A-Za-z0-9_.\/<*$}-]/ || text ~ /^[A-Za-z0-9_>\/]/ || name ~ /[A-Z][A-Z]/)
            continue
        if (!(name in is_base) && !index(known_files, " " name " "))
            bad(name, "no such file")
    }
}

function check_headings(text,    page, title, rest) {
    text = carried text
    carried = ""
    if (match(text, /[a-z_-]+\.md\)?,? *$/)) {
        carried = substr(text, RSTART) " "
        text = substr(text, 1, RSTART - 1)
    }
    while (match(text, /[A-Za-z_-]+\.md/)) {
        page = substr(text, RSTART, RLENGTH)
        rest = substr(text, RSTART + RLENGTH)
        text = rest
        sub(/^`?\)?,? */, "", rest)
        if (match(rest, /^\*[^*]+\*/) || match(rest, /^"[^"]+"/)) {
            title = substr(rest, 2, RLENGTH - 2)
            if (!((page, tolower(plain(title))) in heading))
                bad(page ", *" title "*", "no such heading")
        }
    }
}

# A standard's sections keep their numbers: RFC 3720 section 12.1. Ours move.
function check_numbers(text,    before) {
    while (match(text, /([Ss]ections?|[Cc]hapters?) [0-9]+|§ ?[0-9]+/)) {
        before = substr(text, 1, RSTART - 1)
        if (before !~ /(RFC|ISO|IEEE|POSIX|C11)[^.;]*$/)
            bad(substr(text, RSTART, RLENGTH), "a pointer names a heading, never a number")
        text = substr(text, RSTART + RLENGTH)
    }
}

function check_links(text,    to, at, folder, name) {
    while (match(text, /\]\([^)]*\)/)) {
        to = substr(text, RSTART + 2, RLENGTH - 3)
        text = substr(text, RSTART + RLENGTH)
        if (to ~ /^[a-z]+:/)
            continue
        at = ""
        if (match(to, /#.*/)) {
            at = substr(to, RSTART + 1)
            to = substr(to, 1, RSTART - 1)
        }
        folder = path ~ /\// ? path : "./x"
        sub(/\/[^\/]*$/, "/", folder)
        name = to == "" ? path : folder to
        while (sub(/[^\/]+\/\.\.\//, "", name))
            ;
        sub(/^\.\//, "", name)
        sub(/\/$/, "", name)
        if (!(name in is_file) && !(name in is_folder))
            bad("[](" to ")", "no such file")
        else if (at != "" && !((name, at) in anchor))
            bad("[](" to "#" at ")", "no such heading")
    }
}

function check_orders(text,    id) {
    while (match(text, /MO\([a-z0-9_.]+\)/)) {
        id = substr(text, RSTART + 3, RLENGTH - 4)
        text = substr(text, RSTART + RLENGTH)
        if (!(id in is_order) && id != "id" && id != "module.word" && id != "room.word")
            bad("MO(" id ")", "no row in docs/memory-model.md")
    }
}

{
    split_line($0)
    check_calls(comment)
    if (!fenced || !is_page)
        check_public(comment)
    # A rule of make names what it will find or make.
    # The compiler looks for what is included.
    if (path == "Makefile" && $0 !~ /echo/ || is_c && $0 ~ /^ *# *include/)
        check_paths(comment)
    else
        check_paths($0)
    check_bases(comment)
    check_headings(comment)
    check_numbers(comment)
    # check_mo.awk knows those of sources.
    if (is_page)
        check_orders(comment)
    if (is_page && !fenced)
        check_links(comment)
}
