/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/hdrlog.h"
#include "bench/lib/machine.h"
#include "bench/lib/program.h"

static struct sockaddr_in address(unsigned port) {
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                 .sin_port = htons((uint16_t)port) };
}

/* A socket, or -1. */
static int connect_to(unsigned port) {
    struct sockaddr_in in = address(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof(in)) != 0) {
        close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static unsigned free_port(void) {
    struct sockaddr_in in = address(0);
    socklen_t size = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)bind(fd, (struct sockaddr *)&in, size);
    (void)getsockname(fd, (struct sockaddr *)&in, &size);
    close(fd);
    return ntohs(in.sin_port);
}

static int open_log(const struct bench_cluster *c, const char *name) {
    return open(bench_text("%s/%s", c->dir, name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void start_member(struct bench_cluster *c, unsigned i, const unsigned *peers) {
    char cluster[200] = "";
    for (unsigned k = 0; k < c->members; k++) {
        size_t at = strlen(cluster);
        snprintf(cluster + at, sizeof(cluster) - at, "%sm%u=http://127.0.0.1:%u", k ? "," : "", k, peers[k]);
    }
    const char *argv[] = { "etcd",
                           "--unsafe-no-fsync",
                           "--quota-backend-bytes=8589934592",
                           bench_text("--name=m%u", i),
                           bench_text("--data-dir=%s/m%u", c->dir, i),
                           bench_text("--listen-client-urls=http://127.0.0.1:%u", c->ports[i]),
                           bench_text("--advertise-client-urls=http://127.0.0.1:%u", c->ports[i]),
                           bench_text("--listen-peer-urls=http://127.0.0.1:%u", peers[i]),
                           bench_text("--initial-advertise-peer-urls=http://127.0.0.1:%u", peers[i]),
                           bench_text("--initial-cluster=%s", cluster),
                           NULL };
    int log = open_log(c, bench_text("m%u.log", i));
    c->etcds[i] = bench_child_run(argv, log, log);
    close(log);
    bench_must_system(c->etcds[i] > 0, "starting etcd");
}

static bool ask(int fd, const char *path, const char *body, char *answer, size_t room);

/* Members have a leader when a linearizable read is answered. */
static bool answers(const struct bench_cluster *c) {
    char answer[1000];
    int fd = connect_to(c->port);
    bool good = fd >= 0 && ask(fd, "/v3/kv/range", "{\"key\":\"YQ==\"}", answer, sizeof(answer));
    close(fd);
    return good;
}

static void kill_one(pid_t *pid) {
    if (*pid > 0) {
        bench_child_kill(*pid);
    }
    *pid = 0;
}

static const char *host_dir(const struct bench_cluster *c, unsigned k) {
    return bench_text("/dev/shm/%s-%u", strrchr(c->dir, '/') + 1, k);
}

static void remove_dir(const char *dir) {
    (void)!system(bench_text("rm -rf '%s'", dir));
}

void bench_cluster_end_host(struct bench_cluster *c, unsigned k) {
    if (c->hosts[k] > 0) {
        kill_one(&c->hosts[k]);
        remove_dir(host_dir(c, k));
    }
}

static void end_all(void *cluster) {
    struct bench_cluster *c = cluster;
    for (unsigned k = 0; k < BENCH_HOSTS; k++) {
        bench_cluster_end_host(c, k);
    }
    for (unsigned i = 0; i < c->members; i++) {
        kill_one(&c->etcds[i]);
    }
    remove_dir(c->dir);
}

void bench_cluster_start(struct bench_cluster *c, unsigned members) {
    unsigned peers[BENCH_MEMBERS];
    memset(c, 0, sizeof(*c));
    if (system("command -v etcd >/dev/null 2>&1") != 0) {
        bench_fail("there is no etcd here (Debian: etcd-server)");
    }
    snprintf(c->dir, sizeof(c->dir), "/tmp/tide-bench-XXXXXX");
    bench_must_system(mkdtemp(c->dir) != NULL, "a temporary folder");
    bench_at_end(end_all, c);
    c->members = members;
    for (unsigned i = 0; i < members; i++) {
        c->ports[i] = free_port();
        peers[i] = free_port();
    }
    c->port = c->ports[0];
    for (unsigned i = 0; i < members; i++) {
        start_member(c, i, peers);
    }
    for (int i = 0; !answers(c); i++) {
        if (i == 1000) {
            bench_fail("etcd does not answer within 20 s of its start");
        }
        bench_rest(20000000);
    }
}

void bench_cluster_enter(const struct bench_cluster *c, unsigned k) {
    setenv("TIDE_SHM_DIR", host_dir(c, k), 1);
}

void bench_cluster_host(struct bench_cluster *c, unsigned k, bool upstream, const char *const *options) {
    char tide[2100], url[160];
    if (bench_tide_path(tide, sizeof(tide)) != 0) {
        bench_fail("there is no tide beside the benchmarks: make");
    }
    bench_cluster_enter(c, k);
    (void)!system("mkdir -p -m 700 \"$TIDE_SHM_DIR\"");
    size_t at = (size_t)snprintf(url, sizeof(url), "etcd://");
    for (unsigned i = 0; i < c->members; i++) {
        at += (size_t)snprintf(url + at, sizeof(url) - at, "%s127.0.0.1:%u", i ? "," : "", c->ports[i]);
    }
    snprintf(url + at, sizeof(url) - at, "/b/");
    const char *argv[24] = { tide, "serve", "d" };
    size_t n = 3;
    if (upstream) {
        argv[n++] = "--upstream";
        argv[n++] = url;
    }
    for (size_t i = 0; options && options[i] && n < 23; i++) {
        argv[n++] = options[i];
    }
    int log = open_log(c, bench_text("host%u.log", k)), rc = bench_child_serve(argv, log, &c->hosts[k]);
    close(log);
    if (rc != 0) {
        bench_fail("starting host %u: its tide serve does not become ready", k);
    }
}

uint64_t bench_cluster_cpu_ns(pid_t pid) {
    char text[600] = "";
    unsigned long user = 0, kernel = 0;
    FILE *in = fopen(bench_text("/proc/%d/stat", (int)pid), "r");
    if (in) {
        (void)!fread(text, 1, sizeof(text) - 1, in);
        fclose(in);
    }
    char *at = strrchr(text, ')');
    if (!at || sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2) {
        return 0;
    }
    return (uint64_t)(user + kernel) * (UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK));
}

uint64_t bench_cluster_members_cpu_ns(const struct bench_cluster *c) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < c->members; i++) {
        sum += bench_cluster_cpu_ns(c->etcds[i]);
    }
    return sum;
}

/* ---- etcd's own calls -------------------------------------------------------------------------------------------- */

int bench_etcd_connect(const struct bench_cluster *c) {
    int fd = connect_to(c->port);
    bench_must_system(fd >= 0, "connecting to etcd");
    return fd;
}

/* A POST; false where the connection does not take it all. */
static bool send_post(int fd, const char *path, const char *body) {
    char *all;
    int size =
        asprintf(&all, "POST %s HTTP/1.1\r\nHost: etcd\r\nContent-Length: %zu\r\n\r\n%s", path, strlen(body), body);
    ssize_t sent = 0, n = 1;
    while (sent < size && n > 0) {
        n = send(fd, all + sent, (size_t)(size - sent), MSG_NOSIGNAL);
        sent += n;
    }
    if (size >= 0) {
        free(all);
    }
    return size > 0 && sent == size;
}

/* Until the head and Content-Length bytes, or the last chunk, are there. */
static bool is_whole(const char *text, size_t size) {
    const char *end = memmem(text, size, "\r\n\r\n", 4);
    const char *length = memmem(text, size, "Content-Length: ", 16);
    if (!end) {
        return false;
    }
    if (length && length < end) {
        return size - (size_t)(end + 4 - text) >= strtoul(length + 16, NULL, 10);
    }
    return size >= 5 && memcmp(text + size - 5, "0\r\n\r\n", 5) == 0;
}

/* Receive until `is_all` is true of what came. */
static long receive(int fd, char *to, size_t room, bool (*is_all)(const char *, size_t)) {
    for (size_t size = 0; size < room;) {
        ssize_t n = recv(fd, to + size, room - size, 0);
        if (n <= 0) {
            return -1;
        }
        size += (size_t)n;
        if (is_all(to, size)) {
            return (long)size;
        }
    }
    return (long)room;
}

/* A POST, and its answer into `answer`, as much as fits. Is it answered with 200? */
static bool ask(int fd, const char *path, const char *body, char *answer, size_t room) {
    long n = send_post(fd, path, body) ? receive(fd, answer, room, is_whole) : -1;
    return n > 12 && memcmp(answer + 9, "200", 3) == 0;
}

static void must_answer(int fd, const char *path, const char *body, char *answer, size_t room) {
    if (!ask(fd, path, body, answer, room)) {
        bench_fail("etcd does not answer %s", path);
    }
}

static void key_of(char *to, uint64_t number) {
    char key[24];
    int size = snprintf(key, sizeof(key), "b/%016llx", (unsigned long long)number);
    hdrlog_base64(to, key, (size_t)size);
}

void bench_etcd_put(int fd, uint64_t number, const void *value, size_t size) {
    char key[40], text[400], body[600], answer[1000];
    key_of(key, number);
    hdrlog_base64(text, value, size < 280 ? size : 280);
    snprintf(body, sizeof(body), "{\"key\":\"%s\",\"value\":\"%s\"}", key, text);
    must_answer(fd, "/v3/kv/put", body, answer, sizeof(answer));
}

void bench_etcd_read(int fd, uint64_t number) {
    char key[40], body[100], answer[2000];
    key_of(key, number);
    snprintf(body, sizeof(body), "{\"key\":\"%s\"}", key);
    must_answer(fd, "/v3/kv/range", body, answer, sizeof(answer));
}

void bench_etcd_fill(int fd, uint64_t number, unsigned n, size_t size) {
    char value[280], text[400], *answer = bench_alloc(64, 1024), *body = NULL;
    size_t body_size;
    FILE *f = open_memstream(&body, &body_size);
    bench_must_system(f != NULL, "memory for a transaction");
    memset(value, 'v', sizeof(value));
    hdrlog_base64(text, value, size < 280 ? size : 280);
    fprintf(f, "{\"success\":[");
    for (unsigned i = 0; i < n; i++) {
        char key[40];
        key_of(key, number + i);
        fprintf(f, "%s{\"request_put\":{\"key\":\"%s\",\"value\":\"%s\"}}", i ? "," : "", key, text);
    }
    fprintf(f, "]}");
    fclose(f);
    must_answer(fd, "/v3/kv/txn", body, answer, 64 << 10);
    free(answer);
    free(body);
}

void bench_etcd_delete_from(int fd, uint64_t number) {
    char key[40], end[8], body[120], answer[1000];
    key_of(key, number);
    hdrlog_base64(end, "b0", 2); /* behind all that begins with "b/" */
    snprintf(body, sizeof(body), "{\"key\":\"%s\",\"range_end\":\"%s\"}", key, end);
    must_answer(fd, "/v3/kv/deleterange", body, answer, sizeof(answer));
}

static bool is_created(const char *text, size_t size) {
    return memmem(text, size, "\"created\":true", 14) != NULL;
}

void bench_etcd_watch(int fd) {
    char text[2000];
    if (!send_post(fd, "/v3/watch", "{\"create_request\":{\"key\":\"AA==\",\"range_end\":\"AA==\"}}") ||
        receive(fd, text, sizeof(text), is_created) < 0) {
        bench_fail("etcd does not begin a watch");
    }
}
