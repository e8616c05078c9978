/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One process of a history world. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "shm/nap.h"
#include "shm/park.h"
#include "tests/lib/history_shared.h"

/* ThreadSanitizer: a child starts threads though its parent had some when it forked. That is what is tested here. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
    return "die_after_fork=0";
}

#define MEMBER_TRIES 20000u /* of a millisecond: a newcomer may have to wait for the next leader */

const struct shared_part shared_cast[SHARED_CAST] = {
    { "candidate A", true, true, 0, 0, 1 },
    { "candidate B", true, true, 1000000, 1, 1 },
    { "far follower", true, false, 5000000, 2, 1 },
    { "clients", false, false, 0, 3, 2 },
    { "client", false, false, 0, 5, 1 },
};

static void member_log(void *ctx, enum tide_log_level level, const char *text) {
    (void)level;
    if (getenv("TIDE_TEST_LOG") != NULL) {
        fprintf(stderr, "# %s: %s\n", (const char *)ctx, text);
    }
}

static void member_complain(struct history_shared *shared, uint32_t part, const char *what, int error) {
    snprintf(shared->complaint[part], sizeof(shared->complaint[part]), "%s: %s: %s", shared_cast[part].name, what,
             tide_strerror(error));
    _exit(3);
}

static void member_start_replica(struct history_shared *shared, struct tide *d, uint32_t part, bool lead,
                                 uint32_t *id) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = lead ? TIDE_LEADER : TIDE_FOLLOWER;
    o.candidate = shared_cast[part].candidate;
    int error = 0;
    for (uint32_t tries = 0; tries < MEMBER_TRIES; tries++) {
        error = tide_replica_start(d, &o, id);
        if (error != TIDE_ERR_NO_REPLICA && error != TIDE_ERR_TIMEOUT) {
            break;
        }
        park_nap(1000000);
    }
    if (error != 0) {
        member_complain(shared, part, "its replica did not start", error);
    }
}

void history_member_run(struct history_shared *shared, uint32_t part, bool first) {
    const struct shared_part *p = &shared_cast[part];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGALRM, SIG_DFL);
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = first ? TIDE_CREATE | TIDE_EXCLUSIVE : 0;
    o.ring_bytes = shared->ring_bytes;
    o.table_bytes = shared->ring_bytes > 2u << 20 ? 2 * shared->ring_bytes : 4u << 20;
    o.evict = shared->evicts ? TIDE_EVICT_S3FIFO : TIDE_EVICT_NONE;
    if (shared->evicts) {
        o.table_bytes = 2 * shared->ring_bytes > 512u << 10 ? 2 * shared->ring_bytes : 512u << 10;
    }
    o.write_timeout_ns = 50000000;
    o.log = member_log;
    o.log_ctx = (void *)(uintptr_t)p->name;
    struct tide *d;
    int error = tide_open(&d, shared->name, &o);
    if (error != 0) {
        member_complain(shared, part, "the domain could not be opened", error);
    }
    uint32_t id = 0;
    if (p->replica) {
        member_start_replica(shared, d, part, first, &id);
    }
    struct history_client clients[SHARED_SLOTS];
    struct help_rng rng = { shared->seed ^ (uint64_t)getpid() << 32 };
    for (uint32_t i = 0; i < p->slots; i++) {
        uint32_t slot = p->first_slot + i;
        clients[i] = (struct history_client){
            .shared = shared, .domain = d, .slot = &shared->slots[slot], .number = slot, .rng = { help_random(&rng) }
        };
        pthread_t thread;
        if (pthread_create(&thread, NULL, history_client_run, &clients[i]) != 0) {
            member_complain(shared, part, "no thread", TIDE_ERR_NOMEM);
        }
    }
    atomic_store(&shared->ready[part], 1);
    atomic_fetch_add(&shared->progress, 1);
    park_wake(&shared->progress, 1);
    for (;;) {
        uint32_t round = atomic_load(&shared->round);
        if (p->delay_ns != 0) {
            tide_replica_set_delay(d, id, help_below(&rng, 3) == 0 ? 0 : help_below(&rng, p->delay_ns));
        }
        park_wait(&shared->round, round, UINT64_MAX);
    }
}
