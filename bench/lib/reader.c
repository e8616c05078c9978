/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a reader thread and the writer thread do. */
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "bench/lib/control.h"
#include "bench/lib/pace.h"
#include "bench/lib/team.h"
#include "shm/park.h"

#define BATCH 64u /* operations between two looks at the phase, where the sampling does not say otherwise */

static void thread_failed(struct bench_team *team, int code) {
    int none = 0;
    atomic_compare_exchange_strong(&team->error, &none, code);
}

/* One read of the next key. 0, or -1 when the thread must end. */
static inline int read_one(struct bench_reader *r) {
    const struct bench_workload *w = r->team->workload;
    struct tide_answer answer;
    answer.size = sizeof(answer);
    const uint8_t *key = bench_workload_key(w, r->sequence[r->step++ & (w->steps - 1)]);
    int rc = tide_get(r->session, key, w->key_size, &r->team->bound, r->buf, w->value_size, &answer);
    if (__builtin_expect(rc != 0, 0)) {
        if (rc != TIDE_ERR_REFUSED && rc != TIDE_ERR_TIMEOUT) {
            thread_failed(r->team, rc);
            return -1;
        }
        r->refused++;
        return 0;
    }
    r->reads++;
    r->sum += r->buf[0] + answer.index;
    return 0;
}

static int read_closed(struct bench_reader *r, uint32_t phase) {
    struct bench_team *team = r->team;
    uint32_t sample = team->options->sample;
    uint32_t batch = sample != 0 ? sample : BATCH;
    while (atomic_load(&team->phase) == phase) {
        uint32_t i = 0;
        if (sample != 0) {
            uint64_t before = tide_now(r->domain);
            if (read_one(r) != 0) {
                return -1;
            }
            hdr_record(r->latency, (int64_t)bench_pace_latency(before, tide_now(r->domain)));
            i = 1;
        }
        for (; i < batch; i++) {
            /* A large --sample must not keep a slow thread from seeing the phase change. */
            if ((i & (BATCH - 1)) == BATCH - 1 && atomic_load(&team->phase) != phase) {
                return 0;
            }
            if (read_one(r) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

static void schedule_of(struct bench_reader *r, struct bench_pace *pace) {
    struct bench_team *team = r->team;
    bench_pace_init(pace, team->options->open_rate, r->turn, team->count, atomic_load(&team->slice_base_ns));
}

static int read_open(struct bench_reader *r, uint32_t phase) {
    struct bench_team *team = r->team;
    struct bench_pace pace;
    uint64_t spin_ns = team->count <= team->machine->cpus ? BENCH_PACE_SPIN_ALWAYS : BENCH_PACE_SPIN_NS;
    schedule_of(r, &pace);
    while (atomic_load(&team->phase) == phase) {
        uint64_t due = bench_pace_due(&pace, r->next);
        uint64_t sleep_ns = 0;
        enum bench_pace_step step = bench_pace_next(tide_now(r->domain), due, spin_ns, &sleep_ns);
        if (step == BENCH_PACE_SLEEP) {
            bench_sleep_ns(sleep_ns < 5000000 ? sleep_ns : 5000000);
        } else if (step == BENCH_PACE_GO) {
            if (read_one(r) != 0) {
                return -1;
            }
            hdr_record(r->latency, (int64_t)bench_pace_latency(due, tide_now(r->domain)));
            r->next++;
        }
    }
    return 0;
}

/* Reads that were due and never started are the slowest of all: left out, an overload would look better than it is.
 * They count with the time that they had waited at the end: their true latency is at least that. */
static void count_overdue(struct bench_reader *r) {
    struct bench_pace pace;
    bench_pace_init(&pace, r->team->options->open_rate, r->turn, r->team->count, 0);
    uint64_t end_ns = atomic_load(&r->team->end_ns);
    for (uint64_t due = bench_pace_count(&pace, end_ns); r->next < due; r->next++) {
        hdr_record(r->latency, (int64_t)(end_ns - bench_pace_due(&pace, r->next)));
        r->overdue++;
    }
}

static void take_counts(struct bench_reader *r) {
    struct tide_read_counts now = { .size = sizeof(now) };
    tide_reader_counts(r->session, &now);
    for (unsigned i = 0; i < TIDE_REASONS; i++) {
        r->reasons[i] = now.by_reason[i] - r->before.by_reason[i];
    }
}

/* Reads that count for nothing: they bring table, code and sequence into the caches. */
static int warm_up(struct bench_reader *r, uint32_t phase) {
    while (atomic_load(&r->team->phase) == phase) {
        for (unsigned i = 0; i < BATCH; i++) {
            if (read_one(r) != 0) {
                return -1;
            }
        }
    }
    r->reads = 0;
    r->refused = 0;
    r->before.size = sizeof(r->before);
    tide_reader_counts(r->session, &r->before);
    return 0;
}

static void control_slice(struct bench_reader *r, uint32_t phase) {
    uint64_t x = r->sum;
    while (atomic_load(&r->team->phase) == phase) {
        x = bench_control(x);
        r->control_ops += BENCH_CONTROL_STEPS;
    }
    r->sum = x;
}

static int reader_phases(struct bench_reader *r) {
    int open = r->team->options->open_rate > 0.0;
    for (;;) {
        uint32_t phase = atomic_load(&r->team->phase);
        int rc = 0;
        switch (BENCH_PHASE_KIND(phase)) {
        case BENCH_WAIT:
            bench_sleep_ns(100000);
            break;
        case BENCH_WARM:
            rc = warm_up(r, phase);
            break;
        case BENCH_CONTROL:
            control_slice(r, phase);
            break;
        case BENCH_READ:
            rc = open ? read_open(r, phase) : read_closed(r, phase);
            break;
        case BENCH_STOP:
            if (open) {
                count_overdue(r);
            }
            take_counts(r);
            return 0;
        }
        if (rc != 0) {
            return rc;
        }
    }
}

void *bench_reader_main(void *arg) {
    struct bench_reader *r = arg;
    struct bench_team *team = r->team;
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    opts.policy = team->options->policy;
    opts.home = r->home;
    opts.replicas = team->options->reach_home ? UINT64_C(1) << r->home : 0;
    r->pinned = team->options->pin && bench_machine_pin(team->machine, r->turn) == 0;
    /* Else a timer may come 50 us late, which the open loop would count as latency. */
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    int rc = tide_reader_open(r->domain, &opts, &r->session);
    if (rc != 0) {
        thread_failed(team, rc);
        return NULL;
    }
    atomic_fetch_add(&team->ready, 1);
    reader_phases(r);
    tide_reader_close(r->session);
    r->session = NULL;
    return NULL;
}

/* Sleep until reading goes on. Returns the phase, or 0 at the end. */
static uint32_t await_read_slice(struct bench_team *team) {
    for (;;) {
        uint32_t phase = atomic_load(&team->phase);
        if (BENCH_PHASE_KIND(phase) == BENCH_READ) {
            return phase;
        }
        if (BENCH_PHASE_KIND(phase) == BENCH_STOP) {
            return 0;
        }
        park_wait(&team->phase, phase, UINT64_MAX);
    }
}

static int write_slice(struct bench_writer *wr, uint32_t phase, uint8_t *value) {
    struct bench_team *team = wr->team;
    const struct bench_workload *w = team->workload;
    double rate = team->options->write_rate;
    struct bench_pace pace;
    bench_pace_init(&pace, rate > 0.0 ? rate : 1e9, 0, 1, atomic_load(&team->slice_base_ns));
    while (atomic_load(&team->phase) == phase) {
        uint64_t now = rate > 0.0 ? tide_now(wr->domain) : 0;
        uint64_t due = rate > 0.0 ? bench_pace_due(&pace, wr->writes) : 0;
        if (now < due) {
            /* Never spins: on a machine without a core to spare that would take the readers' time. */
            bench_sleep_ns(due - now < 5000000 ? due - now : 5000000);
            continue;
        }
        uint64_t key = w->sequences[0][(wr->writes * 7 + 3) & (w->steps - 1)];
        bench_workload_value(w, key, wr->writes + 1, value);
        int rc = tide_put(wr->domain, NULL, bench_workload_key(w, key), w->key_size, value, w->value_size, NULL);
        if (rc != 0) {
            thread_failed(team, rc);
            return -1;
        }
        wr->writes++;
    }
    return 0;
}

void *bench_writer_main(void *arg) {
    struct bench_writer *wr = arg;
    struct bench_team *team = wr->team;
    uint8_t *value = malloc(team->workload->value_size + 8);
    if (value == NULL) {
        thread_failed(team, TIDE_ERR_NOMEM);
        return NULL;
    }
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    atomic_fetch_add(&team->ready, 1);
    uint32_t phase;
    while ((phase = await_read_slice(team)) != 0 && write_slice(wr, phase, value) == 0) {
    }
    free(value);
    return NULL;
}
