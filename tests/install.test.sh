#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What `make install` puts elsewhere is enough to build with, from outside of the tree: by pkg-config and by CMake, shared and static,
# C and C++, and into a shared object. Of the libraries only tide_* can be seen, so that a program may have a ring_append()
# of its own. `make uninstall` takes away what install brought.
set -eu
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: the installed library is the plain one"; exit 77; }
cc=${CC:-gcc}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
build=${TIDE_BUILD:-build}
prefix=$tmp/usr

# MAKEFLAGS hands on what the caller set (OPT=, CFLAGS=), or everything would be built anew with other flags.
in_tree() { # target
    make -s "$1" CC="$cc" BUILD="$build" DESTDIR= PREFIX="$prefix" LIBDIR="$prefix/lib/triplet" >"$tmp/log" 2>&1 ||
        { cat "$tmp/log"; exit 1; }
}
in_tree install
lib=$prefix/lib/triplet
for file in include/tidemark.h lib/triplet/libtidemark.a lib/triplet/libtidemark_pic.a lib/triplet/libtidemark.so \
    lib/triplet/pkgconfig/tidemark.pc lib/triplet/cmake/tidemark/tidemark-config.cmake bin/tide \
    share/tidemark/prometheus/tidemark.rules.yml share/tidemark/grafana/tidemark.json; do
    [ -s "$prefix/$file" ] || { echo "$file is not installed"; exit 1; }
done
[ "$(readlink "$lib/libtidemark.so")" = libtidemark.so.0 ]
readelf -dW "$lib/libtidemark.so" | grep -q 'SONAME.*\[libtidemark\.so\.0\]' || { echo "another soname"; exit 1; }
for archive in libtidemark.a libtidemark_pic.a; do
    others=$(nm -g --defined-only "$lib/$archive" | awk 'NF == 3 && $3 !~ /^tide_/')
    [ -z "$others" ] || { echo "$archive: global, but not tide_*:"; echo "$others"; exit 1; }
done
"$prefix/bin/tide" --help >/dev/null

# Pages: one for each command and one for the library, which names every function; no warning. Completions that the shells can read.
"$prefix/bin/tide" help | awk '/^Commands:/ { on = 1; next } on && !/^  / { exit } on { print $1 }' | grep -vxE 'help|version' |
    while read -r command; do
        [ -s "$prefix/share/man/man1/tide-$command.1" ] || { echo "no page of tide $command"; exit 1; }
    done
for name in $(sed -n 's/^TIDE_API [^(]*[ *]\(tide_[a-z0-9_]*\)(.*/\1/p' engine/tidemark.h); do
    grep -q "$name" "$prefix/share/man/man3/tidemark.3" || { echo "tidemark(3) does not name $name()"; exit 1; }
done
for page in "$prefix"/share/man/man?/*; do
    if command -v mandoc >/dev/null 2>&1; then
        mandoc -Tlint -W warning "$page"
    fi
    if command -v man >/dev/null 2>&1; then
        warnings=$(MANROFFSEQ='' man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
        [ -z "$warnings" ] || { echo "$page: $warnings"; exit 1; }
    fi
    grep -q '@[A-Z]*@' "$page" && { echo "$page: something is not filled in"; exit 1; }
done
if command -v bash >/dev/null 2>&1; then
    said=$(TIDE_SHM_DIR=$tmp bash -c '. "$0"; : >"$TIDE_SHM_DIR/tidemark.shop.log"
        ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tide; echo "${COMPREPLY[*]}"; }
        ask tide step; ask tide get sh; ask tide get shop key --fa; ask tide get shop key --fallback w' \
        "$prefix/share/bash-completion/completions/tide" | tr '\n' ,)
    [ "$said" = "step-down,shop,--fallback,wait," ] || { echo "bash completes: $said"; exit 1; }
fi
if command -v zsh >/dev/null 2>&1; then
    zsh -n "$prefix/share/zsh/site-functions/_tide"
    : >"$tmp/tidemark.shop.log"
    TIDE_SHM_DIR=$tmp timeout 100 zsh -f tests/lib/complete.zsh "$prefix/share/zsh/site-functions" || { echo "zsh does not complete that"; exit 1; }
    rm "$tmp/tidemark.shop.log"
else
    echo "no zsh: its completion was not tried"
fi
if command -v systemd-analyze >/dev/null 2>&1; then
    said=$(systemd-analyze verify --man=no "$prefix/lib/systemd/system/tide-serve@.service" 2>&1 | grep 'tide-serve@' || :)
    [ -z "$said" ] || { echo "$said"; exit 1; }
fi

cat >"$tmp/program.c" <<'END'
#include <stdio.h>
#include <tidemark.h>
int ring_append(void);
int ring_append(void) { return (int)tide_version() - TIDE_VERSION; }
int main(int argc, char **argv) {
    struct tide *d;
    struct tide_reader *r;
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide_replica_opts leader = TIDE_REPLICA_OPTS_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    char value[8];
    o.flags |= TIDE_EPHEMERAL;
    o.ring_bytes = 65536;
    o.table_bytes = 1 << 20;
    leader.role = TIDE_LEADER;
    if (argc != 2 || ring_append() != 0 || tide_open(&d, argv[1], &o) != 0 || tide_replica_start(d, &leader, NULL) != 0 ||
        tide_reader_open(d, NULL, &r) != 0 || tide_put(d, r, "key", 3, "value", 5, NULL) != 0 ||
        tide_get(r, "key", 3, NULL, value, sizeof(value), &a) != 0)
        return 1;
    printf("%.*s %s\n", (int)a.value_size, value, tide_reason_name(a.reason));
    return tide_reader_close(r) != 0 || tide_close(d) != 0;
}
END
cp "$tmp/program.c" "$tmp/program.cc"
runs() { # program what
    out=$("$1" "install-test-$$") || { echo "$2: the program failed"; exit 1; }
    [ "$out" = "value fresh" ] || { echo "$2: it said: $out"; exit 1; }
}
needs() { # program; succeeds where it needs the shared library
    readelf -dW "$1" | grep -q 'NEEDED.*\[libtidemark\.so\.0\]'
}

cd "$tmp"
if command -v pkg-config >/dev/null 2>&1; then
    PKG_CONFIG_PATH=$lib/pkgconfig
    export PKG_CONFIG_PATH
    [ "$(pkg-config --modversion tidemark)" = "$(sed -n 's/^#define TIDE_VERSION_M[AI][JN]OR //p' "$prefix/include/tidemark.h" | paste -sd.).$(sed -n 's/^#define TIDE_VERSION_PATCH //p' "$prefix/include/tidemark.h")" ]
    LD_LIBRARY_PATH=$lib
    export LD_LIBRARY_PATH
    $cc -Wall -Werror -o shared program.c $(pkg-config --cflags --libs tidemark)
    needs ./shared || { echo "pkg-config --libs did not take the shared library"; exit 1; }
    runs ./shared "pkg-config, shared"
    if $cc -static -x c - -o nothing <<'END' 2>/dev/null
int main(void) { return 0; }
END
    then
        # glibc says that dlopen() in a static program needs the same glibc when it runs: only for what is loaded, which nothing is
        $cc -Wall -static -o whole program.c $(pkg-config --cflags --static --libs tidemark) 2>log || { cat log; exit 1; }
        runs ./whole "pkg-config --static, -static"
    else
        echo "no static libc: -static was not tried"
    fi
    if command -v "${CXX:-g++}" >/dev/null 2>&1; then
        "${CXX:-g++}" -Wall -Wextra -Werror -o shared-cxx program.cc $(pkg-config --cflags --libs tidemark)
        runs ./shared-cxx "pkg-config, C++"
    fi
    unset LD_LIBRARY_PATH
else
    echo "no pkg-config: it was not tried"
fi

# The archive beside shared libraries of the system, and within a shared object.
$cc -Wall -Werror -I"$prefix/include" -o static program.c "$lib/libtidemark.a" -lurcu-memb -lurcu-common -lm -pthread
needs ./static && { echo "the archive was not taken"; exit 1; }
runs ./static "the archive"
$cc -Wall -Werror -fPIC -shared -Wl,-z,defs -Dmain=plugin_main -I"$prefix/include" -o plugin.so program.c "$lib/libtidemark_pic.a" \
    -lurcu-memb -lurcu-common -lm -pthread

if command -v "${CXX:-g++}" >/dev/null 2>&1; then
    "${CXX:-g++}" -Wall -Wextra -Werror -I"$prefix/include" -o static-cxx program.cc "$lib/libtidemark.a" -lurcu-memb -lurcu-common -lm -pthread
    runs ./static-cxx "the archive, C++"
else
    echo "no C++ compiler: none was tried"
fi

if command -v cmake >/dev/null 2>&1; then
    mv "$prefix" "$tmp/moved" # the CMake package may be moved as a whole
    cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.13)
project(outside LANGUAGES C)
find_package(tidemark 0.1 REQUIRED)
add_executable(by-cmake program.c)
target_link_libraries(by-cmake tidemark::tidemark)
add_executable(by-cmake-static program.c)
target_link_libraries(by-cmake-static tidemark::static)
find_package(tidemark 99 QUIET)
if(tidemark_FOUND)
  message(FATAL_ERROR "there is no version 99")
endif()
END
    { cmake -S . -B by -DCMAKE_C_COMPILER="$cc" -Dtidemark_DIR="$tmp/moved/lib/triplet/cmake/tidemark" && cmake --build by; } >log 2>&1 ||
        { cat log; exit 1; }
    needs by/by-cmake || { echo "CMake: tidemark::tidemark is not the shared library"; exit 1; }
    needs by/by-cmake-static && { echo "CMake: tidemark::static is not the archive"; exit 1; }
    runs by/by-cmake "CMake, shared"
    runs by/by-cmake-static "CMake, static"
    mv "$tmp/moved" "$prefix"
else
    echo "no CMake: it was not tried"
fi

cd "$OLDPWD"
# Every file of examples/ lies beside the library.
for example in examples/README.md examples/*/README.md examples/*/Makefile examples/*/*.*; do
    [ -f "$prefix/share/doc/tidemark/$example" ] || { echo "not installed: $example"; exit 1; }
done
in_tree uninstall
left=$(find "$prefix" ! -type d)
[ -z "$left" ] || { echo "uninstall left:"; echo "$left"; exit 1; }
[ ! -d "$prefix/share/doc/tidemark" ] || { echo "uninstall left share/doc/tidemark"; exit 1; }
