/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tidemark in one process: a leader and a follower. The first reader reads the follower's replica, the second the
 * leader's. */
#include "engine/tidemark.h"

#include "bench/lib/setup.h"
#include "bench/lib/stats.h"
#include "bench/peers/loop.h"

#define FOLLOWER 1u
#define DELAYED 2u                   /* a follower that is kept behind: for getcost alone */
#define DELAY_NS UINT64_C(150000000) /* below WITHIN_NS: what it has is always young enough */
#define WITHIN_NS UINT64_C(200000000)
#define CAUGHT_UP_NS UINT64_C(60000000000)

/* Fallback ERROR: a read that the replica could not serve must show as one, not as a quick read of the leader's. */
static const struct tide_bound bound_zero = { .size = sizeof(bound_zero),
                                              .fallback = TIDE_FALLBACK_ERROR,
                                              .max_lag = TIDE_UNBOUNDED };

static const struct tide_bound bound_redirect = TIDE_BOUND_INIT;
static const struct tide_bound bound_within = { .size = sizeof(bound_within),
                                                .fallback = TIDE_FALLBACK_ERROR,
                                                .max_staleness_ns = WITHIN_NS,
                                                .max_lag = TIDE_UNBOUNDED };
const void *const peer_tide_redirect = &bound_redirect;
const void *const peer_tide_within = &bound_within;

/* ---- gets -------------------------------------------------------------------------------------------------------- */

/* Of the answer, only `size` is set before a read: a read that serves writes the rest. */
PEER_INLINE uint64_t gets(struct peer_reader *r, struct tide_reader *reader, const struct tide_bound *bound,
                          uint64_t from, uint64_t n) {
    _Alignas(64) uint8_t buf[PEER_VALUE_MAX];
    struct tide_answer answer;
    size_t key_len = r->workload->key_size, room = r->value_size;
    uint64_t sum = 0, bad = 0;
    answer.size = sizeof(answer);
    for (uint64_t i = from; i < from + n; i++) {
        bad += tide_get(reader, peer_key(r, i), key_len, bound, buf, room, &answer) != 0;
        PEER_CONSUME(buf);
        sum += peer_head(buf);
    }
    r->bad += bad;
    return sum;
}

static uint64_t run_get(struct peer_reader *r, uint64_t from, uint64_t n) {
    return gets(r, r->own, r->how != NULL ? r->how : &bound_zero, from, n);
}

static uint64_t run_within(struct peer_reader *r, uint64_t from, uint64_t n) {
    return gets(r, r->own, &bound_within, from, n);
}

static uint64_t run_behind(struct peer_reader *r, uint64_t from, uint64_t n) {
    return gets(r, r->second, &bound_within, from, n);
}

/* A write that the delayed follower has not applied while the next slice runs, and that the others have. */
static int push_behind(struct peer_reader *r) {
    const struct bench_workload *w = r->workload;
    uint8_t value[PEER_VALUE_MAX + 8];
    struct tide_token token;
    bench_workload_value(w, 0, 0, value);
    int rc = tide_put(r->peer, NULL, bench_workload_key(w, 0), w->key_size, value, w->value_size, &token);
    rc = rc != 0 ? rc : tide_wait_applied(r->peer, &token, 2, CAUGHT_UP_NS);
    return rc != 0 ? -1 : 0;
}

static double share_behind(struct peer_reader *r) {
    struct tide_read_counts counts = { .size = sizeof(counts) };
    tide_reader_counts(r->second, &counts);
    double behind = (double)counts.by_reason[TIDE_REASON_WITHIN_BOUND];
    return bench_ratio(behind, behind + (double)counts.by_reason[TIDE_REASON_FRESH]);
}

/* The bare lookup: the same table, key and copy, but bound, fence, session and reason are settled once for many. */
static uint64_t run_section(struct peer_reader *r, uint64_t from, uint64_t n) {
    _Alignas(64) uint8_t buf[PEER_VALUE_MAX];
    struct tide_reader *reader = r->own;
    size_t key_len = r->workload->key_size, room = r->value_size, got = 0;
    uint64_t sum = 0, bad = 0;
    bad += tide_section_begin(reader, &bound_zero, NULL) != 0;
    for (uint64_t i = from; i < from + n; i++) {
        bad += tide_section_get(reader, peer_key(r, i), key_len, buf, room, &got, NULL) != 0;
        PEER_CONSUME(buf);
        sum += peer_head(buf);
    }
    bad += tide_section_end(reader) != 0;
    r->bad += bad;
    return sum;
}

static uint64_t run_mget(struct peer_reader *r, uint64_t from, uint64_t n) {
    _Alignas(64) static __thread uint8_t buf[PEER_BATCH][PEER_VALUE_MAX];
    struct tide_mget_item items[PEER_BATCH];
    struct tide_answer answer;
    uint8_t *out = &buf[0][0];
    uint64_t sum = 0, bad = 0;
    answer.size = sizeof(answer);
    for (uint64_t k = 0; k < PEER_BATCH; k++) {
        items[k] = (struct tide_mget_item){ .key_len = r->workload->key_size,
                                            .buf = out + k * r->value_size,
                                            .buf_size = r->value_size };
    }
    for (uint64_t i = from; i < from + n; i += PEER_BATCH) {
        for (uint64_t k = 0; k < PEER_BATCH; k++) {
            items[k].key = peer_key(r, i + k);
        }
        bad += tide_mget(r->own, items, PEER_BATCH, &bound_zero, &answer) != 0;
        PEER_CONSUME(out);
        for (uint64_t k = 0; k < PEER_BATCH; k++) {
            bad += items[k].result != 0;
            sum += peer_head(out + k * r->value_size);
        }
    }
    r->bad += bad;
    return sum;
}

static int get_one(struct peer_reader *r, const uint8_t *key, uint8_t *out) {
    struct tide_answer answer = TIDE_ANSWER_INIT;
    int rc = tide_get(r->own, key, r->workload->key_size, &bound_zero, out, r->value_size, &answer);
    return rc == 0 && answer.value_size == r->value_size ? 0 : -1;
}

/* ---- puts -------------------------------------------------------------------------------------------------------- */

static uint64_t run_put(struct peer_reader *r, uint64_t from, uint64_t n) {
    struct tide *d = r->peer;
    size_t key_len = r->workload->key_size, size = r->value_size;
    uint64_t bad = 0;
    for (uint64_t i = from; i < from + n; i++) {
        memcpy(r->value, &i, sizeof(i));
        bad += tide_put(d, NULL, peer_key(r, i), key_len, r->value, size, NULL) != 0;
    }
    r->bad += bad;
    return 0;
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

static uint64_t table_bytes(const struct peer_case *c) {
    return bench_workload_table_bytes(c->options) * (c->for_puts ? 1 : c->cost ? 3 : 2);
}

static void start_replica(struct tide *d, uint32_t id) {
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    opts.id = (int32_t)id;
    opts.role = id == 0 ? TIDE_LEADER : TIDE_FOLLOWER;
    opts.apply_delay_ns = id == DELAYED ? DELAY_NS : 0;
    if (id != 0 && bench->machine.cpus > 1) {
        opts.cpu = (int32_t)bench->machine.cpu_ids[0]; /* not where the one reader is pinned */
    }
    bench_must(tide_replica_start(d, &opts, NULL), bench_setup_replica_text(id));
}

static void fill(struct peer_case *c, void **peer) {
    struct tide_opts opts =
        bench_setup_opts(BENCH_SETUP_OWN, c->options->keys, 0, bench_workload_table_bytes(c->options));
    struct tide *d = bench_domain(NULL, &opts, BENCH_UNLED);
    struct tide_token last;
    *peer = d;
    start_replica(d, 0);
    bench_must(bench_setup_fill(d, c->workload, &bench_stop, &last), "filling");
    bench_go_on();
    if (c->for_puts) {
        return;
    }
    start_replica(d, FOLLOWER);
    if (c->cost) {
        start_replica(d, DELAYED);
    }
    bench_must(tide_wait_applied(d, &last, c->cost ? 3 : 2, CAUGHT_UP_NS), "waiting for the followers");
}

static void end(void *peer) {
    bench_close(peer);
}

static void open_reader(struct peer_reader *r, uint32_t turn) {
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_reader *own = NULL, *second = NULL;
    bench_must(tide_info(r->peer, &info), "looking at the domain");
    bench_must(bench_setup_reader(r->peer, turn == 0 && info.replicas > 1 ? FOLLOWER : 0, &own), "opening a reader");
    if (turn == 0 && info.replicas > DELAYED) {
        bench_must(bench_setup_reader(r->peer, DELAYED, &second), "opening a reader");
    }
    r->own = own;
    r->second = second;
}

static void close_reader(struct peer_reader *r) {
    bench_reader_close(r->own);
    bench_reader_close(r->second);
    r->own = r->second = NULL;
}

static uint64_t used(void *peer) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    return tide_replica_info(peer, FOLLOWER, &info) == 0 ? info.table_used_bytes : 0;
}

const struct peer peer_tide = {
    .name = "tide",
    .gets = { { "tide", "tide_get, bound 0", run_get, PEER_CHUNK },
              { "tide_within", "tide_get, bound 200 ms", run_within, PEER_CHUNK, .cost = true },
              { "tide_behind", "tide_get, bound 200 ms, behind", run_behind, PEER_CHUNK, .cost = true,
                .before = push_behind },
              { "tide_section", "tide: bare lookup (get in a section)", run_section, PEER_CHUNK },
              { "tide_mget", "tide_mget of 32, bound 0", run_mget, PEER_CHUNK } },
    .puts = { { "tide", "tide_put, leader's process", run_put, PEER_CHUNK } },
    .pairs = 1,
    .beside = 1,
    .by_user = true,
    .used = used,
    .share = share_behind,
    PEER_FUNCTIONS,
};
