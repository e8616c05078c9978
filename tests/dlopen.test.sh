#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# libtidemark.so is loaded by a program that knows nothing of it: used by threads, closed while one of them lives, loaded again. The
# program has liburcu not at all; as the shared library; and linked in, its symbols hidden, or shown, so that the library takes them.
# Each time the program reads under its own read lock beside, and its grace periods end.
set -eu
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: the shared library is built without a sanitizer"; exit 77; }
cc=${CC:-gcc}
build=$(cd "${TIDE_BUILD:-build}" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
readelf -dW "$build/libtidemark.so" | grep -q STATIC_TLS && { echo "thread-local storage that plugins may have no room for"; exit 1; }
# What it shows, by name and version, is its own.
others=$(nm -D --defined-only "$build/libtidemark.so" | awk '$3 !~ /^tide_|^TIDEMARK_/')
[ -z "$others" ] || { echo "shown, but not tide_*: $others"; exit 1; }

cat >"$tmp/host.c" <<'END'
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/tidemark.h"
#ifdef WITH_URCU
#include <urcu/urcu-memb.h>
#else
#define urcu_memb_register_thread() ((void)0)
#define urcu_memb_unregister_thread() ((void)0)
#define urcu_memb_read_lock() ((void)0)
#define urcu_memb_read_unlock() ((void)0)
#define urcu_memb_synchronize_rcu() ((void)0)
#endif
static void check(int ok, const char *what, int line) {
    if (!ok) {
        printf("line %d: not so: %s\n", line, what);
        exit(1);
    }
}
#define CHECK(ok) check((ok), #ok, __LINE__)
#define LOAD(f) (*(void **)&f = dlsym(library, "tide_" #f))
static int (*open)(struct tide **, const char *, const struct tide_opts *);
static int (*close_)(struct tide *);
static int (*replica_start)(struct tide *, const struct tide_replica_opts *, uint32_t *);
static int (*reader_open)(struct tide *, const struct tide_reader_opts *, struct tide_reader **);
static int (*reader_close)(struct tide_reader *);
static int (*put)(struct tide *, struct tide_reader *, const void *, size_t, const void *, size_t, struct tide_token *);
static int (*get)(struct tide_reader *, const void *, size_t, const struct tide_bound *, void *, size_t, struct tide_answer *);
static struct tide *d;
static pthread_barrier_t step;
static int *shared_word; /* the program's own, under its own read lock */

/* As the library does: some leave their readers open, some were registered with liburcu before, some after. */
static void use(int i, struct tide_reader **r) {
    char key[20], value[64] = "value";
    struct tide_answer a = TIDE_ANSWER_INIT;
    CHECK(reader_open(d, NULL, r) == 0);
    for (int n = 0; n < 200; n++) {
        snprintf(key, sizeof(key), "key-%d-%06d", i, n % 50);
        CHECK(put(d, n % 2 ? *r : NULL, key, strlen(key), value, sizeof(value), NULL) == 0);
        urcu_memb_read_lock();
        CHECK(*(volatile int *)shared_word == 1);
        CHECK(get(*r, key, strlen(key), NULL, value, sizeof(value), &a) == 0 && strcmp(value, "value") == 0);
        urcu_memb_read_unlock();
        if (n % 50 == 0)
            urcu_memb_synchronize_rcu();
    }
}
static void *work(void *number) {
    int i = *(int *)number;
    struct tide_reader *r;
    if (i % 2 == 0)
        urcu_memb_register_thread();
    else { /* no read lock before the registration */
        CHECK(reader_open(d, NULL, &r) == 0 && reader_close(r) == 0);
#ifdef OWN_COPY
        urcu_memb_register_thread();
#endif
    }
    use(i, &r);
    pthread_barrier_wait(&step);
    if (i < 2)
        CHECK(reader_close(r) == 0);
    pthread_barrier_wait(&step); /* the domain is closed, the library too */
    pthread_barrier_wait(&step);
#ifndef OWN_COPY
    if (i % 2 == 0)
#endif
        urcu_memb_unregister_thread();
    return NULL;
}
int main(int argc, char **argv) {
    char name[64];
    shared_word = calloc(1, sizeof(int));
    CHECK(argc == 2 && shared_word != NULL);
    *shared_word = 1;
    for (int round = 0; round < 3; round++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL)
            printf("%s\n", dlerror());
        CHECK(library != NULL);
        LOAD(open), LOAD(replica_start), LOAD(reader_open), LOAD(reader_close), LOAD(put), LOAD(get);
        *(void **)&close_ = dlsym(library, "tide_close");
        CHECK(open && close_ && replica_start && reader_open && reader_close && put && get);
        CHECK(dlsym(RTLD_DEFAULT, "tide_open") == NULL);
#ifndef WITH_URCU
        CHECK(dlsym(RTLD_DEFAULT, "urcu_memb_gp") == NULL); /* liburcu does not leak into the program either */
#endif
        snprintf(name, sizeof(name), "dlopen-test-%d-%d", (int)getpid(), round);
        struct tide_opts o = TIDE_OPTS_INIT;
        struct tide_replica_opts leader = TIDE_REPLICA_OPTS_INIT, follower = TIDE_REPLICA_OPTS_INIT;
        o.flags |= TIDE_EPHEMERAL;
        o.ring_bytes = 1 << 16;
        o.table_bytes = 1 << 20;
        leader.role = TIDE_LEADER;
        CHECK(open(&d, name, &o) == 0 && replica_start(d, &leader, NULL) == 0 && replica_start(d, &follower, NULL) == 0);
        pthread_t threads[4];
        int numbers[4];
        pthread_barrier_init(&step, NULL, 5);
        for (int i = 0; i < 4; i++) {
            numbers[i] = i;
            CHECK(pthread_create(&threads[i], NULL, work, &numbers[i]) == 0);
        }
        pthread_barrier_wait(&step);
        pthread_barrier_wait(&step);
        CHECK(close_(d) == 0);
        CHECK(dlclose(library) == 0);
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        pthread_barrier_wait(&step); /* now the threads end, two of them with a reader open */
        for (int i = 0; i < 4; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
    }
    return 0;
}
END
flags="-std=gnu11 -Wall -Werror -D_GNU_SOURCE -I. -pthread"
try() { # what flags...
    what=$1
    shift
    # shellcheck disable=SC2086 # flags are words
    $cc $flags -o "$tmp/host" "$tmp/host.c" "$@" -ldl
    timeout 60 "$tmp/host" "$build/libtidemark.so" || { echo "$what: ended with $?"; exit 1; }
}
try "without liburcu"
try "with the shared liburcu" -DWITH_URCU -lurcu-memb -lurcu-common
try "with a liburcu of its own, hidden" -DWITH_URCU -DOWN_COPY -Wl,-Bstatic -lurcu-memb -lurcu-common -Wl,-Bdynamic -Wl,--exclude-libs,ALL
try "with a liburcu of its own, shown" -DWITH_URCU -Wl,-Bstatic -lurcu-memb -lurcu-common -Wl,-Bdynamic -rdynamic
