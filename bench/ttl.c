/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys expire: how late are they removed, and what does that cost writers, readers and the follower? */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "bench/lib/program.h"
#include "bench/lib/setup.h"
#include "shm/hdr.h"

#define KEYS 1000000u
#define OVER_NS UINT64_C(10000000000) /* they expire, evenly spread */
#define FIRST_NS UINT64_C(4000000000) /* the first one, so long after the first put */
#define OTHERS 1000u                  /* keys that are written and read meanwhile, and do not expire */
#define BAR_LATE_NS 1e9
#define BAR_HELD_NS 1e6

enum row { ROW_APPLY, ROW_CONTROL, ROW_WRITES, ROW_READS, ROWS };

static struct {
    uint32_t late[BENCH_TIMES], put[BENCH_TIMES], rows[ROWS];
    struct hdr *late_ns, *put_ns;
    uint64_t keys, over_ns, first_ns;
    uint64_t *expiry; /* of each key, at the latest */
    struct tide *d;
    _Atomic uint32_t stop;
    uint64_t writes, reads;
} plan;

static void make_key(char key[16], const char *kind, uint64_t number) {
    memcpy(key, kind, 8);
    memcpy(key + 8, &number, 8);
}

/* ---- beside ------------------------------------------------------------------------------------------------------ */

static void put_other(uint64_t i) {
    char key[16], value[64] = "";
    make_key(key, "another.", i % OTHERS);
    bench_must(tide_put(plan.d, NULL, key, sizeof(key), value, sizeof(value), NULL), "putting other keys");
}

static void *write_others(void *unused) {
    for (uint64_t i = 0; atomic_load(&plan.stop) == 0; i++) {
        uint64_t from = bench_now_ns();
        put_other(i);
        hdr_record(plan.put_ns, (int64_t)(bench_now_ns() - from));
        plan.writes++;
        bench_sleep_ns(20000); /* a writer, not a load test: the processors are for all */
    }
    return unused;
}

static void *read_others(void *unused) {
    struct tide_reader *r;
    char key[16], value[64];
    bench_must(tide_reader_open(plan.d, NULL, &r), "opening a reader");
    for (uint64_t i = 0; atomic_load(&plan.stop) == 0; i++) {
        make_key(key, "another.", i % OTHERS);
        int error = tide_get(r, key, sizeof(key), NULL, value, sizeof(value), NULL);
        bench_must(error != TIDE_ERR_NOT_FOUND ? error : 0, "getting other keys");
        plan.reads++;
        if (i % 100 == 0) {
            bench_sleep_ns(50000);
        }
    }
    tide_reader_close(r);
    return unused;
}

/* ---- the keys ---------------------------------------------------------------------------------------------------- */

static void put_all(bool expire) {
    uint64_t from = tide_now(plan.d) + plan.first_ns;
    char key[16], value[32] = "";
    for (uint64_t i = 0; i < plan.keys; i++) {
        struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
        uint64_t now = tide_now(plan.d), expiry = from + plan.over_ns / plan.keys * i;
        o.ttl_ns = !expire ? TIDE_TTL_NONE : expiry > now ? expiry - now : 1;
        make_key(key, "expires.", i);
        bench_must(tide_put_with(plan.d, NULL, key, sizeof(key), value, sizeof(value), &o, NULL),
                   "putting keys that expire");
        plan.expiry[i] = now + o.ttl_ns; /* or some hundred nanoseconds later: it counts as late */
    }
}

/* The index by which all is removed, or 0: not yet. */
static uint64_t all_gone_at(void) {
    struct tide_replica_info leader = TIDE_REPLICA_INFO_INIT;
    bench_must(tide_replica_info(plan.d, 0, &leader), "looking at the leader");
    return leader.keys <= OTHERS ? leader.applied_index : 0;
}

#define LOOK_EVERY 1024u

/* Hear of every removal. On a slow machine some keys are gone before the watch begins. */
static void watch_all(struct tide_watch *w) {
    uint64_t events = 0, last = 0;
    for (uint64_t gone = 0; gone < plan.keys;) {
        struct tide_event e = TIDE_EVENT_INIT;
        if (last == 0 && ++events % LOOK_EVERY == 0) {
            last = all_gone_at();
        }
        bench_must(tide_watch_next(w, &e, UINT64_C(60000000000)), "watching keys that expire");
        if (last != 0 && e.index > last) {
            return;
        }
        if (e.kind == TIDE_EVENT_EXPIRE) {
            uint64_t number;
            memcpy(&number, (const uint8_t *)e.key + 8, 8);
            uint64_t late = e.time_ns > plan.expiry[number] ? e.time_ns - plan.expiry[number] : 0;
            hdr_record(plan.late_ns, (int64_t)late);
            gone++;
        }
    }
}

/* Writer, reader and follower beside keys that expire; or, for as long and with as many keys, of which none expires: what
 * the machine alone does. Returns for how many seconds writer and reader ran. */
static double run(bool expire, struct tide_replica_info *follower) {
    struct tide_opts o = bench_setup_opts(BENCH_SETUP_OWN, 0, UINT64_C(64) << 20, UINT64_C(256) << 20);
    struct tide_watch *w = NULL;
    o.ring_bytes >>= bench->quick ? 4 : 0;
    o.table_bytes >>= bench->quick ? 4 : 0;
    plan.stop = 0;
    plan.writes = plan.reads = 0;
    hdr_reset(plan.late_ns);
    hdr_reset(plan.put_ns);
    plan.d = bench_domain(NULL, &o, 1);
    for (uint64_t i = 0; i < OTHERS; i++) {
        put_other(i);
    }
    put_all(expire);
    bench_must(expire ? tide_watch_open(plan.d, NULL, &w) : 0, "opening a watch");
    uint64_t from = bench_now_ns();
    pthread_t writer = bench_thread(write_others, NULL), reader = bench_thread(read_others, NULL);
    if (expire) {
        watch_all(w);
        tide_watch_close(w);
    } else {
        bench_rest(plan.first_ns + plan.over_ns);
    }
    bench_must(tide_replica_info(plan.d, 1, follower), "looking at the follower");
    atomic_store(&plan.stop, 1);
    pthread_join(writer, NULL);
    pthread_join(reader, NULL);
    double seconds = (double)(bench_now_ns() - from) / 1e9;
    tide_close(plan.d);
    return seconds;
}

static void repeat(void) {
    struct tide_replica_info control = TIDE_REPLICA_INFO_INIT, info = TIDE_REPLICA_INFO_INIT;
    run(false, &control);
    double seconds = run(true, &info);
    bench_set_times(plan.late, plan.late_ns);
    bench_set_times(plan.put, plan.put_ns);
    bench_set(plan.rows[ROW_CONTROL], (double)control.lag_p999_ns);
    bench_set(plan.rows[ROW_APPLY], (double)info.lag_p999_ns);
    bench_set(plan.rows[ROW_WRITES], (double)plan.writes / seconds);
    bench_set(plan.rows[ROW_READS], (double)plan.reads / seconds);
}

static void prepare(void) {
    plan.keys = bench->quick ? 20000 : KEYS;
    plan.over_ns = bench->quick ? UINT64_C(500000000) : OVER_NS;
    plan.first_ns = bench->quick ? UINT64_C(300000000) : FIRST_NS;
    plan.expiry = bench_alloc(plan.keys, sizeof(*plan.expiry));
    plan.late_ns = bench_hdr();
    plan.put_ns = bench_hdr();
    bench_times(plan.late, "ttl.late",
                bench_text("%llu keys that expire over %.0f s: from the expiry to the entry that removes it",
                           (unsigned long long)plan.keys, (double)plan.over_ns / 1e9));
    const char *group =
        bench_text("meanwhile: a put of another key, beside a reader, a watcher and a follower%s", bench_mark(4));
    bench_times(plan.put, "ttl.put", group);
    plan.rows[ROW_APPLY] = bench_row("ttl.apply", group, "commit to applied by the follower, p99.9", "ns");
    plan.rows[ROW_CONTROL] =
        bench_row("ttl.apply.control", group, "the same for as long with as many keys, of which none expires", "ns");
    plan.rows[ROW_WRITES] = bench_row("ttl.writes", group, "puts", "1/s");
    plan.rows[ROW_READS] = bench_row("ttl.reads", group, "gets", "1/s");
    bench_at_most("ttl.late", "removed after its expiry, p99", "ns", BAR_LATE_NS, plan.late[1], BENCH_NO_ROW);
    bench_at_most("ttl.held", "keys expire: commit to applied, p99.9", "ns", BAR_HELD_NS, plan.rows[ROW_APPLY],
                  BENCH_NO_ROW);
}

BENCH_MAIN(.name = "ttl", .repetitions = 1,
           .about =
               "A million keys expire over ten seconds while others are written and read. Measures how long after its\n"
               "expiry each is removed, and how long that holds up puts and the follower, beside a run of the same "
               "length in\n"
               "which no key expires.\n")
