#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Limits of the size of files, of address space and of locked memory: an error with exit status 7 that names the limit, no signal, and
# nothing left behind. What the dead left is removed by the next one.
set -u
. tests/env/lib.sh
[ "${1:-}" = inside ] || run_inside 256m

expect() { # status, words, command...
    status=$1 words=$2
    shift 2
    timeout 30 "$@" >"$work/out" 2>&1
    got=$?
    [ "$got" = "$status" ] || bad "$*: status $got, not $status: $(cat "$work/out")"
    grep -q -- "$words" "$work/out" || bad "$*: does not say '$words': $(cat "$work/out")"
}

files() {
    ls /dev/shm | tr '\n' ' '
}

cat >"$work/with" <<'END'
#!/bin/sh
limit=$1
shift
ulimit $limit && exec "$@"
END
chmod 755 "$work/with"
with=$work/with

expect 7 RLIMIT_FSIZE "$with" '-f 2048' "$tide" serve d --ring 4M --table 4M
[ -z "$(files)" ] || bad "left by the limit of files: $(files)"
"$tide" serve d --ring 1M --table 4M --followers 0 >"$work/ready" 2>&1 &
server=$!
for i in $(seq 100); do
    grep -q ready "$work/ready" && break
    sleep 0.1
done
before=$(files)
head -c 200000 /dev/zero >"$work/value"
expect 7 'write less at once' "$with" '-f 100' "$tide" put d k --file "$work/value"
expect 7 RLIMIT_FSIZE "$with" '-f 2048' "$tide" follow d
"$tide" put d k --file "$work/value" >/dev/null || bad "put without a limit"
"$with" '-f 10' "$tide" snapshot save d "$work/snap" >"$work/out" 2>&1
[ $? = 7 ] || bad "snapshot save under a limit of 10 KiB: $(cat "$work/out")"
[ -z "$(ls "$work" | grep snap)" ] || bad "snapshot save under a limit left $(ls "$work" | grep snap)"
if [ -n "${TIDE_SANITIZE:-}" ]; then
    echo "sanitizers map more than this address space: that part is left out"
else
    "$with" '-v 6000' "$tide" follow d >"$work/out" 2>&1
    [ $? -lt 128 ] || bad "follow with little address space: ended by a signal: $(cat "$work/out")"
fi
# mlockall() by the application, with little memory that may be locked: an error that names the limit, and nothing left. With more it opens.
compile - "$work/locked" <<'C' || exit 1
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include "engine/tidemark.h"
static char told[1000];
static void note(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx, (void)level;
    snprintf(told, sizeof(told), "%s", text);
}
int main(void) {
    struct tide *d;
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide_replica_opts r = TIDE_REPLICA_OPTS_INIT;
    struct rlimit l;
    o.ring_bytes = 1 << 20;
    o.table_bytes = 4 << 20;
    o.flags |= TIDE_EPHEMERAL;
    o.log = note;
    r.role = TIDE_LEADER;
    if (getrlimit(RLIMIT_MEMLOCK, &l) != 0 || l.rlim_max < 2 << 20) {
        return 77;
    }
    l.rlim_cur = 2 << 20;
    if (setrlimit(RLIMIT_MEMLOCK, &l) != 0 || setgid(65534) != 0 || setuid(65534) != 0 || mlockall(MCL_FUTURE) != 0) {
        return 77;
    }
    int error = tide_open(&d, "locked", &o);
    printf("%d %s\n", error, told);
    if (error != TIDE_ERR_NOMEM || strstr(told, "ulimit -l") == NULL) {
        return 1;
    }
    if (l.rlim_max < 256 << 20) { /* too little for threads, whose stacks are locked as well */
        return 0;
    }
    l.rlim_cur = l.rlim_max;
    if (setrlimit(RLIMIT_MEMLOCK, &l) != 0) {
        return 1;
    }
    error = tide_open(&d, "locked", &o);
    error = error != 0 ? error : tide_replica_start(d, &r, NULL);
    error = error != 0 ? error : tide_put(d, NULL, "k", 1, "v", 1, NULL);
    error = error != 0 ? error : tide_close(d);
    printf("%d %s\n", error, told);
    return error != 0;
}
C
if [ -n "${TIDE_SANITIZE:-}" ]; then
    echo "sanitizers map more than may be locked: that part is left out"
else
    mkdir /dev/shm/locked && chmod 1777 /dev/shm/locked && chmod 755 "$work"
    TIDE_SHM_DIR=/dev/shm/locked "$work/locked" >"$work/out" 2>&1
    status=$?
    [ "$status" != 77 ] || echo "no memory can be locked here, or no other user be: that part is left out"
    [ "$status" = 0 ] || [ "$status" = 77 ] || bad "with locked memory: status $status: $(cat "$work/out")"
    rmdir /dev/shm/locked || bad "left with locked memory: $(ls /dev/shm/locked)"
fi
[ "$(files)" = "$before" ] || bad "left: $(files), before: $before"

# Killed while it makes a segment: the temporary file goes with the next one that is made, of whatever domain.
cp /dev/shm/tidemark.d.log /dev/shm/tidemark.gone.r3.tmp.0123456789abcdef
"$tide" follow d >"$work/follow" 2>&1 &
follower=$!
for i in $(seq 100); do
    grep -q ready "$work/follow" && break
    sleep 0.1
done
ls /dev/shm | grep -q 'tmp' && bad "what a dead process left is there still: $(files)"
kill -9 "$server" "$follower"
finish
