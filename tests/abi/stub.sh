#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# stub.sh HEADER OUT.so: a shared object with every function of the header, which does nothing, and one function more for each enum, for
# abidw and abidiff. What they read of it is the interface alone, whatever the library's own structs look like.
set -eu
{
    cat "$1"
    ${CC:-gcc} -E -P -x c "$1" | awk '
        BEGIN { RS = ";" }
        /visibility\("default"\)/ && /\)[ \n]*$/ { print $0 " { __builtin_trap(); }" }
        match($0, /enum tide_[a-z_]+ *{/) {
            name = substr($0, RSTART + 5, RLENGTH - 5)
            sub(/ *{/, "", name)
            print "TIDE_API void enum_" name "(enum " name " e) { (void)e; }"
        }'
} | ${CC:-gcc} -std=gnu11 -g -O0 -w -fPIC -shared -x c -o "$2" -
