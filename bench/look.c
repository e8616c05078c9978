/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What do `tide top` and `tide web` cost, and do readers notice them? */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/program.h"
#include "bench/lib/setup.h"
#include "bench/lib/stats.h"

#define BAR_CPU 0.01
#define BAR_GET 0.99
#define KEYS 10000u
#define FOLLOWERS 3u
#define SLICE_NS UINT64_C(2000000000)
#define WATCHED_NS UINT64_C(20000000000)

enum viewer { TOP, WEB, VIEWERS };

/* Gets of one reader: beside the viewer while it is stopped, and while it runs; and both by the reader's own CPU time. */
enum { ALONE, BESIDE, ALONE_CPU, BESIDE_CPU, GETS };

static const struct {
    const char *name, *needs;
} VIEWER[VIEWERS] = { { "tide top", "ncurses" }, { "tide web", "libmicrohttpd" } };

static struct {
    uint32_t cpu[VIEWERS], gets[VIEWERS][GETS];
    uint64_t pairs;
    char tide[4200], name[TIDE_NAME_MAX], left_out[256];
    struct tide_reader *r;
} plan = { .pairs = 5 };

/* `tide top` on a terminal of 80 x 24 of its own, or `tide web` and a connection to its stream. A thread reads its output, or the command
 * would wait for a reader. */
struct shown {
    enum viewer viewer;
    int from; /* the terminal, or the connection; -1: there is none */
    pid_t pid;
    pthread_t drain;
    _Atomic uint64_t drawn; /* bytes */
};

static void *take_all(void *ctx) {
    struct shown *t = ctx;
    char bytes[4096];
    for (ssize_t n; t->from >= 0 && (n = read(t->from, bytes, sizeof(bytes))) > 0;) {
        atomic_fetch_add(&t->drawn, (uint64_t)n);
    }
    return NULL; /* EIO: nobody has the terminal open any more */
}

static void become_top(const char *terminal) {
    setsid();
    int fd = open(terminal, O_RDWR); /* becomes the controlling terminal */
    dup2(fd, STDIN_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    setenv("TERM", "xterm-256color", 1);
    execl(plan.tide, "tide", "top", plan.name, "--interval", bench->quick ? "100ms" : "1s", (char *)NULL);
    _exit(127);
}

static void socket_path(struct sockaddr_un *a) {
    *a = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(a->sun_path, sizeof(a->sun_path), "/tmp/tide-look-%ld", (long)getpid());
}

static void become_web(const char *socket_at) {
    char listen_at[200];
    setsid();
    snprintf(listen_at, sizeof(listen_at), "unix:%s", socket_at);
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execl(plan.tide, "tide", "web", plan.name, "--listen", listen_at, (char *)NULL);
    _exit(127);
}

static bool has_ended(const struct shown *t) {
    siginfo_t ended = { .si_pid = 0 };
    return waitid(P_PID, (id_t)t->pid, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid != 0;
}

/* Until it listens, or has ended: then there is no connection. */
static void connect_to_web(struct shown *t, const struct sockaddr_un *a) {
    static const char ASK[] = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (int i = 0; i < 2000 && !bench_stop && !has_ended(t); i++) {
        t->from = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (t->from >= 0 && connect(t->from, (const struct sockaddr *)a, sizeof(*a)) == 0 &&
            write(t->from, ASK, sizeof(ASK) - 1) == (ssize_t)sizeof(ASK) - 1) {
            return;
        }
        close(t->from);
        bench_sleep_ns(UINT64_C(10000000));
    }
    t->from = -1;
}

static void start_web(struct shown *t) {
    struct sockaddr_un a;
    socket_path(&a);
    t->pid = bench_child_fork();
    if (t->pid == 0) {
        become_web(a.sun_path);
    }
    if (t->pid > 0) {
        connect_to_web(t, &a);
    }
}

static void start_top(struct shown *t) {
    const struct winsize size = { .ws_col = 80, .ws_row = 24 };
    char terminal[64];
    t->from = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    bench_must_system(t->from >= 0 && grantpt(t->from) == 0 && unlockpt(t->from) == 0 &&
                          ptsname_r(t->from, terminal, sizeof(terminal)) == 0 && ioctl(t->from, TIOCSWINSZ, &size) == 0,
                      "a terminal for tide top");
    t->pid = bench_child_fork();
    if (t->pid == 0) {
        become_top(terminal);
    }
}

/* Start it, and wait until it has drawn its first picture, or has ended. */
static void start(struct shown *t, enum viewer viewer) {
    *t = (struct shown){ .viewer = viewer, .from = -1 };
    (viewer == TOP ? start_top : start_web)(t);
    bench_must_system(t->pid > 0, VIEWER[viewer].name);
    t->drain = bench_thread(take_all, t);
    for (int i = 0; i < 2000 && atomic_load(&t->drawn) < 1000 && !has_ended(t); i++) {
        bench_rest(UINT64_C(10000000));
    }
}

/* False: it was built without its library, or that is missing here. */
static bool end(struct shown *t) {
    const char *name = VIEWER[t->viewer].name, *needs = VIEWER[t->viewer].needs;
    int status = 0;
    kill(t->pid, SIGCONT);
    kill(t->pid, SIGTERM);
    waitpid(t->pid, &status, 0);
    pthread_join(t->drain, NULL);
    if (t->from >= 0) {
        close(t->from);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 7) {
        const char *why = bench_text("; %s is left out: it ended with 7 (no %s?)", name, needs);
        size_t used = strlen(plan.left_out);
        if (!strstr(plan.left_out, why)) {
            snprintf(plan.left_out + used, sizeof(plan.left_out) - used, "%s", why);
        }
        return false;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || atomic_load(&t->drawn) < 1000) {
        bench_fail("%s showed %llu bytes and ended with status %d: is it built, and is %s here?", name,
                   (unsigned long long)atomic_load(&t->drawn), status, needs);
    }
    return true;
}

static double children_s(void) {
    struct rusage u;
    getrusage(RUSAGE_CHILDREN, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* CPU time of its processes, from start to end, as a share of one core. False: it is left out. */
static bool measure_cpu(enum viewer viewer) {
    struct shown t;
    double before = children_s();
    uint64_t from = bench_now_ns(), ns = bench->quick ? UINT64_C(500000000) : WATCHED_NS;
    bench_progress("%s", VIEWER[viewer].name);
    start(&t, viewer);
    while (bench_now_ns() - from < ns) {
        bench_rest(UINT64_C(50000000));
    }
    double wall = (double)(bench_now_ns() - from) / 1e9;
    if (!end(&t)) {
        return false;
    }
    bench_set(plan.cpu[viewer], (children_s() - before) / wall);
    return true;
}

/* Gets a second; in *of_cpu for each second of the reader's own CPU time, which other processes do not change. */
static double gets_per_s(uint64_t ns, double *of_cpu) {
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    uint64_t from = bench_now_ns(), now = from, n = 0;
    uint8_t value[64];
    for (; now - from < ns; now = bench_now_ns()) {
        bench_go_on();
        for (int i = 0; i < 1000; i++, n++) {
            uint64_t key[2] = { n * UINT64_C(2654435761) % KEYS, 0 };
            tide_get(plan.r, key, sizeof(key), NULL, value, sizeof(value), NULL);
        }
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    *of_cpu =
        bench_ratio((double)n, (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9);
    return (double)n * 1e9 / (double)(now - from);
}

/* In turn, with the command stopped and running. The whole process group: also the guard of `tide top`. */
static void measure_gets(enum viewer viewer) {
    double gets[GETS][64];
    struct shown t;
    uint64_t ns = bench_slice_ns(SLICE_NS);
    bench_progress("gets beside %s", VIEWER[viewer].name);
    start(&t, viewer);
    (void)gets_per_s(ns / 4, &gets[ALONE_CPU][0]);
    for (uint64_t i = 0; i < plan.pairs; i++) {
        for (int turn = 0; turn < 2; turn++) {
            bool looked_at = ((i + (uint64_t)turn) & 1) != 0;
            kill(-t.pid, looked_at ? SIGCONT : SIGSTOP);
            gets[ALONE + looked_at][i] = gets_per_s(ns, &gets[ALONE_CPU + looked_at][i]);
        }
    }
    kill(-t.pid, SIGCONT);
    bool shown = end(&t);
    for (int k = 0; k < GETS && shown; k++) {
        bench_set(plan.gets[viewer][k], bench_spread_of(gets[k], plan.pairs).median);
    }
}

static void repeat(void) {
    struct tide_opts o = bench_setup_opts(BENCH_SETUP_OWN, 0, 0, 0);
    struct tide *d = bench_domain(NULL, &o, FOLLOWERS);
    bench_domain_name(NULL, plan.name);
    bench_must(bench_setup_fill_numbers(d, KEYS), "filling");
    bench_must(tide_reader_open(d, NULL, &plan.r), "opening a reader");
    for (enum viewer viewer = TOP; viewer < VIEWERS; viewer++) {
        if (measure_cpu(viewer)) {
            measure_gets(viewer);
        }
    }
    tide_reader_close(plan.r);
    tide_close(d);
}

static void prepare(void) {
    static const struct {
        const char *cpu, *cpu_text, *title, *beside_text, *bar_text, *gets[GETS];
    } OF[VIEWERS] = {
        { "look.top.cpu",
          "tide top, a picture a second: share of one core, its start included",
          "tide top, its two processes",
          "beside tide top",
          "gets beside tide top, against gets alone",
          { "look.alone", "look.top.get", "look.alone.cpu_s", "look.top.cpu_s" } },
        { "look.web.cpu",
          "tide web, a frame a second: share of one core, its start included",
          "tide web, one page open",
          "beside tide web",
          "gets beside tide web, against gets alone",
          { "look.web.alone", "look.web.get", "look.web.alone.cpu_s", "look.web.cpu_s" } },
    };
    for (int v = 0; v < VIEWERS; v++) {
        plan.cpu[v] = bench_row(OF[v].cpu, OF[v].cpu_text, OF[v].title, "share");
        for (int k = 0; k < GETS; k++) {
            const char *group = k < ALONE_CPU ? "gets of one reader" : "gets for each second of the reader's CPU time";
            const char *title = k == ALONE || k == ALONE_CPU ? "nobody looks" : OF[v].beside_text;
            plan.gets[v][k] = bench_row(OF[v].gets[k], group, title, "1/s");
        }
        bench_at_most(OF[v].cpu, OF[v].cpu_text, "share", BAR_CPU, plan.cpu[v], BENCH_NO_ROW);
        bench_at_least(OF[v].gets[BESIDE], OF[v].bar_text, "x", BAR_GET, plan.gets[v][BESIDE], plan.gets[v][ALONE]);
    }
    bench_must_system(bench_tide_path(plan.tide, sizeof(plan.tide)) == 0, plan.tide);
}

BENCH_NOTE("leader and %u followers in one process, %u keys; tide top on a terminal of 80 x 24, tide web with one "
           "page; %llu pairs of slices%s",
           FOLLOWERS, KEYS, (unsigned long long)plan.pairs, plan.left_out)

BENCH_MAIN(.name = "look", .repetitions = 3, .note = note,
           BENCH_NUMBERS({ "pairs", "of slices, alone and beside", &plan.pairs, 1, 64, 1 }),
           .about = "CPU time of `tide top` and `tide web` at one picture a second, and whether the readers of the "
                    "domain that\n"
                    "they show notice it: gets of one reader beside each and alone, in turn.\n")
