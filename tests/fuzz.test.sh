#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every fuzzer takes the inputs of its corpus, among them those that once found a fault, and some hundred changes of each.
set -u
build=${TIDE_BUILD:-build}
failed=0
for source in tests/fuzz/*.c; do
    name=$(basename "$source" .c)
    case $name in replay | world | wrong) continue ;; esac
    if [ ! -d "tests/fuzz/corpus/$name" ]; then
        echo "no corpus: tests/fuzz/corpus/$name"
        failed=1
        continue
    fi
    changes=100
    case $name in attach) changes=20 ;; dump | http) changes=40 ;; esac
    [ -n "${TIDE_SANITIZED:-}" ] && changes=$((changes / 4))
    if ! "$build/tests/fuzz/$name" --changes $changes tests/fuzz/corpus/"$name"/* >"$build/fuzz-$name.log" 2>&1; then
        echo "$name failed:"
        tail -20 "$build/fuzz-$name.log"
        failed=1
    fi
done
exit $failed
