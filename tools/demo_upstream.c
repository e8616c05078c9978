/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything is on this machine: etcd on its loopback with data in a temporary folder, a `tide serve --upstream` for each host with a folder of
 * its own for shared memory, and, between the third host and etcd, a process that passes bytes on. While that one is stopped the host's
 * connections stand and say nothing, as behind a network that loses everything.
 */
#include "tools/demo_upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/tidemark.h"
#include "shm/fd.h"
#include "tools/etcd/http.h"
#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/lib/stdio.h"

#define MS UINT64_C(1000000)
#define HOSTS 3u
#define BROKEN 2u /* the host that loses its link */
#define LOOK_NS (250 * MS)
#define BOUND_NS (300 * MS)
#define PAIRS 32u

struct stage {
    const char *tool;
    char dir[64], shm[HOSTS][80];
    unsigned etcd_port, relay_port;
    pid_t etcd, relay, hosts[HOSTS], lookers[HOSTS];
    int orders[HOSTS], answers[HOSTS]; /* of the lookers */
};

static uint64_t demo_upstream_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

static struct sockaddr_in demo_upstream_at_port(unsigned port) {
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                 .sin_port = htons((uint16_t)port) };
}

/* A socket that listens at any port, which is told. */
static int demo_upstream_listen_anywhere(unsigned *port) {
    struct sockaddr_in in = demo_upstream_at_port(0);
    socklen_t size = sizeof(in);
    int fd = fd_lift(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd < 0 || bind(fd, (struct sockaddr *)&in, size) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&in, &size) != 0) {
        return -1;
    }
    *port = ntohs(in.sin_port);
    return fd;
}

/* ---- processes --------------------------------------------------------------------------------------------------- */

static pid_t demo_upstream_fork_child(void) {
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
    }
    return pid;
}

/* What it says goes to a file of the folder. */
static pid_t demo_upstream_start(const struct stage *s, const char *log, const char *shm, char *const *argv) {
    pid_t pid = demo_upstream_fork_child();
    if (pid == 0) {
        char path[100];
        snprintf(path, sizeof(path), "%s/%s", s->dir, log);
        int fd = fd_lift(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
        dup2(fd, 1);
        dup2(fd, 2);
        if (shm) {
            setenv("TIDE_SHM_DIR", shm, 1);
        }
        execvp(argv[0], argv);
        _exit(127);
    }
    return pid;
}

static void demo_upstream_end(pid_t *pid) {
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
        *pid = 0;
    }
}

/* Pass bytes on in both directions, for ever. A connection that ends takes its other half along. */
static void demo_upstream_relay(int listener, unsigned to) {
    static struct pollfd fds[1 + 2 * PAIRS];
    static char bytes[64 << 10];
    fds[0] = (struct pollfd){ .fd = listener, .events = POLLIN };
    for (size_t i = 1; i < 1 + 2 * PAIRS; i++) {
        fds[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
    }
    for (;;) {
        (void)poll(fds, 1 + 2 * PAIRS, -1);
        for (size_t i = 1; i < 1 + 2 * PAIRS; i++) {
            size_t other = i % 2 ? i + 1 : i - 1;
            ssize_t n = fds[i].fd >= 0 && fds[i].revents ? read(fds[i].fd, bytes, sizeof(bytes)) : 1;
            if (fds[i].fd < 0 || !fds[i].revents) {
                continue;
            }
            if (n <= 0 || send(fds[other].fd, bytes, (size_t)n, MSG_NOSIGNAL) != n) {
                close(fds[i].fd);
                close(fds[other].fd);
                fds[i].fd = fds[other].fd = -1;
                fds[other].revents = 0;
            }
        }
        for (size_t i = 1; (fds[0].revents & POLLIN) && i < 1 + 2 * PAIRS; i += 2) {
            struct sockaddr_in in = demo_upstream_at_port(to);
            if (fds[i].fd >= 0) {
                continue;
            }
            fds[i].fd = fd_lift(accept(listener, NULL, NULL));
            fds[i + 1].fd = fd_lift(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            if (connect(fds[i + 1].fd, (struct sockaddr *)&in, sizeof(in)) != 0) {
                close(fds[i].fd);
                close(fds[i + 1].fd);
                fds[i].fd = fds[i + 1].fd = -1;
            }
            break;
        }
    }
}

static int demo_upstream_start_relay(struct stage *s) {
    int listener = demo_upstream_listen_anywhere(&s->relay_port);
    s->relay = listener < 0 ? -1 : demo_upstream_fork_child();
    if (s->relay == 0) {
        demo_upstream_relay(listener, s->etcd_port);
    }
    if (listener >= 0) {
        close(listener);
    }
    return s->relay > 0 ? 0 : -1;
}

static void demo_upstream_start_etcd(struct stage *s) {
    char client[64], peer[64], data[80], cluster[80];
    unsigned peer_port = 0;
    close(demo_upstream_listen_anywhere(&s->etcd_port));
    close(demo_upstream_listen_anywhere(&peer_port));
    snprintf(client, sizeof(client), "http://127.0.0.1:%u", s->etcd_port);
    snprintf(peer, sizeof(peer), "http://127.0.0.1:%u", peer_port);
    snprintf(data, sizeof(data), "%s/data", s->dir);
    snprintf(cluster, sizeof(cluster), "default=%s", peer);
    char *argv[] = { "etcd",  "--data-dir",
                     data,    "--listen-client-urls",
                     client,  "--advertise-client-urls",
                     client,  "--listen-peer-urls",
                     peer,    "--initial-advertise-peer-urls",
                     peer,    "--initial-cluster",
                     cluster, NULL };
    s->etcd = demo_upstream_start(s, "etcd.log", NULL, argv);
}

static void demo_upstream_start_host(struct stage *s, unsigned k) {
    char self[300], url[80];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    snprintf(s->shm[k], sizeof(s->shm[k]), "/dev/shm/%s-%c", strrchr(s->dir, '/') + 1, 'a' + (char)k);
    snprintf(url, sizeof(url), "etcd://127.0.0.1:%u/demo/", k == BROKEN ? s->relay_port : s->etcd_port);
    char *argv[] = { self, "serve", "demo", "--table", "1M", "--ring", "1M", "--upstream", url, NULL };
    char make[120];
    snprintf(make, sizeof(make), "mkdir -m 700 '%s'", s->shm[k]);
    (void)!system(make);
    s->hosts[k] = demo_upstream_start(s, "hosts.log", s->shm[k], argv);
}

/* ---- looking: a process for each host, as it is to have a folder of its own -------------------------------------- */

struct look {
    int32_t any_rc, bounded_rc, fresh_rc, put_rc;
    uint64_t number, staleness_ns;
};

static int demo_upstream_get(struct tide_reader *r, uint64_t max_staleness_ns, enum tide_fallback fallback,
                             struct look *l) {
    struct tide_bound b = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    uint64_t number = 0;
    b.max_staleness_ns = max_staleness_ns;
    b.fallback = fallback;
    b.wait_ns = 50 * MS;
    int rc = tide_get(r, "number", 6, &b, &number, sizeof(number), &a);
    if (l &&
        (rc == 0 || rc == TIDE_ERR_NOT_FOUND)) { /* that nothing is there yet is an answer, and as old as it says */
        l->number = number;
        l->staleness_ns = a.staleness_ns;
    }
    return rc;
}

/* The domain, once it is complete. */
static struct tide *demo_upstream_open_complete(const char *shm) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    struct tide *d = NULL;
    opts.flags = 0;
    opts.write_timeout_ns = 5000 * MS;
    setenv("TIDE_SHM_DIR", shm, 1);
    while (tide_open(&d, "demo", &opts) != 0) {
        nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
    }
    while (tide_info(d, &info) == 0 && info.complete_ns == TIDE_UNBOUNDED) {
        nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
    }
    return d;
}

/* Each number that comes is an order to look; one above 0 is written before. */
static void demo_upstream_look_when_told(const char *shm, int orders, int answers) {
    struct tide *d = demo_upstream_open_complete(shm);
    struct tide_reader *r = NULL;
    uint64_t number;
    struct look l = { .put_rc = tide_reader_open(d, NULL, &r) };
    while (l.put_rc == 0 && write(answers, &l, sizeof(l)) == sizeof(l) &&
           read(orders, &number, sizeof(number)) == sizeof(number)) {
        l = (struct look){ 0 };
        l.put_rc = number ? tide_put(d, r, "number", 6, &number, sizeof(number), NULL) : 0;
        l.any_rc = demo_upstream_get(r, TIDE_UNBOUNDED, TIDE_FALLBACK_STALE, &l);
        l.bounded_rc = demo_upstream_get(r, BOUND_NS, TIDE_FALLBACK_ERROR, NULL);
        l.fresh_rc = demo_upstream_get(r, 0, TIDE_FALLBACK_WAIT, NULL);
    }
    _exit(0);
}

static int demo_upstream_start_looker(struct stage *s, unsigned k) {
    int orders[2], answers[2];
    if (pipe2(orders, O_CLOEXEC) != 0 || pipe2(answers, O_CLOEXEC) != 0) { /* fd_lift: the process has 0, 1 and 2 */
        return -1;
    }
    s->lookers[k] = demo_upstream_fork_child();
    if (s->lookers[k] == 0) {
        close(orders[1]);
        demo_upstream_look_when_told(s->shm[k], orders[0], answers[1]);
    }
    close(orders[0]);
    close(answers[1]);
    s->orders[k] = orders[1];
    s->answers[k] = answers[0];
    return s->lookers[k] > 0 ? 0 : -1;
}

/* 0, or -1: it does not answer within so long. */
static int demo_upstream_hear(struct stage *s, unsigned k, struct look *l, int ms) {
    struct pollfd fd = { .fd = s->answers[k], .events = POLLIN };
    return poll(&fd, 1, ms) == 1 && read(s->answers[k], l, sizeof(*l)) == sizeof(*l) ? 0 : -1;
}

static const char *demo_upstream_verdict(int rc) {
    return rc == 0 || rc == TIDE_ERR_NOT_FOUND ? "yes"
           : rc == TIDE_ERR_REFUSED            ? "refused"
           : rc == TIDE_ERR_TIMEOUT            ? "no answer"
                                               : "error";
}

static void demo_upstream_show_json(uint64_t written, double seconds, const char *link, const struct look *looks) {
    struct json_out j = { 0 };
    json_out_open(&j, NULL, '{');
    json_out_real(&j, "seconds", seconds);
    json_out_u64(&j, "written", written);
    json_out_text(&j, "link", link);
    json_out_open(&j, "hosts", '[');
    for (unsigned k = 0; k < HOSTS; k++) {
        json_out_open(&j, NULL, '{');
        json_out_u64(&j, "number", looks[k].number);
        json_out_u64(&j, "staleness_ns", looks[k].staleness_ns);
        json_out_text(&j, "within_300ms", demo_upstream_verdict(looks[k].bounded_rc));
        json_out_text(&j, "linearizable", demo_upstream_verdict(looks[k].fresh_rc));
        json_out_close(&j, '}');
    }
    json_out_close(&j, ']');
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

static void demo_upstream_show_text(uint64_t written, double seconds, const char *link, const struct look *looks) {
    printf("%5.2f s  wrote %3llu, c's link %-6s", seconds, (unsigned long long)written, link);
    for (unsigned k = 0; k < HOSTS; k++) {
        printf("  | %c: %3llu %5.0f ms %-7s %-9s", 'a' + (char)k, (unsigned long long)looks[k].number,
               (double)looks[k].staleness_ns / 1e6, demo_upstream_verdict(looks[k].bounded_rc),
               demo_upstream_verdict(looks[k].fresh_rc));
    }
    putchar('\n');
}

static int demo_upstream_look_at_all(struct stage *s, uint64_t number, struct look *looks) {
    for (unsigned k = 0; k < HOSTS; k++) {
        uint64_t order = k == 0 ? number : 0;
        if (write(s->orders[k], &order, sizeof(order)) != sizeof(order) ||
            demo_upstream_hear(s, k, &looks[k], 20000) != 0) {
            args_sayf(s->tool, "host %c does not answer", 'a' + (char)k);
            return TOOL_FAILED;
        }
    }
    if (looks[0].put_rc != 0) {
        args_sayf(s->tool, "host a cannot write: %s", tide_strerror(looks[0].put_rc));
        return TOOL_FAILED;
    }
    return TOOL_OK;
}

/* A number a quarter of a second, written at host a. In the middle third of the time host c has no link. */
static int demo_upstream_play(struct stage *s, uint64_t duration_ns, bool json) {
    uint64_t began = demo_upstream_now_ns(), number = 0;
    bool broken = false;
    int code = TOOL_OK;
    if (!json) {
        puts("Three hosts on one etcd; a number is written at host a. Of each host: the number it has, how old that "
             "may be, whether a\n"
             "bound of 300 ms is kept, and whether a linearizable read is answered within 50 ms.\n");
        printf("Host c in a browser, while this runs (--seconds makes it longer):\n  TIDE_SHM_DIR=%s tide web demo\n\n",
               s->shm[BROKEN]);
        (void)fflush(stdout);
    }
    for (uint64_t at = 0; code == TOOL_OK && at < duration_ns; at = demo_upstream_now_ns() - began) {
        bool is_broken = at > duration_ns / 3 && at < duration_ns * 2 / 3;
        struct look looks[HOSTS];
        if (is_broken != broken) {
            kill(s->relay, is_broken ? SIGSTOP : SIGCONT);
            broken = is_broken;
        }
        code = demo_upstream_look_at_all(s, ++number, looks);
        if (code == TOOL_OK) {
            (json ? demo_upstream_show_json : demo_upstream_show_text)(number, (double)at / 1e9,
                                                                       broken ? "broken" : "whole", looks);
            code = stdio_flush() == 0 ? TOOL_OK : TOOL_FAILED;
        }
        if (cli_sleep(LOOK_NS)) {
            break;
        }
    }
    return code;
}

static int demo_upstream_set_up(struct stage *s) {
    if (etcd_http_missing()) {
        args_sayf(s->tool, "--upstream: %s", etcd_http_missing());
        return TOOL_FAILED;
    }
    if (system("command -v etcd >/dev/null 2>&1") != 0) {
        args_say(s->tool, "--upstream: there is no etcd here (Debian: etcd-server)");
        return TOOL_FAILED;
    }
    snprintf(s->dir, sizeof(s->dir), "/tmp/tide-demo-XXXXXX");
    if (!mkdtemp(s->dir)) {
        s->dir[0] = '\0';
        args_sayf(s->tool, "no temporary folder can be made in /tmp: %s", strerror(errno));
        return TOOL_FAILED;
    }
    demo_upstream_start_etcd(s);
    if (demo_upstream_start_relay(s) != 0) {
        args_sayf(s->tool, "no port of the loopback can be had: %s", strerror(errno));
        return TOOL_FAILED;
    }
    for (unsigned k = 0; k < HOSTS; k++) {
        demo_upstream_start_host(s, k);
    }
    for (unsigned k = 0; k < HOSTS; k++) {
        struct look ready;
        if (demo_upstream_start_looker(s, k) != 0 || demo_upstream_hear(s, k, &ready, 20000) != 0) {
            args_sayf(s->tool, "host %c does not begin; what it said is in %s/hosts.log", 'a' + (char)k, s->dir);
            return TOOL_FAILED;
        }
    }
    return TOOL_OK;
}

static void demo_upstream_tear_down(struct stage *s, bool failed) {
    char command[200];
    for (unsigned k = 0; k < HOSTS; k++) {
        demo_upstream_end(&s->lookers[k]);
        demo_upstream_end(&s->hosts[k]);
        if (s->shm[k][0]) {
            snprintf(command, sizeof(command), "rm -rf '%s'", s->shm[k]);
            (void)!system(command);
        }
    }
    demo_upstream_end(&s->relay);
    demo_upstream_end(&s->etcd);
    if (s->dir[0] && !failed) {
        snprintf(command, sizeof(command), "rm -rf '%s'", s->dir);
        (void)!system(command);
    }
}

int demo_upstream(const char *tool, uint64_t duration_ns, int json) {
    struct stage s = { .tool = tool };
    cli_catch_signals();
    signal(SIGPIPE, SIG_IGN); /* or folders would stay where a pager ends */
    int code = demo_upstream_set_up(&s);
    bool begun = code == TOOL_OK;
    code = begun ? demo_upstream_play(&s, duration_ns, json != 0) : code;
    demo_upstream_tear_down(&s, !begun);
    return code;
}
