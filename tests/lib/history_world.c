/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/history_world.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/nap.h"
#include "shm/park.h"
#include "tests/lib/history_part.h"
#include "tests/lib/history_shared.h"

#define WORLD_LOOK_NS 300000u
#define WORLD_STUTTERS 12u
#define WORLD_PATIENCE_NS (UINT64_C(30) * 1000000000u) /* a history that takes longer hangs */

struct history_world {
    struct history_settings settings;
    struct history_shared *shared;
    pid_t pids[SHARED_CAST];
    struct tide *domain;
    struct history_client self; /* reads everything when a history is over */
    struct help_rng rng;
    struct history_op *ops;
};

/* ---- processes ------------------------------------------------------------------------------------------------------------ */

static void world_spawn(struct history_world *w, uint32_t part, bool first) {
    atomic_store(&w->shared->ready[part], 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        history_member_run(w->shared, part, first);
    }
    w->pids[part] = pid;
}

static void world_kill(struct history_world *w, uint32_t part) {
    kill(w->pids[part], SIGKILL);
    waitpid(w->pids[part], NULL, 0);
    w->pids[part] = 0;
}

/* Nobody ends by himself. */
static bool world_all_live(struct history_world *w) {
    for (uint32_t i = 0; i < SHARED_CAST; i++) {
        int status = 0;
        bool ended = w->pids[i] > 0 && waitpid(w->pids[i], &status, WNOHANG) == w->pids[i];
        if (ended || w->shared->complaint[i][0] != 0) {
            printf("# %s (status %x): %s\n", shared_cast[i].name, (unsigned)status, w->shared->complaint[i]);
            w->pids[i] = ended ? 0 : w->pids[i];
            return false;
        }
    }
    return true;
}

static void world_say_where(struct history_world *w) {
    struct tide_info info = TIDE_INFO_INIT;
    printf("# it hangs in round %u\n", atomic_load(&w->shared->round));
    if (w->domain != NULL && tide_info(w->domain, &info) == 0) {
        printf("# leader %d pid %d led %u term %" PRIu64 " commit %" PRIu64 " members %u\n", info.leader,
               info.leader_pid, info.led, info.term, info.commit_index, info.members);
        for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
            struct tide_replica_info r = TIDE_REPLICA_INFO_INIT;
            if (tide_replica_info(w->domain, i, &r) == 0) {
                printf("# replica %u %s pid %d applied %" PRIu64 "\n", i, tide_state_name(r.state), r.pid,
                       r.applied_index);
            }
        }
    }
    for (uint32_t i = 0; i < SHARED_SLOTS; i++) {
        struct shared_slot *s = &w->shared->slots[i];
        uint32_t called = atomic_load(&s->called);
        const struct shared_record *r = &s->records[called != 0 ? called - 1 : 0];
        printf("# session slot %u: %u calls, finished %u, last kind %u answered %u\n", i, called,
               atomic_load(&s->finished), r->op.kind, atomic_load(&r->answered));
    }
    for (uint32_t i = 0; i < SHARED_CAST; i++) {
        printf("# %s pid %d ready %u\n", shared_cast[i].name, w->pids[i], atomic_load(&w->shared->ready[i]));
    }
    fflush(stdout);
    if (getenv("TIDE_TEST_FREEZE") != NULL) {
        alarm(0);
        pause(); /* for a debugger */
    }
}

static bool world_await_ready(struct history_world *w, uint32_t part) {
    uint64_t until = history_now_ns() + WORLD_PATIENCE_NS;
    for (;;) {
        uint32_t seen = atomic_load(&w->shared->progress);
        if (atomic_load(&w->shared->ready[part]) != 0) {
            return true;
        }
        if (!world_all_live(w)) {
            return false;
        }
        if (history_now_ns() > until) {
            world_say_where(w);
            return false;
        }
        park_wait(&w->shared->progress, seen, WORLD_LOOK_NS);
    }
}

/* ---- begin and end -------------------------------------------------------------------------------------------------------- */

static bool world_open(struct history_world *w) {
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = 0;
    int error = tide_open(&w->domain, w->shared->name, &o);
    error = error == 0 ? tide_reader_open(w->domain, NULL, &w->self.reader) : error;
    if (error != 0) {
        printf("# the domain could not be opened: %s\n", tide_strerror(error));
        return false;
    }
    w->self.shared = w->shared;
    w->self.domain = w->domain;
    w->self.slot = history_alloc(sizeof(*w->self.slot));
    w->self.session = atomic_fetch_add(&w->shared->sessions, 1) + 1;
    return true;
}

struct history_world *history_world_start(const struct history_settings *settings) {
    struct history_world *w = history_alloc(sizeof(*w));
    w->settings = *settings;
    w->rng.state = settings->seed;
    w->ops = history_alloc((SHARED_SLOTS * SHARED_RECORDS + HISTORY_KEYS) * sizeof(*w->ops));
    w->shared = mmap(NULL, sizeof(*w->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (w->shared == MAP_FAILED) {
        abort();
    }
    snprintf(w->shared->name, sizeof(w->shared->name), "%s", help_name());
    w->shared->seed = settings->seed;
    w->shared->ring_bytes = settings->ring_bytes;
    w->shared->lives = settings->lives;
    w->shared->evicts = settings->evicts;
    bool fine = true;
    for (uint32_t i = 0; i < SHARED_CAST && fine; i++) {
        world_spawn(w, i, i == 0);
        fine = i != 0 || world_await_ready(w, 0);
    }
    for (uint32_t i = 1; i < SHARED_CAST && fine; i++) {
        fine = world_await_ready(w, i);
    }
    fine = fine && world_open(w);
    if (!fine) {
        history_world_end(w);
        return NULL;
    }
    return w;
}

void history_world_end(struct history_world *w) {
    for (uint32_t i = 0; i < SHARED_CAST; i++) {
        if (w->pids[i] > 0) {
            world_kill(w, i);
        }
    }
    if (w->self.reader != NULL) {
        tide_reader_close(w->self.reader);
    }
    if (w->domain != NULL) {
        tide_close(w->domain);
    }
    tide_unlink(w->shared->name);
    munmap(w->shared, sizeof(*w->shared));
    free(w->self.slot);
    free(w->ops);
    free(w);
}

/* ---- trouble -------------------------------------------------------------------------------------------------------------- */

/* The process that leads; SHARED_CAST where nobody does, or another. */
static uint32_t world_leader(struct history_world *w) {
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(w->domain, &info);
    for (uint32_t i = 0; i < SHARED_CAST; i++) {
        if (w->pids[i] == info.leader_pid) {
            return i;
        }
    }
    return SHARED_CAST;
}

static void world_stop_and_continue(struct history_world *w, uint32_t part) {
    kill(w->pids[part], SIGSTOP);
    /* Sometimes longer than a write waits. */
    park_nap(help_below(&w->rng, 8) == 0 ? 70000000 : help_below(&w->rng, 15000000));
    kill(w->pids[part], SIGCONT);
}

/* Many short stops: each may hit a reader in the middle of a copy, or a writer between two words. */
static void world_stutter(struct history_world *w, uint32_t part) {
    for (uint32_t i = 0; i < WORLD_STUTTERS; i++) {
        kill(w->pids[part], SIGSTOP);
        park_nap(help_below(&w->rng, 1500000));
        kill(w->pids[part], SIGCONT);
        park_nap(help_below(&w->rng, 300000));
    }
}

/* A newcomer needs a donor, and a domain a leader: one replica dies at a time. */
static bool world_may_kill(struct history_world *w) {
    for (uint32_t i = 0; i < SHARED_CAST; i++) {
        if (atomic_load(&w->shared->ready[i]) == 0) {
            return false;
        }
    }
    return true;
}

static bool world_trouble(struct history_world *w, struct history_totals *t) {
    uint32_t leader = world_leader(w), part = (uint32_t)help_below(&w->rng, SHARED_CAST);
    uint64_t dice = help_below(&w->rng, 10);
    part = leader < SHARED_CAST && help_below(&w->rng, 2) == 0 ? leader : part;
    if (!world_may_kill(w)) {
        return false; /* later */
    }
    if (dice < 4) {
        world_kill(w, part);
        world_spawn(w, part, false);
        t->kills++;
        t->leader_kills += part == leader;
    } else if (dice < 6) {
        world_stop_and_continue(w, part);
        t->stops++;
    } else if (dice < 8) {
        world_stutter(w, (uint32_t)help_below(&w->rng, SHARED_CAST));
        t->stops += WORLD_STUTTERS;
    } else {
        tide_step_down(w->domain);
        t->step_downs++;
    }
    return true;
}

/* ---- one history ----------------------------------------------------------------------------------------------------------- */

static void world_begin_round(struct history_world *w) {
    struct history_shared *shared = w->shared;
    for (uint32_t i = 0; i < SHARED_SLOTS; i++) {
        atomic_store(&shared->slots[i].called, 0);
    }
    uint32_t quota = w->settings.ops / SHARED_SLOTS + 1;
    atomic_store(&shared->keys, 2 + (uint32_t)help_below(&w->rng, HISTORY_KEYS - 2));
    atomic_store(&shared->quota, quota < SHARED_RECORDS - SHARED_PER_CALL ? quota : SHARED_RECORDS - SHARED_PER_CALL);
    atomic_fetch_add(&shared->round, 1);
    park_wake(&shared->round, INT32_MAX);
}

static uint32_t world_calls(const struct history_world *w) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < SHARED_SLOTS; i++) {
        n += atomic_load(&w->shared->slots[i].called);
    }
    return n;
}

static bool world_round_is_over(const struct history_world *w) {
    for (uint32_t i = 0; i < SHARED_SLOTS; i++) {
        if (atomic_load(&w->shared->slots[i].finished) != atomic_load(&w->shared->round)) {
            return false;
        }
    }
    return true;
}

static size_t world_collect_record(struct history_op *to, struct shared_record *r) {
    *to = r->op;
    if (atomic_load(&r->answered) == 0) {
        to->outcome = HISTORY_PENDING;
        to->ret_ns = HISTORY_NEVER;
        to->index = to->found = 0;
        to->error = 0;
        to->left_ns = 0;
        to->value = to->kind == HISTORY_GET || to->kind == HISTORY_TOUCH || to->kind == HISTORY_ADD ? 0 : to->value;
    }
    return 1;
}

static bool world_collect(struct history_world *w, struct history *h) {
    struct history_shared *shared = w->shared;
    uint32_t keys = atomic_load(&shared->keys);
    h->ops = w->ops;
    h->n = 0;
    h->evicts = shared->evicts;
    for (uint32_t i = 0; i < SHARED_SLOTS; i++) {
        for (uint32_t k = 0; k < atomic_load(&shared->slots[i].called); k++) {
            h->n += world_collect_record(&h->ops[h->n], &shared->slots[i].records[k]);
        }
    }
    struct shared_record last[HISTORY_KEYS];
    uint64_t until = history_now_ns() + WORLD_PATIENCE_NS;
    w->self.round = atomic_load(&shared->round);
    int error;
    while ((error = history_client_read_all(&w->self, last, keys)) != 0) {
        bool may_pass = error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_TIMEOUT || error == TIDE_ERR_NO_REPLICA;
        if (!may_pass || history_now_ns() > until) {
            printf("# the last read failed: %s\n", tide_strerror(error));
            world_say_where(w);
            return false;
        }
        park_nap(WORLD_LOOK_NS);
    }
    for (uint32_t i = 0; i < keys; i++) {
        h->n += world_collect_record(&h->ops[h->n], &last[i]);
    }
    return true;
}

static void world_count(struct history_totals *t, const struct history *h) {
    t->histories++;
    t->ops += h->n;
    for (size_t i = 0; i < h->n; i++) {
        const struct history_op *op = &h->ops[i];
        t->pending += op->outcome == HISTORY_PENDING && op->kind != HISTORY_GET;
        t->refused += op->outcome == HISTORY_FAILED && op->kind == HISTORY_GET;
        t->undone += op->outcome == HISTORY_FAILED && op->kind != HISTORY_GET;
        t->mismatches += op->outcome == HISTORY_MISMATCH;
        t->touches += op->kind == HISTORY_TOUCH && op->outcome == HISTORY_DONE;
        t->adds += op->kind == HISTORY_ADD && op->outcome == HISTORY_DONE;
        if (op->kind == HISTORY_GET && op->outcome == HISTORY_DONE) {
            t->linearizable += op->linearizable;
            t->bounded += !op->linearizable && !op->stale;
            t->stale += op->stale;
        }
    }
}

bool history_world_run(struct history_world *w, struct history *h, struct history_totals *totals) {
    uint32_t troubles = help_below(&w->rng, 100) < w->settings.trouble ? 1 + (uint32_t)help_below(&w->rng, 2) : 0;
    uint32_t at = (uint32_t)help_below(&w->rng, w->settings.ops);
    world_begin_round(w);
    uint64_t until = history_now_ns() + WORLD_PATIENCE_NS;
    for (;;) {
        uint32_t seen = atomic_load(&w->shared->progress);
        bool over = world_round_is_over(w);
        if (!world_all_live(w)) {
            return false;
        }
        if (over) {
            break;
        }
        if (history_now_ns() > until) {
            world_say_where(w);
            return false;
        }
        if (troubles != 0 && world_calls(w) >= at && world_trouble(w, totals)) {
            troubles--;
            at = world_calls(w) + (uint32_t)help_below(&w->rng, w->settings.ops / 2 + 1);
        }
        park_wait(&w->shared->progress, seen, WORLD_LOOK_NS);
    }
    if (!world_collect(w, h)) {
        return false;
    }
    world_count(totals, h);
    return true;
}

bool history_world_verify(struct history_world *w, struct history_totals *totals) {
    struct tide_verify v = TIDE_VERIFY_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    if (tide_info(w->domain, &info) == 0) {
        totals->expired += info.expired_total;
        totals->evicted += info.evicted_total;
    }
    int error = tide_verify(w->domain, &v);
    if (error != 0 || v.differing != 0 || v.damaged != 0) {
        printf("# verify: %s, %u of %u replicas compared, %u differ, %" PRIu64 " nodes damaged\n", tide_strerror(error),
               v.compared, v.replicas, v.differing, v.damaged);
        return false;
    }
    return true;
}
