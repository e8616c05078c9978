#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# run.sh [MODEL...]: search every state of each model for a broken promise, and of each of its mutants, which must break one. A line for
# each; status 1 where a model is wrong or a mutant was not caught. Needs spin and a C compiler. TIDE_BUILD: where the searches are built.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=${TIDE_BUILD:-build}/models
mkdir -p "$work"
work=$(cd "$work" && pwd)
[ $# -gt 0 ] || set -- $(cd "$here" && ls *.pml | sed 's/\.pml$//')
failed=0

search() { # model flags... -> states and errors into $states, $errors
    rm -rf "$work/pan"
    mkdir "$work/pan"
    name=$1
    shift
    if ! (cd "$work/pan" && spin "$@" -a "$here/$name.pml" >spin.log 2>&1 && ${CC:-cc} -w -O2 -DSAFETY -DMEMLIM=6000 -o pan pan.c); then
        cat "$work/pan/spin.log"
        states=0 errors=broken
        return
    fi
    (cd "$work/pan" && ./pan -m1000000 -w24 >pan.log 2>&1)
    states=$(sed -n 's/^ *\([0-9][0-9.e+]*\) states, stored.*/\1/p' "$work/pan/pan.log" | head -1)
    errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$work/pan/pan.log" | head -1)
    # A search that gave up somewhere proves nothing.
    grep -qE 'out of memory|max search depth too small|Search not completed' "$work/pan/pan.log" && [ "${errors:-0}" = 0 ] && errors=incomplete
    # A search that ends in a state where nobody can go on has found a fault of the model, not a broken promise.
    [ "${errors:-0}" != 0 ] && ! grep -q 'assertion violated' "$work/pan/pan.log" && errors=stuck
    : "${states:=0}" "${errors:=incomplete}"
}

for model in "$@"; do
    if [ ! -f "$here/$model.pml" ]; then
        echo "no such model: $model" >&2
        exit 2
    fi
    search "$model"
    if [ "$errors" = 0 ]; then
        printf '%-10s holds: %s states\n' "$model" "$states"
    else
        printf '%-10s WRONG (%s), see %s\n' "$model" "$errors" "$work/$model.log"
        cp "$work/pan/pan.log" "$work/$model.log" 2>/dev/null
        failed=1
    fi
    for mutant in $(sed -n 's/^ \* MUTANT \([A-Z_0-9]*\):.*/\1/p' "$here/$model.pml"); do
        if ! grep -q "def $mutant\$" "$here/$model.pml"; then
            printf '%-10s   %s is named and changes nothing\n' "$model" "$mutant"
            failed=1
            continue
        fi
        search "$model" "-D$mutant"
        case $errors in
        0 | broken | incomplete | stuck)
            printf '%-10s   %s NOT CAUGHT (%s)\n' "$model" "$mutant" "$errors"
            failed=1
            ;;
        *) printf '%-10s   %s caught\n' "$model" "$mutant" ;;
        esac
    done
done
rm -rf "$work/pan"
exit $failed
