#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the other tests of environments rely on: a /dev/shm and process ids of their own, of the size they asked for, with
# nothing left outside of it; a domain lives there; exit statuses come through.
set -u
. tests/env/lib.sh
if [ "${1:-}" != inside ]; then
    private 1m true || exit 1
    private 1m sh -c 'exit 3'
    [ $? = 3 ] || bad "private: the exit status of the command was 3, not $?"
    (skip because) >"$work/out"
    [ $? = 77 ] && grep -q because "$work/out" || bad "skip: status or reason"
    (need no-such-command) >"$work/out"
    [ $? = 77 ] || bad "need: a command that is not there"
    (run_inside 64m) || bad "inside: status $?"
    ls /dev/shm | grep namespace-test && bad "the domain is in the /dev/shm of all"
    finish
fi
[ "$(df -k --output=size /dev/shm | tail -n 1)" -eq 65536 ] || bad "/dev/shm is not of 64 MiB"
[ -z "$(ls -A /dev/shm)" ] || bad "/dev/shm is not empty"
[ "$(ls -d /proc/[0-9]* | wc -l)" -lt 10 ] || bad "others' processes can be seen"
compile - "$work/program" <<'C' || exit 1
#include "engine/tidemark.h"
int main(void) {
    struct tide *d;
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags |= TIDE_EPHEMERAL;
    o.ring_bytes = o.table_bytes = 8 << 20;
    int error = tide_open(&d, "namespace-test", &o);
    return error != 0 ? -error : tide_close(d);
}
C
"$work/program" || bad "a domain: status $?"
finish
