# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Sourced by the tests of environments, tests/env/NAME.test.sh. `make test-all` runs them all, `make test T=NAME` one.
# A test is started from the root of the tree with TIDE_BUILD set: exit status 0 passed, 77 skipped, else failed.
# How one begins:
#
#     #!/bin/sh
#     set -u
#     . tests/env/lib.sh
#     [ "${1:-}" = inside ] || run_inside 64m
#     compile "$here/NAME.c" "$work/program" || exit 1
#     "$work/program" || bad "the program: status $?"
#     finish
#
# What it gives:
#
#     $here, $work        the folder of the test; a folder of its own that is removed when it ends
#     $tide               the command, by an absolute path
#     bad WORDS...        says what is wrong, and lets finish answer 1
#     finish              exit status 1 where bad was called, else 0
#     skip REASON         exit status 77
#     need COMMAND...     skips where one of them is missing
#     compile SRC OUT...  a C program with libtidemark.a; SRC is - for standard input; more words go to the compiler
#     private SIZE CMD... CMD with a tmpfs of SIZE on /dev/shm, in a mount namespace of its own
#     alone SIZE CMD...   the same, and in a pid namespace of its own: nothing that CMD starts outlives it
#     run_inside SIZE     the test itself once more, alone, with the word "inside"

here=$(cd "$(dirname "$0")" && pwd) || exit 1
TIDE_BUILD=$(cd "${TIDE_BUILD:-build}" && pwd) || exit 1
export TIDE_BUILD
tide=$TIDE_BUILD/tide
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT HUP TERM
wrong=0

bad() {
    wrong=$((wrong + 1))
    echo "wrong: $*"
}

finish() {
    [ "$wrong" = 0 ] && exit 0
    echo "$wrong wrong"
    exit 1
}

skip() {
    echo "skipped: $*"
    exit 77
}

need() {
    for command in "$@"; do
        command -v "$command" >/dev/null 2>&1 || skip "there is no $command here"
    done
}

compile() { # source, program, more words for the compiler
    source=$1 program=$2
    shift 2
    # shellcheck disable=SC2086 # CC and TIDE_SANITIZE are words
    ${CC:-gcc} -std=gnu11 -O1 -g -Wall -Wextra -Werror -D_GNU_SOURCE -I. ${TIDE_SANITIZE:-} -pthread -o "$program" \
        -x c "$source" -x none "$@" "$TIDE_BUILD/libtidemark.a" -lurcu-memb -lurcu-common -lm
}

namespaces() { # unshare's options, size, command...
    options=$1 size=$2
    shift 2
    need unshare
    # shellcheck disable=SC2086 # the options are words
    unshare $options --propagation private mount -t tmpfs -o "size=$size" tmpfs /dev/shm 2>/dev/null ||
        skip "no mount namespace for us here (unshare $options: root may)"
    # shellcheck disable=SC2086
    unshare $options --propagation private sh -c 'mount -t tmpfs -o "size=$0" tmpfs /dev/shm && exec "$@"' "$size" "$@"
}

private() { # size, command...
    namespaces -m "$@"
}

# The first process of a pid namespace ignores most signals, and the namespace ends with it: it is a shell that waits.
alone() { # size, command...
    size=$1
    shift
    namespaces '-mpf --kill-child --mount-proc' "$size" sh -c '"$@"; exit $?' sh "$@"
}

run_inside() { # size
    alone "$1" sh "$0" inside
    exit $?
}
