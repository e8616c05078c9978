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

static int fail(struct bench_cluster *c, const char *what) {
    snprintf(c->error, sizeof(c->error), "%s", what);
    return -1;
}

static struct sockaddr_in address(unsigned port) {
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                 .sin_port = htons((uint16_t)port) };
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
    char path[100];
    snprintf(path, sizeof(path), "%s/%s", c->dir, name);
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int start_member(struct bench_cluster *c, unsigned i, const unsigned *peers) {
    char name[8], client[64], peer[64], data[80], cluster[200] = "", file[16];
    for (unsigned k = 0; k < c->members; k++) {
        size_t at = strlen(cluster);
        snprintf(cluster + at, sizeof(cluster) - at, "%sm%u=http://127.0.0.1:%u", k ? "," : "", k, peers[k]);
    }
    snprintf(name, sizeof(name), "m%u", i);
    snprintf(client, sizeof(client), "http://127.0.0.1:%u", c->ports[i]);
    snprintf(peer, sizeof(peer), "http://127.0.0.1:%u", peers[i]);
    snprintf(data, sizeof(data), "%s/%s", c->dir, name);
    const char *argv[] = { "etcd",
                           "--name",
                           name,
                           "--data-dir",
                           data,
                           "--unsafe-no-fsync",
                           "--quota-backend-bytes",
                           "8589934592",
                           "--listen-client-urls",
                           client,
                           "--advertise-client-urls",
                           client,
                           "--listen-peer-urls",
                           peer,
                           "--initial-advertise-peer-urls",
                           peer,
                           "--initial-cluster",
                           cluster,
                           NULL };
    snprintf(file, sizeof(file), "%s.log", name);
    int log = open_log(c, file);
    c->etcds[i] = bench_child_run(argv, log, log);
    close(log);
    return c->etcds[i] > 0 ? 0 : -1;
}

/* Members have a leader when a linearizable read is answered. */
static bool answers(const struct bench_cluster *c) {
    char answer[1000];
    int fd = bench_etcd_connect(c);
    long n = fd < 0 ? -1 : bench_etcd_post(fd, "/v3/kv/range", "{\"key\":\"YQ==\"}", answer, sizeof(answer) - 1);
    if (fd >= 0) {
        close(fd);
    }
    return n > 0 && memmem(answer, (size_t)n, "cluster_id", 10);
}

int bench_cluster_start_members(struct bench_cluster *c, unsigned members) {
    unsigned peers[BENCH_MEMBERS];
    memset(c, 0, sizeof(*c));
    if (system("command -v etcd >/dev/null 2>&1") != 0) {
        return 1;
    }
    snprintf(c->dir, sizeof(c->dir), "/tmp/tide-bench-XXXXXX");
    if (!mkdtemp(c->dir)) {
        c->dir[0] = '\0';
        return fail(c, "no temporary folder");
    }
    c->members = members;
    for (unsigned i = 0; i < members; i++) {
        c->ports[i] = free_port();
        peers[i] = free_port();
    }
    int rc = 0;
    for (unsigned i = 0; i < members && rc == 0; i++) {
        rc = start_member(c, i, peers);
    }
    c->port = c->ports[0];
    c->etcd = c->etcds[0];
    for (int i = 0; i < 1000 && rc == 0; i++) {
        if (answers(c)) {
            return 0;
        }
        bench_sleep_ns(20000000);
    }
    return fail(c, "etcd does not start");
}

int bench_cluster_start(struct bench_cluster *c) {
    return bench_cluster_start_members(c, 1);
}

static void kill_one(pid_t *pid) {
    if (*pid > 0) {
        bench_child_kill(*pid);
    }
    *pid = 0;
}

static void host_dir(const struct bench_cluster *c, unsigned k, char out[100]) {
    snprintf(out, 100, "/dev/shm/%s-%u", strrchr(c->dir, '/') + 1, k);
}

void bench_cluster_end_host(struct bench_cluster *c, unsigned k) {
    char dir[100], command[200];
    if (c->hosts[k] > 0) {
        kill_one(&c->hosts[k]);
        host_dir(c, k, dir);
        snprintf(command, sizeof(command), "rm -rf '%s'", dir);
        (void)!system(command);
    }
}

void bench_cluster_end(struct bench_cluster *c) {
    char command[200];
    for (unsigned k = 0; k < BENCH_HOSTS; k++) {
        bench_cluster_end_host(c, k);
    }
    for (unsigned i = 0; i < c->members; i++) {
        kill_one(&c->etcds[i]);
    }
    c->etcd = 0;
    if (c->dir[0]) {
        snprintf(command, sizeof(command), "rm -rf '%s'", c->dir);
        (void)!system(command);
    }
}

void bench_cluster_enter(const struct bench_cluster *c, unsigned k) {
    char dir[100];
    host_dir(c, k, dir);
    setenv("TIDE_SHM_DIR", dir, 1);
}

int bench_cluster_host(struct bench_cluster *c, unsigned k, bool upstream, const char *const *options) {
    char tide[2100], url[160], name[24];
    if (bench_tide_path(tide, sizeof(tide)) != 0) {
        return fail(c, "there is no tide beside the benchmarks: make");
    }
    bench_cluster_enter(c, k);
    (void)!system("mkdir -p -m 700 \"$TIDE_SHM_DIR\"");
    size_t at = (size_t)snprintf(url, sizeof(url), "etcd://");
    for (unsigned i = 0; i < c->members; i++) {
        at += (size_t)snprintf(url + at, sizeof(url) - at, "%s127.0.0.1:%u", i ? "," : "", c->ports[i]);
    }
    snprintf(url + at, sizeof(url) - at, "/b/");
    snprintf(name, sizeof(name), "host%u.log", k);
    const char *argv[24] = { tide, "serve", "d" };
    size_t n = 3;
    if (upstream) {
        argv[n++] = "--upstream";
        argv[n++] = url;
    }
    for (size_t i = 0; options && options[i] && n < 23; i++) {
        argv[n++] = options[i];
    }
    int log = open_log(c, name), rc = bench_child_serve(argv, log, &c->hosts[k]);
    close(log);
    return rc == 0 ? 0 : fail(c, "a host does not become ready");
}

uint64_t bench_cluster_cpu_ns(pid_t pid) {
    char path[40], text[600] = "";
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *in = fopen(path, "r");
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
    struct sockaddr_in in = address(c->port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof(in)) != 0) {
        close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static int send_all(int fd, const char *text, size_t size) {
    while (size > 0) {
        ssize_t n = send(fd, text, size, MSG_NOSIGNAL);
        if (n <= 0) {
            return -1;
        }
        text += n;
        size -= (size_t)n;
    }
    return 0;
}

static int send_post(int fd, const char *path, const char *body) {
    char head[200];
    size_t body_size = strlen(body);
    int n =
        snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nHost: etcd\r\nContent-Length: %zu\r\n\r\n", path, body_size);
    char *all = malloc((size_t)n + body_size);
    if (!all) {
        return -1;
    }
    memcpy(all, head, (size_t)n);
    memcpy(all + n, body, body_size);
    int rc = send_all(fd, all, (size_t)n + body_size);
    free(all);
    return rc;
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

long bench_etcd_post(int fd, const char *path, const char *body, char *to, size_t room) {
    size_t size = 0;
    if (send_post(fd, path, body) != 0) {
        return -1;
    }
    while (size < room) {
        ssize_t n = recv(fd, to + size, room - size, 0);
        if (n <= 0) {
            return -1;
        }
        size += (size_t)n;
        if (is_whole(to, size)) {
            break;
        }
    }
    return (long)size;
}

static void key_of(char *to, uint64_t number) {
    char key[24];
    int size = snprintf(key, sizeof(key), "b/%016llx", (unsigned long long)number);
    hdrlog_base64(to, key, (size_t)size);
}

static bool is_good(const char *answer, long n) {
    return n > 12 && memcmp(answer + 9, "200", 3) == 0;
}

int bench_etcd_put(int fd, uint64_t number, const void *value, size_t size) {
    char key[40], text[400], body[600], answer[1000];
    key_of(key, number);
    hdrlog_base64(text, value, size < 280 ? size : 280);
    snprintf(body, sizeof(body), "{\"key\":\"%s\",\"value\":\"%s\"}", key, text);
    return is_good(answer, bench_etcd_post(fd, "/v3/kv/put", body, answer, sizeof(answer))) ? 0 : -1;
}

int bench_etcd_read(int fd, uint64_t number) {
    char key[40], body[100], answer[2000];
    key_of(key, number);
    snprintf(body, sizeof(body), "{\"key\":\"%s\"}", key);
    return is_good(answer, bench_etcd_post(fd, "/v3/kv/range", body, answer, sizeof(answer))) ? 0 : -1;
}

int bench_etcd_fill(int fd, uint64_t number, unsigned n, size_t size) {
    char value[280], text[400], *answer = malloc(64 << 10), *body = malloc((size_t)n * 600 + 100);
    memset(value, 'v', sizeof(value));
    hdrlog_base64(text, value, size < 280 ? size : 280);
    size_t at = (size_t)sprintf(body, "{\"success\":[");
    for (unsigned i = 0; i < n; i++) {
        char key[40];
        key_of(key, number + i);
        at += (size_t)sprintf(body + at, "%s{\"request_put\":{\"key\":\"%s\",\"value\":\"%s\"}}", i ? "," : "", key,
                              text);
    }
    sprintf(body + at, "]}");
    int rc = is_good(answer, bench_etcd_post(fd, "/v3/kv/txn", body, answer, 64 << 10)) ? 0 : -1;
    free(answer);
    free(body);
    return rc;
}

int bench_etcd_watch(int fd) {
    char text[2000];
    size_t size = 0;
    if (send_post(fd, "/v3/watch", "{\"create_request\":{\"key\":\"AA==\",\"range_end\":\"AA==\"}}") != 0) {
        return -1;
    }
    while (size < sizeof(text)) {
        ssize_t n = recv(fd, text + size, sizeof(text) - size, 0);
        if (n <= 0) {
            return -1;
        }
        size += (size_t)n;
        if (memmem(text, size, "\"created\":true", 14)) {
            return 0;
        }
    }
    return -1;
}
