/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/peers/redis_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/child.h"

/* Debian's package redis-server starts a system service when it is installed, redis-tools does not. The server's
 * program is in both: redis-check-rdb is the same file and looks at the name that it is called by. */
static const char *const programs[] = { "redis-server", "redis-check-rdb" };

static int find_program(char *out, size_t size) {
    const char *path = getenv("PATH");
    char copy[4096];
    for (size_t p = 0; p < sizeof(programs) / sizeof(programs[0]); p++) {
        char *save = NULL;
        snprintf(copy, sizeof(copy), "%s", path != NULL ? path : "/usr/bin");
        for (char *dir = strtok_r(copy, ":", &save); dir != NULL; dir = strtok_r(NULL, ":", &save)) {
            snprintf(out, size, "%s/%s", dir, programs[p]);
            if (access(out, X_OK) == 0) {
                return 0;
            }
        }
    }
    return -1;
}

static _Noreturn void serve(const struct redis_server *s, const char *program) {
    int null = open("/dev/null", O_RDWR);
    setsid(); /* the terminal's Ctrl-C is for us; we stop it */
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execl(program, "redis-server", "--port", "0", "--unixsocket", s->socket, "--unixsocketperm", "700", "--save", "",
          "--appendonly", "no", "--daemonize", "no", "--dir", s->dir, "--logfile", "", (char *)NULL);
    _exit(127);
}

int redis_server_start(struct redis_server *s, struct peer_case *c) {
    char program[4096];
    const char *tmp = getenv("TMPDIR");
    memset(s, 0, sizeof(*s));
    if (find_program(program, sizeof(program)) != 0) {
        snprintf(c->error, BENCH_ERROR_BYTES, "no redis-server in PATH (Debian: redis-tools)");
        return PEER_LEFT_OUT;
    }
    /* A socket's path has room for 107 bytes. */
    snprintf(s->dir, sizeof(s->dir), "%s/tidemark-peers-XXXXXX", tmp != NULL && strlen(tmp) < 64 ? tmp : "/tmp");
    if (mkdtemp(s->dir) == NULL) {
        int code = errno;
        char dir[128];
        snprintf(dir, sizeof(dir), "%.120s", s->dir);
        s->dir[0] = '\0';
        return peer_failed(c, "making %s: %s", dir, strerror(code));
    }
    snprintf(s->socket, sizeof(s->socket), "%s/s", s->dir);
    s->pid = bench_child_fork();
    if (s->pid == 0) {
        serve(s, program);
    }
    if (s->pid < 0) {
        s->pid = 0;
        return peer_failed(c, "fork: %s", strerror(errno));
    }
    return 0;
}

void redis_server_hide(struct redis_server *s) {
    if (s->dir[0] != '\0') {
        unlink(s->socket);
        rmdir(s->dir);
    }
    s->dir[0] = '\0';
}

int redis_server_ended(struct redis_server *s, struct peer_case *c) {
    char how[80] = "is gone";
    if (s->pid != 0 && !bench_child_ended(s->pid, how, sizeof(how))) {
        return 0;
    }
    s->pid = 0;
    peer_failed(c, "the server %s", how);
    return 1;
}

void redis_server_stop(struct redis_server *s) {
    if (s->pid != 0) {
        bench_child_kill(s->pid);
    }
    s->pid = 0;
    redis_server_hide(s);
}
