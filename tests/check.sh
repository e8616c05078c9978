#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# check.sh ROOT [CHECK...]: what can be told of the tree without running it. Prints FILE:LINE: what is wrong; status 1
# where anything is. The checks: mo includes rooms names format text fds spdx files symbols abi models mutants. tests/check_self*.test.sh, and tests/abi.test.sh for abi, prove
# that each of them can fail.
# TIDE_BUILD: where libtidemark.a lies, from ROOT (build), and in obj/release/ the objects.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "${1:?ROOT}" || exit 2
shift
[ $# = 0 ] && set -- mo includes rooms names format text fds spdx files symbols abi models mutants
lib=${TIDE_BUILD:-build}/libtidemark.a
objects=${TIDE_BUILD:-build}/obj/release

files=$(find $(ls -d shm engine tools bench tests 2>/dev/null) -type f | sort)

in_rooms() { # regular expression
    printf '%s\n' "$files" | grep -E "$1"
}

sources() {
    in_rooms '\.[ch]$'
}

# ---- memory orders ---------------------------------------------------------------------------------------------------

check_mo() {
    table=docs/memory-model.md
    if [ ! -f "$table" ]; then
        echo "$table is not there"
        return
    fi
    tests=$(in_rooms '(/(test|stress)_[^/]*\.c|\.test\.sh)$' | tr '\n' ' ')
    awk -v TESTS="$tests" -f "$here/check_mo.awk" "$table" $(sources)
}

# ---- include directions ----------------------------------------------------------------------------------------------

check_includes() {
    list=$(sources)
    [ -z "$list" ] || awk -f "$here/check_rooms.awk" -f "$here/check_includes.awk" $list
}

# ---- who needs what whom defines -------------------------------------------------------------------------------------

check_rooms() {
    # bench/peers is built only where it is asked for.
    made=
    for source in $(in_rooms '^(shm|engine|tools|bench)/.*\.c$'); do
        object=$objects/${source%.c}.o
        if [ -f "$object" ]; then
            made="$made $object"
        else
            case $source in shm/* | engine/*) echo "$source: $object is not there: run make first" ;; esac
        fi
    done
    [ -z "$made" ] || ${NM:-nm} -A -P $made |
        awk -v STRIP="$objects/" -f "$here/check_rooms.awk" -f "$here/check_needs.awk"
}

# ---- pointers that lead somewhere -----------------------------------------------------------------------------------

check_names() {
    find . -name .git -prune -o -path "./${TIDE_BUILD:-build}" -prune -o -path ./build -prune -o -type f -print >"$list_of_files"
    pages=$(find . -maxdepth 1 -name '*.md' | sed 's/^\.\///'; find docs -name '*.md' 2>/dev/null)
    texts="$(in_rooms '\.([ch]|sh|awk|java|md)$') $pages $(find .ci -type f 2>/dev/null) $(ls Makefile 2>/dev/null)"
    for header in dlfcn fcntl poll pthread sched signal spawn stdio stdlib string sys/mman sys/socket sys/stat sys/wait time unistd; do
        echo "#include <$header.h>"
    done | ${CC:-cc} -D_GNU_SOURCE -E -x c - >"$list_of_files.h" 2>/dev/null
    # shellcheck disable=SC2086 # names of files are words
    awk -f "$here/check_names.awk" "$list_of_files" pass=1 "$list_of_files.h" $texts pass=2 $texts
}

# ---- format ----------------------------------------------------------------------------------------------------------

# engine/life/join.h: TIDE_LIFE_JOIN_H. A folder lib is no room: tools/lib/args.h: TIDE_TOOLS_ARGS_H.
check_guards() {
    for header in $(in_rooms '\.h$' | grep -vx 'engine/tidemark\.h'); do
        room=${header%/*}
        room=${room%/lib}
        name=${header##*/}
        guard=$(printf 'TIDE_%s_%s_H' "${room##*/}" "${name%.h}" | tr '[:lower:]' '[:upper:]')
        echo "$header $guard"
    done | awk '{
        seen = ""
        while ((getline line <$1) > 0)
            if (line ~ /^#ifndef /) {
                seen = substr(line, 9)
                break
            }
        close($1)
        if (seen != $2)
            print $1 ":1: the include guard is " (seen == "" ? "not there" : seen) ", not " $2
        if ($2 in guarded)
            print $1 ":1: the include guard " $2 " is that of " guarded[$2] ", too"
        guarded[$2] = $1
    }'
}

# Another version formats in another way.
has_formatter() {
    case $(clang-format --version 2>/dev/null) in *version\ 14.*) ;; *) return 1 ;; esac
}

check_format() {
    check_guards
    list=$(sources)
    [ -z "$list" ] || ! has_formatter || clang-format --dry-run $list 2>&1 |
        sed -n 's/^\([^ :]*:[0-9]*\):.*code should be clang-formatted.*/\1: not as clang-format writes it: make format/p'
}

# ---- words that must not occur ---------------------------------------------------------------------------------------

# Whatever a person reads or a program takes paths from.
texts() {
    in_rooms '\.([ch]|sh|awk|java|py|md|gp|js|css|html)$'
    find docs .ci -type f 2>/dev/null
    ls Makefile README.md 2>/dev/null
}

check_text() {
    # Not spelled out here, or this file would be the first that is found.
    dirs='work|home|root'
    grep -nE "(^|[^A-Za-z0-9_.~*)}>-])/($dirs)(/|[^A-Za-z0-9_/-]|\$)" $(texts) /dev/null |
        sed 's/^\([^:]*:[0-9]*\):.*/\1: a path of one machine/'
    list=$(sources)
    [ -z "$list" ] && return
    grep -nE '^[ 	]*typedef[ 	]+(struct|union|enum)([ 	{]|$)' $list /dev/null |
        sed 's/^\([^:]*:[0-9]*\):.*/\1: structs have no typedef/'
    grep -n '	' $list /dev/null | sed 's/^\([^:]*:[0-9]*\):.*/\1: a tab/'
    grep -nE ' +$' $list /dev/null | sed 's/^\([^:]*:[0-9]*\):.*/\1: blanks at the end of a line/'
    awk -f "$here/check_braces.awk" $list
}

# ---- descriptors that could be 0, 1 or 2 -----------------------------------------------------------------------------

check_fds() {
    # shm/fd.h is what lifts them; tools/lib/stdio.c makes 0, 1 and 2 themselves.
    list=$(in_rooms '^(shm|engine|tools)/.*\.[ch]$' | grep -vxE 'shm/fd\.[ch]|tools/lib/stdio\.c')
    [ -z "$list" ] && return
    makers='open|openat|creat|opendir|fopen|dup|eventfd|pipe|pipe2|memfd_create|timerfd_create|signalfd|epoll_create1|socket|socketpair|accept4?|inotify_init1|mkstemp'
    # A line of a comment begins with a star or has its words behind one.
    grep -nE "(^|[^A-Za-z0-9_>.])($makers)\(|SYS_pidfd_open, " $list /dev/null |
        grep -vE ':[ 	]*(\*|/\*)|fd_lift\(|/\*.*($makers)\(|pipe2\(.*fd_lift' |
        sed 's/^\([^:]*:[0-9]*\):.*/\1: a descriptor that may be 0, 1 or 2: see shm\/fd.h/'
}

# ---- licence lines ---------------------------------------------------------------------------------------------------

check_spdx() {
    # One process for all files, and getline, since an empty file has no line that awk would come by.
    awk 'BEGIN {
        for (i = 1; i < ARGC; i++) {
            found = 0
            for (n = 0; n < 3 && (getline line <ARGV[i]) > 0; n++)
                found = found || line ~ /SPDX-License-Identifier: LGPL-2\.1-or-later/
            close(ARGV[i])
            if (!found)
                print ARGV[i] ":1: no line SPDX-License-Identifier: LGPL-2.1-or-later among the first three"
        }
    }' $(in_rooms '\.([ch]|sh|awk|java|py|gp|js|css|html)$'; find .ci -type f 2>/dev/null; ls Makefile 2>/dev/null)
}

# ---- files that must be there ----------------------------------------------------------------------------------------

check_files() {
    grep -q 'LESSER GENERAL PUBLIC LICENSE' LICENSE 2>/dev/null && grep -q 'Version 2\.1' LICENSE ||
        echo "LICENSE: not the text of the LGPL 2.1"
    if ! grep -q '^```c$' README.md 2>/dev/null; then
        echo "README.md: no example in a block that begins with \`\`\`c"
    elif ! grep -q 'README\.md' tests/readme*.test.sh 2>/dev/null; then
        echo "README.md: no test compiles the example"
    fi
    # Where a fuzzer is run by hand, it leaves its inputs in the folder that it runs in.
    ls | grep -E '^(crash|leak|oom|slow-unit|timeout)-[0-9a-f]{40}$' | sed 's|$|: the input of a fuzzer; its place is tests/fuzz/corpus/|'
}

# ---- symbols of the library ------------------------------------------------------------------------------------------

check_symbols() {
    if [ ! -f "$lib" ]; then
        echo "$lib is not there: run make first"
        return
    fi
    # Columns of readelf: number, value, size, type, bind, visibility, section, name.
    visible=$(readelf -sW "$lib" |
        awk '($5 == "GLOBAL" || $5 == "WEAK") && $6 == "DEFAULT" && $7 != "UND" { print $8 }')
    for name in $visible; do
        case $name in
        tide_*) ;;
        *) echo "$lib: $name is visible to whoever links the library, but does not begin with tide_" ;;
        esac
    done
    [ -f engine/tidemark.h ] || return
    # What the header promises is there: TIDE_API type name(, also where the type is a pointer.
    for name in $(sed -n 's/^TIDE_API [^(]*[ *]\(tide_[a-z0-9_]*\)(.*/\1/p' engine/tidemark.h); do
        printf '%s\n' $visible | grep -qx "$name" || echo "engine/tidemark.h: $name() is declared, but nowhere defined"
    done
}

# ---- programs that are out there ------------------------------------------------------------------------------------

# abidw's descriptions are of this processor and of gcc's enums and longs, which are clang's as well.
has_abidiff() {
    command -v abidiff >/dev/null 2>&1 && [ "$(uname -m)" = x86_64 ]
}

check_abi() {
    [ ! -d tests/abi ] || ! has_abidiff || sh "$here/abi/check.sh"
}

# ---- models, and the functions that they stand for -----------------------------------------------------------------

check_models() {
    [ ! -f tests/models/lines.txt ] || sh "$here/models/lines.sh"
}

# ---- the faults that tests have to notice -----------------------------------------------------------------------------

check_mutants() {
    [ ! -f tests/mutants/list ] || sh "$here/mutants/run.sh" --check
}

list_of_files=$(mktemp) || exit 2
trap 'rm -f "$list_of_files" "$list_of_files.h"' EXIT
failed=0
for check in "$@"; do
    case $check in
    mo | includes | rooms | names | format | text | fds | spdx | files | symbols | abi | models | mutants) ;;
    *)
        echo "check.sh: no check $check" >&2
        exit 2
        ;;
    esac
    found=$("check_$check" 2>&1)
    if [ -n "$found" ]; then
        printf '%s\n' "$found" | sort -u -t: -k1,1 -k2,2n -k3
        printf 'check %s: %s wrong\n' "$check" "$(printf '%s\n' "$found" | wc -l)"
        failed=1
    else
        note=
        [ "$check" = format ] && ! has_formatter && note=' for include guards; skipped: there is no clang-format 14 here'
        [ "$check" = abi ] && ! has_abidiff && note=' (skipped: there is no abidiff here, or this is no x86-64; Debian: abigail-tools)'
        echo "check $check: ok$note"
    fi
done
exit "$failed"
