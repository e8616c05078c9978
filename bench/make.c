/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A thousand callers in forty processes miss one key: how often is its value made, and when do all have it? */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/program.h"
#include "bench/lib/setup.h"
#include "bench/lib/worker.h"

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
    _Atomic uint32_t round, over, made, failed, entered;
    _Atomic int32_t error;    /* of one that failed */
    _Atomic uint64_t last_ns; /* when the last caller had it */
};

struct plan {
    struct bench_program *p;
    struct scene *scene;
    struct tide *d;
    uint32_t processes, threads, victims;
    struct bench_worker *others[PROCESSES_MAX + VICTIMS_MAX]; /* callers, then victims */
    uint32_t rows[ROWS];
};

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
    while (atomic_load(&s->over) == 0) {
        pause();
    }
    return 1;
}

static size_t round_key(const struct scene *s, char key[32]) {
    return (size_t)snprintf(key, 32, "page %08u", atomic_load(&s->round));
}

/* ---- callers -------------------------------------------------------------------------------------------------------- */

struct process {
    struct scene *s;
    struct tide *d;
};

static void *call(void *process) {
    struct process *own = process;
    struct scene *s = own->s;
    struct tide_reader *r = NULL;
    int error = tide_reader_open(own->d, NULL, &r);
    for (;;) {
        pthread_barrier_wait(&s->barrier);
        if (atomic_load(&s->over) != 0) {
            break;
        }
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
    return NULL;
}

/* The first order: the domain is there. */
static int run_callers(struct bench_worker *w, void *ctx) {
    struct plan *plan = ctx;
    struct process own = { plan->scene, NULL };
    pthread_t threads[THREADS_MAX];
    bench_worker_order(w, 0);
    bench_worker_what(w, "starting callers");
    int rc = tide_open(&own.d, plan->scene->name, NULL);
    for (uint32_t i = 0; i < plan->threads && rc == 0; i++) {
        rc = pthread_create(&threads[i], NULL, call, &own) != 0 ? TIDE_ERR_SYSTEM : 0;
    }
    return rc != 0 ? rc : bench_worker_serve(w, ORDER_OPEN);
}

/* With the second order it begins to make its round's value, and is killed. */
static int run_victim(struct bench_worker *w, void *ctx) {
    struct scene *s = ((struct plan *)ctx)->scene;
    struct tide *d;
    struct tide_reader *r;
    char key[32], page[1024];
    bench_worker_order(w, 0);
    bench_worker_what(w, "making a value");
    int rc = tide_open(&d, s->name, NULL);
    if (rc == 0) {
        bench_worker_done(w, ORDER_OPEN);
        bench_worker_order(w, ORDER_OPEN);
        rc = tide_reader_open(d, NULL, &r);
    }
    return rc != 0 ? rc
                   : tide_get_or_make(r, key, round_key(s, key), NULL, NULL, make_never, s, page, sizeof(page), NULL);
}

static int fork_all(struct plan *plan) {
    for (uint32_t i = 0; i < plan->processes + plan->victims; i++) {
        plan->others[i] =
            bench_worker_start(true, &plan->p->machine, -1, i < plan->processes ? run_callers : run_victim, plan);
        if (plan->others[i] == NULL) {
            return bench_program_failed_errno(plan->p, "starting a process");
        }
    }
    return 0;
}

static int open_all(struct plan *plan) {
    int rc = 0;
    for (uint32_t i = 0; i < plan->processes + plan->victims; i++) {
        bench_worker_tell(plan->others[i], ORDER_OPEN);
    }
    for (uint32_t i = 0; i < plan->processes + plan->victims && rc == 0; i++) {
        rc = bench_worker_await(plan->others[i], ORDER_OPEN, &bench_stop, plan->p->error);
    }
    return rc;
}

/* ---- measuring ------------------------------------------------------------------------------------------------------ */

/* All callers at once; *from_ns: when they began, unless it is set later. */
static void let_them_call(struct plan *plan) {
    atomic_store(&plan->scene->made, 0);
    atomic_store(&plan->scene->last_ns, 0);
    pthread_barrier_wait(&plan->scene->barrier);
}

static int all_have_it(struct plan *plan, uint32_t repetition, enum row made, enum row all, uint64_t from_ns) {
    struct scene *s = plan->scene;
    pthread_barrier_wait(&s->barrier);
    if (atomic_load(&s->failed) != 0) {
        return bench_program_failed(plan->p, "%u callers got an error: %s", atomic_load(&s->failed),
                                    tide_strerror(atomic_load(&s->error)));
    }
    bench_program_set(plan->p, plan->rows[made], repetition, (double)atomic_load(&s->made));
    bench_program_set(plan->p, plan->rows[all], repetition, (double)(atomic_load(&s->last_ns) - from_ns));
    return 0;
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    struct plan *plan = ctx;
    struct scene *s = plan->scene;
    atomic_fetch_add(&s->round, 1);
    uint64_t from = bench_now_ns();
    let_them_call(plan);
    int rc = all_have_it(plan, repetition, ROW_MADE, ROW_ALL, from);
    /* Once more: everybody finds it. */
    from = bench_now_ns();
    let_them_call(plan);
    pthread_barrier_wait(&s->barrier);
    bench_program_set(p, plan->rows[ROW_HIT], repetition, (double)(atomic_load(&s->last_ns) - from));
    if (rc != 0 || repetition >= plan->victims) {
        return rc;
    }
    atomic_fetch_add(&s->round, 1);
    atomic_store(&s->entered, 0);
    struct bench_worker **victim = &plan->others[plan->processes + repetition];
    bench_worker_tell(*victim, ORDER_MAKE);
    for (uint64_t begun = bench_now_ns(); atomic_load(&s->entered) == 0;) {
        bench_sleep_ns(1000000);
        if (bench_now_ns() - begun > WAIT_NS) {
            return bench_program_failed(p, "the maker that is to be killed does not begin");
        }
    }
    let_them_call(plan);
    bench_sleep_ns(SETTLE_NS);
    from = bench_now_ns();
    bench_worker_end(*victim);
    *victim = NULL;
    return all_have_it(plan, repetition, ROW_KILLED_MADE, ROW_KILLED_ALL, from);
}

static void add_rows(struct plan *plan) {
    struct bench_program *p = plan->p;
    char group[120];
    snprintf(group, sizeof(group), "%u callers in %u processes miss one key; making it takes 10 ms",
             plan->processes * plan->threads, plan->processes);
    plan->rows[ROW_MADE] = bench_program_row(p, "make.made", group, "times it was made", "");
    plan->rows[ROW_ALL] = bench_program_row(p, "make.all", group, "until all have it", "ns");
    plan->rows[ROW_HIT] = bench_program_row(p, "make.hit", group, "the same when it is there", "ns");
    snprintf(group, sizeof(group), "the same, and the first maker is killed while they wait");
    plan->rows[ROW_KILLED_MADE] = bench_program_row(p, "make.killed.made", group, "times it was made after that", "");
    plan->rows[ROW_KILLED_ALL] = bench_program_row(p, "make.killed.all", group, "from kill -9 until all have it", "ns");
    bench_program_bar(p, "make.once", "callers who miss one key at once: times it is made", "", BENCH_AT_MOST, 1,
                      plan->rows[ROW_MADE], BENCH_NO_ROW);
    bench_program_bar(p, "make.killed", "and the maker is killed: times it is made after that", "", BENCH_AT_MOST, 1,
                      plan->rows[ROW_KILLED_MADE], BENCH_NO_ROW);
}

static int prepare(struct plan *plan) {
    struct bench_program *p = plan->p;
    pthread_barrierattr_t shared;
    plan->scene = bench_shared_map(sizeof(*plan->scene));
    if (plan->scene == NULL || pthread_barrierattr_init(&shared) != 0 ||
        pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED) != 0 ||
        pthread_barrier_init(&plan->scene->barrier, &shared, plan->processes * plan->threads + 1) != 0) {
        return bench_program_failed_errno(p, "memory for the callers");
    }
    bench_program_domain_name(p, plan->scene->name);
    int rc = fork_all(plan);
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags |= TIDE_EPHEMERAL;
    rc = rc != 0 ? rc : bench_program_domain(p, &plan->d, &o, false);
    return rc != 0 ? rc : open_all(plan);
}

static void end_all(struct plan *plan, int rc) {
    if (rc == 0) {
        atomic_store(&plan->scene->over, 1);
        pthread_barrier_wait(&plan->scene->barrier);
    }
    for (uint32_t i = 0; i < plan->processes + plan->victims; i++) {
        bench_worker_end(plan->others[i]);
    }
    bench_close(plan->d);
}

int main(int argc, char **argv) {
    static struct bench_program p = {
        .name = "make",
        .about =
            "A thousand callers in forty processes ask for one key that is not there (tide_get_or_make). Counts how\n"
            "often its value is made, and measures the time until all have it; the same when the process that\n"
            "makes it is killed with SIGKILL while the others wait.\n",
        .repetitions = 5,
    };
    static struct plan plan = { .p = &p };
    int code;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    plan.processes = p.quick ? 4 : PROCESSES_MAX;
    plan.threads = p.quick ? 3 : THREADS_MAX;
    plan.victims = p.repetitions < VICTIMS_MAX ? p.repetitions : VICTIMS_MAX;
    add_rows(&plan);
    int rc = prepare(&plan);
    rc = rc != 0 ? rc : bench_program_repeat(&p, one_repetition, &plan);
    end_all(&plan, rc);
    return bench_program_end(&p, rc);
}
