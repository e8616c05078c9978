#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An image with nothing in it but a program and the libraries that it is linked with, so without libgcc_s, which glibc's pthread_cancel()
# loads when it is first called: commands end cleanly by SIGTERM, and a program that embeds the library closes its candidate, also with
# no descriptor left. The same for a static program.
set -u
. tests/env/lib.sh
[ -z "${TIDE_SANITIZE:-}" ] || skip "sanitizers need libgcc_s"
[ "${1:-}" = inside ] || run_inside 256m
need chroot ldd
root=$work/root

cat >"$work/embeds.c" <<'C'
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/tidemark.h"
static int replica(struct tide **d, const char *name, int flags, enum tide_role role) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide_replica_opts r = TIDE_REPLICA_OPTS_INIT;
    o.flags = flags;
    o.ring_bytes = o.table_bytes = 1 << 20;
    r.role = role;
    r.candidate = 1;
    int error = tide_open(d, name, &o);
    return error != 0 ? error : tide_replica_start(*d, &r, NULL);
}
int main(int argc, char **argv) {
    struct tide *d;
    int go[2];
    char byte;
    if (argc < 2 || pipe(go) != 0) {
        return 2;
    }
    pid_t leader = fork();
    if (leader == 0) {
        (void)close(go[0]);
        if (replica(&d, argv[1], TIDE_CREATE, TIDE_LEADER) == 0 && write(go[1], "!", 1) == 1) {
            (void)pause();
        }
        _exit(1);
    }
    (void)close(go[1]);
    int error = read(go[0], &byte, 1) == 1 ? replica(&d, argv[1], 0, TIDE_FOLLOWER) : TIDE_ERR_UNKNOWN;
    error = error != 0 ? error : tide_put(d, NULL, "k", 1, "v", 1, NULL);
    if (error == 0 && argc > 2) {
        struct rlimit l;
        (void)getrlimit(RLIMIT_NOFILE, &l);
        l.rlim_cur = 64;
        (void)setrlimit(RLIMIT_NOFILE, &l);
        while (open("/dev/null", O_RDONLY) >= 0) {
        }
    }
    error = error != 0 ? error : tide_close(d);
    (void)kill(leader, SIGKILL);
    (void)waitpid(leader, NULL, 0);
    printf("%s\n", tide_strerror(error));
    return error != 0;
}
C
compile "$work/embeds.c" "$work/embeds" || exit 1
compile "$work/embeds.c" "$work/embeds_static" -static 2>"$work/err" || bad "a static program cannot be linked: $(head -n 3 "$work/err")"

mkdir -p "$root/dev/shm" "$root/proc" || exit 1
for library in $(ldd "$tide" "$work/embeds" | grep -o '/[^ :]*' | sort -u); do
    case $library in
    "$tide" | "$work"/*) ;;
    *libgcc_s*) skip "the programs are linked with libgcc_s here" ;;
    *) mkdir -p "$root$(dirname "$library")" && cp "$library" "$root$library" || exit 1 ;;
    esac
done
cp "$tide" "$root/tide" && cp "$work/embeds" "$work/embeds_static" "$root/" || exit 1
mount --bind /dev/shm "$root/dev/shm" && mount -t proc proc "$root/proc" || skip "no mounts for us here"
: >"$root/dev/null" && mount --bind /dev/null "$root/dev/null" || skip "no mounts for us here"
[ -z "$(find "$root" -xdev -name 'libgcc_s*')" ] || bad "libgcc_s is in the image"

await() { # file
    for i in $(seq 100); do
        grep -qs ready "$1" && return
        sleep 0.1
    done
    bad "never ready: $(cat "$1")"
}

ended() { # pid, what
    kill -TERM "$1"
    wait "$1"
    status=$?
    [ "$status" = 0 ] || bad "SIGTERM of $2: status $status: $(cat "$work/$2")"
}

chroot "$root" /tide serve d --ring 1M --table 4M --followers 1 >"$work/serve" 2>&1 &
serve=$!
await "$work/serve"
chroot "$root" /tide follow d >"$work/follow" 2>&1 &
follow=$!
await "$work/follow"
chroot "$root" /tide put d k v >"$work/out" 2>&1 || bad "put: $(cat "$work/out")"
ended "$follow" follow
ended "$serve" serve

for program in embeds embeds_static; do
    for full in '' full; do
        # shellcheck disable=SC2086 # none or one word
        timeout -s KILL 60 chroot "$root" "/$program" $program $full >"$work/out" 2>&1
        status=$?
        [ "$status" = 0 ] || bad "$program $full: status $status: $(cat "$work/out")"
    done
done
umount "$root/proc" "$root/dev/shm" "$root/dev/null"
finish
