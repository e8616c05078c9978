#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# lines.sh [--accept]: has a function changed that a model stands for, since the two were last compared? A line for each, in the form of
# `make check`. tests/models/lines.txt keeps a checksum of each function without comments and blanks. --accept: the models were compared
# with what the functions are now, and `make models` was run; write the checksums anew. Run it at the top of the tree.
set -u
kept=tests/models/lines.txt

# A function, from the line that begins its definition to the brace that ends it.
function_text() { # file name
    awk -v NAME="$2" '
        !inside && /^[A-Za-z]/ && index($0, NAME "(") && !/;[ \t]*$/ { inside = 1; text = "" }
        inside { text = text $0 "\n" }
        inside && /^}/ { printf "%s", text; found = 1; exit }
        inside && /;[ \t]*$/ && text !~ /{/ { inside = 0 }
        END { exit !found }' "$1"
}

sum() { # the text on stdin
    tr '\n' ' ' | sed 's,/\*[^*]*\*\**\([^/*][^*]*\*\**\)*/, ,g; s/[ \t]//g' | cksum | cut -d' ' -f1
}

now() {
    for model in tests/models/*.pml; do
        sed -n 's/^ \* STANDS FOR: //p' "$model" | while read -r file function; do
            if [ -f "$file" ] && text=$(function_text "$file" "$function"); then
                echo "$(basename "$model") $file $function $(printf '%s' "$text" | sum)"
            else
                echo "$(basename "$model") $file $function none"
            fi
        done
    done
}

if [ "${1:-}" = --accept ]; then
    now | grep -v ' none$' >"$kept"
    exit 0
fi
now | while read -r model file function sum; do
    if [ "$sum" = none ]; then
        echo "tests/models/$model: stands for $function() of $file, which is not there"
    elif ! grep -qxF "$model $file $function $sum" "$kept" 2>/dev/null; then
        echo "$file: $function() is not as it was when tests/models/$model was compared with it: compare, 'make models', 'sh tests/models/lines.sh --accept'"
    fi
done
