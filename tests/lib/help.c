/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/help.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define HELP_NAMES 4096u

static _Atomic unsigned names_used;
static char names_kept[16][TIDE_NAME_MAX + 1];
static char names_prefix[24];
static pid_t names_owner;
uint64_t help_write_timeout_ns = 1000000;
uint64_t help_again_timeout_ns;
static unsigned watchdog_limit;

static void names_remove(void) {
    if (getpid() != names_owner) {
        return; /* a forked child leaves its parent's alone */
    }
    char name[TIDE_NAME_MAX + 1];
    unsigned used = atomic_load(&names_used);
    for (unsigned i = 0; i < used && i < HELP_NAMES; i++) {
        snprintf(name, sizeof(name), "%s%u", names_prefix, i);
        tide_unlink(name);
    }
}

static void watchdog_bark(int signal_number) {
    (void)signal_number;
    static const char text[] = "watchdog: the test hangs\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    names_remove();
    _exit(99);
}

static bool help_sanitized(void) {
    const char *set = getenv("TIDE_SANITIZED");
    return set != NULL && *set != 0 && strcmp(set, "0") != 0;
}

void help_start(unsigned watchdog_s) {
    names_owner = getpid();
    snprintf(names_prefix, sizeof(names_prefix), "test-%ld-", (long)names_owner);
    atexit(names_remove);
    watchdog_limit = watchdog_s * (help_sanitized() ? 10 : 3); /* the machine may be busy with others */
    signal(SIGALRM, watchdog_bark);
    alarm(watchdog_limit);
}

uint64_t help_scaled(uint64_t n) {
    uint64_t less = help_sanitized() ? n / 10 : n;
    return less != 0 ? less : 1;
}

/* ---- random numbers ---------------------------------------------------------------------------------------------- */

uint64_t help_seed(void) {
    const char *given = getenv("TIDE_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = given != NULL
                        ? strtoull(given, NULL, 0)
                        : (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 40;
    printf("# TIDE_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

/* SplitMix64: every seed is a good one, 0 too. */
uint64_t help_random(struct help_rng *r) {
    uint64_t x = r->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t help_below(struct help_rng *r, uint64_t n) {
    return (uint64_t)((unsigned __int128)help_random(r) * n >> 64);
}

/* ---- checks in threads ------------------------------------------------------------------------------------------- */

static _Atomic unsigned failures;

bool help_check_at(bool ok, const char *text, const char *file, int line) {
    if (!ok && atomic_fetch_add(&failures, 1) < 10) {
        fprintf(stderr, "%s:%d: not so: %s\n", file, line, text);
    }
    return ok;
}

unsigned help_failures(void) {
    return atomic_exchange(&failures, 0);
}

/* ---- domains ----------------------------------------------------------------------------------------------------- */

const char *help_name(void) {
    if (names_prefix[0] == '\0') { /* another program, or this one in another work tree, would use the same name */
        fprintf(stderr, "help_start() comes first: names of domains are this process's\n");
        abort();
    }
    unsigned i = atomic_fetch_add(&names_used, 1);
    char *name = names_kept[i % 16];
    snprintf(name, sizeof(names_kept[0]), "%s%u", names_prefix, i);
    return name;
}

static void log_to_nobody(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx;
    (void)level;
    if (getenv("TIDE_TEST_LOG") != NULL) {
        fprintf(stderr, "# %s\n", text);
    }
}

struct tide *help_open(uint64_t ring_bytes, uint64_t table_bytes, uint64_t slow_follower_ns) {
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    o.ring_bytes = ring_bytes;
    o.table_bytes = table_bytes;
    o.slow_follower_ns = slow_follower_ns;
    o.write_timeout_ns = help_write_timeout_ns; /* one handle: when its leader has stopped, nobody else will come */
    o.log = log_to_nobody;
    struct tide *d = NULL;
    assert_int_equal(tide_open(&d, help_name(), &o), 0);
    assert_non_null(d);
    return d;
}

struct tide *help_open_again(struct tide *d) {
    struct tide_info info = TIDE_INFO_INIT;
    struct tide *other = NULL;
    assert_int_equal(tide_info(d, &info), 0);
    struct tide_opts o = TIDE_OPTS_INIT;
    o.write_timeout_ns = help_again_timeout_ns;
    assert_int_equal(tide_open(&other, info.name, &o), 0);
    return other;
}

uint32_t help_leader(struct tide *d) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = TIDE_LEADER;
    uint32_t id = UINT32_MAX;
    assert_int_equal(tide_replica_start(d, &o, &id), 0);
    assert_int_equal(help_state(d, id), TIDE_STATE_SERVING);
    return id;
}

uint32_t help_follower(struct tide *d, uint64_t apply_delay_ns) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.apply_delay_ns = apply_delay_ns;
    uint32_t id = UINT32_MAX;
    assert_int_equal(tide_replica_start(d, &o, &id), 0);
    return id;
}

int help_put(struct tide *d, const char *key, uint64_t value, struct tide_token *token) {
    return tide_put(d, NULL, key, strlen(key), &value, sizeof(value), token);
}

uint64_t help_get(struct tide_reader *r, const char *key) {
    uint64_t value = 0;
    return tide_get(r, key, strlen(key), NULL, &value, sizeof(value), NULL) == 0 ? value : UINT64_MAX;
}

struct tide_reader *help_reader(struct tide *d, enum tide_policy policy, int32_t home, uint64_t replicas) {
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    o.policy = policy;
    o.home = home;
    o.replicas = replicas;
    struct tide_reader *r = NULL;
    assert_int_equal(tide_reader_open(d, &o, &r), 0);
    assert_non_null(r);
    return r;
}

enum tide_state help_state(struct tide *d, uint32_t id) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    return tide_replica_info(d, id, &info) == 0 ? info.state : TIDE_STATE_FREE;
}

struct tide_replica_info help_info(struct tide *d, uint32_t id) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    assert_int_equal(tide_replica_info(d, id, &info), 0);
    return info;
}

/* Wait until replica `id` has applied entry `least`; *index: what it has applied then. */
static uint64_t help_digest_at(struct tide *d, uint32_t id, uint64_t least, uint64_t *index) {
    uint64_t digest = 0;
    /* A lapped one joins anew; the watchdog ends what never gets there. */
    do {
        assert_int_not_equal(help_state(d, id), TIDE_STATE_FAILED);
        assert_int_not_equal(help_state(d, id), TIDE_STATE_DIVERGED);
        sched_yield();
    } while (help_state(d, id) != TIDE_STATE_SERVING || tide_replica_digest(d, id, index, &digest) != 0 ||
             *index < least);
    return digest;
}

/* False: the leader has removed more meanwhile. */
static bool help_digests_are_equal(struct tide *d) {
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    uint64_t first = 0;
    unsigned seen = 0;
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        enum tide_state state = help_state(d, i);
        if (state == TIDE_STATE_FREE || state == TIDE_STATE_STOPPED) {
            continue;
        }
        uint64_t index = 0, digest = help_digest_at(d, i, info.commit_index, &index);
        if (index != info.commit_index) {
            struct tide_info now = TIDE_INFO_INIT;
            assert_int_equal(tide_info(d, &now), 0);
            assert_true(index <= now.commit_index && now.expired_total > 0);
            return false;
        }
        if (seen++ == 0) {
            first = digest;
        }
        assert_int_equal(digest, first);
    }
    return true;
}

void help_assert_equal_digests(struct tide *d) {
    while (!help_digests_are_equal(d)) {
        sched_yield();
    }
}

/* ---- a log in plain memory --------------------------------------------------------------------------------------- */

struct ring help_ring_open(uint64_t ring_bytes) {
    size_t log_bytes = (sizeof(struct log_segment) + LAYOUT_PAIR - 1) / LAYOUT_PAIR * LAYOUT_PAIR;
    struct ring ring = { .log = aligned_alloc(LAYOUT_PAIR, log_bytes), .bytes = ring_bytes };
    assert_non_null(ring.log);
    memset((void *)ring.log, 0, log_bytes);
    ring.log->ring_bytes = ring_bytes;
    int fd = memfd_create("ring", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)ring_bytes), 0);
    uint8_t *base = mmap(NULL, 2 * ring_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(base != MAP_FAILED);
    for (int i = 0; i < 2; i++) {
        void *at = base + (size_t)i * ring_bytes;
        assert_ptr_equal(mmap(at, ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0), at);
    }
    close(fd);
    ring.base = base;
    return ring;
}

void help_ring_close(struct ring *ring) {
    munmap(ring->base, 2 * ring->bytes);
    free((void *)ring->log);
    *ring = (struct ring){ 0 };
}
