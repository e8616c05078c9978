/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/fuzz/world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/layout.h"
#include "shm/segment.h"

#define RING_BYTES (64u << 10)
#define TABLE_BYTES (256u << 10) /* scans and checksums go over all of it, with each input */
#define CHANGES 64u

static struct scribble_map map;
static uint8_t *log_was;
static char folder[64];
static pid_t owner;

/*
 * What is to be put back. Readers and newcomers write into the log, too: members, counts, lanes. Pages of it in which that was seen are put
 * back after each input. Which they are is learned: all pages are compared after the first input and after each 64th, because
 * copying all of them would take a quarter of the time.
 */
#define PAGE 4096u
#define PAGES_MOST 2048u
#define COMPARE_EVERY 64u
static uint32_t written[PAGES_MOST], n_written;
static bool is_written[PAGES_MOST];

static struct {
    uint8_t *at;
    uint8_t was[8];
    uint32_t bytes;
} changed[CHANGES];
static uint32_t n_changed;

const char *world_name(void) {
    return "fuzz";
}

void world_key(uint64_t n, char key[WORLD_KEY_BYTES + 1]) {
    snprintf(key, WORLD_KEY_BYTES + 1, "key%05u", (unsigned)(n % WORLD_KEYS));
}

static void put_some(struct tide *d) {
    static uint8_t value[4000];
    char key[WORLD_KEY_BYTES + 1];
    for (unsigned i = 0; i < 3 * WORLD_KEYS; i++) {
        struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
        o.ttl_ns = i % 7 == 0 ? UINT64_C(3600000000000) : 0;
        memset(value, 'a' + (int)(i % 26), sizeof(value));
        world_key(i * 13, key);
        FUZZ_EXPECT(tide_put_with(d, NULL, key, WORLD_KEY_BYTES, value, i % 16 == 0 ? 3000 : i % 90, &o, NULL) == 0);
        if (i % 11 == 0) {
            (void)tide_delete(d, NULL, key, WORLD_KEY_BYTES, NULL);
        }
        if (i % 17 == 0) {
            struct tide_op ops[2] = { { TIDE_OP_PUT, 0, key, WORLD_KEY_BYTES, value, 20, 0 },
                                      { TIDE_OP_PUT, 0, "other", 5, value, 30, 0 } };
            FUZZ_EXPECT(tide_batch(d, NULL, ops, 2, NULL, NULL) == 0);
        }
    }
}

/* Leads, has a follower beside it, writes, and is gone without a word. */
static void live_and_die(void) {
    struct tide_opts o = TIDE_OPTS_INIT;
    o.ring_bytes = RING_BYTES;
    o.table_bytes = TABLE_BYTES;
    struct tide *d = NULL;
    FUZZ_EXPECT(tide_open(&d, world_name(), &o) == 0);
    struct tide_replica_opts r = TIDE_REPLICA_OPTS_INIT;
    r.role = TIDE_LEADER;
    FUZZ_EXPECT(tide_replica_start(d, &r, NULL) == 0);
    r.role = TIDE_FOLLOWER;
    FUZZ_EXPECT(tide_replica_start(d, &r, NULL) == 0);
    put_some(d);
    struct tide_token token;
    FUZZ_EXPECT(tide_put(d, NULL, "last", 4, "x", 1, &token) == 0);
    FUZZ_EXPECT(tide_wait_applied(d, &token, 2, UINT64_C(20000000000)) == 0);
    kill(getpid(), SIGKILL);
}

static uint8_t *map_file(const char *path, uint64_t *bytes) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;
    FUZZ_EXPECT(fd >= 0 && fstat(fd, &st) == 0);
    uint8_t *at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    FUZZ_EXPECT(at != MAP_FAILED);
    close(fd);
    *bytes = (uint64_t)st.st_size;
    return at;
}

static void map_all(void) {
    char path[160];
    snprintf(path, sizeof(path), "%s/tidemark.%s.log", folder, world_name());
    map.log = map_file(path, &map.log_bytes);
    for (uint32_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/tidemark.%s.r%u", folder, world_name(), i);
        map.tables[i] = map_file(path, &map.table_bytes[i]);
    }
    FUZZ_EXPECT(map.log_bytes % PAGE == 0 && map.log_bytes / PAGE <= PAGES_MOST);
    log_was = malloc(map.log_bytes);
    FUZZ_EXPECT(log_was != NULL);
    memcpy(log_was, map.log, map.log_bytes);
}

static void clean(void) {
    if (getpid() == owner) {
        char command[128];
        snprintf(command, sizeof(command), "rm -rf '%s'", folder);
        (void)!system(command);
    }
}

struct scribble_map *world(void) {
    if (map.log == NULL) {
        owner = getpid();
        snprintf(folder, sizeof(folder), "/dev/shm/tide-fuzz-%d", (int)owner);
        FUZZ_EXPECT(mkdir(folder, 0700) == 0 && setenv("TIDE_SHM_DIR", folder, 1) == 0);
        atexit(clean);
        pid_t pid = fork();
        if (pid == 0) {
            live_and_die();
        }
        int status;
        pid_t died;
        while ((died = waitpid(pid, &status, 0)) < 0 && errno == EINTR) { /* libFuzzer has a timer */
        }
        FUZZ_EXPECT(died == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        map_all();
    }
    return &map;
}

struct tide *world_open(void) {
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = 0;
    struct tide *d = NULL;
    (void)world();
    return tide_open(&d, world_name(), &o) == 0 ? d : NULL;
}

static uint64_t new_value(struct fuzz_input *in, uint64_t was) {
    uint64_t by = fuzz_take(in, 1);
    switch (by % 6) {
    case 0:
        return fuzz_take(in, 8);
    case 1:
        return was + by / 6;
    case 2:
        return was - by / 6;
    case 3:
        return was ^ UINT64_C(1) << by / 6;
    case 4:
        return 0;
    default:
        return UINT64_MAX - by / 6;
    }
}

void world_change(struct fuzz_input *in, unsigned most) {
    for (unsigned i = 0; i < most && n_changed < CHANGES && in->left >= 5; i++) {
        struct scribble_word word;
        uint32_t kind = (uint32_t)fuzz_below(in, scribble_kinds());
        uint64_t which = fuzz_take(in, 3) * UINT64_C(0x9e3779b97f4a7c15) >> 8, was = 0;
        if (!scribble_pick(&map, kind, which, &word)) {
            continue;
        }
        memcpy(&was, word.at, word.bytes);
        memcpy(changed[n_changed].was, word.at, word.bytes);
        changed[n_changed].at = word.at;
        changed[n_changed++].bytes = word.bytes;
        was = new_value(in, was);
        memcpy(word.at, &was, word.bytes);
    }
}

static void compare_all(void) {
    for (uint32_t p = 0; p < map.log_bytes / PAGE; p++) {
        if (!is_written[p] && memcmp(map.log + (size_t)p * PAGE, log_was + (size_t)p * PAGE, PAGE) != 0) {
            memcpy(map.log + (size_t)p * PAGE, log_was + (size_t)p * PAGE, PAGE);
            is_written[p] = true;
            written[n_written++] = p;
        }
    }
}

void world_mend(void) {
    while (n_changed > 0) {
        n_changed--;
        memcpy(changed[n_changed].at, changed[n_changed].was, changed[n_changed].bytes);
    }
    for (uint32_t i = 0; i < n_written; i++) {
        memcpy(map.log + (size_t)written[i] * PAGE, log_was + (size_t)written[i] * PAGE, PAGE);
    }
    static unsigned inputs;
    if (inputs++ % COMPARE_EVERY == 0) {
        compare_all();
    }
}
