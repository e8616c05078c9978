/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/sight.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/rng.h"
#include "bench/lib/setup.h"
#include "bench/lib/workload.h"
#include "bench/lib/worker.h"
#include "shm/hdr.h"
#include "shm/park.h"

#define KEYS 1000u
#define VALUE 64u
#define FOLLOWER 1u
/* Above the rest between two puts where the follower is to spin, below it where it is to sleep. */
#define SPIN_NS UINT64_C(20000)
#define HIGHEST_NS INT64_C(10000000000)
#define PATIENCE_NS UINT64_C(10000000000) /* for one value: then something is broken */

/* To the third thread: even orders are slices, odd ones mean that it is to sleep until the next. */
enum { ORDER_FOLLOW = 1, ORDER_FIRST_SLICE = 2 };

/* First bytes of every value. */
struct stamp {
    uint64_t number; /* of the put */
    uint64_t put_ns; /* domain clock, at its call */
};

struct bench_sight {
    struct bench_program *p;
    bool process, third;
    struct bench_workload workload;
    char name[TIDE_NAME_MAX];
    struct bench_worker *worker; /* the follower's process, or the third thread, or both; NULL: neither */
    struct tide *domain;         /* of this process */
    struct tide_reader *reader;  /* of the writer's thread */
    struct hdr *times;           /* in shared memory: the third thread records there */
    size_t times_bytes;
    uint64_t number;
    uint32_t order;
    /* Between writer and third thread. */
    _Alignas(128) _Atomic uint64_t wanted; /* number of the put that is to be seen; it says which key */
    _Alignas(128) _Atomic uint64_t seen;
    _Atomic uint32_t over;
};

static uint64_t key_of(uint64_t number) {
    return bench_mix64(number) % KEYS;
}

static int start_follower(const struct bench_sight *s, struct tide *d) {
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    const struct bench_machine *m = &s->p->machine;
    opts.id = (int32_t)FOLLOWER;
    opts.cpu = (int32_t)m->cpu_ids[1 % m->cpus];
    opts.spin_ns = SPIN_NS;
    return tide_replica_start(d, &opts, NULL);
}

/* Whatever the follower has; or, with the session's fence, nothing older than what the session wrote. */
static int look(const struct bench_sight *s, struct tide_reader *r, uint64_t key, struct stamp *stamp) {
    struct tide_bound bound = { .size = sizeof(bound),
                                .fallback = TIDE_FALLBACK_ERROR,
                                .max_staleness_ns = TIDE_UNBOUNDED,
                                .max_lag = TIDE_UNBOUNDED };
    uint8_t value[VALUE];
    int rc =
        tide_get(r, bench_workload_key(&s->workload, key), s->workload.key_size, &bound, value, sizeof(value), NULL);
    memcpy(stamp, value, sizeof(*stamp));
    return rc;
}

/* ---- the reader beside the writer -------------------------------------------------------------------------------- */

static int see(struct bench_sight *s, struct tide *d, struct tide_reader *r, uint64_t wanted) {
    struct stamp stamp = { 0, 0 };
    do {
        int rc = look(s, r, key_of(wanted), &stamp);
        if (rc != 0) {
            return rc;
        }
        if (atomic_load(&s->over) != 0) {
            return 0; /* the writer gave up: it will not come any more */
        }
    } while (stamp.number != wanted);
    uint64_t now = tide_now(d);
    hdr_record(s->times, now > stamp.put_ns ? (int64_t)(now - stamp.put_ns) : 0);
    atomic_store(&s->seen, wanted);
    return 0;
}

static int see_all(struct bench_sight *s, struct bench_worker *w, struct tide *d, struct tide_reader *r) {
    uint32_t order = ORDER_FOLLOW;
    uint64_t last = 0;
    for (;;) {
        order = bench_worker_order(w, order);
        if (order == BENCH_ORDER_END) {
            return 0;
        }
        while (order % 2 == 0 && bench_worker_peek(w) == order) {
            uint64_t wanted = atomic_load(&s->wanted);
            int rc = wanted != last ? see(s, d, r, wanted) : 0;
            if (rc != 0) {
                return rc;
            }
            last = wanted;
        }
    }
}

/* In the follower's process, or (where it is a thread of ours) in the third thread. */
static int worker_main(struct bench_worker *w, void *ctx) {
    struct bench_sight *s = ctx;
    struct tide *d = s->domain; /* a process was forked when there was none */
    struct tide_reader *r = NULL;
    bench_worker_what(w, "opening the domain");
    uint32_t order = bench_worker_order(w, 0);
    if (order == BENCH_ORDER_END) {
        return 0;
    }
    int rc = s->process ? tide_open(&d, s->name, NULL) : 0;
    bench_worker_what(w, "starting the follower");
    rc = rc == 0 && s->process ? start_follower(s, d) : rc;
    rc = rc == 0 && s->third ? bench_setup_reader(d, FOLLOWER, &r) : rc;
    if (rc != 0) {
        return rc;
    }
    bench_worker_done(w, ORDER_FOLLOW);
    bench_worker_what(w, "reading");
    if (s->third) {
        rc = see_all(s, w, d, r);
        tide_reader_close(r);
        return rc;
    }
    while (bench_worker_order(w, order) != BENCH_ORDER_END) {
    }
    return 0;
}

/* ---- the writer -------------------------------------------------------------------------------------------------- */

static int failed(struct bench_sight *s, const char *what, int code) {
    return bench_program_failed(s->p, "%s: %s", what, tide_strerror(code));
}

static void rest(struct bench_sight *s, uint64_t ns) {
    uint64_t until = tide_now(s->domain) + ns;
    while (tide_now(s->domain) < until) {
        park_relax();
    }
}

static int put(struct bench_sight *s, struct tide_reader *session, uint64_t *put_ns) {
    uint8_t value[VALUE] = { 0 };
    uint64_t key = key_of(s->number);
    struct stamp stamp = { s->number, tide_now(s->domain) };
    memcpy(value, &stamp, sizeof(stamp));
    *put_ns = stamp.put_ns;
    return tide_put(s->domain, session, bench_workload_key(&s->workload, key), s->workload.key_size, value,
                    sizeof(value), NULL);
}

/* Will the value never be seen? Then p->error says why. */
static bool gave_up(struct bench_sight *s, uint64_t put_ns) {
    if (s->worker != NULL && !bench_worker_lives(s->worker, s->p->error)) {
        return true;
    }
    if (tide_now(s->domain) - put_ns > PATIENCE_NS) {
        failed(s, "waiting until a value is seen", TIDE_ERR_TIMEOUT);
        return true;
    }
    return false;
}

/* The writer's own thread asks the follower. */
static int put_and_look(struct bench_sight *s, enum bench_sight_way way) {
    struct stamp stamp = { 0, 0 };
    uint64_t put_ns, now = 0;
    s->number++;
    int rc = put(s, way == BENCH_SIGHT_FENCE ? s->reader : NULL, &put_ns);
    if (rc == 0 && way != BENCH_SIGHT_RETURN) {
        uint32_t looks = 0;
        do {
            rc = look(s, s->reader, key_of(s->number), &stamp);
            if (++looks % 65536 == 0 && (bench_stop || gave_up(s, put_ns))) {
                return bench_stop ? 1 : -1;
            }
        } while (rc == TIDE_ERR_REFUSED || (rc == 0 && stamp.number != s->number));
    }
    now = tide_now(s->domain);
    hdr_record(s->times, now > put_ns ? (int64_t)(now - put_ns) : 0);
    return rc != 0 ? failed(s, "putting and reading", rc) : 0;
}

/* Another thread sees it. Where there are not enough CPUs for it, it gets ours. */
static int put_and_wait(struct bench_sight *s) {
    bool share = s->p->machine.cpus < 3;
    uint64_t put_ns;
    atomic_store(&s->wanted, ++s->number);
    rest(s, 500); /* until it looks for this one */
    int rc = put(s, NULL, &put_ns);
    if (rc != 0) {
        return failed(s, "putting", rc);
    }
    for (uint32_t looks = 1; atomic_load(&s->seen) != s->number; looks++) {
        if (share) {
            sched_yield();
        }
        if (looks % 1024 == 0 && (bench_stop || gave_up(s, put_ns))) {
            return bench_stop ? 1 : -1;
        }
    }
    return 0;
}

int bench_sight_measure(struct bench_sight *s, enum bench_sight_way way, uint64_t rest_ns, uint64_t duration_ns,
                        const struct hdr **times) {
    bench_machine_pin(&s->p->machine, 0);
    if (s->third) {
        bench_worker_tell(s->worker, s->order++);
    }
    int rc = 0;
    uint64_t n = 0, warm = 20;
    for (uint64_t until = tide_now(s->domain) + duration_ns;
         rc == 0 && (n < 2 * warm || tide_now(s->domain) < until);) {
        if (n++ == warm) {
            hdr_reset(s->times); /* the third thread waits for the next put: nobody else writes now */
        }
        rc = bench_stop ? 1 : s->third ? put_and_wait(s) : put_and_look(s, way);
        rest(s, rest_ns);
    }
    if (s->third) {
        bench_worker_tell(s->worker, s->order++); /* it sleeps between slices */
    }
    if (rc == 0 && s->worker != NULL && !bench_worker_lives(s->worker, s->p->error)) {
        rc = -1;
    }
    *times = s->times;
    return rc;
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

struct bench_sight *bench_sight_start(struct bench_program *p, bool process, enum bench_sight_reader reader) {
    static uint32_t domains;
    struct bench_options o = { .keys = KEYS, .key_size = 16, .value_size = VALUE, .seed = 1 };
    struct bench_sight *s = bench_shared_map(sizeof(*s));
    if (s == NULL || bench_workload_init(&s->workload, &o, 1) != 0) {
        bench_shared_unmap(s, sizeof(*s));
        bench_program_failed(p, "no memory for keys");
        return NULL;
    }
    s->p = p;
    s->process = process;
    s->third = reader == BENCH_SIGHT_THIRD;
    s->order = ORDER_FIRST_SLICE;
    s->times_bytes = hdr_size_bytes(1, HIGHEST_NS, 3);
    s->times = bench_shared_map(s->times_bytes);
    snprintf(s->name, sizeof(s->name), "visibility-%ld-%u", (long)getpid(), domains++);
    bool good = s->times != NULL && hdr_init(s->times, 1, HIGHEST_NS, 3) == 0;
    if (good && process) {
        s->worker = bench_worker_start(true, &p->machine, s->third ? 2 : -1, worker_main, s);
        good = s->worker != NULL;
    }
    if (!good) {
        bench_program_failed(p, "no memory, or no process to be had");
        bench_sight_end(s);
        return NULL;
    }
    return s;
}

static int start_third(struct bench_sight *s) {
    int rc = 0;
    if (!s->process && s->third) {
        s->worker = bench_worker_start(false, &s->p->machine, 2, worker_main, s);
        rc = s->worker == NULL ? bench_program_failed(s->p, "no thread to be had") : 0;
    }
    if (rc == 0 && s->worker != NULL) {
        bench_worker_tell(s->worker, ORDER_FOLLOW);
        rc = bench_worker_await(s->worker, ORDER_FOLLOW, &bench_stop, s->p->error);
    }
    return rc;
}

int bench_sight_open(struct bench_sight *s) {
    struct tide_opts opts = bench_setup_opts(BENCH_SETUP_OWN, KEYS, UINT64_C(1) << 20, UINT64_C(8) << 20);
    struct tide_token last = { 0, 0 };
    bench_machine_unpin(&s->p->machine); /* the engine's threads run where the system likes, except the follower's */
    int rc = tide_open(&s->domain, s->name, &opts);
    rc = rc != 0 ? rc : bench_setup_start(s->domain, 0, -1);
    rc = rc != 0 ? rc : bench_setup_fill(s->domain, &s->workload, &bench_stop, &last);
    rc = rc == 0 && !s->process ? start_follower(s, s->domain) : rc;
    if (rc != 0) {
        return failed(s, "setting the domain up", rc);
    }
    rc = start_third(s);
    if (rc != 0) {
        return rc;
    }
    rc = bench_setup_reader(s->domain, FOLLOWER, &s->reader);
    return rc != 0 ? failed(s, "opening a reader", rc) : 0;
}

void bench_sight_end(struct bench_sight *s) {
    if (s == NULL) {
        return;
    }
    atomic_store(&s->over, 1);
    bench_worker_end(s->worker);
    bench_reader_close(s->reader);
    bench_close(s->domain);
    bench_workload_destroy(&s->workload);
    bench_shared_unmap(s->times, s->times_bytes);
    bench_shared_unmap(s, sizeof(*s));
}
