/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does a domain pay for being able to evict? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/child.h"
#include "bench/lib/program.h"
#include "bench/lib/rng.h"
#include "bench/lib/setup.h"
#include "bench/lib/worker.h"

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

struct plan {
    struct bench_program *p;
    struct scene *s;
    struct bench_worker *other; /* the process that has no replica */
    uint32_t orders;
    uint64_t keys, many;
    struct tide *d[WAYS], *full[2]; /* with few and with many keys */
    struct tide *roomy;             /* with many keys, and nothing to evict */
    struct tide_reader *readers[WAYS];
    uint64_t fresh; /* keys that were never there are made of it */
    uint32_t rows[ROWS][WAYS], many_rows[WAYS];
};

/* ---- slices ---------------------------------------------------------------------------------------------------------- */

/* Gets of keys at random (r); or puts: of keys from 0 on that are there, or (fresh) of keys that were never there. *ns: of one, the median
 * of the slice's chunks, so that a chunk in which the machine was away does not count. */
static int slice_of(struct tide_reader *r, struct tide *d, uint64_t keys, uint64_t *fresh, uint64_t slice_ns,
                    double *ns) {
    static struct bench_rng rng = { 88172645463325252 };
    static double chunks[CHUNKS_MOST];
    uint64_t names[CHUNK][2], took = 0;
    uint8_t value[VALUE_BYTES] = { 0 };
    struct tide_answer a = { .size = sizeof(a) };
    uint32_t n = 0;
    int rc = 0;
    while (took < slice_ns && n < CHUNKS_MOST && rc == 0) {
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
        chunks[n++] = (double)ns_of_all / CHUNK;
        took += ns_of_all;
    }
    *ns = bench_spread_of(chunks, n).median;
    return rc;
}

/* ---- the process without a replica ----------------------------------------------------------------------------------- */

static int read_on_order(struct bench_worker *w, void *ctx) {
    struct plan *plan = ctx;
    struct scene *s = plan->s;
    struct tide *d[WAYS] = { NULL };
    struct tide_reader *readers[WAYS] = { NULL };
    uint32_t order = 0;
    int rc = 0;
    bench_worker_what(w, "reading");
    while (rc == 0) {
        order = bench_worker_order(w, order);
        for (uint32_t way = 0; way < WAYS && readers[way] == NULL && rc == 0; way++) {
            rc = tide_open(&d[way], s->names[way], NULL);
            rc = rc != 0 ? rc : tide_reader_open(d[way], NULL, &readers[way]);
        }
        rc = rc != 0 ? rc : slice_of(readers[s->way], NULL, plan->keys, NULL, s->slice_ns, &s->ns);
        if (rc == 0) {
            bench_worker_done(w, order);
        }
    }
    return rc;
}

/* 0, 1: stopped, -1. */
static int foreign_slice(struct plan *plan, uint32_t way, uint64_t slice_ns, double *ns) {
    plan->s->way = way;
    plan->s->slice_ns = slice_ns;
    bench_worker_tell(plan->other, ++plan->orders);
    int rc = bench_worker_await(plan->other, plan->orders, &bench_stop, plan->p->error);
    *ns = plan->s->ns;
    return rc;
}

/* ---- a repetition ---------------------------------------------------------------------------------------------------- */

static int one_slice(struct plan *plan, enum row row, uint32_t way, uint64_t slice_ns, double *ns) {
    bool few = row == ROW_PUT;
    int code;
    if (row == ROW_FOREIGN) {
        return foreign_slice(plan, way, slice_ns, ns);
    }
    if (row == ROW_GET) {
        code = slice_of(plan->readers[way], NULL, plan->keys, NULL, slice_ns, ns);
    } else if (way == OFF) {
        code = slice_of(NULL, few ? plan->d[ON] : plan->roomy, few ? plan->keys : plan->many, NULL, slice_ns, ns);
    } else {
        code = slice_of(NULL, plan->full[!few], 0, &plan->fresh, slice_ns, ns);
    }
    return code != 0 ? bench_program_failed_code(plan->p, "measuring", code) : 0;
}

static int one_row(struct plan *plan, enum row row, const uint32_t rows[WAYS], uint32_t repetition) {
    double sum[WAYS] = { 0 };
    for (uint32_t turn = 0; turn < 2 * TURNS; turn++) {
        uint32_t way = (turn ^ turn >> 1) & 1; /* off on on off: a drift of the machine meets both */
        double ns = 0;
        int rc = bench_stop ? 1 : one_slice(plan, row, way, bench_program_slice_ns(plan->p, SLICE_NS), &ns);
        if (rc != 0) {
            return rc;
        }
        sum[way] += ns;
    }
    for (uint32_t way = 0; way < WAYS; way++) {
        bench_program_set(plan->p, rows[way], repetition, sum[way] / TURNS);
    }
    return 0;
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    struct plan *plan = ctx;
    (void)p;
    int rc = 0;
    for (enum row row = 0; row < ROWS && rc == 0; row++) {
        rc = one_row(plan, row, plan->rows[row], repetition);
    }
    return rc != 0 ? rc : one_row(plan, ROWS, plan->many_rows, repetition);
}

/* ---- set-up ---------------------------------------------------------------------------------------------------------- */

/* Domains: a name's end is which. */
static int open_domain(struct plan *plan, const char *which, enum tide_evict evict, uint64_t table_bytes,
                       struct tide **out) {
    struct tide_opts o = TIDE_OPTS_INIT;
    char name[TIDE_NAME_MAX], full[TIDE_NAME_MAX + 8];
    bench_program_domain_name(plan->p, name);
    snprintf(full, sizeof(full), "%.40s.%s", name, which);
    o.flags |= TIDE_EPHEMERAL;
    o.evict = evict;
    o.table_bytes = table_bytes;
    int rc = tide_open(out, full, &o);
    rc = rc != 0 ? rc : bench_setup_start(*out, 0, -1);
    return rc != 0 ? bench_program_failed_code(plan->p, "making a domain", rc) : 0;
}

static int fill(struct plan *plan, struct tide *d, uint64_t from, uint64_t n) {
    uint64_t key[2];
    uint8_t value[VALUE_BYTES] = { 0 };
    int rc = 0;
    for (uint64_t i = from; i < from + n && rc == 0 && !bench_stop; i++) {
        bench_key(key, i);
        rc = tide_put(d, NULL, key, KEY_BYTES, value, sizeof(value), NULL);
    }
    return bench_stop ? 1 : rc != 0 ? bench_program_failed_code(plan->p, "filling a domain", rc) : 0;
}

/* One that holds about so many keys, and has evicted for a while. */
static int open_full(struct plan *plan, const char *which, uint64_t keys, struct tide **out) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    uint64_t bytes = keys * OBJECT_BYTES;
    int rc = open_domain(plan, which, TIDE_EVICT_S3FIFO, bytes < UINT64_C(1) << 20 ? UINT64_C(1) << 20 : bytes, out);
    rc = rc != 0 ? rc : fill(plan, *out, plan->fresh, WARM_PUTS * keys);
    plan->fresh += WARM_PUTS * keys;
    if (rc == 0 && tide_replica_info(*out, 0, &info) == 0 && info.keys >= WARM_PUTS * keys) {
        rc = bench_program_failed(plan->p, "a domain that should be full is not");
    }
    return rc;
}

static int prepare(struct plan *plan) {
    struct bench_program *p = plan->p;
    char name[TIDE_NAME_MAX];
    plan->s = bench_shared_map(sizeof(*plan->s));
    if (plan->s == NULL) {
        return bench_program_failed_errno(p, "memory for the other process");
    }
    bench_program_domain_name(p, name);
    snprintf(plan->s->names[OFF], TIDE_NAME_MAX, "%.40s.off", name);
    snprintf(plan->s->names[ON], TIDE_NAME_MAX, "%.40s.on", name);
    plan->other = bench_worker_start(true, &p->machine, -1, read_on_order, plan);
    if (plan->other == NULL) {
        return bench_program_failed_errno(p, "starting a process");
    }
    int rc = open_domain(plan, "off", TIDE_EVICT_NONE, ROOMY, &plan->d[OFF]);
    rc = rc != 0 ? rc : open_domain(plan, "on", TIDE_EVICT_S3FIFO, ROOMY, &plan->d[ON]);
    rc = rc != 0 ? rc
                 : open_domain(plan, "roomy", TIDE_EVICT_S3FIFO, ROOMY + 2 * OBJECT_BYTES * plan->many, &plan->roomy);
    rc = rc != 0 ? rc : fill(plan, plan->roomy, 0, plan->many);
    for (uint32_t way = 0; way < WAYS && rc == 0; way++) {
        rc = fill(plan, plan->d[way], 0, plan->keys);
        int code = rc == 0 ? tide_reader_open(plan->d[way], NULL, &plan->readers[way]) : 0;
        rc = code != 0 ? bench_program_failed_code(p, "opening a reader", code) : rc;
    }
    plan->fresh = plan->many + 1;
    rc = rc != 0 ? rc : open_full(plan, "few", plan->keys, &plan->full[0]);
    rc = rc != 0 ? rc : open_full(plan, "many", plan->many, &plan->full[1]);
    return rc;
}

static void end_all(struct plan *plan) {
    bench_worker_end(plan->other);
    for (uint32_t i = 0; i < 2; i++) {
        bench_reader_close(plan->readers[i]);
        bench_close(plan->d[i]);
        bench_close(plan->full[i]);
    }
    bench_close(plan->roomy);
}

static void add_rows(struct plan *plan) {
    struct bench_program *p = plan->p;
    static const char *const ids[ROWS] = { "evict.get", "evict.foreign", "evict.put" };
    char id[64], group[96], titles[ROWS][WAYS][64];
    unsigned long long keys = (unsigned long long)plan->keys, many = (unsigned long long)plan->many;
    for (uint32_t way = 0; way < WAYS; way++) {
        const char *which = way == OFF ? "eviction off" : "eviction on";
        snprintf(titles[ROW_GET][way], sizeof(titles[0][0]), "tide_get, %s", which);
        snprintf(titles[ROW_FOREIGN][way], sizeof(titles[0][0]), "tide_get from another process, %s", which);
        snprintf(titles[ROW_PUT][way], sizeof(titles[0][0]), "tide_put that %s",
                 way == OFF ? "overwrites" : "evicts a key");
    }
    for (enum row row = 0; row < ROWS; row++) {
        snprintf(group, sizeof(group), row == ROW_PUT ? "put, about %llu keys" : "get, %llu keys", keys);
        for (uint32_t way = 0; way < WAYS; way++) {
            snprintf(id, sizeof(id), "%s.%s", ids[row], way == OFF ? "off" : "on");
            plan->rows[row][way] = bench_program_row(p, id, group, titles[row][way], "ns");
        }
    }
    snprintf(group, sizeof(group), "put, about %llu keys", many);
    for (uint32_t way = 0; way < WAYS; way++) {
        snprintf(id, sizeof(id), "evict.put.many.%s", way == OFF ? "off" : "on");
        plan->many_rows[way] = bench_program_row(p, id, group, titles[ROW_PUT][way], "ns");
    }
    bench_figures_bar(&p->figures, "evict.get", "get, 10 k keys: what eviction adds", "ns", BENCH_AT_MOST, BAR_GET_NS,
                      BENCH_LESS, plan->rows[ROW_GET][ON], plan->rows[ROW_GET][OFF], BENCH_NO_FIGURE);
    bench_program_bar(p, "evict.foreign", "get from another process: with eviction over without", "x", BENCH_AT_MOST,
                      BAR_FOREIGN, plan->rows[ROW_FOREIGN][ON], plan->rows[ROW_FOREIGN][OFF]);
    bench_program_bar(p, "evict.put", "put that evicts a key over one that overwrites", "x", BENCH_AT_MOST, BAR_PUT,
                      plan->rows[ROW_PUT][ON], plan->rows[ROW_PUT][OFF]);
    bench_program_bar(p, "evict.put.many", "the same with many keys", "x", BENCH_AT_MOST, BAR_PUT, plan->many_rows[ON],
                      plan->many_rows[OFF]);
}

int main(int argc, char **argv) {
    static struct plan plan = { .keys = 10000, .many = 1000000 };
    static const struct bench_number numbers[] = {
        { "many", "keys of the larger domains", &plan.many, 20000, 100000000, 20000 },
    };
    static struct bench_program p = {
        .name = "evict",
        .about =
            "What a domain pays for being able to evict: gets of 10,000 keys with eviction on and off, in the\n"
            "leader's process and from one without a replica, in turn; and a put of a new key into a full domain,\n"
            "which evicts one, beside a put that overwrites.\n",
        .numbers = numbers,
        .numbers_n = 1,
        .repetitions = 9,
    };
    int code;
    plan.p = &p;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    add_rows(&plan);
    int rc = prepare(&plan);
    rc = rc != 0 ? rc : bench_program_repeat(&p, one_repetition, &plan);
    end_all(&plan);
    return bench_program_end(&p, rc);
}
