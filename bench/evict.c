/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does a domain pay for being able to evict? */
#include <stdio.h>

#include "bench/lib/program.h"
#include "bench/lib/rng.h"
#include "bench/lib/setup.h"

#define KEY_BYTES 16u
#define VALUE_BYTES 64u
#define OBJECT_BYTES 128u /* about what a key takes */
#define ROOMY (UINT64_C(16) << 20)
#define SLICE_NS UINT64_C(20000000)
#define TURNS 8u /* slices of each of the two in a repetition, in turn */
#define CHUNK 256u
#define CHUNKS_MOST 8192u
#define WARM_PUTS 4u /* so many times what the domain holds, before anything is measured */
#define BAR_GET_NS 1.0
#define BAR_FOREIGN 1.03
#define BAR_PUT 1.5

enum { OFF, ON, WAYS };
enum row { ROW_GET, ROW_FOREIGN, ROW_PUT, ROWS };

struct scene { /* shared with the process that has no replica */
    char names[WAYS][TIDE_NAME_MAX];
    uint32_t way;
    uint64_t slice_ns;
    double ns;
};

static struct {
    struct scene *s;
    struct bench_worker *other; /* the process that has no replica */
    uint64_t keys, many;
    struct tide *d[WAYS], *full[2]; /* with few and with many keys */
    struct tide *roomy;             /* with many keys, and nothing to evict */
    struct tide_reader *readers[WAYS];
    uint64_t fresh; /* keys that were never there are made of it */
    uint32_t rows[ROWS][WAYS], many_rows[WAYS];
} plan = { .keys = 10000, .many = 1000000 };

/* ---- slices ------------------------------------------------------------------------------------------------------ */

/* Gets of keys at random (r); or puts: of keys from 0 on that are there, or (fresh) of keys that were never there. Returns ns of
 * one, the median of the slice's chunks, so that a chunk in which the machine was away does not count. */
static double slice_of(struct tide_reader *r, struct tide *d, uint64_t keys, uint64_t *fresh, uint64_t slice_ns) {
    static struct bench_rng rng = { 88172645463325252 };
    static double chunks[CHUNKS_MOST];
    uint64_t names[CHUNK][2], took = 0;
    uint8_t value[VALUE_BYTES] = { 0 };
    struct tide_answer a = { .size = sizeof(a) };
    uint32_t n = 0;
    int rc = 0;
    while (took < slice_ns && n < CHUNKS_MOST) {
        for (uint32_t i = 0; i < CHUNK; i++) {
            bench_key(names[i], fresh != NULL ? ++*fresh : bench_rng_below(&rng, keys));
        }
        uint64_t from = bench_now_ns();
        for (uint32_t i = 0; r != NULL && i < CHUNK && rc == 0; i++) {
            rc = tide_get(r, names[i], KEY_BYTES, NULL, value, sizeof(value), &a);
        }
        for (uint32_t i = 0; r == NULL && i < CHUNK && rc == 0; i++) {
            rc = tide_put(d, NULL, names[i], KEY_BYTES, value, sizeof(value), NULL);
        }
        uint64_t ns_of_all = bench_now_ns() - from;
        bench_must(rc, r != NULL ? "getting" : "putting");
        chunks[n++] = (double)ns_of_all / CHUNK;
        took += ns_of_all;
    }
    return bench_spread_of(chunks, n).median;
}

/* ---- the process without a replica ------------------------------------------------------------------------------- */

static int read_on_order(struct bench_worker *w, void *ctx) {
    struct scene *s = ctx;
    struct tide *d[WAYS];
    struct tide_reader *readers[WAYS] = { NULL };
    for (uint32_t order = 0;;) {
        order = bench_worker_order(w, order);
        for (uint32_t way = 0; way < WAYS && readers[way] == NULL; way++) {
            bench_must(tide_open(&d[way], s->names[way], NULL), "opening a domain");
            bench_must(tide_reader_open(d[way], NULL, &readers[way]), "opening a reader");
        }
        s->ns = slice_of(readers[s->way], NULL, plan.keys, NULL, s->slice_ns);
        bench_worker_done(w, order);
    }
    return 0; /* never: it is killed */
}

/* ---- a repetition ------------------------------------------------------------------------------------------------ */

static double one_slice(enum row row, uint32_t way, uint64_t slice_ns) {
    bool few = row == ROW_PUT;
    switch (row) {
    case ROW_FOREIGN:
        plan.s->way = way;
        plan.s->slice_ns = slice_ns;
        bench_turn(plan.other);
        return plan.s->ns;
    case ROW_GET:
        return slice_of(plan.readers[way], NULL, plan.keys, NULL, slice_ns);
    default:
        return way == OFF ? slice_of(NULL, few ? plan.d[ON] : plan.roomy, few ? plan.keys : plan.many, NULL, slice_ns)
                          : slice_of(NULL, plan.full[!few], 0, &plan.fresh, slice_ns);
    }
}

static void one_row(enum row row, const uint32_t rows[WAYS]) {
    double sum[WAYS] = { 0 };
    for (uint32_t turn = 0; turn < 2 * TURNS; turn++) {
        uint32_t way = (turn ^ turn >> 1) & 1; /* off on on off: a drift of the machine meets both */
        sum[way] += one_slice(row, way, bench_slice_ns(SLICE_NS));
        bench_go_on();
    }
    for (uint32_t way = 0; way < WAYS; way++) {
        bench_set(rows[way], sum[way] / TURNS);
    }
}

static void repeat(void) {
    for (enum row row = 0; row < ROWS; row++) {
        one_row(row, plan.rows[row]);
    }
    one_row(ROWS, plan.many_rows);
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

static struct tide *open_domain(const char *which, enum tide_evict evict, uint64_t table_bytes) {
    struct tide_opts o = bench_setup_opts(BENCH_SETUP_OWN, 0, 0, table_bytes);
    o.evict = evict;
    return bench_domain(which, &o, 0);
}

static void fill(struct tide *d, uint64_t from, uint64_t n) {
    uint64_t key[2];
    uint8_t value[VALUE_BYTES] = { 0 };
    for (uint64_t i = from; i < from + n; i++) {
        bench_key(key, i);
        bench_must(tide_put(d, NULL, key, KEY_BYTES, value, sizeof(value), NULL), "filling a domain");
        bench_go_on();
    }
}

/* One that holds about so many keys, and has evicted for a while. */
static struct tide *open_full(const char *which, uint64_t keys) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    uint64_t bytes = keys * OBJECT_BYTES;
    struct tide *d = open_domain(which, TIDE_EVICT_S3FIFO, bytes < UINT64_C(1) << 20 ? UINT64_C(1) << 20 : bytes);
    fill(d, plan.fresh, WARM_PUTS * keys);
    plan.fresh += WARM_PUTS * keys;
    if (tide_replica_info(d, 0, &info) == 0 && info.keys >= WARM_PUTS * keys) {
        bench_fail("a domain with room for about %llu keys holds all %llu that were put: it does not evict",
                   (unsigned long long)keys, (unsigned long long)info.keys);
    }
    return d;
}

static void open_all(void) {
    plan.s = bench_share(sizeof(*plan.s));
    bench_domain_name("off", plan.s->names[OFF]);
    bench_domain_name("on", plan.s->names[ON]);
    plan.other = bench_start(true, -1, read_on_order, plan.s);
    plan.d[OFF] = open_domain("off", TIDE_EVICT_NONE, ROOMY);
    plan.d[ON] = open_domain("on", TIDE_EVICT_S3FIFO, ROOMY);
    plan.roomy = open_domain("roomy", TIDE_EVICT_S3FIFO, ROOMY + 2 * OBJECT_BYTES * plan.many);
    fill(plan.roomy, 0, plan.many);
    for (uint32_t way = 0; way < WAYS; way++) {
        fill(plan.d[way], 0, plan.keys);
        bench_must(tide_reader_open(plan.d[way], NULL, &plan.readers[way]), "opening a reader");
    }
    plan.fresh = plan.many + 1;
    plan.full[0] = open_full("few", plan.keys);
    plan.full[1] = open_full("many", plan.many);
}

static void add_rows(void) {
    static const char *const ids[ROWS] = { "evict.get", "evict.foreign", "evict.put" };
    static const char *const titles[ROWS][WAYS] = {
        { "tide_get, eviction off", "tide_get, eviction on" },
        { "tide_get from another process, eviction off", "tide_get from another process, eviction on" },
        { "tide_put that overwrites", "tide_put that evicts a key" },
    };
    static const char *const ends[WAYS] = { "off", "on" };
    for (enum row row = 0; row < ROWS; row++) {
        const char *group =
            bench_text(row == ROW_PUT ? "put, about %llu keys" : "get, %llu keys", (unsigned long long)plan.keys);
        for (uint32_t way = 0; way < WAYS; way++) {
            plan.rows[row][way] = bench_row(bench_text("%s.%s", ids[row], ends[way]), group, titles[row][way], "ns");
        }
    }
    const char *group = bench_text("put, about %llu keys", (unsigned long long)plan.many);
    for (uint32_t way = 0; way < WAYS; way++) {
        plan.many_rows[way] = bench_row(bench_text("evict.put.many.%s", ends[way]), group, titles[ROW_PUT][way], "ns");
    }
    bench_at_most_above("evict.get", "get, 10 k keys: what eviction adds", "ns", BAR_GET_NS, plan.rows[ROW_GET][ON],
                        plan.rows[ROW_GET][OFF]);
    bench_at_most("evict.foreign", "get from another process: with eviction over without", "x", BAR_FOREIGN,
                  plan.rows[ROW_FOREIGN][ON], plan.rows[ROW_FOREIGN][OFF]);
    bench_at_most("evict.put", "put that evicts a key over one that overwrites", "x", BAR_PUT, plan.rows[ROW_PUT][ON],
                  plan.rows[ROW_PUT][OFF]);
    bench_at_most("evict.put.many", "the same with many keys", "x", BAR_PUT, plan.many_rows[ON], plan.many_rows[OFF]);
}

static void prepare(void) {
    add_rows();
    open_all();
}

BENCH_MAIN(.name = "evict", .repetitions = 9,
           BENCH_NUMBERS({ "many", "keys of the larger domains", &plan.many, 20000, 100000000, 20000 }),
           .about =
               "What a domain pays for being able to evict: gets of 10,000 keys with eviction on and off, in the\n"
               "leader's process and from one without a replica, in turn; and a put of a new key into a full domain,\n"
               "which evicts one, beside a put that overwrites.\n")
