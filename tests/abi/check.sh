#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# check.sh [HEADER]: what tests/abi/*.abi describe, one file for each released version, is still so in the header: functions and their
# types, values of enums, fields of structs. Only structs that begin with `size` may have grown, and at their end. Prints what is not so.
# A new description, when a version is released: sh tests/abi/stub.sh engine/tidemark.h stub.so, then
# abidw --no-corpus-path --no-comp-dir-path --no-show-locs --out-file tests/abi/tidemark-VERSION.abi stub.so
set -u
here=$(cd "$(dirname "$0")" && pwd)
header=${1:-engine/tidemark.h}
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
sh "$here/stub.sh" "$header" "$tmp/stub.so" 2>&1 || { echo "$header: no shared object could be made of it"; exit 1; }
cat >"$tmp/grows" <<'END'
[suppress_type]
  name_regexp = ^tide_(opts|info|replica_opts|verify|replica_info|bound|answer|reader_opts|read_counts)$
  type_kind = struct
  has_data_member_inserted_at = end
END
for old in "$here"/*.abi; do
    version=$(basename "$old" .abi)
    abidiff --no-added-syms --no-show-locs --suppressions "$tmp/grows" "$old" "$tmp/stub.so" >"$tmp/out" 2>&1 || {
        echo "$header: programs that were compiled with $version would not work:"
        sed 's/^/    /' "$tmp/out"
    }
    # The rule above also forgives a field that changed in place: such a line is not forgiven.
    abidiff --no-added-syms --no-show-locs "$old" "$tmp/stub.so" >"$tmp/out" 2>&1
    if grep -qE 'data member (change|deletion)' "$tmp/out"; then
        echo "$header: a field that $version has was changed, moved or taken out:"
        sed 's/^/    /' "$tmp/out"
    fi
done
