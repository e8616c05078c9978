/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does a domain cost, and bring, whose log comes from etcd? */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/lib/cluster.h"
#include "bench/lib/program.h"
#include "bench/lib/setup.h"

#define SECOND UINT64_C(1000000000)
#define KEYS 1000u
#define BATCH 100u  /* keys of a transaction */
#define GETS 50000u /* of a turn */
#define TURNS 15u
#define ETCD_READERS 64u
#define FED 0u /* hosts */
#define PLAIN 1u
#define COPIED 2u

struct upstream {
    struct bench_program *p;
    struct bench_cluster cluster;
    uint64_t readers, seconds, keys, idle_s;
    uint32_t plain, plain_bound, plain_now, fed_any, fed_bound; /* any: without an answer, so that no clock is needed */
    uint32_t alone[BENCH_TIMES], etcd_read[BENCH_TIMES], shared, etcd_shared;
    uint32_t told[BENCH_TIMES], etcd_told[BENCH_TIMES];
    uint32_t applied, copied, idle;
    struct hdr *ours, *etcds; /* ns, of what is being measured */
};

static int failed(struct upstream *u, const char *what) {
    return bench_program_failed(u->p, "%s%s%s", what, u->cluster.error[0] ? ": " : "", u->cluster.error);
}

static struct tide *open_host(struct upstream *u, unsigned host) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    opts.flags = 0;
    opts.write_timeout_ns = 10 * SECOND;
    bench_cluster_enter(&u->cluster, host);
    return tide_open(&d, "d", &opts) == 0 ? d : NULL;
}

static size_t key_of(char to[24], uint64_t number) {
    return (size_t)snprintf(to, 24, "%016llx", (unsigned long long)number);
}

/* ---- a read ------------------------------------------------------------------------------------------------------ */

/* ns a get from this process's own follower. */
static double time_gets(struct tide *d, struct tide_reader *r, uint64_t max_staleness_ns, bool answers,
                        bool reads_clock) {
    static char keys[KEYS][24];
    struct tide_bound b = TIDE_BOUND_INIT;
    char buf[300];
    uint64_t sum = 0;
    b.max_staleness_ns = max_staleness_ns;
    for (uint64_t i = 0; i < KEYS; i++) {
        (void)key_of(keys[i], i);
    }
    uint64_t began = bench_now_ns();
    for (uint64_t i = 0; i < GETS; i++) {
        struct tide_answer a = TIDE_ANSWER_INIT;
        sum += (uint64_t)tide_get(r, keys[i % KEYS], 16, &b, buf, sizeof(buf), answers ? &a : NULL) +
               (reads_clock ? tide_now(d) : 0);
    }
    double ns = (double)(bench_now_ns() - began) / GETS;
    return sum == UINT64_MAX ? 0 : ns;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static int measure_gets(struct upstream *u, uint32_t repetition) {
    struct tide *d[2] = { open_host(u, FED), NULL };
    struct tide_reader *r[2] = { NULL, NULL };
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    int rc = d[0] ? tide_replica_start(d[0], &o, NULL) : -1;
    d[1] = open_host(u, PLAIN);
    rc = rc == 0 && d[1] ? tide_replica_start(d[1], &o, NULL) : -1;
    for (int i = 0; i < 2 && rc == 0; i++) {
        rc = tide_reader_open(d[i], NULL, &r[i]);
    }
    if (rc == 0) {
        /* In turn, so that a drift of the machine meets all; the median of the turns. */
        static const struct {
            int of;
            uint64_t staleness_ns;
            bool answers, clock;
        } KINDS[] = { { 1, TIDE_UNBOUNDED, false, false },
                      { 0, TIDE_UNBOUNDED, false, false },
                      { 1, 10 * SECOND, true, false },
                      { 0, 10 * SECOND, true, false },
                      { 1, 10 * SECOND, true, true } };
        const uint32_t rows[] = { u->plain, u->fed_any, u->plain_bound, u->fed_bound, u->plain_now };
        double ns[sizeof(rows) / sizeof(rows[0])][TURNS];
        for (uint32_t turn = 0; turn <= TURNS; turn++) {
            for (uint32_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
                int of = KINDS[k].of;
                double one = time_gets(d[of], r[of], KINDS[k].staleness_ns, KINDS[k].answers, KINDS[k].clock);
                ns[k][turn % TURNS] = one; /* the first turn warms, and is written over */
            }
        }
        for (uint32_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
            qsort(ns[k], TURNS, sizeof(ns[k][0]), by_size);
            bench_program_set(u->p, rows[k], repetition, ns[k][TURNS / 2]);
        }
    }
    for (int i = 0; i < 2; i++) {
        bench_reader_close(r[i]);
        bench_close(d[i]);
    }
    return rc == 0 ? 0 : failed(u, "gets");
}

/* ---- bound 0 ----------------------------------------------------------------------------------------------------- */

static int measure_alone(struct upstream *u, uint32_t repetition) {
    hdr_reset(u->ours);
    hdr_reset(u->etcds);
    struct tide_bound b = TIDE_BOUND_INIT;
    struct tide_reader *r = NULL;
    struct tide *d = open_host(u, FED);
    int fd = bench_etcd_connect(&u->cluster), rc = d && fd >= 0 ? tide_reader_open(d, NULL, &r) : -1;
    uint64_t until = bench_now_ns() + bench_program_slice_ns(u->p, SECOND);
    b.wait_ns = 10 * SECOND;
    for (uint64_t i = 0; rc == 0 && bench_now_ns() < until; i++) {
        char key[24], buf[300];
        size_t len = key_of(key, i % KEYS);
        uint64_t began = bench_now_ns();
        rc = tide_get(r, key, len, &b, buf, sizeof(buf), NULL);
        uint64_t between = bench_now_ns();
        hdr_record(u->ours, (int64_t)(between - began));
        rc = rc ? rc : bench_etcd_read(fd, i % KEYS);
        hdr_record(u->etcds, (int64_t)(bench_now_ns() - between));
    }
    bench_program_set_times(u->p, u->alone, repetition, u->ours);
    bench_program_set_times(u->p, u->etcd_read, repetition, u->etcds);
    bench_reader_close(r);
    bench_close(d);
    close(fd);
    return rc == 0 ? 0 : failed(u, "reads at bound 0");
}

struct crowd {
    struct upstream *u;
    struct tide *d; /* NULL: etcd's own reads */
    _Atomic bool begun, ended;
    _Atomic uint64_t reads, wrong;
};

static void *one_of_crowd(void *arg) {
    struct crowd *c = arg;
    struct tide_reader *r = NULL;
    struct tide_bound b = TIDE_BOUND_INIT;
    uint64_t reads = 0, wrong = 0;
    int fd = c->d ? -1 : bench_etcd_connect(&c->u->cluster);
    int rc = c->d ? tide_reader_open(c->d, NULL, &r) : fd < 0;
    b.wait_ns = 10 * SECOND;
    while (!c->begun) {
        usleep(1000);
    }
    for (uint64_t i = 0; rc == 0 && !c->ended; i++) {
        char key[24], buf[300];
        size_t len = key_of(key, i % KEYS);
        int one = c->d ? tide_get(r, key, len, &b, buf, sizeof(buf), NULL) : bench_etcd_read(fd, i % KEYS);
        reads += one == 0;
        wrong += one != 0;
    }
    c->reads += reads;
    c->wrong += wrong + (rc != 0);
    bench_reader_close(r);
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

static int measure_crowd(struct upstream *u, bool etcds, uint32_t n, uint32_t row, uint32_t repetition) {
    struct crowd c = { .u = u };
    pthread_t *threads = calloc(n, sizeof(*threads));
    pthread_attr_t attr;
    uint32_t started = 0;
    c.d = etcds ? NULL : open_host(u, FED);
    if (!threads || (!etcds && !c.d)) {
        free(threads);
        return failed(u, "a crowd of readers");
    }
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 << 10);
    while (started < n && pthread_create(&threads[started], &attr, one_of_crowd, &c) == 0) {
        started++;
    }
    usleep(200000);
    uint64_t began = bench_now_ns();
    c.begun = true;
    usleep((useconds_t)(bench_program_slice_ns(u->p, 2 * SECOND) / 1000));
    c.ended = true;
    uint64_t took = bench_now_ns() - began;
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    free(threads);
    bench_close(c.d);
    if (started < n || c.wrong != 0) {
        return bench_program_failed(u->p, "a crowd: %u of %u readers started, %llu reads went wrong", started, n,
                                    (unsigned long long)c.wrong);
    }
    bench_program_set(u->p, row, repetition, (double)c.reads * 1e9 / (double)took);
    return 0;
}

/* ---- put to visible ---------------------------------------------------------------------------------------------- */

#define PUTS_MOST 4096u
#define FIRST_SEEN UINT64_C(0x1000000) /* keys that are watched */

struct sight {
    struct upstream *u;
    struct tide *d;
    int fd;
    uint32_t n;
    _Atomic uint64_t put_ns[PUTS_MOST], host_ns[PUTS_MOST], etcd_ns[PUTS_MOST];
    _Atomic uint32_t host_seen, etcd_seen, ready;
};

static void *watch_host(void *arg) {
    struct sight *s = arg;
    struct tide_watch *w = NULL;
    struct tide_event e = TIDE_EVENT_INIT;
    if (tide_watch_open(s->d, NULL, &w) != 0) {
        return NULL;
    }
    s->ready++;
    while (s->host_seen < s->n && tide_watch_next(w, &e, 10 * SECOND) == 0) {
        uint32_t at;
        if (e.kind == TIDE_EVENT_PUT && e.value_size == sizeof(at)) {
            memcpy(&at, e.value, sizeof(at));
            s->host_ns[at % PUTS_MOST] = bench_now_ns();
            s->host_seen++;
        }
    }
    tide_watch_close(w);
    return NULL;
}

static void *watch_etcd(void *arg) {
    struct sight *s = arg;
    static char text[1 << 20];
    if (bench_etcd_watch(s->fd) != 0) {
        return NULL;
    }
    s->ready++;
    while (s->etcd_seen < s->n) {
        ssize_t n = recv(s->fd, text, sizeof(text) - 1, 0);
        uint64_t now = bench_now_ns();
        if (n <= 0) {
            break;
        }
        text[n] = '\0';
        /* One put is under way at a time, so that the next event is its: its last field is the value. */
        if (memmem(text, (size_t)n, "\"value\":", 8)) {
            s->etcd_ns[s->etcd_seen] = now;
            s->etcd_seen++;
        }
    }
    return NULL;
}

static int measure_sight(struct upstream *u, uint32_t repetition) {
    hdr_reset(u->ours);
    hdr_reset(u->etcds);
    struct sight *s = calloc(1, sizeof(*s));
    pthread_t threads[2];
    int fd = bench_etcd_connect(&u->cluster);
    s->u = u;
    s->d = open_host(u, FED);
    s->fd = bench_etcd_connect(&u->cluster);
    s->n = u->p->quick ? 20 : 500;
    pthread_create(&threads[0], NULL, watch_host, s);
    pthread_create(&threads[1], NULL, watch_etcd, s);
    while (s->ready < 2) {
        usleep(1000);
    }
    int rc = 0;
    for (uint32_t i = 0; i < s->n && rc == 0; i++) {
        uint64_t until = bench_now_ns() + 10 * SECOND;
        s->put_ns[i] = bench_now_ns();
        rc = bench_etcd_put(fd, FIRST_SEEN + i, &i, sizeof(i));
        while (rc == 0 && (s->host_seen <= i || s->etcd_seen <= i)) {
            usleep(200);
            rc = bench_now_ns() > until ? -1 : 0;
        }
        usleep(500);
    }
    if (rc != 0) {
        shutdown(s->fd, 2);
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    for (uint32_t i = 0; i < s->n && rc == 0; i++) {
        hdr_record(u->ours, (int64_t)(s->host_ns[i] - s->put_ns[i]));
        hdr_record(u->etcds, (int64_t)(s->etcd_ns[i] - s->put_ns[i]));
    }
    bench_program_set_times(u->p, u->told, repetition, u->ours);
    bench_program_set_times(u->p, u->etcd_told, repetition, u->etcds);
    tide_close(s->d);
    close(s->fd);
    close(fd);
    free(s);
    return rc == 0 ? 0 : failed(u, "put to visible");
}

/* ---- how fast it takes what there is ----------------------------------------------------------------------------- */

static int fill(struct upstream *u, uint64_t from, uint64_t n) {
    int fd = bench_etcd_connect(&u->cluster), rc = fd < 0;
    for (uint64_t i = 0; i < n && rc == 0 && !bench_stop; i += BATCH) {
        rc = bench_etcd_fill(fd, from + i, BATCH, 64);
    }
    close(fd);
    return rc == 0 ? 0 : failed(u, "filling etcd");
}

/* Until a read at bound 0 is answered: everything before it has been applied. */
static int catch_up(struct upstream *u) {
    struct tide_bound b = TIDE_BOUND_INIT;
    struct tide_reader *r = NULL;
    struct tide *d = open_host(u, FED);
    int rc = d ? tide_reader_open(d, NULL, &r) : -1;
    b.fallback = TIDE_FALLBACK_WAIT;
    b.wait_ns = 120 * SECOND;
    rc = rc == 0 ? tide_get(r, "x", 1, &b, NULL, 0, NULL) : rc;
    bench_reader_close(r);
    bench_close(d);
    return rc == TIDE_ERR_NOT_FOUND ? 0 : failed(u, "catching up");
}

static int measure_applied(struct upstream *u, uint32_t repetition) {
    uint64_t n = u->p->quick ? 2000 : 50000;
    kill(u->cluster.hosts[FED], SIGSTOP);
    int rc = fill(u, 0x2000000, n);
    uint64_t began = bench_now_ns();
    kill(u->cluster.hosts[FED], SIGCONT);
    rc = rc == 0 ? catch_up(u) : rc;
    bench_program_set(u->p, u->applied, repetition, (double)n * 1e9 / (double)(bench_now_ns() - began));
    return rc;
}

static int measure_copied(struct upstream *u, uint32_t repetition) {
    static const char *const OPTIONS[] = { "--followers", "0", "--table", "1G", "--ring", "64M", NULL };
    uint64_t began = bench_now_ns();
    int rc = bench_cluster_host(&u->cluster, COPIED, true, OPTIONS);
    struct tide *d = rc == 0 ? open_host(u, COPIED) : NULL;
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    uint64_t took = bench_now_ns() - began;
    if (d && tide_replica_info(d, 0, &info) == 0) {
        bench_program_set(u->p, u->copied, repetition, (double)info.keys * 1e9 / (double)took);
        bench_program_progress(u->p, "%llu keys copied in %.1f s", (unsigned long long)info.keys, (double)took / 1e9);
        if (u->keys > KEYS) {
            fprintf(stderr, "upstream: a start on %llu keys: %.2f s\n", (unsigned long long)info.keys,
                    (double)took / 1e9);
        }
    }
    bench_close(d);
    bench_cluster_end_host(&u->cluster, COPIED);
    return d ? 0 : failed(u, "a start");
}

static int measure_idle(struct upstream *u, uint32_t repetition) {
    usleep(u->p->quick ? 10000 : 3000000); /* bounds that were asked for lately are forgotten */
    pid_t pid = u->cluster.hosts[FED];
    uint64_t began = bench_now_ns(), before = bench_cluster_cpu_ns(pid);
    usleep((useconds_t)(u->p->quick ? 100000 : u->idle_s * 1000000));
    bench_program_set(u->p, u->idle, repetition,
                      (double)(bench_cluster_cpu_ns(pid) - before) / (double)(bench_now_ns() - began));
    return 0;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    struct upstream *u = ctx;
    (void)p;
    int rc = measure_gets(u, repetition);
    rc = rc == 0 ? measure_alone(u, repetition) : rc;
    rc = rc == 0 ? measure_crowd(u, false, (uint32_t)u->readers, u->shared, repetition) : rc;
    rc = rc == 0 ? measure_crowd(u, true, ETCD_READERS, u->etcd_shared, repetition) : rc;
    rc = rc == 0 ? measure_sight(u, repetition) : rc;
    rc = rc == 0 ? measure_applied(u, repetition) : rc;
    rc = rc == 0 ? measure_copied(u, repetition) : rc;
    rc = rc == 0 ? measure_idle(u, repetition) : rc;
    return bench_stop ? 1 : rc;
}

static void add_rows(struct bench_program *p, struct upstream *u) {
    static const char GET[] = "get from a follower in the reader's process";
    u->plain = bench_program_row(p, "upstream.get.plain", GET, "not fed, any staleness, no answer", "ns");
    u->fed_any = bench_program_row(p, "upstream.get.fed", GET, "fed, any staleness, no answer: no clock is read", "ns");
    u->plain_bound =
        bench_program_row(p, "upstream.get.plain.bound", GET, "not fed, bound 10 s: fresh, no clock is read", "ns");
    u->plain_now = bench_program_row(p, "upstream.get.plain.clock", GET, "not fed, bound 10 s, and tide_now()", "ns");
    u->fed_bound = bench_program_row(p, "upstream.get.fed.bound", GET, "fed, bound 10 s: the clock is read", "ns");
    bench_program_times(p, u->alone, "upstream.bound0", "bound 0, one reader");
    bench_program_times(p, u->etcd_read, "upstream.bound0.etcd", "bound 0: etcd's own linearizable read");
    u->shared =
        bench_program_row(p, "upstream.shared", "linearizable reads", "many readers of one host at once", "1/s");
    u->etcd_shared =
        bench_program_row(p, "upstream.shared.etcd", "linearizable reads", "etcd's own, 64 connections", "1/s");
    bench_program_times(p, u->told, "upstream.visible", "put in etcd to told by a host's watch");
    bench_program_times(p, u->etcd_told, "upstream.visible.etcd", "put in etcd to told by etcd's own watch");
    u->applied = bench_program_row(p, "upstream.applied", "what there is", "events caught up with", "1/s");
    u->copied = bench_program_row(p, "upstream.copied", "what there is", "keys of a start's snapshot", "1/s");
    u->idle = bench_program_row(p, "upstream.idle", "an idle host", "CPU, of one core", "share");
    bench_figures_bar(&p->figures, "upstream.get", "a get that needs no clock: fed, less not fed", "ns", BENCH_AT_MOST,
                      2, BENCH_LESS, u->fed_any, u->plain, BENCH_NO_FIGURE);
    bench_figures_bar(&p->figures, "upstream.get.clock",
                      "a get by a bound: fed, less not fed and one reading of the clock", "ns", BENCH_AT_MOST, 2,
                      BENCH_LESS, u->fed_bound, u->plain_now, BENCH_NO_FIGURE);
    bench_program_bar(p, "upstream.shared", "linearizable reads of many readers by shared read indexes", "1/s",
                      BENCH_AT_LEAST, 100000, u->shared, BENCH_NO_ROW);
    bench_program_bar(p, "upstream.visible", "put to told: a host's watch over etcd's own, p50", "x", BENCH_AT_MOST,
                      1.2, u->told[0], u->etcd_told[0]);
    bench_program_bar(p, "upstream.idle", "CPU of an idle host", "share", BENCH_AT_MOST, 0.005, u->idle, BENCH_NO_ROW);
}

static int set_up(struct upstream *u) {
    static const char *const OPTIONS[] = { "--followers", "0", "--table", "1G", "--ring", "64M", NULL };
    int rc = bench_cluster_start(&u->cluster);
    if (rc != 0) {
        return failed(u, rc > 0 ? "there is no etcd here (Debian: etcd-server)" : "etcd");
    }
    if (fill(u, 0, u->keys) != 0 || bench_cluster_host(&u->cluster, FED, true, OPTIONS) != 0 ||
        bench_cluster_host(&u->cluster, PLAIN, false, NULL) != 0) {
        return failed(u, "hosts");
    }
    struct tide *d = open_host(u, PLAIN);
    for (uint64_t i = 0; d && i < KEYS && rc == 0; i++) {
        char key[24], value[64] = "";
        rc = tide_put(d, NULL, key, key_of(key, i), value, sizeof(value), NULL);
    }
    bench_close(d);
    return d && rc == 0 ? 0 : failed(u, "filling the plain domain");
}

int main(int argc, char **argv) {
    static struct upstream u = { .readers = 1000, .keys = KEYS, .idle_s = 10 };
    static const struct bench_number numbers[] = {
        { "readers", "at once, at bound 0", &u.readers, 1, 5000, 20 },
        { "keys", "in etcd; a start's time is told where there are more than 1,000", &u.keys, KEYS, 10000000, KEYS },
        { "idle", "seconds of an idle host", &u.idle_s, 1, 1000, 1 },
    };
    static struct bench_program p = {
        .name = "upstream",
        .about = "Measures a domain that takes its log from etcd (one member, loopback, no fsync), beside etcd itself "
                 "and beside a domain\n"
                 "that is not fed: a get, reads at bound 0 of one and of many, put to visible, events and keys taken, "
                 "an idle host's CPU.\n"
                 "Needs etcd; `tide` beside it.\n",
        .numbers = numbers,
        .numbers_n = 3,
        .repetitions = 3,
    };
    int code;
    u.p = &p;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    snprintf(p.figures.note, sizeof(p.figures.note),
             "etcd with one member on the same machine, without fsync; %llu keys of 16 bytes, values of 64; %llu "
             "readers at once.",
             (unsigned long long)u.keys, (unsigned long long)u.readers);
    add_rows(&p, &u);
    u.ours = hdr_new(1, 10 * (int64_t)SECOND, 3);
    u.etcds = hdr_new(1, 10 * (int64_t)SECOND, 3);
    int rc = u.ours != NULL && u.etcds != NULL ? set_up(&u) : bench_program_failed(&p, "no memory");
    rc = rc != 0 ? rc : bench_program_repeat(&p, one_repetition, &u);
    bench_cluster_end(&u.cluster);
    hdr_free(u.ours);
    hdr_free(u.etcds);
    return bench_program_end(&p, rc);
}
