/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/putload.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/lib/plain.h"
#include "bench/lib/program.h"
#include "bench/lib/rng.h"
#include "bench/lib/setup.h"
#include "bench/lib/workload.h"

#define KEY 16u
#define VALUE 64u
#define CHUNK 256u /* writes between two looks at the clock */
#define BATCH_MAX 100u
#define HUGE_PAGE ((size_t)2 << 20)
#define SEQUENCES 3u /* two writers, a reader */

static const struct {
    const char *id, *title;
    uint32_t threads;
} descriptions[BENCH_PUT_ROWS] = {
    [BENCH_PUT_PLAIN] = { "plain", "plain table", 1 },
    [BENCH_PUT_LOAD] = { "load", "dependent loads from as much memory", 1 },
    [BENCH_PUT_ALONE] = { "put", "tide_put, the leader alone", 1 },
    [BENCH_PUT_FOLLOWER] = { "put.follower", "tide_put, a follower beside it", 2 },
    [BENCH_PUT_READER] = { "put.reader", "tide_put, a reader beside it", 2 },
    [BENCH_PUT_TWO] = { "put.two", "tide_put, two writers", 2 },
    [BENCH_PUT_BATCH16] = { "batch16", "tide_batch of 16", 1 },
    [BENCH_PUT_BATCH32] = { "batch32", "tide_batch of 32", 1 },
    [BENCH_PUT_BATCH100] = { "batch100", "tide_batch of 100", 1 },
    [BENCH_PUT_BATCH100_FOLLOWER] = { "batch100.follower", "tide_batch of 100, a follower", 2 },
    [BENCH_PUT_DELETE] = { "delete", "tide_delete", 1 },
    [BENCH_PUT_CAS] = { "cas", "tide_cas that succeeds", 1 },
};

/* Domains: a leader alone, and one with a follower; a third one for cas, whose versions nobody else changes. */
enum { ALONE, FOLLOWED, VERSIONED, DOMAINS };

struct line {
    _Alignas(64) const struct line *next;
};

struct bench_putload {
    struct bench_workload workload;
    struct tide *domains[DOMAINS];
    struct plain plain;
    struct line *lines; /* in a random order that leads to each of them once */
    const struct line *at;
    uint64_t *versions; /* of each key in the third domain: what cas expects */
    struct {
        uint64_t at;
        uint64_t apart[15]; /* each thread's own lines */
    } position[SEQUENCES];  /* in each thread's sequence */
    uint64_t walked;        /* delete: keys in an order in which none comes twice */
};

/* The work of one thread in a slice. */
struct job {
    _Alignas(128) struct bench_putload *load;
    struct tide *domain;
    uint32_t turn; /* CPU, and sequence */
    uint32_t batch;
    uint64_t duration_ns;
    double per_s;
    uint64_t sum;
};

const char *bench_putload_id(enum bench_putload_row row) {
    return descriptions[row].id;
}

const char *bench_putload_title(enum bench_putload_row row) {
    return descriptions[row].title;
}

uint32_t bench_putload_threads(enum bench_putload_row row) {
    return descriptions[row].threads;
}

static void must(const struct bench_putload *l, int code, const char *what) {
    bench_must(code, code == 0 ? "" : bench_text("%llu keys, %s", (unsigned long long)l->workload.keys, what));
}

/* ---- loops: each writes CHUNK times, or about so ----------------------------------------------------------------- */

static uint32_t next_key(struct bench_putload *l, uint32_t turn) {
    return l->workload.sequences[turn][l->position[turn].at++ & (l->workload.steps - 1)];
}

/* Makes each value differ, at next to no cost. */
static void change(uint8_t *value, uint64_t n) {
    memcpy(value, &n, sizeof(n));
}

static int put_chunk(struct job *j, uint64_t *n) {
    struct bench_putload *l = j->load;
    uint8_t value[VALUE] = { 0 };
    int rc = 0;
    for (uint32_t i = 0; i < CHUNK && rc == 0; i++) {
        change(value, *n + i);
        rc = tide_put(j->domain, NULL, bench_workload_key(&l->workload, next_key(l, j->turn)), KEY, value, VALUE, NULL);
    }
    *n += CHUNK;
    return rc;
}

static int plain_chunk(struct job *j, uint64_t *n) {
    struct bench_putload *l = j->load;
    uint8_t value[VALUE] = { 0 };
    int rc = 0;
    for (uint32_t i = 0; i < CHUNK && rc == 0; i++) {
        change(value, *n + i);
        rc = plain_put(&l->plain, bench_workload_key(&l->workload, next_key(l, j->turn)), KEY, value, VALUE);
    }
    *n += CHUNK;
    return rc == 0 ? 0 : TIDE_ERR_FULL;
}

static int load_chunk(struct job *j, uint64_t *n) {
    const struct line *at = j->load->at;
    for (uint32_t i = 0; i < CHUNK; i++) {
        at = at->next;
    }
    j->load->at = at;
    *n += CHUNK;
    return 0;
}

static int batch_chunk(struct job *j, uint64_t *n) {
    struct bench_putload *l = j->load;
    struct tide_op ops[BATCH_MAX];
    uint8_t value[VALUE] = { 0 };
    int rc = 0;
    for (uint64_t end = *n + CHUNK; *n < end && rc == 0; *n += j->batch) {
        change(value, *n);
        for (uint32_t k = 0; k < j->batch; k++) {
            ops[k] =
                (struct tide_op){ TIDE_OP_PUT, 0, bench_workload_key(&l->workload, next_key(l, j->turn)), KEY, value,
                                  VALUE,       0 };
        }
        rc = tide_batch(j->domain, NULL, ops, j->batch, NULL, NULL);
    }
    return rc;
}

static int cas_chunk(struct job *j, uint64_t *n) {
    struct bench_putload *l = j->load;
    uint8_t value[VALUE] = { 0 };
    struct tide_token token;
    int rc = 0;
    for (uint32_t i = 0; i < CHUNK && rc == 0; i++) {
        uint32_t key = next_key(l, j->turn);
        change(value, *n + i);
        rc = tide_cas(j->domain, NULL, bench_workload_key(&l->workload, key), KEY, l->versions[key], value, VALUE,
                      &token, NULL);
        l->versions[key] = token.index;
    }
    *n += CHUNK;
    return rc;
}

typedef int chunk_fn(struct job *j, uint64_t *n);

static int run_chunks(struct job *j, chunk_fn *chunk) {
    uint64_t n = 0;
    int rc = chunk(j, &n); /* warms the caches */
    n = 0;
    uint64_t start = bench_now_ns(), now = start;
    while (rc == 0 && now - start < j->duration_ns) {
        rc = chunk(j, &n);
        now = bench_now_ns();
    }
    j->per_s = (double)n * 1e9 / (double)(now - start);
    return rc;
}

/* Deletes alone are timed: the puts that bring the keys back are not. */
static int run_deletes(struct job *j) {
    struct bench_putload *l = j->load;
    const struct bench_workload *w = &l->workload;
    uint64_t spent = 0, n = 0, began = bench_now_ns();
    uint8_t value[VALUE] = { 0 };
    int rc = 0;
    while (rc == 0 && (n == 0 || bench_now_ns() - began < 2 * j->duration_ns)) {
        uint64_t from = l->walked, start = bench_now_ns();
        for (uint32_t i = 0; i < CHUNK && rc == 0; i++) {
            /* A prime above any number of keys: so many steps meet each key once. */
            const uint8_t *key = bench_workload_key(w, (from + i) * UINT64_C(2654435761) % w->keys);
            rc = tide_delete(j->domain, NULL, key, KEY, NULL);
        }
        spent += bench_now_ns() - start;
        n += CHUNK;
        for (uint32_t i = 0; i < CHUNK && rc == 0; i++) {
            const uint8_t *key = bench_workload_key(w, (from + i) * UINT64_C(2654435761) % w->keys);
            rc = tide_put(j->domain, NULL, key, KEY, value, VALUE, NULL);
        }
        l->walked += CHUNK;
    }
    j->per_s = (double)n * 1e9 / (double)spent;
    return rc;
}

/* ---- the thread beside the writer -------------------------------------------------------------------------------- */

static int other_writer(struct bench_worker *w, void *ctx) {
    struct job *j = ctx;
    bench_worker_done(w, 1);
    must(j->load, run_chunks(j, put_chunk), "writing beside a writer");
    return 0;
}

static int other_reader(struct bench_worker *w, void *ctx) {
    struct job *j = ctx;
    struct bench_putload *l = j->load;
    struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_reader *r;
    uint8_t value[VALUE];
    bound.max_staleness_ns = TIDE_UNBOUNDED;
    must(l, tide_reader_open(j->domain, NULL, &r), "opening a reader");
    bench_worker_done(w, 1);
    while (bench_worker_peek(w) != BENCH_ORDER_END) {
        int rc = 0;
        for (uint32_t i = 0; i < CHUNK && rc == 0; i++) {
            const uint8_t *key = bench_workload_key(&l->workload, next_key(l, j->turn));
            rc = tide_get(r, key, KEY, &bound, value, sizeof(value), NULL);
            j->sum += value[0];
        }
        must(l, rc, "reading beside a writer");
    }
    tide_reader_close(r);
    return 0;
}

/* Write, with another thread at work on the second CPU. */
static int run_beside(struct job *j, bench_worker_fn *fn, struct job *other) {
    struct bench_worker *w = bench_start(false, 1, fn, other);
    bench_await(w, 1);
    int rc = run_chunks(j, put_chunk);
    bench_worker_end(w);
    return rc;
}

double bench_putload_slice(struct bench_putload *l, enum bench_putload_row row, uint64_t duration_ns) {
    bool followed = row == BENCH_PUT_FOLLOWER || row == BENCH_PUT_BATCH100_FOLLOWER;
    struct tide *d = l->domains[followed ? FOLLOWED : row == BENCH_PUT_CAS ? VERSIONED : ALONE];
    uint32_t batch = row == BENCH_PUT_BATCH16 ? 16 : row == BENCH_PUT_BATCH32 ? 32 : 100;
    struct job j = { .load = l, .domain = d, .duration_ns = duration_ns, .batch = batch };
    struct job other = { .load = l, .domain = d, .duration_ns = duration_ns, .turn = 1 };
    bench_machine_pin(&bench->machine, 0);
    int rc;
    switch (row) {
    case BENCH_PUT_READER:
        other.turn = 2;
        rc = run_beside(&j, other_reader, &other);
        break;
    case BENCH_PUT_TWO:
        rc = run_beside(&j, other_writer, &other);
        break;
    case BENCH_PUT_PLAIN:
        rc = run_chunks(&j, plain_chunk);
        break;
    case BENCH_PUT_LOAD:
        rc = run_chunks(&j, load_chunk);
        break;
    case BENCH_PUT_BATCH16:
    case BENCH_PUT_BATCH32:
    case BENCH_PUT_BATCH100:
    case BENCH_PUT_BATCH100_FOLLOWER:
        rc = run_chunks(&j, batch_chunk);
        break;
    case BENCH_PUT_DELETE:
        rc = run_deletes(&j);
        break;
    case BENCH_PUT_CAS:
        rc = run_chunks(&j, cas_chunk);
        break;
    default:
        rc = run_chunks(&j, put_chunk);
    }
    must(l, rc, descriptions[row].title);
    return j.per_s + other.per_s;
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

static struct tide *open_domain(struct bench_putload *l, int which, const struct bench_options *o) {
    struct tide_opts opts = bench_setup_opts(BENCH_SETUP_OWN, o->keys, 0, bench_workload_table_bytes(o));
    const struct bench_machine *m = &bench->machine;
    struct tide *d = bench_domain(bench_text("%llu-%d", (unsigned long long)o->keys, which), &opts, 0);
    must(l, which == FOLLOWED ? bench_setup_start(d, 1, (int32_t)m->cpu_ids[1 % m->cpus]) : 0, "starting a follower");
    return d;
}

/* Every key into every table; the indexes in the third domain are the versions that cas starts from. */
static void fill(struct bench_putload *l) {
    const struct bench_workload *w = &l->workload;
    struct tide_token token = { 0, 0 };
    uint8_t value[VALUE];
    for (uint64_t i = 0; i < w->keys; i++) {
        bench_workload_value(w, i, 0, value);
        int rc = plain_put(&l->plain, bench_workload_key(w, i), KEY, value, VALUE) != 0 ? TIDE_ERR_FULL : 0;
        for (int which = 0; which < DOMAINS && rc == 0; which++) {
            rc = tide_put(l->domains[which], NULL, bench_workload_key(w, i), KEY, value, VALUE, &token);
        }
        must(l, rc, "filling");
        bench_go_on();
        l->versions[i] = token.index;
    }
}

/* As many lines as the leader's table has in use, in huge pages as it is, linked to a circle in random order. */
static void link_lines(struct bench_putload *l) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    struct bench_rng rng;
    must(l, tide_replica_info(l->domains[ALONE], 0, &info), "looking at the leader");
    size_t bytes = (info.table_used_bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    uint64_t lines_n = bytes / sizeof(*l->lines);
    l->lines = aligned_alloc(HUGE_PAGE, bytes);
    bench_must_system(l->lines != NULL, "memory to load from");
    (void)madvise(l->lines, bytes, MADV_HUGEPAGE);
    for (uint64_t i = 0; i < lines_n; i++) {
        l->lines[i].next = &l->lines[i];
    }
    /* Sattolo's shuffle: one circle through all of them. */
    bench_rng_init(&rng, 1);
    for (uint64_t i = lines_n - 1; i > 0; i--) {
        uint64_t k = bench_rng_below(&rng, i);
        const struct line *next = l->lines[i].next;
        l->lines[i].next = l->lines[k].next;
        l->lines[k].next = next;
    }
    l->at = l->lines;
}

struct bench_putload *bench_putload_create(uint64_t keys) {
    struct bench_options o = { .keys = keys, .key_size = KEY, .value_size = VALUE, .seed = 1 };
    struct bench_putload *l = bench_alloc(1, sizeof(*l));
    l->versions = bench_alloc(keys, sizeof(*l->versions));
    bench_must_system(bench_workload_init(&l->workload, &o, SEQUENCES) == 0 &&
                          bench_workload_prepare(&l->workload, SEQUENCES) == 0 &&
                          plain_create(&l->plain, keys, 0.5, KEY, VALUE) == 0,
                      "memory for keys and the plain table");
    bench_machine_unpin(&bench->machine); /* the engine's threads run where the system likes, except the follower's */
    for (int which = 0; which < DOMAINS; which++) {
        l->domains[which] = open_domain(l, which, &o);
    }
    fill(l);
    link_lines(l);
    return l;
}
