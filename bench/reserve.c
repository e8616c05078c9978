/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does a table take that is hardly used: time until it serves, and memory? */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/program.h"
#include "bench/lib/setup.h"

#define REPLICAS 4u
#define PATIENCE_NS UINT64_C(60000000000)
#define MIB 0x1p20
#define BAR_READY 1.5     /* times the time of reserving as much memory */
#define BAR_DEFAULT 278.0 /* MiB: no more than before tables were made of less */

enum row {
    ROW_READY,
    ROW_PLAIN,
    ROW_RESIDENT,
    ROW_TABLE_RESERVED,
    ROW_TABLE_RESIDENT,
    ROW_RESERVED,
    ROW_USUAL_RESIDENT,
    ROWS
};

struct reserve {
    struct bench_program *p;
    uint64_t mib;
    char tide[4096];
    const char *dir;
    char name[TIDE_NAME_MAX];
    pid_t pid; /* of `tide serve`; 0: none */
    uint32_t rows[ROWS];
};

/* ---- a served domain --------------------------------------------------------------------------------------------- */

/* Start it, and wait until it is ready. *took_ns: until then. table: NULL: the default. */
static int start(struct reserve *r, const char *table, const char *followers, uint64_t *took_ns) {
    const char *argv[] = { r->tide, "serve", r->name, "--followers", followers, table != NULL ? "--table" : NULL,
                           table,   NULL };
    uint64_t begun = bench_now_ns();
    int rc = bench_child_serve(argv, -1, &r->pid);
    *took_ns = bench_now_ns() - begun;
    if (rc != 0 && r->pid == 0) {
        return bench_program_failed_errno(r->p, "starting a process");
    }
    return bench_stop ? 1
           : rc == 0  ? 0
                      : bench_program_failed(r->p, "tide serve did not become ready; give a smaller --table");
}

static void stop(struct reserve *r) {
    if (r->pid != 0) {
        bench_child_kill(r->pid);
        r->pid = 0;
        tide_unlink(r->name);
    }
}

/* Put one key, and wait until all replicas have it. */
static int put_one(struct reserve *r) {
    struct tide *d = NULL;
    struct tide_token token;
    int rc = tide_open(&d, r->name, NULL);
    rc = rc != 0 ? rc : tide_put(d, NULL, "key", 3, "value", 5, &token);
    rc = rc != 0 ? rc : tide_wait_applied(d, &token, REPLICAS, PATIENCE_NS);
    bench_close(d);
    return rc != 0 ? bench_program_failed_code(r->p, "putting one key", rc) : 0;
}

/* ---- what it takes ----------------------------------------------------------------------------------------------- */

/* MiB that its files have reserved. */
static double reserved_mib(const struct reserve *r) {
    char prefix[TIDE_NAME_MAX + 16], path[512];
    double bytes = 0;
    struct stat st;
    snprintf(prefix, sizeof(prefix), "tidemark.%s.", r->name);
    DIR *dir = opendir(r->dir);
    for (struct dirent *e = dir != NULL ? readdir(dir) : NULL; e != NULL; e = readdir(dir)) {
        snprintf(path, sizeof(path), "%.200s/%.255s", r->dir, e->d_name);
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 && stat(path, &st) == 0) {
            bytes += (double)st.st_blocks * 512.0;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return bytes / MIB;
}

/* MiB of the process that are in memory, shared ones as well. */
static double resident_mib(const struct reserve *r) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/status", (long)r->pid);
    return (double)bench_file_kib(path, "VmRSS") / 1024.0;
}

/* The peer: a file of so many bytes, reserved and nothing else. */
static int reserve_plainly(const struct reserve *r, double mib, uint64_t *took_ns) {
    uint64_t begun = bench_now_ns();
    int fd = open(r->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 || fallocate(fd, 0, 0, (off_t)(mib * MIB)) != 0) {
        return bench_program_failed_errno(r->p, "reserving as much memory plainly");
    }
    *took_ns = bench_now_ns() - begun;
    close(fd);
    return 0;
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

/* Four replicas with one key. */
static int with_one_key(struct reserve *r, const char *table, double *reserved, double *resident) {
    uint64_t took_ns;
    int rc = start(r, table, "3", &took_ns);
    rc = rc != 0 ? rc : put_one(r);
    if (rc == 0) {
        *reserved = reserved_mib(r);
        *resident = resident_mib(r);
    }
    stop(r);
    return rc;
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    struct reserve *r = ctx;
    uint64_t ready_ns = 0, plain_ns = 0;
    double v[ROWS] = { 0 }, reserved = 0;
    char table[32];
    snprintf(table, sizeof(table), "%lluM", (unsigned long long)r->mib);
    int rc = start(r, table, "1", &ready_ns);
    if (rc == 0) {
        reserved = reserved_mib(r);
        v[ROW_RESIDENT] = resident_mib(r);
    }
    stop(r);
    rc = rc != 0 ? rc : reserve_plainly(r, reserved, &plain_ns);
    rc = rc != 0 ? rc : with_one_key(r, table, &v[ROW_TABLE_RESERVED], &v[ROW_TABLE_RESIDENT]);
    rc = rc != 0 ? rc : with_one_key(r, NULL, &v[ROW_RESERVED], &v[ROW_USUAL_RESIDENT]);
    v[ROW_READY] = (double)ready_ns;
    v[ROW_PLAIN] = (double)plain_ns;
    for (int row = 0; row < ROWS && rc == 0; row++) {
        bench_program_set(p, r->rows[row], repetition, v[row]);
    }
    return rc;
}

static void add_rows(struct bench_program *p, struct reserve *r) {
    static const struct bench_name rows[ROWS] = {
        [ROW_READY] = { "ready", "tide serve: until it is ready" },
        [ROW_PLAIN] = { "plain", "fallocate of as much as it reserved" },
        [ROW_RESIDENT] = { "resident", "tide serve, no key: resident" },
        [ROW_TABLE_RESERVED] = { "four.reserved", "tide: four replicas, one key: reserved" },
        [ROW_TABLE_RESIDENT] = { "four.resident", "tide: the same, resident" },
        [ROW_RESERVED] = { "default.reserved", "tide: default table, four replicas, one key: reserved" },
        [ROW_USUAL_RESIDENT] = { "default.resident", "tide: the same, resident" },
    };
    char times[96], memory[96];
    snprintf(times, sizeof(times), "untouched table of %llu MiB, leader and follower: time",
             (unsigned long long)r->mib);
    snprintf(memory, sizeof(memory), "untouched table of %llu MiB: memory", (unsigned long long)r->mib);
    bench_program_rows(p, r->rows, rows, ROW_RESIDENT, "reserve", times, "ns");
    bench_program_rows(p, &r->rows[ROW_RESIDENT], &rows[ROW_RESIDENT], ROW_RESERVED - ROW_RESIDENT, "reserve", memory,
                       "MiB");
    bench_program_rows(p, &r->rows[ROW_RESERVED], &rows[ROW_RESERVED], ROWS - ROW_RESERVED, "reserve",
                       "table of the default size: memory", "MiB");
    bench_program_bar(p, "reserve.ready", "untouched table: time until ready, over that of reserving as much", "x",
                      BENCH_AT_MOST, BAR_READY, r->rows[ROW_READY], r->rows[ROW_PLAIN]);
    bench_program_bar(p, "reserve.default", "one key in four replicas of the default size: reserved", "MiB",
                      BENCH_AT_MOST, BAR_DEFAULT, r->rows[ROW_RESERVED], BENCH_NO_ROW);
}

int main(int argc, char **argv) {
    static struct reserve r = { .mib = 1024 };
    static const struct bench_number numbers[] = { { "table", "MiB of each replica's table", &r.mib, 32, 61440, 64 } };
    static struct bench_program p = {
        .name = "reserve",
        .about = "Starts `tide serve --table 1G` and measures how long it takes until it is ready, beside a plain\n"
                 "reservation of as much memory; and what is reserved and resident with one key in four replicas,\n"
                 "with such tables and with those of the default size.\n",
        .numbers = numbers,
        .numbers_n = 1,
        .repetitions = 3,
    };
    int code;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    r.p = &p;
    r.dir = getenv("TIDE_SHM_DIR") != NULL ? getenv("TIDE_SHM_DIR") : "/dev/shm";
    bench_program_domain_name(&p, r.name);
    snprintf(
        p.figures.note, sizeof(p.figures.note),
        "reserved: blocks of the domain's files, log and board among them; resident: of the serving process, with its "
        "mappings of shared memory");
    add_rows(&p, &r);
    int rc = bench_tide_path(r.tide, sizeof(r.tide)) == 0 ? 0 : bench_program_failed_errno(&p, r.tide);
    rc = rc != 0 ? rc : bench_program_repeat(&p, one_repetition, &r);
    stop(&r);
    return bench_program_end(&p, rc);
}
