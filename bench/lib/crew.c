/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/crew.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "bench/lib/child.h"
#include "bench/lib/setup.h"
#include "bench/lib/worker.h"

#define LOOK_EVERY_NS UINT64_C(200000) /* at the children, while waiting for one of them */
#define BLAME_NS UINT64_C(300000000)
#define REST_NS UINT64_C(10000000000) /* how long a child may take to close its replica */

enum order { ORDER_LEAD = 1, ORDER_FOLLOW, ORDER_READ };

struct member {
    struct bench_crew *crew;
    struct bench_worker *worker;
    uint32_t replica; /* with --mode threads 0: it has them all */
    int reader;       /* it has no replica of its own, and reads that one */
    struct tide_token filled;
};

struct bench_crew {
    const struct bench_trial_setup *setup;
    struct bench_team *team;
    struct tide *domain; /* the coordinator's handle */
    char *error;
    uint32_t count;
    struct member members[2 * TIDE_REPLICAS];
};

/* ---- a member ---------------------------------------------------------------------------------------------------- */

static int start_replica(struct bench_worker *w, struct tide *d, const struct bench_options *o, uint32_t id) {
    bench_worker_what(w, bench_setup_replica_text(id));
    return bench_setup_replica(d, o, id);
}

static int lead(struct member *m, struct bench_worker *w, struct tide *d) {
    const struct bench_trial_setup *setup = m->crew->setup;
    int rc = start_replica(w, d, setup->options, 0);
    bench_worker_what(w, "filling");
    return rc != 0 ? rc : bench_setup_fill(d, setup->workload, setup->stop, &m->filled);
}

/* Its own replica; or all but the leader's. */
static int follow(struct member *m, struct bench_worker *w, struct tide *d) {
    const struct bench_trial_setup *setup = m->crew->setup;
    if (setup->options->processes) {
        return m->reader ? 0 : start_replica(w, d, setup->options, m->replica);
    }
    int rc = 0;
    for (uint32_t id = 1; id < setup->replicas && rc == 0 && !*setup->stop; id++) {
        rc = start_replica(w, d, setup->options, id);
    }
    return rc;
}

static int run_threads(struct member *m, struct bench_worker *w, struct tide *d) {
    const struct bench_trial_setup *setup = m->crew->setup;
    bool alone = !setup->options->processes;
    struct bench_squad squad = {
        .team = m->crew->team,
        .domain = d,
        .first = m->replica,
        .stride = alone ? 1 : setup->replicas,
        .homes_n = setup->replicas,
        .reads = alone || m->reader == setup->options->read_foreign,
        .writes = m->replica == 0 && !m->reader,
    };
    bench_worker_what(w, "starting threads");
    int rc = bench_squad_start(&squad);
    if (rc == 0 || alone) {
        bench_squad_join(&squad);
    }
    return rc; /* after an error a process ends, and its threads with it */
}

static int member_main(struct bench_worker *w, void *ctx) {
    struct member *m = ctx;
    const struct bench_trial_setup *setup = m->crew->setup;
    struct tide *own = NULL;
    int rc = 0;
    uint32_t order = 0;
    while (rc == 0 && (order = bench_worker_order(w, order)) != BENCH_ORDER_END) {
        if (setup->options->processes && own == NULL) {
            bench_worker_what(w, "opening the domain");
            rc = bench_setup_open(&own, setup, 0);
        }
        struct tide *d = own != NULL ? own : m->crew->domain;
        rc = rc != 0                 ? rc
             : order == ORDER_LEAD   ? lead(m, w, d)
             : order == ORDER_FOLLOW ? follow(m, w, d)
                                     : run_threads(m, w, d);
        if (rc == 0) {
            bench_worker_done(w, order);
        }
    }
    if (rc == 0) {
        bench_close(own);
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
    char who[80] = "this process";
    if (m->crew->setup->options->processes) {
        snprintf(who, sizeof(who), "the process %s %u",
                 m->reader         ? "that reads replica"
                 : m->replica == 0 ? "of the leader, replica"
                                   : "of replica",
                 m->replica);
    }
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
    crew->count = !setup->options->processes ? 1 : setup->replicas * (setup->options->read_foreign ? 2 : 1);
    for (uint32_t i = 0; i < crew->count; i++) {
        struct member *m = &crew->members[i];
        m->crew = crew;
        m->replica = i % setup->replicas;
        m->reader = i >= setup->replicas;
        m->worker = bench_worker_start(setup->options->processes, setup->machine, -1, member_main, m);
        if (m->worker == NULL) {
            snprintf(error, BENCH_ERROR_BYTES,
                     "starting %u processes: no memory, process or thread; give fewer --replicas", crew->count);
            bench_crew_end(crew, 1);
            return NULL;
        }
        name_member(m);
    }
    return crew;
}

/* Between two looks at what is waited for. 0, 1: stopped, -1. */
static int rest(struct bench_crew *crew) {
    if (*crew->setup->stop) {
        return 1;
    }
    if (bench_crew_look(crew) != 0) {
        return -1;
    }
    bench_sleep_ns(LOOK_EVERY_NS);
    return 0;
}

static int await(struct bench_crew *crew, uint32_t i, enum order order) {
    int rc = 0;
    while (rc == 0 && !bench_worker_reached(crew->members[i].worker, order)) {
        rc = rest(crew);
    }
    return rc;
}

int bench_crew_lead(struct bench_crew *crew, struct tide *d, struct tide_token *last) {
    crew->domain = d;
    bench_worker_tell(crew->members[0].worker, ORDER_LEAD);
    int rc = await(crew, 0, ORDER_LEAD);
    *last = crew->members[0].filled;
    return rc;
}

int bench_crew_follow(struct bench_crew *crew) {
    int rc = 0;
    for (uint32_t i = crew->setup->options->processes ? 1 : 0; i < crew->count && rc == 0; i++) {
        bench_worker_tell(crew->members[i].worker, ORDER_FOLLOW);
        rc = await(crew, i, ORDER_FOLLOW);
    }
    return rc;
}

int bench_crew_read(struct bench_crew *crew) {
    for (uint32_t i = 0; i < crew->count; i++) {
        bench_worker_tell(crew->members[i].worker, ORDER_READ);
    }
    const struct bench_team *team = crew->team;
    int rc = 0;
    while (rc == 0 && atomic_load(&team->ready) < team->workers && atomic_load(&team->error) == 0) {
        rc = rest(crew);
    }
    return rc;
}

int bench_crew_join(struct bench_crew *crew) {
    int rc = 0;
    for (uint32_t i = 0; i < crew->count && rc == 0; i++) {
        rc = await(crew, i, ORDER_READ);
    }
    return rc;
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
