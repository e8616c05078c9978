/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does a domain pay for being able to evict? */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/program.h"
#include "bench/lib/rng.h"

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
    sem_t go, done;
    char names[WAYS][TIDE_NAME_MAX];
    uint32_t way;
    uint64_t slice_ns;
    double ns;
    int error;
};

struct plan {
    struct bench_program *p;
    struct scene *s;
    pid_t child;
    uint64_t keys, many;
    struct tide *d[WAYS], *full[2]; /* with few and with many keys */
    struct tide *roomy;             /* with many keys, and nothing to evict */
    struct tide_reader *readers[WAYS];
    uint64_t fresh; /* keys that were never there are made of it */
    uint32_t rows[ROWS][WAYS], many_rows[WAYS];
};

static void key_of(uint64_t i, uint8_t key[KEY_BYTES]) {
    uint64_t words[2] = { bench_mix64(i), i };
    memcpy(key, words, sizeof(words));
}

/* ---- slices ---------------------------------------------------------------------------------------------------------- */

/* The median of a slice's chunks, so that one which the machine was away in does not count: time of one. */
struct chunks {
    double ns[CHUNKS_MOST];
    uint32_t n;
    uint64_t took;
};

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static bool chunks_go_on(const struct chunks *c, uint64_t slice_ns) {
    return c->took < slice_ns && c->n < CHUNKS_MOST;
}

static void chunks_add(struct chunks *c, uint64_t ns) {
    c->ns[c->n++] = (double)ns / CHUNK;
    c->took += ns;
}

static double chunks_median(struct chunks *c) {
    qsort(c->ns, c->n, sizeof(c->ns[0]), by_size);
    return c->ns[c->n / 2];
}

/* A get, keys at random. */
static int get_slice(struct tide_reader *r, uint64_t keys, uint64_t slice_ns, double *ns) {
    static struct bench_rng rng = { 88172645463325252 };
    uint8_t names[CHUNK][KEY_BYTES], value[VALUE_BYTES];
    struct chunks c = { .n = 0 };
    struct tide_answer a = { .size = sizeof(a) };
    int rc = 0;
    while (chunks_go_on(&c, slice_ns) && rc == 0) {
        for (uint32_t i = 0; i < CHUNK; i++) {
            key_of(bench_rng_below(&rng, keys), names[i]);
        }
        uint64_t from = bench_now_ns();
        for (uint32_t i = 0; i < CHUNK && rc == 0; i++) {
            rc = tide_get(r, names[i], KEY_BYTES, NULL, value, sizeof(value), &a);
        }
        chunks_add(&c, bench_now_ns() - from);
    }
    *ns = chunks_median(&c);
    return rc;
}

/* A put: of keys from 0 on that are there, or of keys that were never there. */
static int put_slice(struct tide *d, uint64_t keys, uint64_t *fresh, uint64_t slice_ns, double *ns) {
    static struct bench_rng rng = { 88172645463325252 };
    uint8_t names[CHUNK][KEY_BYTES], value[VALUE_BYTES] = { 0 };
    struct chunks c = { .n = 0 };
    int rc = 0;
    while (chunks_go_on(&c, slice_ns) && rc == 0) {
        for (uint32_t i = 0; i < CHUNK; i++) {
            key_of(fresh != NULL ? ++*fresh : bench_rng_below(&rng, keys), names[i]);
        }
        uint64_t from = bench_now_ns();
        for (uint32_t i = 0; i < CHUNK && rc == 0; i++) {
            rc = tide_put(d, NULL, names[i], KEY_BYTES, value, sizeof(value), NULL);
        }
        chunks_add(&c, bench_now_ns() - from);
    }
    *ns = chunks_median(&c);
    return rc;
}

/* ---- the process without a replica ----------------------------------------------------------------------------------- */

static _Noreturn void run_child(struct plan *plan) {
    struct scene *s = plan->s;
    struct tide *d[WAYS] = { NULL };
    struct tide_reader *readers[WAYS] = { NULL };
    int rc = 0;
    for (;;) {
        while (sem_wait(&s->go) != 0) {
        }
        for (uint32_t way = 0; way < WAYS && readers[way] == NULL && rc == 0; way++) {
            rc = tide_open(&d[way], s->names[way], NULL);
            rc = rc != 0 ? rc : tide_reader_open(d[way], NULL, &readers[way]);
        }
        s->error = rc != 0 ? rc : get_slice(readers[s->way], plan->keys, s->slice_ns, &s->ns);
        sem_post(&s->done);
    }
}

static int foreign_slice(struct plan *plan, uint32_t way, uint64_t slice_ns, double *ns) {
    struct scene *s = plan->s;
    char how[80];
    s->way = way;
    s->slice_ns = slice_ns;
    sem_post(&s->go);
    for (;;) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        if (sem_timedwait(&s->done, &until) == 0) {
            *ns = s->ns;
            return s->error;
        }
        if (bench_stop) {
            return 0;
        }
        if (bench_child_ended(plan->child, how, sizeof(how))) {
            plan->child = 0;
            return TIDE_ERR_SYSTEM;
        }
    }
}

/* ---- a repetition ---------------------------------------------------------------------------------------------------- */

static int one_slice(struct plan *plan, enum row row, uint32_t way, uint64_t slice_ns, double *ns) {
    switch (row) {
    case ROW_GET:
        return get_slice(plan->readers[way], plan->keys, slice_ns, ns);
    case ROW_FOREIGN:
        return foreign_slice(plan, way, slice_ns, ns);
    case ROW_PUT:
        return way == OFF ? put_slice(plan->d[ON], plan->keys, NULL, slice_ns, ns)
                          : put_slice(plan->full[0], 0, &plan->fresh, slice_ns, ns);
    default:
        return way == OFF ? put_slice(plan->roomy, plan->many, NULL, slice_ns, ns)
                          : put_slice(plan->full[1], 0, &plan->fresh, slice_ns, ns);
    }
}

static int one_row(struct plan *plan, enum row row, const uint32_t rows[WAYS], uint32_t repetition) {
    double sum[WAYS] = { 0 };
    for (uint32_t turn = 0; turn < 2 * TURNS; turn++) {
        uint32_t way = (turn ^ turn >> 1) & 1; /* off on on off: a drift of the machine meets both */
        double ns = 0;
        int rc = bench_stop ? 0 : one_slice(plan, row, way, bench_program_slice_ns(plan->p, SLICE_NS), &ns);
        if (bench_stop || rc != 0) {
            return bench_stop ? 1 : bench_program_failed_code(plan->p, "measuring", rc);
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
    struct tide_replica_opts leader = TIDE_REPLICA_OPTS_INIT;
    char name[TIDE_NAME_MAX], full[TIDE_NAME_MAX + 8];
    bench_program_domain_name(plan->p, name);
    snprintf(full, sizeof(full), "%.40s.%s", name, which);
    o.flags |= TIDE_EPHEMERAL;
    o.evict = evict;
    o.table_bytes = table_bytes;
    leader.role = TIDE_LEADER;
    int rc = tide_open(out, full, &o);
    rc = rc != 0 ? rc : tide_replica_start(*out, &leader, NULL);
    return rc != 0 ? bench_program_failed_code(plan->p, "making a domain", rc) : 0;
}

static int fill(struct plan *plan, struct tide *d, uint64_t from, uint64_t n) {
    uint8_t key[KEY_BYTES], value[VALUE_BYTES] = { 0 };
    int rc = 0;
    for (uint64_t i = from; i < from + n && rc == 0 && !bench_stop; i++) {
        key_of(i, key);
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
    if (plan->s == NULL || sem_init(&plan->s->go, 1, 0) != 0 || sem_init(&plan->s->done, 1, 0) != 0) {
        return bench_program_failed_errno(p, "memory for the other process");
    }
    bench_program_domain_name(p, name);
    snprintf(plan->s->names[OFF], TIDE_NAME_MAX, "%.40s.off", name);
    snprintf(plan->s->names[ON], TIDE_NAME_MAX, "%.40s.on", name);
    plan->child = bench_child_fork();
    if (plan->child == 0) {
        run_child(plan);
    }
    if (plan->child < 0) {
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
    if (plan->child > 0) {
        bench_child_kill(plan->child);
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (plan->readers[i] != NULL) {
            tide_reader_close(plan->readers[i]);
        }
        if (plan->d[i] != NULL) {
            tide_close(plan->d[i]);
        }
        if (plan->full[i] != NULL) {
            tide_close(plan->full[i]);
        }
    }
    if (plan->roomy != NULL) {
        tide_close(plan->roomy);
    }
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
