/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/crew.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/setup.h"
#include "shm/park.h"

#define LOOK_EVERY_NS UINT64_C(20000000) /* at the children, while waiting for one of them */
#define BLAME_NS UINT64_C(300000000)
#define REST_NS UINT64_C(10000000000) /* how long a child may take to close its replica */

enum order { ORDER_NONE = 0, ORDER_SERVE, ORDER_READ, ORDER_CLOSE };

struct child {
    _Alignas(128) _Atomic uint32_t order; /* the coordinator's, and the futex of the child */
    _Alignas(128) _Atomic uint32_t done;  /* the last order that was carried out */
    _Atomic int code;                     /* why the child gave up; `what` was written before */
    const char *what;                     /* a literal: the same address in all processes */
    pid_t pid;                            /* 0: none, or it is gone */
    uint32_t replica;
    int reader; /* it has no replica of its own, and reads that one */
    struct tide_token filled;
};

struct bench_crew {
    const struct bench_trial_setup *setup;
    struct bench_team *team;
    char *error;
    _Atomic uint32_t answers; /* futex of the coordinator: grows with every `done` and `code` */
    uint32_t count;
    struct child children[2 * TIDE_REPLICAS];
};

/* ---- in the child ------------------------------------------------------------------------------------------------ */

static void answer(struct bench_crew *crew) {
    atomic_fetch_add(&crew->answers, 1);
    park_wake(&crew->answers, 1);
}

static int serve(struct bench_crew *crew, struct child *c, struct tide **d) {
    static const volatile sig_atomic_t never = 0; /* whoever stops the coordinator makes it kill this process */
    c->what = "opening the domain";
    int rc = bench_setup_open(d, crew->setup, 0);
    if (rc == 0 && !c->reader) {
        c->what = bench_setup_replica_text(c->replica);
        rc = bench_setup_replica(*d, crew->setup->options, c->replica);
    }
    if (rc == 0 && !c->reader && c->replica == 0) {
        c->what = "filling";
        rc = bench_setup_fill(*d, crew->setup->workload, &never, &c->filled);
    }
    return rc;
}

static int run_threads(struct bench_crew *crew, struct child *c, struct tide *d) {
    int foreign = crew->setup->options->read_foreign;
    struct bench_squad squad = {
        .team = crew->team,
        .domain = d,
        .first = c->replica,
        .stride = crew->setup->replicas,
        .homes_n = crew->setup->replicas,
        .reads = c->reader == foreign,
        .writes = c->replica == 0 && !c->reader,
    };
    c->what = "starting threads";
    int rc = bench_squad_start(&squad);
    if (rc == 0) {
        bench_squad_join(&squad);
    }
    return rc; /* after an error the process ends, and its threads with it */
}

static _Noreturn void child_main(struct bench_crew *crew, struct child *c) {
    struct tide *d = NULL;
    int rc = 0;
    for (uint32_t done = ORDER_NONE; rc == 0;) {
        uint32_t order = atomic_load(&c->order);
        if (order == done) {
            park_wait(&c->order, done, UINT64_MAX);
            continue;
        }
        if (order == ORDER_SERVE) {
            rc = serve(crew, c, &d);
        } else if (order == ORDER_READ) {
            rc = run_threads(crew, c, d);
        } else {
            if (d != NULL) {
                tide_close(d);
            }
            _exit(0);
        }
        done = order;
        if (rc == 0) {
            atomic_store(&c->done, done);
            answer(crew);
        }
    }
    atomic_store(&c->code, rc);
    answer(crew);
    _exit(1);
}

/* ---- in the coordinator ------------------------------------------------------------------------------------------ */

static void describe(const struct child *c, char *out, size_t size) {
    if (c->reader) {
        snprintf(out, size, "the process that reads replica %u (pid %ld)", c->replica, (long)c->pid);
    } else {
        snprintf(out, size, "the process of %s %u (pid %ld)", c->replica == 0 ? "the leader, replica" : "replica",
                 c->replica, (long)c->pid);
    }
}

/* 0: it lives, or was ended before. -1: it failed or died, and `error` says so. */
static int look_at(struct bench_crew *crew, struct child *c) {
    char who[80];
    char how[80];
    if (c->pid == 0) {
        return 0;
    }
    describe(c, who, sizeof(who));
    int ended = bench_child_ended(c->pid, how, sizeof(how));
    if (ended) {
        c->pid = 0;
    }
    int code = atomic_load(&c->code);
    if (code != 0) {
        char what[160];
        snprintf(what, sizeof(what), "%s, %s", who, c->what);
        return bench_setup_failed(crew->error, crew->setup->replicas, what, code);
    }
    if (ended) {
        snprintf(crew->error, BENCH_ERROR_BYTES, "%u replicas: %s %s; the measurement was given up",
                 crew->setup->replicas, who, how);
        return -1;
    }
    return 0;
}

int bench_crew_look(struct bench_crew *crew) {
    for (uint32_t i = 0; i < crew->count; i++) {
        if (look_at(crew, &crew->children[i]) != 0) {
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
        struct child *c = &crew->children[i];
        c->replica = i % setup->replicas;
        c->reader = i >= setup->replicas;
        pid_t pid = bench_child_fork();
        if (pid == 0) {
            child_main(crew, c);
        }
        if (pid < 0) {
            snprintf(error, BENCH_ERROR_BYTES, "starting %u processes: %s; give fewer --replicas", crew->count,
                     strerror(errno));
            bench_crew_end(crew, 1);
            return NULL;
        }
        c->pid = pid;
    }
    return crew;
}

static void give_order(struct child *c, enum order order) {
    atomic_store(&c->order, (uint32_t)order);
    park_wake(&c->order, 1);
}

/* Wait until the children from..to-1 have carried an order out. */
static int await(struct bench_crew *crew, enum order order, uint32_t from, uint32_t to) {
    for (;;) {
        uint32_t seen = atomic_load(&crew->answers);
        uint32_t ready = 0;
        for (uint32_t i = from; i < to; i++) {
            ready += atomic_load(&crew->children[i].done) == (uint32_t)order;
        }
        if (ready == to - from) {
            return 0;
        }
        if (*crew->setup->stop) {
            return 1;
        }
        if (bench_crew_look(crew) != 0) {
            return -1;
        }
        park_wait(&crew->answers, seen, LOOK_EVERY_NS);
    }
}

static int serve_in(struct bench_crew *crew, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++) {
        give_order(&crew->children[i], ORDER_SERVE);
        int rc = await(crew, ORDER_SERVE, i, i + 1);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int bench_crew_lead(struct bench_crew *crew, struct tide_token *last) {
    int rc = serve_in(crew, 0, 1);
    *last = crew->children[0].filled;
    return rc;
}

int bench_crew_follow(struct bench_crew *crew) {
    return serve_in(crew, 1, crew->count);
}

int bench_crew_read(struct bench_crew *crew) {
    struct bench_team *team = crew->team;
    for (uint32_t i = 0; i < crew->count; i++) {
        give_order(&crew->children[i], ORDER_READ);
    }
    while (atomic_load(&team->ready) < team->workers && atomic_load(&team->error) == 0) {
        if (*crew->setup->stop) {
            return 1;
        }
        if (bench_crew_look(crew) != 0) {
            return -1;
        }
        bench_sleep_ns(200000);
    }
    return 0;
}

int bench_crew_join(struct bench_crew *crew) {
    return await(crew, ORDER_READ, 0, crew->count);
}

/* Let the children from..to-1 go, and wait until they are gone. 0, or -1 where one did not end well. */
static int close_all(struct bench_crew *crew, uint32_t from, uint32_t to) {
    int bad = 0;
    uint64_t until = bench_now_ns() + REST_NS;
    for (uint32_t i = from; i < to; i++) {
        give_order(&crew->children[i], ORDER_CLOSE);
    }
    for (uint32_t i = from; i < to; i++) {
        struct child *c = &crew->children[i];
        char how[80];
        while (c->pid != 0 && !bench_child_ended(c->pid, how, sizeof(how))) {
            if (bench_now_ns() > until) {
                bench_child_kill(c->pid);
                snprintf(how, sizeof(how), "did not end within %u s", (unsigned)(REST_NS / 1000000000));
                break;
            }
            bench_sleep_ns(200000);
        }
        if (c->pid != 0 && strcmp(how, "exited with 0") != 0) {
            char who[80];
            describe(c, who, sizeof(who));
            snprintf(crew->error, BENCH_ERROR_BYTES, "%u replicas, at the end: %s %s", crew->setup->replicas, who, how);
            bad = -1;
        }
        c->pid = 0;
    }
    return bad;
}

int bench_crew_end(struct bench_crew *crew, int by_force) {
    int rc = 0;
    if (crew == NULL) {
        return 0;
    }
    if (!by_force) {
        rc = close_all(crew, 1, crew->count);
        rc |= close_all(crew, 0, 1);
    }
    for (uint32_t i = 0; i < crew->count; i++) {
        if (crew->children[i].pid != 0) {
            bench_child_kill(crew->children[i].pid);
        }
    }
    bench_shared_unmap(crew, sizeof(*crew));
    return rc;
}
