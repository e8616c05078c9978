/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/machine.h"
#include "bench/lib/options.h"
#include "bench/lib/stop.h"

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

static int failed(struct bench_store *s, const char *what, const char *why) {
    snprintf(s->error, BENCH_ERROR_BYTES, "%s: %.80s: %.120s", stores[s->kind].name, what, why);
    return -1;
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

int bench_store_serve(struct bench_store *s, enum bench_store_kind kind, uint64_t bytes, char *error) {
    char program[4200];
    const char *tmp = getenv("TMPDIR");
    memset(s, 0, sizeof(*s));
    s->kind = kind;
    s->fd = -1;
    s->error = error;
    if (!in_path(stores[s->kind].programs[0], program, sizeof(program)) &&
        !in_path(stores[s->kind].programs[1], program, sizeof(program))) {
        snprintf(s->error, BENCH_ERROR_BYTES, "no %s in PATH (Debian: %s)", stores[s->kind].programs[0],
                 stores[s->kind].package);
        return BENCH_STORE_MISSING;
    }
    /* A socket's path has room for 107 bytes. */
    snprintf(s->dir, sizeof(s->dir), "%s/tidemark-store-XXXXXX", tmp != NULL && strlen(tmp) < 64 ? tmp : "/tmp");
    if (mkdtemp(s->dir) == NULL) {
        s->dir[0] = '\0';
        return failed(s, "making a directory for its socket", strerror(errno));
    }
    snprintf(s->socket, sizeof(s->socket), "%s/s", s->dir);
    s->pid = bench_child_fork();
    if (s->pid == 0) {
        serve(s, program, bytes);
    }
    if (s->pid < 0) {
        s->pid = 0;
        return failed(s, "fork", strerror(errno));
    }
    return 0;
}

void bench_store_hide(struct bench_store *s) {
    if (s->dir[0] != '\0') {
        unlink(s->socket);
        rmdir(s->dir);
    }
    s->dir[0] = '\0';
}

int bench_store_ended(struct bench_store *s) {
    char how[80] = "is gone";
    if (s->pid > 0 && !bench_child_ended(s->pid, how, sizeof(how))) {
        return 0;
    }
    s->pid = 0;
    failed(s, "the server", how);
    return 1;
}

static int connect_to(struct bench_store *s) {
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    snprintf(a.sun_path, sizeof(a.sun_path), "%.100s", s->socket);
    for (uint64_t begun = bench_now_ns();;) {
        s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (s->fd >= 0 && connect(s->fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
            return 0;
        }
        if (s->fd >= 0) {
            close(s->fd);
        }
        s->fd = -1;
        if (bench_store_ended(s)) {
            return -1;
        }
        if (bench_stop || bench_now_ns() - begun > START_NS) {
            return failed(s, "the server", "it does not answer at its socket");
        }
        bench_sleep_ns(LOOK_EVERY_NS);
    }
}

/* ---- talking --------------------------------------------------------------------------------------------------------- */

static int send_all(struct bench_store *s, struct iovec *parts, int n) {
    while (n > 0) {
        struct msghdr message = { .msg_iov = parts, .msg_iovlen = (size_t)n };
        ssize_t sent = sendmsg(s->fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR && !bench_stop) {
            continue;
        }
        if (sent < 0) {
            return failed(s, "writing to its socket", strerror(errno));
        }
        for (; n > 0 && (size_t)sent >= parts->iov_len; parts++, n--) {
            sent -= (ssize_t)parts->iov_len;
        }
        if (n > 0) {
            parts->iov_base = (char *)parts->iov_base + sent;
            parts->iov_len -= (size_t)sent;
        }
    }
    return 0;
}

static int receive(struct bench_store *s) {
    if (s->from == s->to) {
        s->from = s->to = 0;
    }
    if (s->to == s->room) {
        memmove(s->in, s->in + s->from, s->to - s->from);
        s->to -= s->from;
        s->from = 0;
    }
    if (s->to == s->room) {
        return failed(s, "its answer", "a line without an end");
    }
    ssize_t got;
    do {
        got = read(s->fd, s->in + s->to, s->room - s->to);
    } while (got < 0 && errno == EINTR && !bench_stop);
    if (got <= 0) {
        return failed(s, "reading from its socket", got == 0 ? "the server closed it" : strerror(errno));
    }
    s->to += (size_t)got;
    return 0;
}

/* The next line, without its end, a string until the next call. NULL: the error says why. */
static const char *next_line(struct bench_store *s) {
    char *end;
    while ((end = memchr(s->in + s->from, '\n', s->to - s->from)) == NULL) {
        if (receive(s) != 0) {
            return NULL;
        }
    }
    char *line = s->in + s->from;
    s->from = (size_t)(end + 1 - s->in);
    *end = '\0';
    if (end > line && end[-1] == '\r') {
        end[-1] = '\0';
    }
    return line;
}

static int skip(struct bench_store *s, size_t n) {
    while (n > 0) {
        size_t have = s->to - s->from, part = have < n ? have : n;
        s->from += part;
        n -= part;
        if (n > 0 && receive(s) != 0) {
            return -1;
        }
    }
    return 0;
}

static int unexpected(struct bench_store *s, const char *line) {
    return line == NULL ? -1 : failed(s, "unexpected answer", line);
}

static int send_text(struct bench_store *s, const char *text) {
    struct iovec part = { (char *)text, strlen(text) };
    return send_all(s, &part, 1);
}

/* What Redis takes while it is empty is not for keys: that much more is its limit. */
static int limit_redis(struct bench_store *s, uint64_t bytes) {
    char text[160];
    unsigned long long used = 0;
    if (send_text(s, "INFO memory\r\n") != 0) {
        return -1;
    }
    const char *line = next_line(s);
    if (line == NULL || line[0] != '$') {
        return unexpected(s, line);
    }
    for (size_t left = strtoul(line + 1, NULL, 10) + 2; left > 0;) {
        if ((line = next_line(s)) == NULL) {
            return -1;
        }
        size_t len = strlen(line) + 2;
        sscanf(line, "used_memory:%llu", &used);
        left -= len < left ? len : left;
    }
    if (used == 0) {
        return failed(s, "INFO memory", "it does not say used_memory");
    }
    snprintf(text, sizeof(text), "CONFIG SET maxmemory %llu\r\n", used + (unsigned long long)bytes);
    if (send_text(s, text) != 0) {
        return -1;
    }
    line = next_line(s);
    return line != NULL && strcmp(line, "+OK") == 0 ? 0 : unexpected(s, line);
}

int bench_store_start(struct bench_store *s, enum bench_store_kind kind, uint64_t bytes, char *error) {
    int rc = bench_store_serve(s, kind, bytes, error);
    s->room = 65536;
    s->in = malloc(s->room);
    rc = rc == 0 && s->in == NULL ? failed(s, "starting it", "no memory") : rc;
    rc = rc == 0 ? connect_to(s) : rc;
    bench_store_hide(s);
    rc = rc == 0 && is_redis(s) ? limit_redis(s, bytes) : rc;
    if (rc != 0) {
        bench_store_stop(s);
    }
    return rc;
}

void bench_store_stop(struct bench_store *s) {
    if (s->fd >= 0) {
        close(s->fd);
    }
    if (s->pid > 0) {
        bench_child_kill(s->pid);
    }
    bench_store_hide(s);
    free(s->in);
    s->in = NULL;
    s->fd = -1;
    s->pid = 0;
}

/* ---- gets and sets --------------------------------------------------------------------------------------------------- */

static int get_redis(struct bench_store *s, const char *key, size_t key_len) {
    char head[64];
    int head_len = snprintf(head, sizeof(head), "*2\r\n$3\r\nGET\r\n$%zu\r\n", key_len);
    struct iovec parts[] = { { head, (size_t)head_len }, { (char *)key, key_len }, { "\r\n", 2 } };
    if (send_all(s, parts, 3) != 0) {
        return -1;
    }
    const char *line = next_line(s);
    if (line == NULL || line[0] != '$') {
        return unexpected(s, line);
    }
    if (line[1] == '-') {
        return 0;
    }
    return skip(s, strtoul(line + 1, NULL, 10) + 2) != 0 ? -1 : 1;
}

static int get_memcached(struct bench_store *s, const char *key, size_t key_len) {
    struct iovec parts[] = { { "get ", 4 }, { (char *)key, key_len }, { "\r\n", 2 } };
    if (send_all(s, parts, 3) != 0) {
        return -1;
    }
    const char *line = next_line(s);
    if (line == NULL || strcmp(line, "END") == 0) {
        return line == NULL ? -1 : 0;
    }
    size_t bytes;
    if (sscanf(line, "VALUE %*s %*s %zu", &bytes) != 1) {
        return unexpected(s, line);
    }
    line = skip(s, bytes + 2) != 0 ? NULL : next_line(s);
    return line != NULL && strcmp(line, "END") == 0 ? 1 : unexpected(s, line);
}

int bench_store_get(struct bench_store *s, const char *key, size_t key_len) {
    return is_redis(s) ? get_redis(s, key, key_len) : get_memcached(s, key, key_len);
}

int bench_store_set(struct bench_store *s, const char *key, size_t key_len, const void *value, size_t value_len) {
    char head[64], middle[64];
    int head_len, middle_len;
    if (is_redis(s)) {
        head_len = snprintf(head, sizeof(head), "*3\r\n$3\r\nSET\r\n$%zu\r\n", key_len);
        middle_len = snprintf(middle, sizeof(middle), "\r\n$%zu\r\n", value_len);
    } else {
        head_len = snprintf(head, sizeof(head), "set ");
        middle_len = snprintf(middle, sizeof(middle), " 0 0 %zu\r\n", value_len);
    }
    struct iovec parts[] = { { head, (size_t)head_len },
                             { (char *)key, key_len },
                             { middle, (size_t)middle_len },
                             { (void *)value, value_len },
                             { "\r\n", 2 } };
    if (send_all(s, parts, 5) != 0) {
        return -1;
    }
    const char *line = next_line(s);
    /* A memcached whose pages all belong to other sizes refuses a value: the next request for the key misses again. */
    bool refused = line != NULL && !is_redis(s) && strcmp(line, "SERVER_ERROR out of memory storing object") == 0;
    return refused || (line != NULL && strcmp(line, is_redis(s) ? "+OK" : "STORED") == 0) ? 0 : unexpected(s, line);
}
