#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Our .hlog and .hgrm files against HdrHistogram's own implementation in Java (Debian: libhdrhistogram-java and a JDK):
# it reads our log and must find every count, percentile, mean and total that we do, print the same .hgrm texts, and
# write the same log; and we must read the log that it writes. Exit codes: 0 all equal, 1 not, 77 skipped.
set -eu
cd "$(dirname "$0")/.."

skip() {
    echo "SKIP hdr_reference: $1 (on Debian: apt-get install libhdrhistogram-java default-jdk-headless)"
    exit 77
}

jar=${HDRHISTOGRAM_JAR:-}
for at in /usr/share/java/hdrhistogram.jar /usr/share/java/HdrHistogram.jar; do
    [ -n "$jar" ] || [ ! -r "$at" ] || jar=$at
done
command -v java >/dev/null || skip "there is no java"
java --list-modules 2>/dev/null | grep -q '^jdk.compiler' || skip "this java cannot compile: it is a JRE, not a JDK"
[ -n "$jar" ] || skip "there is no hdrhistogram.jar (HDRHISTOGRAM_JAR=PATH names one elsewhere)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/ours" "$work/theirs" "$work/back" "$work/tmp"
export TZ=UTC LC_ALL=C

# Without contraction, as Java never fuses a multiplication with an addition and the doubles are compared bit by bit.
# shellcheck disable=SC2086 # CFLAGS are words
${CC:-cc} -std=gnu11 -Wall -Wextra -O2 -I. ${CFLAGS:-} -ffp-contract=off -o "$work/hdrwrite" tests/tool_hdrwrite.c \
    bench/lib/hdrlog.c bench/lib/hdrcodec.c tests/lib/hdrdecode.c shm/hdr.c -lz -lm
"$work/hdrwrite" write "$work/ours"
java -Djava.io.tmpdir="$work/tmp" -cp "$jar" tests/java/HdrReference.java "$work/ours" "$work/theirs"
"$work/hdrwrite" read "$work/theirs/log.hlog" "$work/back"

# The base64 of the two logs may differ: it is zlib's output, and that of another zlib is as good.
for log in ours theirs; do
    sed 's/,[A-Za-z0-9+/=]*$/,HISTOGRAM/' "$work/$log/log.hlog" >"$work/$log/log.txt"
    mv "$work/$log/log.hlog" "$work/$log.hlog"
done
failed=0
diff -r "$work/ours" "$work/theirs" >"$work/diff" || failed=1
rm "$work"/ours/*.hgrm "$work/ours/log.txt"
diff -r "$work/ours" "$work/back" >>"$work/diff" || failed=1
if [ $failed = 1 ]; then
    head -40 "$work/diff"
    echo "FAIL hdr_reference: ours (<) and the reference's (>) differ in $(grep -c '^[<>]' "$work/diff") lines"
    exit 1
fi
echo "PASS hdr_reference"
