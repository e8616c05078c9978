/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long does a newcomer take until it serves, beside a plain copy of as much memory? */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/program.h"
#include "bench/lib/setup.h"
#include "bench/lib/worker.h"
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

struct join {
    struct bench_program *p;
    uint64_t keys;
    uint64_t table_bytes;
    uint64_t used_bytes; /* of the leader's table, when it is full */
    struct other *other;
    struct bench_worker *worker;
    uint32_t orders;
    struct tide *d;
    struct pages source; /* as much memory as the table takes */
    uint32_t rows[ROWS];
    uint32_t copy; /* the quicker of the two copies, in each repetition: a row that is not shown */
};

/* What keys and values take, and an eighth more: a budget that is kept. */
static uint64_t table_bytes_for(uint64_t keys) {
    return (UINT64_C(8) << 20) + keys * (KEY_SIZE + VALUE_SIZE + 56) * 9 / 8;
}

/* ---- joining ----------------------------------------------------------------------------------------------------- */

static int join_once(struct tide *d, uint64_t keys, uint64_t *took_ns) {
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    uint32_t id = 0;
    uint64_t start = bench_now_ns();
    int rc = tide_replica_start(d, &opts, &id); /* returns when it serves */
    *took_ns = bench_now_ns() - start;
    if (rc != 0) {
        return rc;
    }
    rc = tide_replica_info(d, id, &info);
    if (rc == 0 && info.keys != keys) {
        rc = TIDE_ERR_CORRUPT;
    }
    int stopped = tide_replica_stop(d, id);
    return rc != 0 ? rc : stopped;
}

/* In the other process: a join for each order. */
static int join_on_order(struct bench_worker *w, void *ctx) {
    struct other *o = ctx;
    struct tide *d = NULL;
    struct tide_opts opts = bench_setup_opts(0, o->keys, RING_BYTES, o->table_bytes);
    uint32_t order = 0;
    int rc = 0;
    bench_worker_what(w, "joining");
    while (rc == 0) {
        order = bench_worker_order(w, order);
        rc = d == NULL ? tide_open(&d, o->name, &opts) : 0;
        rc = rc != 0 ? rc : join_once(d, o->keys, &o->took_ns);
        if (rc == 0) {
            bench_worker_done(w, order);
        }
    }
    return rc;
}

static int join_other(struct join *j, uint64_t *took_ns) {
    bench_worker_tell(j->worker, ++j->orders);
    int rc = bench_worker_await(j->worker, j->orders, &bench_stop, j->p->error);
    *took_ns = j->other->took_ns;
    return rc;
}

/* ---- copying ----------------------------------------------------------------------------------------------------- */

/* Made and reserved as a table is. 0, or -1 with errno. */
static int pages_like_table(struct join *j, struct pages *p, uint64_t bytes) {
    *p = (struct pages){ .segment = SEGMENT_INIT, .bytes = bytes };
    if (segment_create(&p->segment, j->other->name, SEGMENT_TABLE, COPY_SLOT, bytes) != 0) {
        return -1;
    }
    p->base = p->segment.base;
    return 0;
}

/* Nothing is reserved: the kernel finds each page at its first access. 0, or -1 with errno. */
static int pages_untouched(struct pages *p, uint64_t bytes) {
    const char *dir = getenv("TIDE_SHM_DIR");
    int fd = open(dir != NULL ? dir : "/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    void *memory = MAP_FAILED;
    *p = (struct pages){ .segment = SEGMENT_INIT, .bytes = bytes };
    if (fd < 0) {
        return -1;
    }
    if (ftruncate(fd, (off_t)bytes) == 0) {
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    int error = errno;
    close(fd);
    errno = error;
    if (memory == MAP_FAILED) {
        return -1;
    }
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    p->base = memory;
    return 0;
}

static void pages_drop(struct pages *p) {
    if (p->segment.fd >= 0) {
        segment_discard(&p->segment);
    } else if (p->base != NULL) {
        munmap(p->base, p->bytes);
    }
    p->base = NULL;
}

/* 0, or -1 with errno. */
static int copy_once(struct join *j, int like_table, uint64_t *took_ns) {
    struct pages to;
    uint64_t start = bench_now_ns();
    int rc = like_table ? pages_like_table(j, &to, j->used_bytes) : pages_untouched(&to, j->used_bytes);
    if (rc != 0) {
        return -1;
    }
    memcpy(to.base, j->source.base, j->used_bytes);
    *took_ns = bench_now_ns() - start;
    __asm__ volatile("" ::"r"(to.base) : "memory");
    pages_drop(&to);
    return 0;
}

static int reserve_once(struct join *j, uint64_t *took_ns) {
    struct pages to;
    uint64_t start = bench_now_ns();
    int rc = pages_like_table(j, &to, j->table_bytes);
    *took_ns = bench_now_ns() - start;
    if (rc == 0) {
        pages_drop(&to);
    }
    return rc;
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

static int fill(struct join *j) {
    struct bench_options o = { .keys = j->keys, .key_size = KEY_SIZE, .value_size = VALUE_SIZE };
    struct bench_workload w;
    struct tide_token last;
    if (bench_workload_init(&w, &o, 1) != 0) {
        return bench_program_failed_code(j->p, "making the keys", TIDE_ERR_NOMEM);
    }
    int rc = bench_setup_fill(j->d, &w, &bench_stop, &last);
    bench_workload_destroy(&w);
    return rc != 0 ? bench_program_failed_code(j->p, "filling the table", rc) : 0;
}

static int lead(struct join *j) {
    struct tide_opts opts = bench_setup_opts(BENCH_SETUP_OWN, j->keys, RING_BYTES, j->table_bytes);
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    int rc = bench_program_domain(j->p, &j->d, &opts, false);
    if (rc != 0) {
        return rc;
    }
    rc = fill(j);
    if (rc != 0 || bench_stop) {
        return rc != 0 ? rc : 1;
    }
    rc = tide_replica_info(j->d, 0, &info);
    j->used_bytes = info.table_used_bytes;
    return rc != 0 ? bench_program_failed_code(j->p, "looking at the leader", rc) : 0;
}

static int one_row(struct join *j, enum row row, uint64_t *took_ns) {
    int rc = 0;
    switch (row) {
    case ROW_LOCAL:
        rc = join_once(j->d, j->keys, took_ns);
        return rc != 0 ? bench_program_failed_code(j->p, "joining in the same process", rc) : 0;
    case ROW_OTHER:
        return join_other(j, took_ns);
    case ROW_RESERVE:
        rc = reserve_once(j, took_ns);
        break;
    default:
        rc = copy_once(j, row == ROW_RESERVED, took_ns);
    }
    return rc != 0 ? bench_program_failed_errno(j->p, "fresh shared memory to copy into") : 0;
}

static int all_rows(struct join *j, double ns[ROWS]) {
    for (int row = 0; row < ROWS; row++) {
        uint64_t took_ns = 0;
        bench_program_progress(j->p, "%s", rows[row].title);
        int rc = bench_stop ? 1 : one_row(j, (enum row)row, &took_ns);
        if (rc != 0) {
            return rc;
        }
        ns[row] = (double)took_ns;
    }
    return 0;
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    struct join *j = ctx;
    double ns[ROWS];
    int rc = all_rows(j, ns);
    for (int row = 0; row < ROWS && rc == 0; row++) {
        bench_program_set(p, j->rows[row], repetition, ns[row]);
    }
    if (rc == 0) {
        double reserved = ns[ROW_RESERVED], faulted = ns[ROW_FAULTED];
        bench_program_set(p, j->copy, repetition, reserved < faulted ? reserved : faulted);
    }
    return rc;
}

static int measure(struct join *j) {
    double ignored[ROWS];
    if (pages_like_table(j, &j->source, j->used_bytes) != 0) {
        return bench_program_failed_errno(j->p, "shared memory to copy from");
    }
    memset(j->source.base, 0x5a, j->used_bytes);
    /* One untimed round warms up the code, the files' caches and the other process's mapping. */
    int rc = all_rows(j, ignored);
    return rc != 0 ? rc : bench_program_repeat(j->p, one_repetition, j);
}

static void add_rows(struct bench_program *p, struct join *j) {
    char group[96], id[64], what[160], count[BENCH_TEXT];
    bench_format_round(count, j->keys);
    snprintf(group, sizeof(group), "join, %s keys: time until the newcomer serves", count);
    snprintf(id, sizeof(id), "join.%llu", (unsigned long long)j->keys);
    bench_program_rows(p, j->rows, rows, ROWS, id, group, "ns");
    j->copy = bench_program_hidden_row(p, group);
    for (int row = ROW_LOCAL; row <= ROW_OTHER; row++) {
        snprintf(id, sizeof(id), "join.%s", rows[row].id);
        snprintf(what, sizeof(what), "join with %s keys, donor in %s process: time over that of a plain copy", count,
                 row == ROW_LOCAL ? "the same" : "another");
        bench_program_bar(p, id, what, "x", BENCH_AT_MOST, BAR, j->rows[row], j->copy);
    }
}

static void note(const struct join *j) {
    char count[BENCH_TEXT];
    snprintf(j->p->figures.note, sizeof(j->p->figures.note),
             "%s keys of %u bytes, values of %u; a table of %.1f MiB, of which %.1f are used and copied; ring of 1 "
             "MiB, nobody writes. Times contain what it takes to get the memory",
             bench_format_round(count, j->keys), KEY_SIZE, VALUE_SIZE, (double)j->table_bytes / 0x1p20,
             (double)j->used_bytes / 0x1p20);
}

/* Joins and copies run one after the other, so any CPU will do. Where there are enough CPUs each process keeps to
 * one, and the first CPU is left to the rest of the system. */
static int start(struct join *j) {
    j->other = bench_shared_map(sizeof(*j->other));
    if (j->other == NULL) {
        return bench_program_failed_code(j->p, "starting", TIDE_ERR_NOMEM);
    }
    j->table_bytes = table_bytes_for(j->keys);
    j->other->table_bytes = j->table_bytes;
    j->other->keys = j->keys;
    bench_program_domain_name(j->p, j->other->name);
    j->worker = bench_worker_start(true, &j->p->machine, j->p->machine.cpus >= 4 ? 2 : -1, join_on_order, j->other);
    if (j->p->machine.cpus >= 4) {
        bench_machine_pin(&j->p->machine, 1);
    }
    return j->worker == NULL ? bench_program_failed(j->p, "no memory, or no process to be had") : 0;
}

static void end(struct join *j) {
    bench_worker_end(j->worker);
    bench_close(j->d);
    if (j->source.base != NULL) {
        pages_drop(&j->source);
    }
    bench_shared_unmap(j->other, sizeof(*j->other));
}

int main(int argc, char **argv) {
    static struct join j = { .keys = 1000000 };
    static const struct bench_number numbers[] = { { "keys", "in the table", &j.keys, 10000, 100000000, 20000 } };
    static struct bench_program p = {
        .name = "join",
        .about = "A follower joins a domain whose log no longer holds everything, so that it copies a live\n"
                 "replica's table: from the same process, and from another one. Beside it a memcpy of as many\n"
                 "bytes as the table has in use, into fresh pages of shared memory.\n",
        .numbers = numbers,
        .numbers_n = 1,
        .repetitions = 7,
    };
    int code;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    j.p = &p;
    add_rows(&p, &j);
    int rc = start(&j);
    rc = rc != 0 ? rc : lead(&j);
    rc = rc != 0 ? rc : measure(&j);
    end(&j);
    note(&j);
    return bench_program_end(&p, rc);
}
