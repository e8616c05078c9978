/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/pauses.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>

#include "bench/lib/program.h"
#include "bench/lib/rng.h"
#include "bench/lib/setup.h"

#define KEY_SIZE 16u
#define VALUE_SIZE 64u
#define VALUE_MAX 128u /* of other sizes: as many bytes on average */
#define WORK_NS UINT64_C(400000000)
#define CONTROL_NS UINT64_C(100000000)
#define NAP_NS UINT64_C(30000)     /* the writer's: several writes at a time, as the timer is coarser than the rate */
#define BEHIND_NS UINT64_C(500000) /* writes that fell due while it was away for longer than this are dropped */
#define CONTROL_STEPS 64u          /* some 200 ns: about a read's time */
#define FOLLOWER 1u

/* The four kinds of work: growing, overwriting with the same size, overwriting with other sizes, deleting. The
 * phases after them do not touch the table. */
enum phase { PHASE_GROW, PHASE_STEADY, PHASE_SHIFT, PHASE_SHRINK, PHASE_WAIT, PHASE_CONTROL, PHASE_STOP };

static bool is_work(uint32_t phase) {
    return phase < PHASE_WAIT;
}

static void record(struct pauses *p, enum pauses_kind kind, uint64_t ns) {
    hdr_record(p->times[kind], (int64_t)ns);
    p->slow[kind] += ns > PAUSES_SLOW_NS;
}

/* Arithmetic and looks at the clock, as long as it is this phase. */
static void control_loop(struct pauses *p, enum pauses_kind kind) {
    uint64_t x = 1, start = clock_stamp(&p->clock), before = start;
    while (atomic_load(&p->phase) == PHASE_CONTROL) {
        for (unsigned i = 0; i < CONTROL_STEPS; i++) {
            x = bench_mix64(x);
        }
        __asm__ volatile("" ::"r"(x));
        uint64_t now = clock_stamp(&p->clock);
        record(p, kind, now - before);
        before = now;
    }
    p->ns[kind] += before - start;
}

/* ---- the reader -------------------------------------------------------------------------------------------------- */

struct reading {
    struct pauses *p;
    struct tide_reader *session;
    struct bench_rng rng;
    uint64_t index; /* the follower's, as last seen */
};

static void read_once(struct reading *g, uint32_t phase, struct tide_answer *a) {
    uint64_t key[2], value[VALUE_MAX / 8], below = g->index < g->p->keys ? g->index : g->p->keys;
    bench_key(key, below > 0 ? bench_rng_below(&g->rng, below) : 0);
    int rc = tide_get(g->session, key, sizeof(key), &bench_setup_any, value, sizeof(value), a);
    bench_must(rc == TIDE_ERR_NOT_FOUND && (below == 0 || phase == PHASE_SHRINK) ? 0 : rc, "reading");
}

/* Reads as long as it is this phase. Key k has index k + 1, so all keys below the index seen last are there. */
static void read_loop(struct reading *g, uint32_t phase) {
    struct pauses *p = g->p;
    enum pauses_kind apply = PAUSES_APPLY + 2 * phase, read = PAUSES_READ + 2 * phase;
    struct tide_answer a = TIDE_ANSWER_INIT;
    uint64_t start = clock_stamp(&p->clock), before = start;
    uint64_t moved = start; /* when apply was last known not to stand still */
    while (atomic_load(&p->phase) == phase) {
        read_once(g, phase, &a);
        uint64_t now = clock_stamp(&p->clock);
        record(p, read, now - before);
        if (now - before > PAUSES_AWAY_NS) {
            p->away++;
            moved = now;
        } else if (a.index > g->index) {
            record(p, apply, now - moved);
            moved = now;
        } else if (a.index >= a.commit_index) {
            moved = now; /* nothing to apply */
        }
        g->index = a.index;
        before = now;
    }
    p->ns[read] += before - start;
    p->ns[apply] += before - start;
}

static void *reader_main(void *arg) {
    struct pauses *p = arg;
    struct reading g = { .p = p };
    bench_machine_pin(&bench->machine, 0);
    bench_rng_init(&g.rng, 1);
    bench_must(bench_setup_reader(p->d, FOLLOWER, &g.session), "opening a reader");
    for (uint32_t phase; (phase = atomic_load(&p->phase)) != PHASE_STOP;) {
        if (is_work(phase)) {
            read_loop(&g, phase);
        } else if (phase == PHASE_CONTROL) {
            control_loop(p, PAUSES_CONTROL);
        } else {
            bench_sleep_ns(NAP_NS);
        }
    }
    tide_reader_close(g.session);
    return NULL;
}

/* ---- the writer -------------------------------------------------------------------------------------------------- */

static void write_once(struct pauses *p, uint32_t phase, uint64_t n, struct bench_rng *rng) {
    uint64_t key[2], value[VALUE_MAX / 8] = { n };
    if (phase == PHASE_SHRINK) {
        bench_key(key, p->deleted++);
        bench_must(tide_delete(p->d, NULL, key, sizeof(key), NULL), "deleting");
        return;
    }
    bench_key(key, n < p->keys ? n : bench_rng_below(rng, p->keys));
    size_t size = phase == PHASE_SHIFT ? bench_rng_below(rng, VALUE_MAX + 1) : VALUE_SIZE;
    int rc = tide_put(p->d, NULL, key, sizeof(key), value, size, NULL);
    bool refused = phase == PHASE_SHIFT && rc == TIDE_ERR_FULL;
    p->refused += refused;
    bench_must(refused ? 0 : rc, "putting");
}

static bool has_more(const struct pauses *p, uint32_t phase, uint64_t written) {
    return phase == PHASE_GROW ? written < p->keys : phase != PHASE_SHRINK || p->deleted < p->keys;
}

/* Writes at the rate as long as it is this phase, and until all keys are there where it grows. */
static void write_loop(struct pauses *p, uint32_t phase, struct bench_rng *rng) {
    uint64_t start = clock_stamp(&p->clock), base = start, done = 0, written = atomic_load(&p->written);
    while (atomic_load(&p->phase) == phase) {
        uint64_t now = clock_stamp(&p->clock);
        uint64_t due = (now - base) * p->rate / UINT64_C(1000000000);
        if (due > done + BEHIND_NS * p->rate / UINT64_C(1000000000)) {
            base = now;
            done = due = 0;
        }
        for (; done < due && has_more(p, phase, written); done++) {
            write_once(p, phase, written++, rng);
        }
        atomic_store(&p->written, written);
        if (phase == PHASE_GROW && written == p->keys) {
            p->growing_ns += now - start;
            while (atomic_load(&p->phase) == phase) {
                bench_sleep_ns(NAP_NS); /* the slice goes on, but the table does not grow any more */
            }
            return;
        }
        bench_sleep_ns(NAP_NS);
    }
    p->growing_ns += phase == PHASE_GROW ? clock_stamp(&p->clock) - start : 0;
}

static void *writer_main(void *arg) {
    struct pauses *p = arg;
    struct bench_rng rng;
    prctl(PR_SET_TIMERSLACK, 1ul);
    bench_machine_pin(&bench->machine, 1);
    bench_rng_init(&rng, 2);
    for (uint32_t phase; (phase = atomic_load(&p->phase)) != PHASE_STOP;) {
        if (is_work(phase)) {
            write_loop(p, phase, &rng);
        } else if (phase == PHASE_CONTROL) {
            control_loop(p, PAUSES_CONTROL_WRITER);
        } else {
            bench_sleep_ns(NAP_NS);
        }
    }
    return NULL;
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static void slice(struct pauses *p, uint32_t phase) {
    atomic_store(&p->phase, PHASE_CONTROL);
    bench_rest(CONTROL_NS);
    atomic_store(&p->phase, phase);
    for (uint64_t until = bench_now_ns() + WORK_NS; bench_now_ns() < until;) {
        if (phase == PHASE_GROW && atomic_load(&p->written) >= p->keys) {
            break;
        }
        bench_rest(5000000);
    }
}

static void run_phases(struct pauses *p) {
    uint64_t slices = 0;
    for (; atomic_load(&p->written) < p->keys; slices++) {
        bench_progress("%.0f %% of the keys", 100.0 * (double)atomic_load(&p->written) / (double)p->keys);
        slice(p, PHASE_GROW);
    }
    for (uint32_t phase = PHASE_STEADY; phase <= PHASE_SHRINK; phase++) {
        for (uint64_t i = 0; i < slices / 4 + 1; i++) {
            slice(p, phase);
        }
    }
    atomic_store(&p->phase, PHASE_STOP);
}

static void open_all(struct pauses *p) {
    const struct bench_machine *m = &bench->machine;
    struct tide_opts opts =
        bench_setup_opts(BENCH_SETUP_OWN, 0, 0, (UINT64_C(32) << 20) + p->keys * (KEY_SIZE + VALUE_SIZE + 80));
    opts.slow_follower_ns = UINT64_C(10000000000); /* the follower is measured: it must not be lapped */
    p->d = bench_domain(NULL, &opts, 0);
    /* The reader has a CPU of its own; the follower shares the writer's where there is no third one. */
    int32_t cpu = m->cpus > 1 ? (int32_t)m->cpu_ids[m->cpus > 2 ? 2 : 1] : -1;
    bench_must(bench_setup_start(p->d, FOLLOWER, cpu), "starting the follower");
}

void bench_pauses_run(struct pauses *p, uint64_t keys, uint64_t rate) {
    memset(p, 0, sizeof(*p));
    p->keys = keys;
    p->rate = rate;
    atomic_store(&p->phase, PHASE_WAIT);
    for (int k = 0; k < PAUSES_KINDS; k++) {
        p->times[k] = bench_hdr();
    }
    clock_init(&p->clock);
    open_all(p);
    pthread_t reader = bench_thread(reader_main, p), writer = bench_thread(writer_main, p);
    run_phases(p);
    pthread_join(writer, NULL);
    pthread_join(reader, NULL);
    p->writes_per_s = bench_ratio((double)keys * 1e9, (double)p->growing_ns);
    /* One row for the machine. */
    hdr_add(p->times[PAUSES_CONTROL], p->times[PAUSES_CONTROL_WRITER]);
    p->slow[PAUSES_CONTROL] += p->slow[PAUSES_CONTROL_WRITER];
    p->ns[PAUSES_CONTROL] += p->ns[PAUSES_CONTROL_WRITER];
}

void bench_pauses_destroy(struct pauses *p) {
    tide_close(p->d);
    for (int k = 0; k < PAUSES_KINDS; k++) {
        hdr_free(p->times[k]);
    }
}

double bench_pauses_slow(const struct pauses *p, enum pauses_kind kind) {
    return bench_ratio((double)p->slow[kind] * 1e10, (double)p->ns[kind]);
}
