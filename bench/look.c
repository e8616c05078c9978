/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does it cost when somebody looks at a domain? */
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

struct look {
    struct bench_program *p;
    uint32_t cpu[VIEWERS], gets[VIEWERS][GETS];
    uint64_t pairs;
    char name[TIDE_NAME_MAX];
    struct tide_reader *r;
};

/* `tide top` on a terminal of 80 x 24 of its own, or `tide web` and a connection to its stream. A thread takes what comes, or the command
 * would wait for that. */
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

static void become_top(const struct look *l, const char *terminal) {
    char path[4200];
    (void)bench_tide_path(path, sizeof(path));
    setsid();
    int fd = open(terminal, O_RDWR); /* becomes the controlling terminal */
    dup2(fd, STDIN_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    setenv("TERM", "xterm-256color", 1);
    execl(path, "tide", "top", l->name, "--interval", l->p->quick ? "100ms" : "1s", (char *)NULL);
    _exit(127);
}

static void socket_path(struct sockaddr_un *a) {
    *a = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(a->sun_path, sizeof(a->sun_path), "/tmp/tide-look-%ld", (long)getpid());
}

static void become_web(const struct look *l, const char *socket_at) {
    char path[4200], listen_at[200];
    (void)bench_tide_path(path, sizeof(path));
    setsid();
    snprintf(listen_at, sizeof(listen_at), "unix:%s", socket_at);
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execl(path, "tide", "web", l->name, "--listen", listen_at, (char *)NULL);
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

static int start_web(struct look *l, struct shown *t) {
    struct sockaddr_un a;
    socket_path(&a);
    *t = (struct shown){ .viewer = WEB, .from = -1 };
    t->pid = fork();
    if (t->pid == 0) {
        become_web(l, a.sun_path);
    }
    if (t->pid > 0) {
        connect_to_web(t, &a);
    }
    return 0;
}

static int start_top(struct look *l, struct shown *t) {
    const struct winsize size = { .ws_col = 80, .ws_row = 24 };
    char terminal[64];
    *t = (struct shown){ .viewer = TOP, .from = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC) };
    if (t->from < 0 || grantpt(t->from) != 0 || unlockpt(t->from) != 0 ||
        ptsname_r(t->from, terminal, sizeof(terminal)) != 0 || ioctl(t->from, TIOCSWINSZ, &size) != 0) {
        return bench_program_failed_errno(l->p, "a terminal for tide top");
    }
    t->pid = fork();
    if (t->pid == 0) {
        become_top(l, terminal);
    }
    return 0;
}

static int start(struct look *l, struct shown *t, enum viewer viewer) {
    int rc = viewer == TOP ? start_top(l, t) : start_web(l, t);
    if (rc == 0 && (t->pid < 0 || pthread_create(&t->drain, NULL, take_all, t) != 0)) {
        rc = bench_program_failed_errno(l->p, VIEWER[viewer].name);
    }
    return rc;
}

/* As 0, but there is nothing to set: it was built without ncurses, or the library is missing. */
#define LEFT_OUT 2

static int end(struct look *l, struct shown *t) {
    const char *name = VIEWER[t->viewer].name;
    char note[128];
    int status = 0;
    snprintf(note, sizeof(note), "; %s is left out: it ended with 7 (no %s?)", name, VIEWER[t->viewer].needs);
    kill(t->pid, SIGCONT);
    kill(t->pid, SIGTERM);
    waitpid(t->pid, &status, 0);
    pthread_join(t->drain, NULL);
    if (t->from >= 0) {
        close(t->from);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 7) {
        size_t used = strlen(l->p->figures.note);
        if (!strstr(l->p->figures.note, note)) {
            snprintf(l->p->figures.note + used, sizeof(l->p->figures.note) - used, "%s", note);
        }
        return LEFT_OUT;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || atomic_load(&t->drawn) < 1000) {
        return bench_program_failed(l->p, "%s showed %llu bytes and ended with status %d: is it built, and is %s here?",
                                    name, (unsigned long long)atomic_load(&t->drawn), status, VIEWER[t->viewer].needs);
    }
    return 0;
}

/* Until it has drawn its first picture, or has ended. */
static void await_picture(const struct shown *t) {
    for (int i = 0; i < 2000 && !bench_stop && atomic_load(&t->drawn) < 1000 && !has_ended(t); i++) {
        bench_sleep_ns(UINT64_C(10000000));
    }
}

static double children_s(void) {
    struct rusage u;
    getrusage(RUSAGE_CHILDREN, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* CPU time of its processes, from start to end, as a share of one core. */
static int measure_cpu(struct look *l, uint32_t repetition, enum viewer viewer) {
    struct shown t;
    double before = children_s();
    uint64_t from = bench_now_ns(), ns = l->p->quick ? UINT64_C(500000000) : WATCHED_NS;
    int rc = start(l, &t, viewer);
    if (rc != 0) {
        return rc;
    }
    await_picture(&t);
    while (!bench_stop && bench_now_ns() - from < ns) {
        bench_sleep_ns(UINT64_C(50000000));
    }
    double wall = (double)(bench_now_ns() - from) / 1e9;
    rc = end(l, &t);
    if (rc == 0) {
        bench_program_set(l->p, l->cpu[viewer], repetition, (children_s() - before) / wall);
    }
    return bench_stop ? 1 : rc;
}

/* Gets a second; in *of_cpu for each second that the reader had a processor, whoever else wanted it. */
static double gets_per_s(struct look *l, uint64_t ns, double *of_cpu) {
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    uint64_t from = bench_now_ns(), now = from, n = 0;
    uint8_t value[64];
    for (; now - from < ns && !bench_stop; now = bench_now_ns()) {
        for (int i = 0; i < 1000; i++, n++) {
            uint64_t key[2] = { n * UINT64_C(2654435761) % KEYS, 0 };
            tide_get(l->r, key, sizeof(key), NULL, value, sizeof(value), NULL);
        }
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    *of_cpu =
        bench_ratio((double)n, (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9);
    return (double)n * 1e9 / (double)(now - from);
}

/* In turn, with the command stopped and running. The whole process group: also the guard of `tide top`. */
static int measure_gets(struct look *l, uint32_t repetition, enum viewer viewer) {
    double gets[GETS][64];
    struct shown t;
    int rc = start(l, &t, viewer);
    if (rc != 0) {
        return rc;
    }
    uint64_t ns = bench_program_slice_ns(l->p, SLICE_NS);
    await_picture(&t);
    (void)gets_per_s(l, ns / 4, &gets[ALONE_CPU][0]);
    for (uint64_t i = 0; i < l->pairs; i++) {
        for (int turn = 0; turn < 2; turn++) {
            bool looked_at = ((i + (uint64_t)turn) & 1) != 0;
            kill(-t.pid, looked_at ? SIGCONT : SIGSTOP);
            gets[ALONE + looked_at][i] = gets_per_s(l, ns, &gets[ALONE_CPU + looked_at][i]);
        }
    }
    kill(-t.pid, SIGCONT);
    rc = end(l, &t);
    for (int k = 0; k < GETS && rc == 0; k++) {
        bench_program_set(l->p, l->gets[viewer][k], repetition, bench_spread_of(gets[k], l->pairs).median);
    }
    return bench_stop ? 1 : rc;
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    struct look *l = ctx;
    struct tide *d = NULL;
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide_replica_opts follower = TIDE_REPLICA_OPTS_INIT;
    o.flags |= TIDE_EPHEMERAL;
    int error = 0, rc = bench_program_domain(p, &d, &o, true);
    bench_program_domain_name(p, l->name);
    for (uint32_t i = 1; i < FOLLOWERS && rc == 0 && error == 0; i++) {
        error = tide_replica_start(d, &follower, NULL);
    }
    error = rc == 0 && error == 0 ? bench_setup_fill_numbers(d, KEYS) : error;
    error = rc == 0 && error == 0 ? tide_reader_open(d, NULL, &l->r) : error;
    rc = error != 0 ? bench_program_failed_code(p, "the domain", error) : rc;
    for (enum viewer viewer = TOP; viewer < VIEWERS && (rc == 0 || rc == LEFT_OUT); viewer++) {
        bench_program_progress(p, VIEWER[viewer].name);
        rc = measure_cpu(l, repetition, viewer);
        if (rc == 0) {
            bench_program_progress(p, "gets beside it");
            rc = measure_gets(l, repetition, viewer);
        }
    }
    if (l->r) {
        tide_reader_close(l->r);
        l->r = NULL;
    }
    bench_close(d);
    return rc == LEFT_OUT ? 0 : rc;
}

static void add_rows(struct bench_program *p, struct look *l) {
    static const struct {
        const char *cpu, *cpu_text, *who, *beside_text, *bar_text, *gets[GETS];
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
        l->cpu[v] = bench_program_row(p, OF[v].cpu, OF[v].cpu_text, OF[v].who, "share");
        for (int k = 0; k < GETS; k++) {
            const char *group = k < ALONE_CPU ? "gets of one reader" : "gets for each second of the reader's CPU time";
            const char *title = k == ALONE || k == ALONE_CPU ? "nobody looks" : OF[v].beside_text;
            l->gets[v][k] = bench_program_row(p, OF[v].gets[k], group, title, "1/s");
        }
        bench_program_bar(p, OF[v].cpu, OF[v].cpu_text, "share", BENCH_AT_MOST, BAR_CPU, l->cpu[v], BENCH_NO_ROW);
        bench_program_bar(p, OF[v].gets[BESIDE], OF[v].bar_text, "x", BENCH_AT_LEAST, BAR_GET, l->gets[v][BESIDE],
                          l->gets[v][ALONE]);
    }
}

int main(int argc, char **argv) {
    static struct look l = { .pairs = 5 };
    static const struct bench_number numbers[] = { { "pairs", "of slices, alone and beside", &l.pairs, 1, 64, 1 } };
    static struct bench_program p = {
        .name = "look",
        .about = "CPU time of `tide top` and `tide web` at one picture a second, and whether the readers of the domain "
                 "that\n"
                 "they show notice it: gets of one reader beside each and alone, in turn.\n",
        .numbers = numbers,
        .numbers_n = 1,
        .repetitions = 3,
    };
    int code;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    snprintf(p.figures.note, sizeof(p.figures.note),
             "leader and %u followers in one process, %u keys; tide top on a terminal of 80 x 24, tide web with one "
             "page; %llu pairs of slices",
             FOLLOWERS, KEYS, (unsigned long long)l.pairs);
    l.p = &p;
    add_rows(&p, &l);
    return bench_program_end(&p, bench_program_repeat(&p, one_repetition, &l));
}
