/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does a domain cost, and bring, whose log comes from etcd? */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/lib/cluster.h"
#include "bench/lib/program.h"
#include "bench/lib/setup.h"

#define SECOND UINT64_C(1000000000)
#define KEYS 1000u  /* that are read; a multiple of BATCH */
#define BATCH 100u  /* keys of a transaction */
#define GETS 50000u /* of a turn */
#define TURNS 15u
#define ETCD_READERS 64u
#define FED 0u /* hosts */
#define PLAIN 1u
#define COPIED 2u

static struct {
    struct bench_cluster cluster;
    uint64_t readers, keys, idle_s;
    uint32_t plain, plain_bound, plain_now, fed_any, fed_bound; /* any: without an answer, so that no clock is needed */
    uint32_t alone[BENCH_TIMES], etcd_read[BENCH_TIMES], shared, shared_cpu, shared_sleeps, etcd_shared;
    uint32_t told[BENCH_TIMES], etcd_told[BENCH_TIMES];
    uint32_t applied, copied, idle;
    struct hdr *ours, *etcds; /* ns, of what is being measured */
} plan = { .readers = 1000, .keys = KEYS, .idle_s = 10 };

static struct tide *open_host(unsigned host) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    opts.flags = 0;
    opts.write_timeout_ns = 10 * SECOND;
    bench_cluster_enter(&plan.cluster, host);
    bench_must(tide_open(&d, "d", &opts), "opening a host's domain");
    return d;
}

static struct tide_reader *open_reader(struct tide *d) {
    struct tide_reader *r = NULL;
    bench_must(tide_reader_open(d, NULL, &r), "opening a reader");
    return r;
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

static void measure_gets(void) {
    static const struct {
        int of; /* 0: fed, 1: not */
        uint64_t staleness_ns;
        bool answers, clock;
        uint32_t *row;
    } KINDS[] = { { 1, TIDE_UNBOUNDED, false, false, &plan.plain },
                  { 0, TIDE_UNBOUNDED, false, false, &plan.fed_any },
                  { 1, 10 * SECOND, true, false, &plan.plain_bound },
                  { 0, 10 * SECOND, true, false, &plan.fed_bound },
                  { 1, 10 * SECOND, true, true, &plan.plain_now } };
    enum { N = sizeof(KINDS) / sizeof(KINDS[0]) };
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    struct tide *d[2];
    struct tide_reader *r[2];
    double ns[N][TURNS];
    for (int i = 0; i < 2; i++) {
        d[i] = open_host(i == 0 ? FED : PLAIN);
        bench_must(tide_replica_start(d[i], &o, NULL), "starting a follower");
        r[i] = open_reader(d[i]);
    }
    /* In turn, so that a drift of the machine meets all; the median of the turns. The first one warms, and is written over. */
    for (uint32_t turn = 0; turn <= TURNS; turn++) {
        for (uint32_t k = 0; k < N; k++) {
            int of = KINDS[k].of;
            ns[k][turn % TURNS] = time_gets(d[of], r[of], KINDS[k].staleness_ns, KINDS[k].answers, KINDS[k].clock);
        }
    }
    for (uint32_t k = 0; k < N; k++) {
        bench_set(*KINDS[k].row, bench_spread_of(ns[k], TURNS).median);
    }
    for (int i = 0; i < 2; i++) {
        tide_reader_close(r[i]);
        tide_close(d[i]);
    }
}

/* ---- bound 0 ----------------------------------------------------------------------------------------------------- */

static void measure_alone(void) {
    struct tide_bound b = TIDE_BOUND_INIT;
    struct tide *d = open_host(FED);
    struct tide_reader *r = open_reader(d);
    int fd = bench_etcd_connect(&plan.cluster);
    uint64_t until = bench_now_ns() + bench_slice_ns(SECOND);
    hdr_reset(plan.ours);
    hdr_reset(plan.etcds);
    b.wait_ns = 10 * SECOND;
    for (uint64_t i = 0; bench_now_ns() < until; i++) {
        char key[24], buf[300];
        size_t len = key_of(key, i % KEYS);
        uint64_t began = bench_now_ns();
        bench_must(tide_get(r, key, len, &b, buf, sizeof(buf), NULL), "reads at bound 0");
        uint64_t between = bench_now_ns();
        hdr_record(plan.ours, (int64_t)(between - began));
        bench_etcd_read(fd, i % KEYS);
        hdr_record(plan.etcds, (int64_t)(bench_now_ns() - between));
    }
    bench_set_times(plan.alone, plan.ours);
    bench_set_times(plan.etcd_read, plan.etcds);
    tide_reader_close(r);
    tide_close(d);
    close(fd);
}

struct crowd {
    struct tide *d; /* NULL: etcd's own reads */
    pthread_barrier_t begins;
    _Atomic bool ended;
    _Atomic uint64_t reads;
};

static void *one_of_crowd(void *arg) {
    struct crowd *c = arg;
    struct tide_reader *r = c->d ? open_reader(c->d) : NULL;
    struct tide_bound b = TIDE_BOUND_INIT;
    uint64_t reads = 0;
    int fd = c->d ? -1 : bench_etcd_connect(&plan.cluster);
    b.wait_ns = 10 * SECOND;
    pthread_barrier_wait(&c->begins);
    for (; !c->ended; reads += !c->ended) {
        char key[24], buf[300];
        size_t len = key_of(key, reads % KEYS);
        if (c->d) {
            bench_must(tide_get(r, key, len, &b, buf, sizeof(buf), NULL), "a crowd's read");
        } else {
            bench_etcd_read(fd, reads % KEYS);
        }
    }
    c->reads += reads;
    bench_reader_close(r);
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

static uint64_t cpu_ns(const struct rusage *u) {
    return (uint64_t)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * SECOND +
           (uint64_t)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) * 1000;
}

static void measure_crowd(struct tide *d, uint32_t n, uint32_t row) {
    struct crowd c = { .d = d };
    struct rusage before, after;
    pthread_t *threads = bench_alloc(n, sizeof(*threads));
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_barrier_init(&c.begins, NULL, n + 1);
    pthread_attr_setstacksize(&attr, 256 << 10);
    for (uint32_t i = 0; i < n; i++) {
        if (pthread_create(&threads[i], &attr, one_of_crowd, &c) != 0) {
            bench_fail("a crowd: %u of %u readers started; give fewer --readers", i, n);
        }
    }
    usleep(200000);
    getrusage(RUSAGE_SELF, &before);
    uint64_t began = bench_now_ns();
    pthread_barrier_wait(&c.begins);
    bench_rest(bench_slice_ns(2 * SECOND));
    c.ended = true;
    uint64_t took = bench_now_ns() - began;
    getrusage(RUSAGE_SELF, &after);
    for (uint32_t i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    free(threads);
    pthread_barrier_destroy(&c.begins);
    bench_close(d);
    bench_set_rate(row, c.reads, took);
    if (d) {
        bench_set(plan.shared_cpu, (double)(cpu_ns(&after) - cpu_ns(&before)) / (double)(c.reads + 1));
        bench_set(plan.shared_sleeps, (double)(after.ru_nvcsw - before.ru_nvcsw) / (double)(c.reads + 1));
    }
}

/* ---- put to visible ---------------------------------------------------------------------------------------------- */

#define PUTS_MOST 4096u
#define FIRST_SEEN UINT64_C(0x1000000) /* keys that are watched */

struct sight {
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
    bench_must(tide_watch_open(s->d, NULL, &w), "a host's watch");
    s->ready++;
    while (s->host_seen < s->n) {
        uint32_t at;
        bench_must(tide_watch_next(w, &e, 10 * SECOND), "a host's watch");
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
    bench_etcd_watch(s->fd);
    s->ready++;
    while (s->etcd_seen < s->n) {
        ssize_t n = recv(s->fd, text, sizeof(text) - 1, 0);
        uint64_t now = bench_now_ns();
        bench_must_system(n > 0, "etcd's own watch");
        /* One put is under way at a time, so that the next event is its: its last field is the value. */
        if (memmem(text, (size_t)n, "\"value\":", 8)) {
            s->etcd_ns[s->etcd_seen] = now;
            s->etcd_seen++;
        }
    }
    return NULL;
}

static void measure_sight(void) {
    struct sight *s = bench_alloc(1, sizeof(*s));
    int fd = bench_etcd_connect(&plan.cluster);
    hdr_reset(plan.ours);
    hdr_reset(plan.etcds);
    s->d = open_host(FED);
    s->fd = bench_etcd_connect(&plan.cluster);
    s->n = bench->quick ? 20 : 500;
    pthread_t threads[] = { bench_thread(watch_host, s), bench_thread(watch_etcd, s) };
    while (s->ready < 2) {
        usleep(1000);
    }
    for (uint32_t i = 0; i < s->n; i++) {
        uint64_t until = bench_now_ns() + 10 * SECOND;
        s->put_ns[i] = bench_now_ns();
        bench_etcd_put(fd, FIRST_SEEN + i, &i, sizeof(i));
        while (s->host_seen <= i || s->etcd_seen <= i) {
            bench_rest(200000);
            bench_must(bench_now_ns() > until ? TIDE_ERR_TIMEOUT : 0, "put to visible");
        }
        usleep(500);
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    for (uint32_t i = 0; i < s->n; i++) {
        hdr_record(plan.ours, (int64_t)(s->host_ns[i] - s->put_ns[i]));
        hdr_record(plan.etcds, (int64_t)(s->etcd_ns[i] - s->put_ns[i]));
    }
    bench_set_times(plan.told, plan.ours);
    bench_set_times(plan.etcd_told, plan.etcds);
    tide_close(s->d);
    close(s->fd);
    close(fd);
    free(s);
}

/* ---- how fast it takes what there is ----------------------------------------------------------------------------- */

static void fill(uint64_t from, uint64_t n) {
    int fd = bench_etcd_connect(&plan.cluster);
    for (uint64_t i = 0; i < n; i += BATCH) {
        bench_etcd_fill(fd, from + i, BATCH, 64);
        bench_go_on();
    }
    close(fd);
}

/* Until a read at bound 0 is answered: everything before it has been applied. */
static void catch_up(void) {
    struct tide_bound b = TIDE_BOUND_INIT;
    struct tide *d = open_host(FED);
    struct tide_reader *r = open_reader(d);
    b.fallback = TIDE_FALLBACK_WAIT;
    b.wait_ns = 120 * SECOND;
    int rc = tide_get(r, "x", 1, &b, NULL, 0, NULL);
    bench_must(rc != TIDE_ERR_NOT_FOUND ? rc : 0, "catching up");
    tide_reader_close(r);
    tide_close(d);
}

static void measure_applied(void) {
    uint64_t n = bench->quick ? 2000 : 50000;
    kill(plan.cluster.hosts[FED], SIGSTOP);
    fill(0x2000000, n);
    uint64_t began = bench_now_ns();
    kill(plan.cluster.hosts[FED], SIGCONT);
    catch_up();
    bench_set_rate(plan.applied, n, bench_now_ns() - began);
}

static const char *const OPTIONS[] = { "--followers", "0", "--table", "1G", "--ring", "64M", NULL };

static void measure_copied(void) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    uint64_t began = bench_now_ns();
    bench_cluster_host(&plan.cluster, COPIED, true, OPTIONS);
    struct tide *d = open_host(COPIED);
    uint64_t took = bench_now_ns() - began;
    bench_must(tide_replica_info(d, 0, &info), "looking at a host that has started");
    bench_set_rate(plan.copied, info.keys, took);
    bench_progress("%llu keys copied in %.1f s", (unsigned long long)info.keys, (double)took / 1e9);
    if (plan.keys > KEYS) {
        fprintf(stderr, "upstream: a start on %llu keys: %.2f s\n", (unsigned long long)info.keys, (double)took / 1e9);
    }
    tide_close(d);
    bench_cluster_end_host(&plan.cluster, COPIED);
}

static void measure_idle(void) {
    bench_rest(bench->quick ? 10000000 : 3 * SECOND); /* bounds that were asked for lately are forgotten */
    pid_t pid = plan.cluster.hosts[FED];
    uint64_t began = bench_now_ns(), before = bench_cluster_cpu_ns(pid);
    bench_rest(bench->quick ? SECOND / 10 : plan.idle_s * SECOND);
    bench_set(plan.idle, (double)(bench_cluster_cpu_ns(pid) - before) / (double)(bench_now_ns() - began));
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

/* The same keys in a domain that no source feeds. */
static void fill_plain(void) {
    static char keys[BATCH][24];
    static const char VALUE[64] = "";
    struct tide_op ops[BATCH];
    struct tide *d = open_host(PLAIN);
    for (uint64_t i = 0; i < plan.keys; i += BATCH) {
        for (uint32_t k = 0; k < BATCH; k++) {
            ops[k] = (struct tide_op){ .kind = TIDE_OP_PUT,
                                       .key = keys[k],
                                       .key_len = key_of(keys[k], i + k),
                                       .value = VALUE,
                                       .value_size = sizeof(VALUE) };
        }
        bench_must(tide_batch(d, NULL, ops, BATCH, NULL, NULL), "filling the plain domain");
        bench_go_on();
    }
    tide_close(d);
}

/* As it was at the start of the repetition: else the fed host would have more keys than the plain one in the next one, and a table of
 * another size to look them up in. */
static void forget_events(void) {
    int fd = bench_etcd_connect(&plan.cluster);
    bench_cluster_end_host(&plan.cluster, FED);
    bench_etcd_delete_from(fd, FIRST_SEEN);
    close(fd);
}

static void repeat(void) {
    bench_cluster_host(&plan.cluster, FED, true, OPTIONS);
    measure_gets();
    measure_alone();
    measure_crowd(open_host(FED), (uint32_t)plan.readers, plan.shared);
    measure_crowd(NULL, ETCD_READERS, plan.etcd_shared);
    measure_sight();
    measure_applied();
    measure_copied();
    measure_idle();
    forget_events();
}

static void add_rows(void) {
    static const char GET[] = "get from a follower in the reader's process";
    plan.plain = bench_row("upstream.get.plain", GET, "not fed, any staleness, no answer", "ns");
    plan.fed_any = bench_row("upstream.get.fed", GET, "fed, any staleness, no answer: no clock is read", "ns");
    plan.plain_bound = bench_row("upstream.get.plain.bound", GET, "not fed, bound 10 s: fresh, no clock is read", "ns");
    plan.plain_now = bench_row("upstream.get.plain.clock", GET, "not fed, bound 10 s, and tide_now()", "ns");
    plan.fed_bound = bench_row("upstream.get.fed.bound", GET, "fed, bound 10 s: the clock is read", "ns");
    bench_times(plan.alone, "upstream.bound0", "bound 0, one reader");
    bench_times(plan.etcd_read, "upstream.bound0.etcd", "bound 0: etcd's own linearizable read");
    plan.shared = bench_row("upstream.shared", "linearizable reads", "many readers of one host at once", "1/s");
    plan.shared_cpu = bench_row("upstream.shared.cpu", "linearizable reads", "CPU of the readers, a read", "ns");
    plan.shared_sleeps =
        bench_row("upstream.shared.sleeps", "linearizable reads", "times that a reader slept, a read", "");
    plan.etcd_shared = bench_row("upstream.shared.etcd", "linearizable reads", "etcd's own, 64 connections", "1/s");
    bench_times(plan.told, "upstream.visible", "put in etcd to told by a host's watch");
    bench_times(plan.etcd_told, "upstream.visible.etcd", "put in etcd to told by etcd's own watch");
    plan.applied = bench_row("upstream.applied", "what there is", "events caught up with", "1/s");
    plan.copied = bench_row("upstream.copied", "what there is", "keys of a start's snapshot", "1/s");
    plan.idle = bench_row("upstream.idle", "an idle host", "CPU, of one core", "share");
    bench_at_most_above("upstream.get", "a get that needs no clock: fed, less not fed", "ns", 2, plan.fed_any,
                        plan.plain);
    bench_at_most_above("upstream.get.clock", "a get by a bound: fed, less not fed and one reading of the clock", "ns",
                        2, plan.fed_bound, plan.plain_now);
    bench_at_least("upstream.shared", "linearizable reads of many readers by shared read indexes", "1/s", 100000,
                   plan.shared, BENCH_NO_ROW);
    bench_at_most("upstream.visible", "put to told: a host's watch over etcd's own, p50", "x", 1.2, plan.told[0],
                  plan.etcd_told[0]);
    bench_at_most("upstream.idle", "CPU of an idle host", "share", 0.005, plan.idle, BENCH_NO_ROW);
}

static void prepare(void) {
    plan.ours = bench_hdr();
    plan.etcds = bench_hdr();
    add_rows();
    bench_cluster_start(&plan.cluster, 1);
    fill(0, plan.keys);
    bench_cluster_host(&plan.cluster, PLAIN, false, OPTIONS);
    fill_plain();
}

BENCH_NOTE("etcd with one member on the same machine, without fsync; %llu keys of 16 bytes, values of 64; %llu "
           "readers at once.",
           (unsigned long long)plan.keys, (unsigned long long)plan.readers)

BENCH_MAIN(.name = "upstream", .repetitions = 3, .note = note,
           BENCH_NUMBERS({ "readers", "at once, at bound 0", &plan.readers, 1, 5000, 20 },
                         { "keys", "in etcd; a start's time is told where there are more than 1,000", &plan.keys, KEYS,
                           10000000, KEYS },
                         { "idle", "seconds of an idle host", &plan.idle_s, 1, 1000, 1 }),
           .about = "Measures a domain that takes its log from etcd (one member, loopback, no fsync), beside etcd "
                    "itself and beside a domain\n"
                    "that is not fed: a get, reads at bound 0 of one and of many, put to visible, events and keys "
                    "taken, an idle host's CPU.\n"
                    "Needs etcd; `tide` beside it.\n")
