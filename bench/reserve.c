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

static struct {
    uint64_t mib;
    char tide[4096];
    const char *dir;
    char name[TIDE_NAME_MAX];
    pid_t pid; /* of `tide serve` */
    uint32_t rows[ROWS];
} plan = { .mib = 1024 };

/* ---- a served domain --------------------------------------------------------------------------------------------- */

/* Start it, and wait until it is ready. table: NULL: the default. Returns for how long, ns. */
static double start(const char *table, const char *followers) {
    const char *argv[] = { plan.tide, "serve", plan.name, "--followers", followers, table != NULL ? "--table" : NULL,
                           table,     NULL };
    uint64_t begun = bench_now_ns();
    int rc = bench_child_serve(argv, -1, &plan.pid);
    bench_must_system(plan.pid != 0, "starting a process");
    if (rc != 0) {
        bench_fail("tide serve did not become ready; give a smaller --table");
    }
    bench_go_on();
    return (double)(bench_now_ns() - begun);
}

static void stop(void) {
    bench_child_kill(plan.pid);
    tide_unlink(plan.name);
}

/* Put one key, and wait until all replicas have it. */
static void put_one(void) {
    struct tide *d = NULL;
    struct tide_token token;
    bench_must(tide_open(&d, plan.name, NULL), "opening the domain");
    bench_must(tide_put(d, NULL, "key", 3, "value", 5, &token), "putting one key");
    bench_must(tide_wait_applied(d, &token, REPLICAS, PATIENCE_NS), "waiting for the replicas");
    tide_close(d);
}

/* ---- what it takes ----------------------------------------------------------------------------------------------- */

/* MiB that its files have reserved. */
static double reserved_mib(void) {
    char prefix[TIDE_NAME_MAX + 16], path[512];
    double bytes = 0;
    struct stat st;
    snprintf(prefix, sizeof(prefix), "tidemark.%s.", plan.name);
    DIR *dir = opendir(plan.dir);
    for (struct dirent *e = dir != NULL ? readdir(dir) : NULL; e != NULL; e = readdir(dir)) {
        snprintf(path, sizeof(path), "%.200s/%.255s", plan.dir, e->d_name);
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
static double resident_mib(void) {
    return (double)bench_file_kib(bench_text("/proc/%ld/status", (long)plan.pid), "VmRSS") / 1024.0;
}

/* The peer: a file of so many bytes, reserved and nothing else. Returns for how long, ns. */
static double reserve_plainly(double mib) {
    uint64_t begun = bench_now_ns();
    int fd = open(plan.dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    bench_must_system(fd >= 0 && fallocate(fd, 0, 0, (off_t)(mib * MIB)) == 0, "reserving as much memory plainly");
    double ns = (double)(bench_now_ns() - begun);
    close(fd);
    return ns;
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

/* Four replicas with one key. */
static void with_one_key(const char *table, enum row reserved, enum row resident) {
    start(table, "3");
    put_one();
    bench_set(plan.rows[reserved], reserved_mib());
    bench_set(plan.rows[resident], resident_mib());
    stop();
}

static void repeat(void) {
    const char *table = bench_text("%lluM", (unsigned long long)plan.mib);
    bench_set(plan.rows[ROW_READY], start(table, "1"));
    bench_set(plan.rows[ROW_RESIDENT], resident_mib());
    double reserved = reserved_mib();
    stop();
    bench_set(plan.rows[ROW_PLAIN], reserve_plainly(reserved));
    with_one_key(table, ROW_TABLE_RESERVED, ROW_TABLE_RESIDENT);
    with_one_key(NULL, ROW_RESERVED, ROW_USUAL_RESIDENT);
}

static void prepare(void) {
    static const struct bench_name rows[ROWS] = {
        [ROW_READY] = { "ready", "tide serve: until it is ready" },
        [ROW_PLAIN] = { "plain", "fallocate of as much as it reserved" },
        [ROW_RESIDENT] = { "resident", "tide serve, no key: resident" },
        [ROW_TABLE_RESERVED] = { "four.reserved", "tide: four replicas, one key: reserved" },
        [ROW_TABLE_RESIDENT] = { "four.resident", "tide: the same, resident" },
        [ROW_RESERVED] = { "default.reserved", "tide: default table, four replicas, one key: reserved" },
        [ROW_USUAL_RESIDENT] = { "default.resident", "tide: the same, resident" },
    };
    const char *table = bench_text("untouched table of %llu MiB", (unsigned long long)plan.mib);
    bench_rows(plan.rows, rows, ROW_RESIDENT, "reserve", bench_text("%s, leader and follower: time", table), "ns");
    bench_rows(&plan.rows[ROW_RESIDENT], &rows[ROW_RESIDENT], ROW_RESERVED - ROW_RESIDENT, "reserve",
               bench_text("%s: memory", table), "MiB");
    bench_rows(&plan.rows[ROW_RESERVED], &rows[ROW_RESERVED], ROWS - ROW_RESERVED, "reserve",
               "table of the default size: memory", "MiB");
    bench_at_most("reserve.ready", "untouched table: time until ready, over that of reserving as much", "x", BAR_READY,
                  plan.rows[ROW_READY], plan.rows[ROW_PLAIN]);
    bench_at_most("reserve.default", "one key in four replicas of the default size: reserved", "MiB", BAR_DEFAULT,
                  plan.rows[ROW_RESERVED], BENCH_NO_ROW);
    plan.dir = getenv("TIDE_SHM_DIR") != NULL ? getenv("TIDE_SHM_DIR") : "/dev/shm";
    bench_domain_name(NULL, plan.name);
    bench_must_system(bench_tide_path(plan.tide, sizeof(plan.tide)) == 0, plan.tide);
}

BENCH_NOTE("reserved: blocks of the domain's files, log and board among them; resident: of the serving process, with "
           "its mappings of shared memory")

BENCH_MAIN(.name = "reserve", .repetitions = 3, .note = note,
           BENCH_NUMBERS({ "table", "MiB of each replica's table", &plan.mib, 32, 61440, 64 }),
           .about = "Starts `tide serve --table 1G` and measures how long it takes until it is ready, beside a plain\n"
                    "reservation of as much memory; and what is reserved and resident with one key in four replicas,\n"
                    "with such tables and with those of the default size.\n")
