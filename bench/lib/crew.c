/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/crew.h"

#include <stdio.h>

#include "bench/lib/child.h"
#include "bench/lib/setup.h"
#include "bench/lib/worker.h"

#define LOOK_EVERY_NS UINT64_C(200000) /* at the children, while waiting for one of them */
#define BLAME_NS UINT64_C(300000000)
#define REST_NS UINT64_C(10000000000) /* how long a child may take to close its replica */

enum order { ORDER_SERVE = 1, ORDER_READ };

struct member {
    struct bench_crew *crew;
    struct bench_worker *worker;
    uint32_t replica;
    int reader; /* it has no replica of its own, and reads that one */
    struct tide_token filled;
};

struct bench_crew {
    const struct bench_trial_setup *setup;
    struct bench_team *team;
    char *error;
    uint32_t count;
    struct member members[2 * TIDE_REPLICAS];
};

/* ---- in the child ------------------------------------------------------------------------------------------------ */

static int serve(struct member *m, struct bench_worker *w, struct tide **d) {
    static const volatile sig_atomic_t never = 0; /* whoever stops the coordinator makes it kill this process */
    const struct bench_trial_setup *setup = m->crew->setup;
    bench_worker_what(w, "opening the domain");
    int rc = bench_setup_open(d, setup, 0);
    if (rc == 0 && !m->reader) {
        bench_worker_what(w, bench_setup_replica_text(m->replica));
        rc = bench_setup_replica(*d, setup->options, m->replica);
    }
    if (rc == 0 && !m->reader && m->replica == 0) {
        bench_worker_what(w, "filling");
        rc = bench_setup_fill(*d, setup->workload, &never, &m->filled);
    }
    return rc;
}

static int run_threads(struct member *m, struct bench_worker *w, struct tide *d) {
    const struct bench_trial_setup *setup = m->crew->setup;
    struct bench_squad squad = {
        .team = m->crew->team,
        .domain = d,
        .first = m->replica,
        .stride = setup->replicas,
        .homes_n = setup->replicas,
        .reads = m->reader == setup->options->read_foreign,
        .writes = m->replica == 0 && !m->reader,
    };
    bench_worker_what(w, "starting threads");
    int rc = bench_squad_start(&squad);
    if (rc == 0) {
        bench_squad_join(&squad);
    }
    return rc; /* after an error the process ends, and its threads with it */
}

static int member_main(struct bench_worker *w, void *ctx) {
    struct member *m = ctx;
    struct tide *d = NULL;
    int rc = 0;
    uint32_t order = 0;
    while (rc == 0 && (order = bench_worker_order(w, order)) != BENCH_ORDER_END) {
        rc = order == ORDER_SERVE ? serve(m, w, &d) : run_threads(m, w, d);
        if (rc == 0) {
            bench_worker_done(w, order);
        }
    }
    if (rc == 0 && d != NULL) {
        tide_close(d);
    }
    return rc;
}

/* ---- in the coordinator ------------------------------------------------------------------------------------------ */

/* 0; -1: it failed or died, and `error` says so. */
static int look_at(struct bench_crew *crew, struct member *m) {
    char text[BENCH_ERROR_BYTES];
    if (m->worker == NULL || bench_worker_lives(m->worker, text)) {
        return 0;
    }
    int code = bench_worker_code(m->worker);
    if (code != 0) {
        bench_worker_text(m->worker, text, sizeof(text));
        return bench_setup_failed(crew->error, crew->setup->replicas, text, code);
    }
    snprintf(crew->error, BENCH_ERROR_BYTES, "%u replicas: %.180s; the measurement was given up", crew->setup->replicas,
             text);
    return -1;
}

int bench_crew_look(struct bench_crew *crew) {
    for (uint32_t i = 0; i < crew->count; i++) {
        if (look_at(crew, &crew->members[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

int bench_crew_blame(struct bench_crew *crew) {
    uint64_t until = bench_now_ns() + BLAME_NS;
    while (bench_now_ns() < until) {
        if (bench_crew_look(crew) != 0) {
            return -1;
        }
        bench_sleep_ns(1000000);
    }
    return 0;
}

static void name_member(const struct member *m) {
    char who[80];
    snprintf(who, sizeof(who), "the process %s %u",
             m->reader         ? "that reads replica"
             : m->replica == 0 ? "of the leader, replica"
                               : "of replica",
             m->replica);
    bench_worker_call(m->worker, who);
}

struct bench_crew *bench_crew_start(const struct bench_trial_setup *setup, struct bench_team *team, char *error) {
    struct bench_crew *crew = bench_shared_map(sizeof(*crew));
    if (crew == NULL) {
        snprintf(error, BENCH_ERROR_BYTES, "no memory for the processes");
        return NULL;
    }
    crew->setup = setup;
    crew->team = team;
    crew->error = error;
    crew->count = setup->replicas * (setup->options->read_foreign ? 2 : 1);
    for (uint32_t i = 0; i < crew->count; i++) {
        struct member *m = &crew->members[i];
        m->crew = crew;
        m->replica = i % setup->replicas;
        m->reader = i >= setup->replicas;
        m->worker = bench_worker_start(true, setup->machine, -1, member_main, m);
        if (m->worker == NULL) {
            snprintf(error, BENCH_ERROR_BYTES, "starting %u processes: no memory or no process; give fewer --replicas",
                     crew->count);
            bench_crew_end(crew, 1);
            return NULL;
        }
        name_member(m);
    }
    return crew;
}

/* Have the members from..to-1 carry an order out. */
static int carry_out(struct bench_crew *crew, enum order order, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++) {
        bench_worker_tell(crew->members[i].worker, order);
        while (!bench_worker_reached(crew->members[i].worker, order)) {
            if (*crew->setup->stop) {
                return 1;
            }
            if (bench_crew_look(crew) != 0) {
                return -1;
            }
            bench_sleep_ns(LOOK_EVERY_NS);
        }
    }
    return 0;
}

int bench_crew_lead(struct bench_crew *crew, struct tide_token *last) {
    int rc = carry_out(crew, ORDER_SERVE, 0, 1);
    *last = crew->members[0].filled;
    return rc;
}

int bench_crew_follow(struct bench_crew *crew) {
    return carry_out(crew, ORDER_SERVE, 1, crew->count);
}

int bench_crew_read(struct bench_crew *crew) {
    struct bench_team *team = crew->team;
    for (uint32_t i = 0; i < crew->count; i++) {
        bench_worker_tell(crew->members[i].worker, ORDER_READ);
    }
    while (atomic_load(&team->ready) < team->workers && atomic_load(&team->error) == 0) {
        if (*crew->setup->stop) {
            return 1;
        }
        if (bench_crew_look(crew) != 0) {
            return -1;
        }
        bench_sleep_ns(LOOK_EVERY_NS);
    }
    return 0;
}

int bench_crew_join(struct bench_crew *crew) {
    return carry_out(crew, ORDER_READ, 0, crew->count); /* told already: until their threads have ended */
}

int bench_crew_end(struct bench_crew *crew, int by_force) {
    char text[BENCH_ERROR_BYTES];
    int rc = 0;
    if (crew == NULL) {
        return 0;
    }
    /* The leader last. */
    for (uint32_t k = crew->count; k-- > 0;) {
        struct bench_worker *w = crew->members[k].worker;
        if (!by_force && bench_worker_leave(w, REST_NS, text) != 0) {
            snprintf(crew->error, BENCH_ERROR_BYTES, "%u replicas, at the end: %.200s", crew->setup->replicas, text);
            rc = -1;
        }
        bench_worker_end(w);
    }
    bench_shared_unmap(crew, sizeof(*crew));
    return rc;
}
