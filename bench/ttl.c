/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys that expire: how late are they removed, and whom does that hold up? */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/program.h"
#include "shm/hdr.h"

#define KEYS 1000000u
#define OVER_NS UINT64_C(10000000000) /* they expire, evenly spread */
#define FIRST_NS UINT64_C(4000000000) /* the first one, so long after the first put */
#define OTHERS 1000u                  /* keys that are written and read meanwhile, and do not expire */
#define BAR_LATE_NS 1e9
#define BAR_HELD_NS 1e6

enum row { ROW_APPLY, ROW_CONTROL, ROW_WRITES, ROW_READS, ROWS };

struct plan {
    struct bench_program *p;
    uint32_t late[BENCH_TIMES], put[BENCH_TIMES], rows[ROWS];
    struct hdr *late_ns, *put_ns;
    uint64_t keys, over_ns, first_ns;
    uint64_t *expiry; /* of each key, at the latest */
    struct tide *d;
    _Atomic uint32_t stop;
    uint64_t writes, reads;
    _Atomic uint32_t failed;
};

static void make_key(char key[16], const char *kind, uint64_t number) {
    memcpy(key, kind, 8);
    memcpy(key + 8, &number, 8);
}

/* ---- beside ----------------------------------------------------------------------------------------------------------- */

static void *write_others(void *ctx) {
    struct plan *plan = ctx;
    char key[16], value[64] = "";
    for (uint64_t i = 0; atomic_load(&plan->stop) == 0; i++) {
        make_key(key, "another.", i % OTHERS);
        uint64_t from = bench_now_ns();
        if (tide_put(plan->d, NULL, key, sizeof(key), value, sizeof(value), NULL) != 0) {
            atomic_store(&plan->failed, 1);
        }
        hdr_record(plan->put_ns, (int64_t)(bench_now_ns() - from));
        plan->writes++;
        bench_sleep_ns(20000); /* a writer, not a load test: the processors are for all */
    }
    return NULL;
}

static void *read_others(void *ctx) {
    struct plan *plan = ctx;
    struct tide_reader *r = NULL;
    char key[16], value[64];
    if (tide_reader_open(plan->d, NULL, &r) != 0) {
        atomic_store(&plan->failed, 1);
        return NULL;
    }
    for (uint64_t i = 0; atomic_load(&plan->stop) == 0; i++) {
        make_key(key, "another.", i % OTHERS);
        int error = tide_get(r, key, sizeof(key), NULL, value, sizeof(value), NULL);
        if (error != 0 && error != TIDE_ERR_NOT_FOUND) {
            atomic_store(&plan->failed, 1);
        }
        plan->reads++;
        if (i % 100 == 0) {
            bench_sleep_ns(50000);
        }
    }
    tide_reader_close(r);
    return NULL;
}

/* ---- the keys ------------------------------------------------------------------------------------------------------------ */

static int put_all(struct plan *plan, bool expire) {
    uint64_t from = tide_now(plan->d) + plan->first_ns;
    char key[16], value[32] = "";
    int error = 0;
    for (uint64_t i = 0; i < plan->keys && error == 0; i++) {
        struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
        uint64_t now = tide_now(plan->d), expiry = from + plan->over_ns / plan->keys * i;
        o.ttl_ns = !expire ? TIDE_TTL_NONE : expiry > now ? expiry - now : 1;
        make_key(key, "expires.", i);
        error = tide_put_with(plan->d, NULL, key, sizeof(key), value, sizeof(value), &o, NULL);
        plan->expiry[i] = now + o.ttl_ns; /* or some hundred nanoseconds later: it counts as late */
    }
    return error;
}

/* Hear of every removal. */
static int watch_all(struct plan *plan, struct tide_watch *w) {
    uint64_t gone = 0;
    int error = 0;
    while (gone < plan->keys && error == 0) {
        struct tide_event e = TIDE_EVENT_INIT;
        error = tide_watch_next(w, &e, UINT64_C(60000000000));
        if (error == 0 && e.kind == TIDE_EVENT_EXPIRE) {
            uint64_t number;
            memcpy(&number, (const uint8_t *)e.key + 8, 8);
            uint64_t late = e.time_ns > plan->expiry[number] ? e.time_ns - plan->expiry[number] : 0;
            hdr_record(plan->late_ns, (int64_t)late);
            gone++;
        }
    }
    return error;
}

static int open_domain(struct plan *plan) {
    struct bench_program *p = plan->p;
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags |= TIDE_EPHEMERAL;
    o.ring_bytes = p->quick ? UINT64_C(4) << 20 : UINT64_C(64) << 20;
    o.table_bytes = p->quick ? UINT64_C(16) << 20 : UINT64_C(256) << 20;
    atomic_store(&plan->stop, 0);
    plan->writes = plan->reads = 0;
    hdr_reset(plan->late_ns);
    hdr_reset(plan->put_ns);
    return bench_program_domain(p, &plan->d, &o, true);
}

/* Writer, reader and follower beside keys that expire; or, for as long and with as many keys, of which none expires: what the machine
 * alone does. *seconds: how long writer and reader ran. */
static int run(struct plan *plan, bool expire, struct tide_replica_info *follower, double *seconds) {
    struct tide_watch *w = NULL;
    pthread_t writer, reader;
    int rc = open_domain(plan);
    if (rc != 0) {
        return rc;
    }
    int error = put_all(plan, expire);
    error = error == 0 && expire ? tide_watch_open(plan->d, NULL, &w) : error;
    if (error == 0) {
        uint64_t from = bench_now_ns();
        pthread_create(&writer, NULL, write_others, plan);
        pthread_create(&reader, NULL, read_others, plan);
        if (expire) {
            error = watch_all(plan, w);
            tide_watch_close(w);
        } else {
            bench_sleep_ns(plan->first_ns + plan->over_ns);
        }
        tide_replica_info(plan->d, 1, follower);
        atomic_store(&plan->stop, 1);
        pthread_join(writer, NULL);
        pthread_join(reader, NULL);
        *seconds = (double)(bench_now_ns() - from) / 1e9;
    }
    tide_close(plan->d);
    error = error == 0 && atomic_load(&plan->failed) != 0 ? TIDE_ERR_SYSTEM : error;
    return error != 0 ? bench_program_failed_code(plan->p, expire ? "keys that expire" : "the control run", error) : 0;
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    struct plan *plan = ctx;
    struct tide_replica_info control = TIDE_REPLICA_INFO_INIT, info = TIDE_REPLICA_INFO_INIT;
    double seconds = 0;
    int rc = run(plan, false, &control, &seconds);
    rc = rc != 0 ? rc : run(plan, true, &info, &seconds);
    if (rc == 0) {
        bench_program_set_times(p, plan->late, repetition, plan->late_ns);
        bench_program_set_times(p, plan->put, repetition, plan->put_ns);
        bench_program_set(p, plan->rows[ROW_CONTROL], repetition, (double)control.lag_p999_ns);
        bench_program_set(p, plan->rows[ROW_APPLY], repetition, (double)info.lag_p999_ns);
        bench_program_set(p, plan->rows[ROW_WRITES], repetition, (double)plan->writes / seconds);
        bench_program_set(p, plan->rows[ROW_READS], repetition, (double)plan->reads / seconds);
    }
    return rc;
}

static void add_rows(struct plan *plan) {
    struct bench_program *p = plan->p;
    char group[120];
    snprintf(group, sizeof(group), "%llu keys that expire over %.0f s: from the expiry to the entry that removes it",
             (unsigned long long)plan->keys, (double)plan->over_ns / 1e9);
    bench_program_times(p, plan->late, "ttl.late", group);
    snprintf(group, sizeof(group), "meanwhile: a put of another key, beside a reader, a watcher and a follower%s",
             bench_program_mark(p, 4));
    bench_program_times(p, plan->put, "ttl.put", group);
    plan->rows[ROW_APPLY] = bench_program_row(p, "ttl.apply", group, "commit to applied by the follower, p99.9", "ns");
    plan->rows[ROW_CONTROL] = bench_program_row(p, "ttl.apply.control", group,
                                                "the same for as long with as many keys, of which none expires", "ns");
    plan->rows[ROW_WRITES] = bench_program_row(p, "ttl.writes", group, "puts", "1/s");
    plan->rows[ROW_READS] = bench_program_row(p, "ttl.reads", group, "gets", "1/s");
    bench_program_bar(p, "ttl.late", "removed after its expiry, p99", "ns", BENCH_AT_MOST, BAR_LATE_NS, plan->late[1],
                      BENCH_NO_ROW);
    bench_program_bar(p, "ttl.held", "keys expire: commit to applied, p99.9", "ns", BENCH_AT_MOST, BAR_HELD_NS,
                      plan->rows[ROW_APPLY], BENCH_NO_ROW);
}

int main(int argc, char **argv) {
    static struct bench_program p = {
        .name = "ttl",
        .about =
            "A million keys expire over ten seconds while others are written and read. Measures how long after its\n"
            "expiry each is removed, and how long that holds up puts and the follower, beside a run of the same length "
            "in\n"
            "which no key expires.\n",
        .repetitions = 1,
    };
    static struct plan plan = { .p = &p };
    int code;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    plan.keys = p.quick ? 20000 : KEYS;
    plan.over_ns = p.quick ? UINT64_C(500000000) : OVER_NS;
    plan.first_ns = p.quick ? UINT64_C(300000000) : FIRST_NS;
    plan.expiry = calloc(plan.keys, sizeof(*plan.expiry));
    plan.late_ns = hdr_new(1, INT64_C(100000000000), 3);
    plan.put_ns = hdr_new(1, INT64_C(100000000000), 3);
    add_rows(&plan);
    bool memory = plan.expiry != NULL && plan.late_ns != NULL && plan.put_ns != NULL;
    int rc = memory ? bench_program_repeat(&p, one_repetition, &plan) : bench_program_failed(&p, "no memory");
    free(plan.expiry);
    hdr_free(plan.late_ns);
    hdr_free(plan.put_ns);
    return bench_program_end(&p, rc);
}
