#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A plugin that embeds the library is closed while a thread that used it lives: the thread ends, the program forks, the plugin is
# loaded again and works.
set -eu
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: the plugin is built without a sanitizer"; exit 77; }
cc=${CC:-gcc}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

cat >"$tmp/plugin.c" <<'END'
#include "engine/tidemark.h"
int plugin_open(const char *name);
int plugin_use(void);
int plugin_close(void);
static struct tide *d;
TIDE_API int plugin_open(const char *name) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide_replica_opts r = TIDE_REPLICA_OPTS_INIT;
    o.flags |= TIDE_EPHEMERAL;
    o.ring_bytes = 1 << 16;
    o.table_bytes = 1 << 20;
    r.role = TIDE_LEADER;
    int error = tide_open(&d, name, &o);
    return error != 0 ? error : tide_replica_start(d, &r, 0);
}
/* leaves its reader open */
TIDE_API int plugin_use(void) {
    struct tide_reader *r;
    char v[8];
    int error = tide_reader_open(d, 0, &r);
    error = error != 0 ? error : tide_put(d, r, "k", 1, "v", 1, 0);
    return error != 0 ? error : tide_get(r, "k", 1, 0, v, sizeof(v), 0);
}
TIDE_API int plugin_close(void) { return tide_close(d); }
END
cat >"$tmp/host.c" <<'END'
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static int (*use)(void);
static pthread_barrier_t step;
static void check(int ok, const char *what) {
    if (!ok) {
        printf("not so: %s\n", what);
        exit(1);
    }
}
#define CHECK(ok) check((ok), #ok)
static void *work(void *unused) {
    (void)unused;
    CHECK(use() == 0);
    pthread_barrier_wait(&step);
    pthread_barrier_wait(&step);
    return NULL;
}
int main(int argc, char **argv) {
    char name[64];
    CHECK(argc == 2);
    for (int round = 0; round < 3; round++) {
        void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (plugin == NULL)
            printf("%s\n", dlerror());
        CHECK(plugin != NULL);
        int (*begin)(const char *), (*end)(void);
        *(void **)&begin = dlsym(plugin, "plugin_open");
        *(void **)&end = dlsym(plugin, "plugin_close");
        *(void **)&use = dlsym(plugin, "plugin_use");
        snprintf(name, sizeof(name), "dlclose-test-%d-%d", (int)getpid(), round);
        CHECK(begin(name) == 0);
        pthread_barrier_init(&step, NULL, 2);
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
        pthread_barrier_wait(&step);
        CHECK(end() == 0);
        CHECK(dlclose(plugin) == 0);
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        pthread_barrier_wait(&step); /* and now the thread ends */
        CHECK(pthread_join(thread, NULL) == 0);
    }
    return 0;
}
END
# By all that the Makefile compiles it with but the level; -w: only the warnings of the usual build count.
$cc -std=gnu11 -O0 -w -shared -fPIC -fvisibility=hidden -D_GNU_SOURCE -D_LGPL_SOURCE -I. -pthread -o "$tmp/plugin.so" \
    "$tmp/plugin.c" shm/*.c engine/*/*.c -lurcu-memb -lurcu-common -lm
$cc -std=gnu11 -Wall -Werror -D_GNU_SOURCE -pthread -o "$tmp/host" "$tmp/host.c" -ldl
status=0
"$tmp/host" "$tmp/plugin.so" || status=$?
[ $status = 0 ] || { echo "the program that closes the plugin ended with $status"; exit 1; }
