/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thousand callers in forty processes miss one key: how often is its value made, and when do all have it? */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/program.h"
#include "bench/lib/setup.h"

#define PROCESSES_MAX 40u
#define THREADS_MAX 25u
#define VICTIMS_MAX 64u
#define MAKE_NS UINT64_C(10000000) /* what making it takes */
#define WAIT_NS UINT64_C(30000000000)
#define SETTLE_NS UINT64_C(100000000)

enum { ORDER_OPEN = 1, ORDER_MAKE };

enum row { ROW_MADE, ROW_ALL, ROW_KILLED_MADE, ROW_KILLED_ALL, ROW_HIT, ROWS };

/* Shared by all processes. */
struct scene {
    pthread_barrier_t barrier; /* of all callers, and the one that measures */
    char name[TIDE_NAME_MAX];
    _Atomic uint32_t round, made, failed, entered;
    _Atomic int32_t error;    /* of one that failed */
    _Atomic uint64_t last_ns; /* when the last caller had it */
};

static struct {
    struct scene *scene;
    struct tide *d;
    uint32_t processes, threads, victims;
    struct bench_worker *others[PROCESSES_MAX + VICTIMS_MAX]; /* callers, then victims */
    uint32_t rows[ROWS];
} plan;

static int make_page(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size) {
    struct scene *s = ctx;
    (void)key, (void)key_len;
    atomic_fetch_add(&s->made, 1);
    bench_sleep_ns(MAKE_NS);
    memset(buf, 'p', buf_size);
    *value_size = buf_size;
    return 0;
}

static int make_never(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size) {
    struct scene *s = ctx;
    (void)key, (void)key_len, (void)buf, (void)buf_size, (void)value_size;
    atomic_fetch_add(&s->entered, 1);
    for (;;) {
        pause();
    }
    return 1; /* never: it is killed */
}

static size_t round_key(const struct scene *s, char key[32]) {
    return (size_t)snprintf(key, 32, "page %08u", atomic_load(&s->round));
}

/* ---- callers ----------------------------------------------------------------------------------------------------- */

/* Whoever fails goes on all the same: the others wait at the barrier. */
static void *call(void *domain) {
    struct scene *s = plan.scene;
    struct tide_reader *r = NULL;
    int error = tide_reader_open(domain, NULL, &r);
    for (;;) {
        pthread_barrier_wait(&s->barrier);
        struct tide_make_opts o = TIDE_MAKE_OPTS_INIT;
        char key[32], page[1024];
        o.wait_ns = WAIT_NS;
        size_t key_len = round_key(s, key);
        error =
            error != 0 ? error : tide_get_or_make(r, key, key_len, NULL, &o, make_page, s, page, sizeof(page), NULL);
        uint64_t now = bench_now_ns(), last = atomic_load(&s->last_ns);
        while (now > last && !atomic_compare_exchange_weak(&s->last_ns, &last, now)) {
        }
        if (error != 0) {
            atomic_fetch_add(&s->failed, 1);
            atomic_store(&s->error, error);
        }
        pthread_barrier_wait(&s->barrier);
    }
    return NULL; /* never: its process is killed */
}

/* The first order: the domain is there. */
static int run_callers(struct bench_worker *w, void *unused) {
    struct tide *d;
    (void)unused;
    bench_worker_order(w, 0);
    bench_must(tide_open(&d, plan.scene->name, NULL), "opening the domain");
    for (uint32_t i = 0; i < plan.threads; i++) {
        bench_thread(call, d);
    }
    return bench_worker_serve(w, ORDER_OPEN);
}

/* With the second order it begins to make its round's value, and is killed. */
static int run_victim(struct bench_worker *w, void *unused) {
    struct scene *s = plan.scene;
    struct tide *d;
    struct tide_reader *r;
    char key[32], page[1024];
    (void)unused;
    bench_worker_order(w, 0);
    bench_must(tide_open(&d, s->name, NULL), "opening the domain");
    bench_worker_done(w, ORDER_OPEN);
    bench_worker_order(w, ORDER_OPEN);
    bench_must(tide_reader_open(d, NULL, &r), "opening a reader");
    bench_must(tide_get_or_make(r, key, round_key(s, key), NULL, NULL, make_never, s, page, sizeof(page), NULL),
               "making a value");
    return 0;
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

/* All callers at once. */
static void let_them_call(void) {
    atomic_store(&plan.scene->made, 0);
    atomic_store(&plan.scene->last_ns, 0);
    pthread_barrier_wait(&plan.scene->barrier);
}

/* Returns how long after `from_ns` the last one had it. */
static double all_have_it(uint64_t from_ns) {
    struct scene *s = plan.scene;
    pthread_barrier_wait(&s->barrier);
    if (atomic_load(&s->failed) != 0) {
        bench_fail("%u callers got an error: %s", atomic_load(&s->failed), tide_strerror(atomic_load(&s->error)));
    }
    return (double)(atomic_load(&s->last_ns) - from_ns);
}

/* The maker is killed while the callers wait for it. */
static void with_a_kill(struct bench_worker *victim) {
    struct scene *s = plan.scene;
    atomic_fetch_add(&s->round, 1);
    atomic_store(&s->entered, 0);
    bench_worker_tell(victim, ORDER_MAKE);
    for (uint64_t begun = bench_now_ns(); atomic_load(&s->entered) == 0;) {
        bench_rest(1000000);
        if (bench_now_ns() - begun > WAIT_NS) {
            bench_fail("the maker that is to be killed does not begin within 30 s");
        }
    }
    let_them_call();
    bench_sleep_ns(SETTLE_NS);
    uint64_t from = bench_now_ns();
    bench_worker_end(victim);
    bench_set(plan.rows[ROW_KILLED_ALL], all_have_it(from));
    bench_set(plan.rows[ROW_KILLED_MADE], (double)atomic_load(&s->made));
}

static void repeat(void) {
    struct scene *s = plan.scene;
    atomic_fetch_add(&s->round, 1);
    uint64_t from = bench_now_ns();
    let_them_call();
    bench_set(plan.rows[ROW_ALL], all_have_it(from));
    bench_set(plan.rows[ROW_MADE], (double)atomic_load(&s->made));
    /* Once more: everybody finds it. */
    from = bench_now_ns();
    let_them_call();
    bench_set(plan.rows[ROW_HIT], all_have_it(from));
    if (bench->done < plan.victims) {
        with_a_kill(plan.others[plan.processes + bench->done]);
    }
}

static void add_rows(void) {
    const char *group = bench_text("%u callers in %u processes miss one key; making it takes 10 ms",
                                   plan.processes * plan.threads, plan.processes);
    plan.rows[ROW_MADE] = bench_row("make.made", group, "times it was made", "");
    plan.rows[ROW_ALL] = bench_row("make.all", group, "until all have it", "ns");
    plan.rows[ROW_HIT] = bench_row("make.hit", group, "the same when it is there", "ns");
    group = "the same, and the first maker is killed while they wait";
    plan.rows[ROW_KILLED_MADE] = bench_row("make.killed.made", group, "times it was made after that", "");
    plan.rows[ROW_KILLED_ALL] = bench_row("make.killed.all", group, "from kill -9 until all have it", "ns");
    bench_at_most("make.once", "callers who miss one key at once: times it is made", "", 1, plan.rows[ROW_MADE],
                  BENCH_NO_ROW);
    bench_at_most("make.killed", "and the maker is killed: times it is made after that", "", 1,
                  plan.rows[ROW_KILLED_MADE], BENCH_NO_ROW);
}

static void prepare(void) {
    struct tide_opts o = bench_setup_opts(BENCH_SETUP_OWN, 0, 0, 0);
    pthread_barrierattr_t shared;
    plan.processes = bench->quick ? 4 : PROCESSES_MAX;
    plan.threads = bench->quick ? 3 : THREADS_MAX;
    plan.victims = bench->repetitions < VICTIMS_MAX ? bench->repetitions : VICTIMS_MAX;
    add_rows();
    plan.scene = bench_share(sizeof(*plan.scene));
    bench_must_system(pthread_barrierattr_init(&shared) == 0 &&
                          pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED) == 0 &&
                          pthread_barrier_init(&plan.scene->barrier, &shared, plan.processes * plan.threads + 1) == 0,
                      "a barrier for the callers");
    bench_domain_name(NULL, plan.scene->name);
    for (uint32_t i = 0; i < plan.processes + plan.victims; i++) {
        plan.others[i] = bench_start(true, -1, i < plan.processes ? run_callers : run_victim, NULL);
    }
    plan.d = bench_domain(NULL, &o, 0);
    for (uint32_t i = 0; i < plan.processes + plan.victims; i++) {
        bench_worker_tell(plan.others[i], ORDER_OPEN);
    }
    for (uint32_t i = 0; i < plan.processes + plan.victims; i++) {
        bench_await(plan.others[i], ORDER_OPEN);
    }
}

BENCH_MAIN(
        .name = "make", .repetitions = 5,
        .about =
            "A thousand callers in forty processes ask for one key that is not there (tide_get_or_make). Counts how\n"
            "often its value is made, and measures the time until all have it; the same when the process that\n"
            "makes it is killed with SIGKILL while the others wait.\n")
