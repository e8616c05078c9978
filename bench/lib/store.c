/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/program.h"

#define START_NS UINT64_C(10000000000)
#define LOOK_EVERY_NS UINT64_C(5000000)
#define MIB (UINT64_C(1) << 20)

/* Debian's package redis-server starts a system service when it is installed, redis-tools does not. The server's program is in both:
 * redis-check-rdb is the same file and looks at the name that it is called by. */
static const struct {
    const char *name, *programs[2], *package, *policy;
} stores[BENCH_STORES] = {
    { "Redis", { "redis-server", "redis-check-rdb" }, "redis-tools", "allkeys-lru" },
    { "Redis", { "redis-server", "redis-check-rdb" }, "redis-tools", "allkeys-lfu" },
    { "memcached", { "memcached", "memcached" }, "memcached", "" },
    { "Redis", { "redis-server", "redis-check-rdb" }, "redis-tools", "noeviction" },
};

static bool is_redis(const struct bench_store *s) {
    return s->kind != BENCH_STORE_MEMCACHED;
}

static _Noreturn void fail(const struct bench_store *s, const char *what, const char *why) {
    bench_fail("%s: %.80s: %.120s", stores[s->kind].name, what, why);
}

/* ---- the server ------------------------------------------------------------------------------------------------------ */

static bool in_path(const char *program, char *out, size_t size) {
    const char *path = getenv("PATH");
    char copy[4096], *save = NULL;
    snprintf(copy, sizeof(copy), "%s", path != NULL ? path : "/usr/bin");
    for (char *dir = strtok_r(copy, ":", &save); dir != NULL; dir = strtok_r(NULL, ":", &save)) {
        snprintf(out, size, "%s/%s", dir, program);
        if (access(out, X_OK) == 0) {
            return true;
        }
    }
    return false;
}

static _Noreturn void serve(const struct bench_store *s, const char *program, uint64_t bytes) {
    char mib[32];
    int null = open("/dev/null", O_RDWR);
    setsid(); /* the terminal's Ctrl-C is for us; we stop it */
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    if (is_redis(s)) {
        execl(program, "redis-server", "--port", "0", "--unixsocket", s->socket, "--unixsocketperm", "700", "--save",
              "", "--appendonly", "no", "--daemonize", "no", "--dir", s->dir, "--logfile", "", "--maxmemory-policy",
              stores[s->kind].policy, (char *)NULL);
        _exit(127);
    }
    snprintf(mib, sizeof(mib), "%llu", (unsigned long long)((bytes + MIB - 1) / MIB));
    /* It does not run as root unless it is told to. */
    const char *user = geteuid() == 0 ? "-u" : NULL;
    execl(program, "memcached", "-s", s->socket, "-a", "0700", "-t", "1", "-m", mib, user, "root", (char *)NULL);
    _exit(127);
}

static struct bench_store *running; /* NULL: none */

static void stop_running(void *unused) {
    (void)unused;
    if (running != NULL) {
        bench_store_stop(running);
    }
}

bool bench_store_serve(struct bench_store *s, enum bench_store_kind kind, uint64_t bytes, char *why) {
    static bool registered;
    char program[4200];
    const char *tmp = getenv("TMPDIR");
    memset(s, 0, sizeof(*s));
    s->kind = kind;
    if (!in_path(stores[s->kind].programs[0], program, sizeof(program)) &&
        !in_path(stores[s->kind].programs[1], program, sizeof(program))) {
        snprintf(why, BENCH_ERROR_BYTES, "no %s in PATH (Debian: %s)", stores[s->kind].programs[0],
                 stores[s->kind].package);
        return false;
    }
    /* A socket's path has room for 107 bytes. */
    snprintf(s->dir, sizeof(s->dir), "%s/tidemark-store-XXXXXX", tmp != NULL && strlen(tmp) < 64 ? tmp : "/tmp");
    bench_must_system(mkdtemp(s->dir) != NULL, "a directory for a server's socket");
    if (!registered) {
        bench_at_end(stop_running, NULL);
    }
    registered = true;
    running = s;
    snprintf(s->socket, sizeof(s->socket), "%s/s", s->dir);
    s->pid = bench_child_fork();
    if (s->pid == 0) {
        serve(s, program, bytes);
    }
    bench_must_system(s->pid > 0, "starting a server");
    return true;
}

void bench_store_hide(struct bench_store *s) {
    if (s->dir[0] != '\0') {
        unlink(s->socket);
        rmdir(s->dir);
    }
    s->dir[0] = '\0';
}

void bench_store_must_live(struct bench_store *s) {
    char how[80];
    if (bench_child_ended(s->pid, how, sizeof(how))) {
        s->pid = 0;
        fail(s, "the server", how);
    }
}

static void connect_to(struct bench_store *s) {
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    snprintf(a.sun_path, sizeof(a.sun_path), "%.100s", s->socket);
    for (uint64_t begun = bench_now_ns();;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
            s->in = fdopen(fd, "re");
            s->out = fdopen(dup(fd), "we");
            bench_must_system(s->in != NULL && s->out != NULL, "a server's socket");
            return;
        }
        close(fd);
        bench_store_must_live(s);
        if (bench_now_ns() - begun > START_NS) {
            fail(s, "the server", "it does not answer at its socket within 10 s of its start");
        }
        bench_rest(LOOK_EVERY_NS);
    }
}

/* ---- talking ----------------------------------------------------------------------------------------------------- */

static _Noreturn void lost(const struct bench_store *s, const char *what) {
    fail(s, what, feof(s->in) ? "the server closed it" : strerror(errno));
}

/* The next line, without its end, a string until the next call. */
static const char *next_line(struct bench_store *s) {
    if (getline(&s->line, &s->line_room, s->in) < 0) {
        lost(s, "reading from its socket");
    }
    s->line[strcspn(s->line, "\r\n")] = '\0';
    return s->line;
}

/* Send all that was written to s->out, and read the answer's first line. */
static const char *answer(struct bench_store *s) {
    if (fflush(s->out) != 0) {
        lost(s, "writing to its socket");
    }
    return next_line(s);
}

static void must_be(const struct bench_store *s, bool expected, const char *line) {
    if (!expected) {
        fail(s, "unexpected answer", line);
    }
}

static void skip(struct bench_store *s, size_t n) {
    char bytes[4096];
    for (size_t part; n > 0; n -= part) {
        part = n < sizeof(bytes) ? n : sizeof(bytes);
        if (fread(bytes, 1, part, s->in) != part) {
            lost(s, "reading from its socket");
        }
    }
}

/* Redis takes memory while it is empty: the limit is that much higher. */
static void limit_redis(struct bench_store *s, uint64_t bytes) {
    unsigned long long used = 0;
    fputs("INFO memory\r\n", s->out);
    const char *line = answer(s);
    must_be(s, line[0] == '$', line);
    for (size_t left = strtoul(line + 1, NULL, 10) + 2; left > 0;) {
        line = next_line(s);
        size_t len = strlen(line) + 2;
        sscanf(line, "used_memory:%llu", &used);
        left -= len < left ? len : left;
    }
    must_be(s, used != 0, "INFO memory does not say used_memory");
    fprintf(s->out, "CONFIG SET maxmemory %llu\r\n", used + (unsigned long long)bytes);
    line = answer(s);
    must_be(s, strcmp(line, "+OK") == 0, line);
}

bool bench_store_start(struct bench_store *s, enum bench_store_kind kind, uint64_t bytes, char *why) {
    if (!bench_store_serve(s, kind, bytes, why)) {
        return false;
    }
    signal(SIGPIPE, SIG_IGN); /* the server's end shows as an error of its socket */
    connect_to(s);
    bench_store_hide(s);
    if (is_redis(s)) {
        limit_redis(s, bytes);
    }
    return true;
}

void bench_store_stop(struct bench_store *s) {
    if (s->in != NULL) {
        fclose(s->in);
    }
    if (s->out != NULL) {
        fclose(s->out);
    }
    if (s->pid > 0) {
        bench_child_kill(s->pid);
    }
    bench_store_hide(s);
    free(s->line);
    s->in = s->out = NULL;
    s->line = NULL;
    s->pid = 0;
    running = NULL;
}

/* ---- gets and sets --------------------------------------------------------------------------------------------------- */

static bool get_redis(struct bench_store *s, const char *key, size_t key_len) {
    fprintf(s->out, "*2\r\n$3\r\nGET\r\n$%zu\r\n%.*s\r\n", key_len, (int)key_len, key);
    const char *line = answer(s);
    must_be(s, line[0] == '$', line);
    bool found = line[1] != '-';
    if (found) {
        skip(s, strtoul(line + 1, NULL, 10) + 2);
    }
    return found;
}

static bool get_memcached(struct bench_store *s, const char *key, size_t key_len) {
    size_t bytes;
    fprintf(s->out, "get %.*s\r\n", (int)key_len, key);
    const char *line = answer(s);
    if (strcmp(line, "END") == 0) {
        return false;
    }
    must_be(s, sscanf(line, "VALUE %*s %*s %zu", &bytes) == 1, line);
    skip(s, bytes + 2);
    line = next_line(s);
    must_be(s, strcmp(line, "END") == 0, line);
    return true;
}

bool bench_store_get(struct bench_store *s, const char *key, size_t key_len) {
    return is_redis(s) ? get_redis(s, key, key_len) : get_memcached(s, key, key_len);
}

void bench_store_set(struct bench_store *s, const char *key, size_t key_len, const void *value, size_t value_len) {
    if (is_redis(s)) {
        fprintf(s->out, "*3\r\n$3\r\nSET\r\n$%zu\r\n%.*s\r\n$%zu\r\n", key_len, (int)key_len, key, value_len);
    } else {
        fprintf(s->out, "set %.*s 0 0 %zu\r\n", (int)key_len, key, value_len);
    }
    fwrite(value, 1, value_len, s->out);
    fputs("\r\n", s->out);
    const char *line = answer(s);
    /* A memcached whose pages all belong to other sizes refuses a value: the next request for the key misses again. */
    bool refused = !is_redis(s) && strcmp(line, "SERVER_ERROR out of memory storing object") == 0;
    must_be(s, refused || strcmp(line, is_redis(s) ? "+OK" : "STORED") == 0, line);
}
