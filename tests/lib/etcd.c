/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/etcd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/help.h"

static void nap_ms(long ms) {
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

bool etcd_is_here(void) {
    return system("command -v etcd >/dev/null 2>&1 && command -v etcdctl >/dev/null 2>&1") == 0;
}

static int listen_at(unsigned port, unsigned *got) {
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((uint16_t)port) };
    socklen_t size = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(fd, (struct sockaddr *)&in, size), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
    *got = ntohs(in.sin_port);
    return fd;
}

unsigned etcd_free_port(void) {
    unsigned port;
    close(listen_at(0, &port));
    return port;
}

/* ---- real ones --------------------------------------------------------------------------------------------------- */

static bool takes_connections(unsigned port) {
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool taken = connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
    close(fd);
    return taken;
}

void etcd_member_wait(struct etcd_world *w, unsigned i) {
    while (!takes_connections(w->client_ports[i])) {
        nap_ms(20); /* the watchdog of the test ends this */
    }
}

void etcd_member_start(struct etcd_world *w, unsigned i) {
    char name[16], data[100], client[64], peer[64], reached[64], cluster[300] = "", log[100];
    for (unsigned k = 0; k < w->n; k++) {
        size_t at = strlen(cluster);
        snprintf(cluster + at, sizeof(cluster) - at, "%sm%u=http://127.0.0.1:%u", k ? "," : "", k,
                 w->links ? w->peer_link_ports[k] : w->peer_ports[k]);
    }
    snprintf(name, sizeof(name), "m%u", i);
    snprintf(data, sizeof(data), "%s/m%u", w->dir, i);
    snprintf(log, sizeof(log), "%s/m%u.log", w->dir, i);
    snprintf(client, sizeof(client), "%s://127.0.0.1:%u", w->tls ? "https" : "http", w->client_ports[i]);
    snprintf(peer, sizeof(peer), "http://127.0.0.1:%u", w->peer_ports[i]);
    snprintf(reached, sizeof(reached), "http://127.0.0.1:%u", w->links ? w->peer_link_ports[i] : w->peer_ports[i]);
    const char *argv[40] = { "etcd",
                             "--name",
                             name,
                             "--data-dir",
                             data,
                             "--unsafe-no-fsync",
                             "--listen-client-urls",
                             client,
                             "--advertise-client-urls",
                             client,
                             "--listen-peer-urls",
                             peer,
                             "--initial-advertise-peer-urls",
                             reached,
                             "--initial-cluster",
                             cluster,
                             "--initial-cluster-state",
                             "new",
                             "--logger",
                             "zap",
                             "--log-outputs",
                             "stderr" };
    size_t n = 22;
    for (size_t k = 0; w->more && w->more[k] && n + 1 < 40; k++) {
        argv[n++] = w->more[k];
    }
    fflush(NULL);
    w->pids[i] = fork();
    assert_true(w->pids[i] >= 0);
    if (w->pids[i] == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        execvp("etcd", (char *const *)(void *)argv);
        _exit(127);
    }
}

static void world_prepare(struct etcd_world *w, unsigned n, const char *const *more) {
    w->n = n;
    w->more = more;
    snprintf(w->dir, sizeof(w->dir), "/tmp/tide-etcd-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    for (unsigned i = 0; i < n; i++) {
        w->client_ports[i] = etcd_free_port();
        w->peer_ports[i] = etcd_free_port();
    }
}

static void world_begin(struct etcd_world *w) {
    for (unsigned i = 0; i < w->n; i++) {
        etcd_member_start(w, i);
    }
    for (unsigned i = 0; i < w->n; i++) {
        etcd_member_wait(w, i);
    }
}

void etcd_world_start(struct etcd_world *w, unsigned n, const char *const *more) {
    world_prepare(w, n, more);
    world_begin(w);
}

/* The member's id in etcd: 0 where no member tells it. */
static uint64_t number_of(struct etcd_world *w, unsigned i) {
    char list[600], name[16], *save = NULL;
    snprintf(name, sizeof(name), ", m%u,", i);
    if (etcd_control(w, list, sizeof(list), "member list") != 0) {
        return 0;
    }
    for (char *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (strstr(line, name)) {
            return strtoull(line, NULL, 16);
        }
    }
    return 0;
}

void etcd_world_start_linked(struct etcd_world *w, unsigned n, unsigned hosts) {
    world_prepare(w, n, NULL);
    w->links = links_new();
    for (unsigned i = 0; i < n; i++) {
        w->peer_links[i] = links_add(w->links, w->peer_ports[i], true, &w->peer_link_ports[i]);
        for (unsigned h = 0; h < hosts; h++) {
            w->host_links[h][i] = links_add(w->links, w->client_ports[i], false, &w->host_link_ports[h][i]);
        }
    }
    links_start(w->links);
    world_begin(w);
    for (unsigned i = 0; i < n; i++) {
        while ((w->numbers[i] = number_of(w, i)) == 0) {
            nap_ms(20);
        }
    }
}

void etcd_member_signal(struct etcd_world *w, unsigned i, int signal) {
    if (w->pids[i] > 0) {
        kill(w->pids[i], signal);
    }
}

static bool is_stopped(pid_t pid) {
    char path[64], line[200];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *in = fopen(path, "re");
    bool stopped = false;
    while (in && fgets(line, sizeof(line), in)) {
        stopped = stopped || strncmp(line, "State:\tT", 8) == 0;
    }
    if (in) {
        fclose(in);
    }
    return stopped;
}

void etcd_member_freeze(struct etcd_world *w, unsigned i) {
    if (w->pids[i] <= 0) {
        return;
    }
    kill(w->pids[i], SIGSTOP);
    while (!is_stopped(
        w->pids[i])) { /* one of its threads has taken the signal: from then on none goes back to the program */
        nap_ms(1);
    }
}

void etcd_member_isolate(struct etcd_world *w, unsigned i, bool on) {
    links_isolate(w->links, w->peer_links[i], w->numbers[i], on);
}

void etcd_member_kill(struct etcd_world *w, unsigned i) {
    if (w->pids[i] > 0) {
        kill(w->pids[i], SIGKILL);
        waitpid(w->pids[i], NULL, 0);
        w->pids[i] = 0;
    }
}

static void remove_all(const char *path) {
    char command[200];
    snprintf(command, sizeof(command), "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

void etcd_member_wipe(struct etcd_world *w, unsigned i) {
    char path[100];
    snprintf(path, sizeof(path), "%s/m%u", w->dir, i);
    remove_all(path);
}

void etcd_world_stop(struct etcd_world *w) {
    for (unsigned i = 0; i < w->n; i++) {
        etcd_member_kill(w, i);
    }
    if (w->links) {
        links_end(w->links);
        w->links = NULL;
    }
    if (w->dir[0]) {
        remove_all(w->dir);
    }
    w->n = 0;
}

static const char *url_of(const struct etcd_world *w, const unsigned *ports, unsigned members, const char *prefix) {
    static char url[300];
    size_t at = (size_t)snprintf(url, sizeof(url), "%s://", w->tls ? "etcds" : "etcd");
    for (unsigned i = 0; i < members; i++) {
        at += (size_t)snprintf(url + at, sizeof(url) - at, "%s127.0.0.1:%u", i ? "," : "", ports[i]);
    }
    snprintf(url + at, sizeof(url) - at, "/%s", prefix);
    return url;
}

const char *etcd_world_url(const struct etcd_world *w, unsigned members, const char *prefix) {
    return url_of(w, w->client_ports, members, prefix);
}

const char *etcd_world_host_url(const struct etcd_world *w, unsigned host, const char *prefix) {
    return url_of(w, w->host_link_ports[host], w->n, prefix);
}

pid_t etcd_world_tide(const struct etcd_world *w, unsigned host, const char *shm, const char *role, const char *name,
                      const char *prefix, const char *log) {
    char tide[200], path[200], url[300];
    const char *build = getenv("TIDE_BUILD");
    snprintf(tide, sizeof(tide), "%s/tide", build ? build : "build");
    snprintf(path, sizeof(path), "%s/%s", w->dir, log);
    snprintf(url, sizeof(url), "%s", etcd_world_host_url(w, host, prefix));
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("TIDE_SHM_DIR", shm, 1);
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        execl(tide, "tide", role, name, "--upstream", url, (char *)NULL);
        _exit(127);
    }
    return pid;
}

int etcd_control(const struct etcd_world *w, char *out, size_t out_size, const char *format, ...) {
    char arguments[2048], command[2600], endpoints[200] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof(arguments), format, args);
    va_end(args);
    for (unsigned i = 0; i < w->n; i++) {
        size_t at = strlen(endpoints);
        snprintf(endpoints + at, sizeof(endpoints) - at, "%s127.0.0.1:%u", i ? "," : "", w->client_ports[i]);
    }
    snprintf(command, sizeof(command),
             "ETCDCTL_API=3 timeout 60 etcdctl --dial-timeout=20s --command-timeout=40s --endpoints=%s %s 2>&1",
             endpoints, arguments);
    FILE *in = popen(command, "r");
    assert_non_null(in);
    char ignored[512];
    size_t size = out ? fread(out, 1, out_size - 1, in) : 0;
    if (out) {
        out[size] = '\0';
    }
    while (fread(ignored, 1, sizeof(ignored), in) > 0) {
    }
    return pclose(in);
}

/* ---- a false one ------------------------------------------------------------------------------------------------- */

#define CONNECTIONS 64

struct etcd_false {
    int fd;
    etcd_false_fn *answer;
    void *ctx;
    pthread_t thread, threads[CONNECTIONS];
    int fds[CONNECTIONS];
    _Atomic unsigned n;
};

struct connection {
    struct etcd_false *f;
    int fd;
};

/* One request: its head and its body, as far as Content-Length goes. -1: the connection ended. */
static int read_request(int fd, char *to, size_t room, char **body) {
    size_t size = 0;
    for (;;) {
        ssize_t n = read(fd, to + size, room - 1 - size);
        if (n <= 0) {
            return -1;
        }
        size += (size_t)n;
        to[size] = '\0';
        if (to[0] < 'A' || to[0] > 'Z') { /* TLS, say: what every server of HTTP answers */
            etcd_false_say(fd, 400, "Bad Request");
            return -1;
        }
        char *end = strstr(to, "\r\n\r\n"), *length = strcasestr(to, "Content-Length:");
        size_t want = end && length && length < end ? strtoul(length + 15, NULL, 10) : 0;
        if (end && size - (size_t)(end + 4 - to) >= want) {
            *body = end + 4;
            return 0;
        }
    }
}

static void *serve_connection(void *arg) {
    struct connection c = *(struct connection *)arg;
    char *text = malloc(1 << 20), *body;
    free(arg);
    for (unsigned turn = 0; text && read_request(c.fd, text, 1 << 20, &body) == 0; turn++) {
        char path[100] = "";
        (void)sscanf(text, "%*s %99s", path);
        if (!c.f->answer(c.f->ctx, c.fd, turn, path, body)) {
            break;
        }
    }
    free(text);
    shutdown(c.fd, SHUT_RDWR);
    return NULL;
}

static void *accept_all(void *arg) {
    struct etcd_false *f = arg;
    int fd;
    while ((fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0 && f->n < CONNECTIONS) {
        struct connection *c = malloc(sizeof(*c));
        *c = (struct connection){ f, fd };
        f->fds[f->n] = fd;
        pthread_create(&f->threads[f->n], NULL, serve_connection, c);
        f->n++;
    }
    return NULL;
}

struct etcd_false *etcd_false_start(etcd_false_fn *answer, void *ctx, unsigned *port) {
    struct etcd_false *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->answer = answer;
    f->ctx = ctx;
    f->fd = listen_at(0, port);
    assert_int_equal(pthread_create(&f->thread, NULL, accept_all, f), 0);
    return f;
}

void etcd_false_deafen(struct etcd_false *f) {
    shutdown(f->fd, SHUT_RDWR);
}

void etcd_false_stop(struct etcd_false *f) {
    shutdown(f->fd, SHUT_RDWR);
    pthread_join(f->thread, NULL);
    close(f->fd);
    for (unsigned i = 0; i < f->n; i++) {
        shutdown(f->fds[i], SHUT_RDWR);
        pthread_join(f->threads[i], NULL);
        close(f->fds[i]);
    }
    free(f);
}

static void write_text(int fd, const char *text, size_t size) {
    while (size > 0) {
        ssize_t n = send(fd, text, size, MSG_NOSIGNAL);
        if (n <= 0) {
            return;
        }
        text += n;
        size -= (size_t)n;
    }
}

void etcd_false_say(int fd, int status, const char *text) {
    char head[200];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %d Said\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", status,
                     strlen(text));
    write_text(fd, head, (size_t)n);
    write_text(fd, text, strlen(text));
}

void etcd_false_begin(int fd) {
    static const char HEAD[] =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    write_text(fd, HEAD, sizeof(HEAD) - 1);
}

void etcd_false_chunk(int fd, const char *bytes, size_t size) {
    char head[20];
    int n = snprintf(head, sizeof(head), "%zx\r\n", size);
    write_text(fd, head, (size_t)n);
    write_text(fd, bytes, size);
    write_text(fd, "\r\n", 2);
}
