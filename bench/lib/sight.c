/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/sight.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "bench/lib/rng.h"
#include "bench/lib/setup.h"
#include "bench/lib/workload.h"
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
    bool process, third;
    struct bench_workload workload;
    uint32_t which; /* domain */
    char name[TIDE_NAME_MAX];
    struct bench_worker *worker; /* the follower's process, or the third thread, or both; NULL: neither */
    struct tide *domain;         /* of this process */
    struct tide_reader *reader;  /* of the writer's thread */
    struct hdr *times;           /* in shared memory: the third thread records there */
    uint64_t number;
    uint32_t order;
    /* Between writer and third thread. */
    _Alignas(128) _Atomic uint64_t wanted; /* number of the put that is to be seen; it says which key */
    _Alignas(128) _Atomic uint64_t seen;
};

static uint64_t key_of(uint64_t number) {
    return bench_mix64(number) % KEYS;
}

static void start_follower(struct tide *d) {
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    const struct bench_machine *m = &bench->machine;
    opts.id = (int32_t)FOLLOWER;
    opts.cpu = (int32_t)m->cpu_ids[1 % m->cpus];
    opts.spin_ns = SPIN_NS;
    bench_must(tide_replica_start(d, &opts, NULL), "starting the follower");
}

/* Whatever the follower has; or, with the session's fence, nothing older than what the session wrote: false where it has not come
 * so far. */
static bool look(const struct bench_sight *s, struct tide_reader *r, uint64_t key, struct stamp *stamp) {
    uint8_t value[VALUE];
    int rc = tide_get(r, bench_workload_key(&s->workload, key), s->workload.key_size, &bench_setup_any, value,
                      sizeof(value), NULL);
    bench_must(rc != TIDE_ERR_REFUSED ? rc : 0, "reading the follower");
    memcpy(stamp, value, sizeof(*stamp));
    return rc == 0;
}

/* ---- the reader beside the writer -------------------------------------------------------------------------------- */

static void see(struct bench_sight *s, struct tide *d, struct tide_reader *r, uint64_t wanted) {
    struct stamp stamp = { 0, 0 };
    while (!look(s, r, key_of(wanted), &stamp) || stamp.number != wanted) {
    }
    uint64_t now = tide_now(d);
    hdr_record(s->times, now > stamp.put_ns ? (int64_t)(now - stamp.put_ns) : 0);
    atomic_store(&s->seen, wanted);
}

static void see_all(struct bench_sight *s, struct bench_worker *w, struct tide *d, struct tide_reader *r) {
    uint64_t last = 0;
    for (uint32_t order = ORDER_FOLLOW;;) {
        order = bench_worker_order(w, order);
        while (order % 2 == 0 && bench_worker_peek(w) == order) {
            uint64_t wanted = atomic_load(&s->wanted);
            if (wanted != last) {
                see(s, d, r, wanted);
            }
            last = wanted;
        }
    }
}

/* In the follower's process, or (where it is a thread of ours) in the third thread. Both live until the program ends. */
static int worker_main(struct bench_worker *w, void *ctx) {
    struct bench_sight *s = ctx;
    struct tide_reader *r;
    bench_worker_order(w, 0);
    struct tide *d = s->domain; /* a process was forked when there was none */
    if (s->process) {
        bench_must(tide_open(&d, s->name, NULL), "opening the domain");
        start_follower(d);
    }
    if (!s->third) {
        return bench_worker_serve(w, ORDER_FOLLOW);
    }
    bench_must(bench_setup_reader(d, FOLLOWER, &r), "opening a reader");
    bench_worker_done(w, ORDER_FOLLOW);
    see_all(s, w, d, r);
    return 0;
}

/* ---- the writer -------------------------------------------------------------------------------------------------- */

static void rest(struct bench_sight *s, uint64_t ns) {
    uint64_t until = tide_now(s->domain) + ns;
    while (tide_now(s->domain) < until) {
        park_relax();
    }
}

/* Returns when it was called. */
static uint64_t put(struct bench_sight *s, struct tide_reader *session) {
    uint8_t value[VALUE] = { 0 };
    uint64_t key = key_of(s->number);
    struct stamp stamp = { s->number, tide_now(s->domain) };
    memcpy(value, &stamp, sizeof(stamp));
    bench_must(tide_put(s->domain, session, bench_workload_key(&s->workload, key), s->workload.key_size, value,
                        sizeof(value), NULL),
               "putting");
    return stamp.put_ns;
}

/* Now and then while a value is not seen: will it ever be? */
static void look_after(struct bench_sight *s, uint64_t put_ns) {
    char error[BENCH_ERROR_BYTES];
    bench_go_on();
    if (s->worker != NULL && !bench_worker_lives(s->worker, error)) {
        bench_fail("%s", error);
    }
    bench_must(tide_now(s->domain) - put_ns > PATIENCE_NS ? TIDE_ERR_TIMEOUT : 0, "waiting until a value is seen");
}

/* The writer's own thread asks the follower. */
static void put_and_look(struct bench_sight *s, enum bench_sight_way way) {
    struct stamp stamp = { 0, 0 };
    s->number++;
    uint64_t put_ns = put(s, way == BENCH_SIGHT_FENCE ? s->reader : NULL);
    for (uint32_t looks = 1; way != BENCH_SIGHT_RETURN; looks++) {
        if (look(s, s->reader, key_of(s->number), &stamp) && stamp.number == s->number) {
            break;
        }
        if (looks % 65536 == 0) {
            look_after(s, put_ns);
        }
    }
    uint64_t now = tide_now(s->domain);
    hdr_record(s->times, now > put_ns ? (int64_t)(now - put_ns) : 0);
}

/* Another thread sees it. Where there are not enough CPUs for it, it gets ours. */
static void put_and_wait(struct bench_sight *s) {
    bool share = bench->machine.cpus < 3;
    atomic_store(&s->wanted, ++s->number);
    rest(s, 500); /* until it looks for this one */
    uint64_t put_ns = put(s, NULL);
    for (uint32_t looks = 1; atomic_load(&s->seen) != s->number; looks++) {
        if (share) {
            sched_yield();
        }
        if (looks % 1024 == 0) {
            look_after(s, put_ns);
        }
    }
}

const struct hdr *bench_sight_measure(struct bench_sight *s, enum bench_sight_way way, uint64_t rest_ns,
                                      uint64_t duration_ns) {
    uint64_t n = 0, warm = 20;
    bench_machine_pin(&bench->machine, 0);
    if (s->third) {
        bench_worker_tell(s->worker, s->order++);
    }
    for (uint64_t until = tide_now(s->domain) + duration_ns; n < 2 * warm || tide_now(s->domain) < until;) {
        if (n++ == warm) {
            hdr_reset(s->times); /* the third thread waits for the next put: nobody else writes now */
        }
        if (s->third) {
            put_and_wait(s);
        } else {
            put_and_look(s, way);
        }
        rest(s, rest_ns);
        bench_go_on();
    }
    if (s->third) {
        bench_worker_tell(s->worker, s->order++); /* it sleeps between slices */
    }
    return s->times;
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

struct bench_sight *bench_sight_start(bool process, enum bench_sight_reader reader) {
    static uint32_t domains;
    struct bench_options o = { .keys = KEYS, .key_size = 16, .value_size = VALUE, .seed = 1 };
    struct bench_sight *s = bench_share(sizeof(*s));
    s->process = process;
    s->third = reader == BENCH_SIGHT_THIRD;
    s->order = ORDER_FIRST_SLICE;
    s->times = bench_share(hdr_size_bytes(1, HIGHEST_NS, 3));
    s->which = domains++;
    bench_domain_name(bench_text("%u", s->which), s->name);
    bench_must_system(bench_workload_init(&s->workload, &o, 1) == 0 && hdr_init(s->times, 1, HIGHEST_NS, 3) == 0,
                      "memory for keys and times");
    if (process) {
        s->worker = bench_start(true, s->third ? 2 : -1, worker_main, s);
    }
    return s;
}

void bench_sight_open(struct bench_sight *s) {
    struct tide_opts opts = bench_setup_opts(BENCH_SETUP_OWN, KEYS, UINT64_C(1) << 20, UINT64_C(8) << 20);
    struct tide_token last = { 0, 0 };
    bench_machine_unpin(&bench->machine); /* the engine's threads run where the system likes, except the follower's */
    s->domain = bench_domain(bench_text("%u", s->which), &opts, 0);
    bench_must(bench_setup_fill(s->domain, &s->workload, &bench_stop, &last), "filling the domain");
    if (!s->process) {
        start_follower(s->domain);
    }
    if (!s->process && s->third) {
        s->worker = bench_start(false, 2, worker_main, s);
    }
    if (s->worker != NULL) {
        bench_worker_tell(s->worker, ORDER_FOLLOW);
        bench_await(s->worker, ORDER_FOLLOW);
    }
    bench_must(bench_setup_reader(s->domain, FOLLOWER, &s->reader), "opening a reader");
}
