/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long does a newcomer take until it serves, beside a plain copy of as much memory? */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/lib/program.h"
#include "bench/lib/setup.h"
#include "shm/segment.h" /* the copy goes to memory that is made as a table's is, with huge pages */

#define BAR 3.0
#define KEY_SIZE 16u
#define VALUE_SIZE 64u
#define RING_BYTES (UINT64_C(1) << 20) /* far less than the log, so that a newcomer must copy */
#define COPY_SLOT 63u /* of a replica that there is not: only its file's temporary name comes from it */

enum row { ROW_LOCAL, ROW_OTHER, ROW_RESERVED, ROW_FAULTED, ROW_RESERVE, ROWS };

static const struct bench_name rows[ROWS] = {
    { "local", "tide: join, donor in the same process" },
    { "other", "tide: join, donor in another process" },
    { "copy_reserved", "memcpy into pages reserved as a table's are" },
    { "copy_faulted", "memcpy into pages that it faults in" },
    { "reserve", "reserving the newcomer's table alone" },
};

/* Shared with the process that joins from outside. */
struct other {
    char name[TIDE_NAME_MAX];
    uint64_t table_bytes;
    uint64_t keys;
    uint64_t took_ns;
};

/* Fresh pages of /dev/shm. */
struct pages {
    struct segment segment; /* where it was made as a table is */
    uint8_t *base;
    uint64_t bytes;
};

static struct {
    uint64_t keys, table_bytes;
    uint64_t used_bytes; /* of the leader's table, when it is full */
    struct other *other;
    struct bench_worker *worker;
    struct tide *d;
    struct pages source; /* as much memory as the table takes */
    uint32_t rows[ROWS];
    uint32_t copy; /* the quicker of the two copies, in each repetition: a row that is not shown */
} plan = { .keys = 1000000 };

/* What keys and values take, and an eighth more: a budget that is kept. */
static uint64_t table_bytes_for(uint64_t keys) {
    return (UINT64_C(8) << 20) + keys * (KEY_SIZE + VALUE_SIZE + 56) * 9 / 8;
}

/* ---- joining ----------------------------------------------------------------------------------------------------- */

/* Returns for how long. */
static uint64_t join_once(struct tide *d, uint64_t keys) {
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    uint32_t id = 0;
    uint64_t start = bench_now_ns();
    bench_must(tide_replica_start(d, &opts, &id), "joining"); /* returns when it serves */
    uint64_t took_ns = bench_now_ns() - start;
    bench_must(tide_replica_info(d, id, &info), "looking at the newcomer");
    bench_must(info.keys != keys ? TIDE_ERR_CORRUPT : tide_replica_stop(d, id), "the newcomer's keys");
    return took_ns;
}

/* In the other process: a join for each order. */
static int join_on_order(struct bench_worker *w, void *ctx) {
    struct other *o = ctx;
    struct tide_opts opts = bench_setup_opts(0, o->keys, RING_BYTES, o->table_bytes);
    struct tide *d = NULL;
    for (uint32_t order = 0;;) {
        order = bench_worker_order(w, order);
        bench_must(d == NULL ? tide_open(&d, o->name, &opts) : 0, "opening the domain");
        o->took_ns = join_once(d, o->keys);
        bench_worker_done(w, order);
    }
    return 0; /* never: it is killed */
}

/* ---- copying ----------------------------------------------------------------------------------------------------- */

/* Made and reserved as a table is. */
static struct pages pages_like_table(uint64_t bytes) {
    struct pages p = { .segment = SEGMENT_INIT, .bytes = bytes };
    bench_must_system(segment_create(&p.segment, NULL, plan.other->name, SEGMENT_TABLE, COPY_SLOT, bytes) == 0,
                      "shared memory that is made as a table is");
    p.base = p.segment.base;
    return p;
}

/* Nothing is reserved: the kernel finds each page at its first access. */
static struct pages pages_untouched(uint64_t bytes) {
    const char *dir = getenv("TIDE_SHM_DIR");
    int fd = open(dir != NULL ? dir : "/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    void *memory = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0) {
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    bench_must_system(memory != MAP_FAILED, "fresh shared memory to copy into");
    close(fd);
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    return (struct pages){ .segment = SEGMENT_INIT, .base = memory, .bytes = bytes };
}

static void pages_drop(void *pages) {
    struct pages *p = pages;
    if (p->segment.fd >= 0) {
        segment_discard(&p->segment);
    } else {
        munmap(p->base, p->bytes);
    }
}

static uint64_t copy_once(bool like_table) {
    uint64_t start = bench_now_ns();
    struct pages to = like_table ? pages_like_table(plan.used_bytes) : pages_untouched(plan.used_bytes);
    memcpy(to.base, plan.source.base, plan.used_bytes);
    uint64_t took_ns = bench_now_ns() - start;
    __asm__ volatile("" ::"r"(to.base) : "memory");
    pages_drop(&to);
    return took_ns;
}

static uint64_t reserve_once(void) {
    uint64_t start = bench_now_ns();
    struct pages to = pages_like_table(plan.table_bytes);
    uint64_t took_ns = bench_now_ns() - start;
    pages_drop(&to);
    return took_ns;
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static uint64_t one_row(enum row row) {
    switch (row) {
    case ROW_LOCAL:
        return join_once(plan.d, plan.keys);
    case ROW_OTHER:
        bench_turn(plan.worker);
        return plan.other->took_ns;
    case ROW_RESERVE:
        return reserve_once();
    default:
        return copy_once(row == ROW_RESERVED);
    }
}

static void all_rows(double ns[ROWS]) {
    for (int row = 0; row < ROWS; row++) {
        bench_progress("%s", rows[row].title);
        ns[row] = (double)one_row((enum row)row);
        bench_go_on();
    }
}

static void repeat(void) {
    double ns[ROWS];
    all_rows(ns);
    for (int row = 0; row < ROWS; row++) {
        bench_set(plan.rows[row], ns[row]);
    }
    bench_set(plan.copy, ns[ROW_RESERVED] < ns[ROW_FAULTED] ? ns[ROW_RESERVED] : ns[ROW_FAULTED]);
}

static void add_rows(void) {
    const char *count = bench_count(plan.keys),
               *group = bench_text("join, %s keys: time until the newcomer serves", count);
    bench_rows(plan.rows, rows, ROWS, bench_text("join.%llu", (unsigned long long)plan.keys), group, "ns");
    plan.copy = bench_hidden_row(group);
    for (int row = ROW_LOCAL; row <= ROW_OTHER; row++) {
        bench_at_most(bench_text("join.%s", rows[row].id),
                      bench_text("join with %s keys, donor in %s process: time over that of a plain copy", count,
                                 row == ROW_LOCAL ? "the same" : "another"),
                      "x", BAR, plan.rows[row], plan.copy);
    }
}

BENCH_NOTE("%s keys of %u bytes, values of %u; a table of %.1f MiB, of which %.1f are used and copied; ring of 1 "
           "MiB, nobody writes. Times contain what it takes to get the memory",
           bench_count(plan.keys), KEY_SIZE, VALUE_SIZE, (double)plan.table_bytes / 0x1p20,
           (double)plan.used_bytes / 0x1p20)

/* Joins and copies run one after the other, so any CPU will do. Where there are enough CPUs each process keeps to
 * one, and the first CPU is left to the rest of the system. */
static void start_other(void) {
    bool many = bench->machine.cpus >= 4;
    plan.other = bench_share(sizeof(*plan.other));
    plan.other->table_bytes = plan.table_bytes;
    plan.other->keys = plan.keys;
    bench_domain_name(NULL, plan.other->name);
    plan.worker = bench_start(true, many ? 2 : -1, join_on_order, plan.other);
    if (many) {
        bench_machine_pin(&bench->machine, 1);
    }
}

static void lead(void) {
    struct tide_opts opts = bench_setup_opts(BENCH_SETUP_OWN, plan.keys, RING_BYTES, plan.table_bytes);
    struct bench_options o = { .keys = plan.keys, .key_size = KEY_SIZE, .value_size = VALUE_SIZE };
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    struct bench_workload w;
    struct tide_token last;
    plan.d = bench_domain(NULL, &opts, 0);
    bench_must_system(bench_workload_init(&w, &o, 1) == 0, "memory for keys");
    bench_must(bench_setup_fill(plan.d, &w, &bench_stop, &last), "filling the table");
    bench_go_on();
    bench_workload_destroy(&w);
    bench_must(tide_replica_info(plan.d, 0, &info), "looking at the leader");
    plan.used_bytes = info.table_used_bytes;
}

static void prepare(void) {
    double ignored[ROWS];
    plan.table_bytes = table_bytes_for(plan.keys);
    add_rows();
    start_other();
    lead();
    plan.source = pages_like_table(plan.used_bytes);
    bench_at_end(pages_drop, &plan.source);
    memset(plan.source.base, 0x5a, plan.used_bytes);
    /* One untimed round warms up the code, the files' caches and the other process's mapping. */
    all_rows(ignored);
}

BENCH_MAIN(.name = "join", .repetitions = 7, .note = note,
           BENCH_NUMBERS({ "keys", "in the table", &plan.keys, 10000, 100000000, 20000 }),
           .about = "A follower joins a domain whose log no longer holds everything, so that it copies a live\n"
                    "replica's table: from the same process, and from another one. Beside it a memcpy of as many\n"
                    "bytes as the table has in use, into fresh pages of shared memory.\n")
