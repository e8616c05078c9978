/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/scribble.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/tidemark.h"
#include "shm/segment.h"
#include "tests/lib/scribble_words.h"

#define ROUND_NS UINT64_C(400000000)
#define STUCK_NS UINT64_C(20000000000)
#define SETTLE_NS UINT64_C(20000000)
#define RING_BYTES (64u << 10)
#define TABLE_BYTES (1u << 20)
#define KEYS 600u
#define WRITE_NS 50000000u

/* Sanitizers keep what was freed for a while. */
#if defined(__SANITIZE_ADDRESS__)
#define GROWTH_BYTES (UINT64_C(900) << 20)
#else
#define GROWTH_BYTES (UINT64_C(96) << 20)
#endif

enum { LEADER, FOLLOWER, NEWCOMER, READER, ROLES };
static const char *const role_names[ROLES] = { "leader", "follower", "newcomer", "reader" };

/* What the processes tell each other. */
struct shared {
    _Atomic uint32_t stop, served;
    struct {
        _Atomic uint64_t steps;
        _Atomic(const char *) where; /* the same address in all: they are children of one process */
    } roles[ROLES];
};

struct scene {
    const struct scribble_options *o;
    struct shared *shared;
    char name[TIDE_NAME_MAX + 1];
    pid_t pids[ROLES];
    uint64_t random;
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void nap_ns(uint64_t ns) {
    struct timespec t = { .tv_sec = 0, .tv_nsec = (long)ns };
    nanosleep(&t, NULL);
}

static uint64_t draw(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- the processes ------------------------------------------------------------------------------------------------ */

static struct scene *self;
static int self_role;

static bool at(const char *where) {
    atomic_store(&self->shared->roles[self_role].where, where);
    atomic_fetch_add(&self->shared->roles[self_role].steps, 1);
    return atomic_load(&self->shared->stop) == 0;
}

static void say(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx, (void)level;
    if (self->o->verbose) {
        fprintf(stderr, "    %s: %s\n", role_names[self_role], text);
    }
}

static struct tide *open_domain(void) {
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = self_role == LEADER ? TIDE_CREATE : 0;
    o.ring_bytes = RING_BYTES;
    o.table_bytes = TABLE_BYTES;
    o.slow_follower_ns = 2000000;
    o.write_timeout_ns = WRITE_NS;
    o.log = say;
    struct tide *d = NULL;
    return tide_open(&d, self->name, &o) == 0 ? d : NULL;
}

static size_t make_key(char key[32], uint64_t n) {
    return (size_t)snprintf(key, 32, "key%08llu", (unsigned long long)(n % KEYS));
}

static void write_something(struct tide *d, uint64_t *random) {
    static char value[4096];
    char key[32], other[32];
    uint64_t r = draw(random);
    size_t len = make_key(key, r >> 8), size = r % 8 == 0 ? (r >> 40) % 3000 : 40 + (r >> 40) % 30;
    if (r % 16 == 1) {
        (void)tide_delete(d, NULL, key, len, NULL);
    } else if (r % 16 == 2) {
        size_t other_len = make_key(other, r >> 20);
        struct tide_op ops[2] = { { TIDE_OP_PUT, 0, key, len, value, size, 0 },
                                  { TIDE_OP_DELETE, 0, other, other_len, NULL, 0, 0 } };
        (void)tide_batch(d, NULL, ops, 2, NULL, NULL);
    } else {
        memset(value, 'a' + (int)(r >> 32) % 26, 64);
        (void)tide_put(d, NULL, key, len, value, size, NULL);
    }
}

static int touch(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size, uint64_t version) {
    uint64_t *sum = ctx;
    (void)version;
    *sum += key_len > 0 ? ((const uint8_t *)key)[key_len - 1] : 0;
    *sum += value_size > 0 ? ((const uint8_t *)value)[value_size - 1] : 0;
    return 0;
}

static void read_something(struct tide_reader *r, uint64_t *random) {
    static uint8_t bufs[8][4096];
    struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_answer answer = TIDE_ANSWER_INIT;
    char key[32];
    uint64_t x = draw(random), sum = 0;
    bound.fallback = (uint32_t)(x % 4);
    bound.max_staleness_ns = x % 3 == 0 ? TIDE_UNBOUNDED : 0;
    bound.wait_ns = 1000000;
    (void)tide_get(r, key, make_key(key, x >> 8), NULL, bufs[0], sizeof(bufs[0]), &answer);
    (void)tide_get(r, key, make_key(key, x >> 16), &bound, bufs[0], 64, &answer);
    if (x % 8 == 0) {
        char keys[8][32];
        struct tide_mget_item items[8];
        for (int i = 0; i < 8; i++) {
            items[i] = (struct tide_mget_item){
                keys[i], make_key(keys[i], draw(random)), bufs[i], sizeof(bufs[i]), 0, 0, 0, 0
            };
        }
        (void)tide_mget(r, items, 8, &bound, &answer);
    }
    if (x % 32 == 1 && tide_section_begin(r, &bound, &answer) == 0) {
        const void *value;
        size_t size;
        (void)tide_section_get(r, key, make_key(key, x >> 24), bufs[0], sizeof(bufs[0]), &size, NULL);
        if (tide_section_peek(r, key, make_key(key, x >> 32), &value, &size, NULL) == 0 && size > 0) {
            sum += ((const uint8_t *)value)[size - 1];
        }
        at("scan");
        (void)tide_section_scan(r, touch, &sum);
        (void)tide_section_end(r);
    }
}

static void ask_something(struct tide *d, uint64_t x) {
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_replica_info replica = TIDE_REPLICA_INFO_INIT;
    struct tide_verify verify = TIDE_VERIFY_INIT;
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    uint64_t index, digest;
    (void)tide_info(d, &info);
    (void)tide_replica_info(d, (uint32_t)(x % 5), &replica);
    (void)tide_replica_digest(d, (uint32_t)(x % 5), &index, &digest);
    (void)tide_read_counts(d, &counts);
    if (x % 4 == 0) {
        at("verify");
        (void)tide_verify(d, &verify);
    }
}

/* Read, write and ask until the end. */
static void work(struct tide *d, uint64_t *random) {
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    struct tide_reader *r = NULL;
    while (at("work")) {
        uint64_t x = draw(random);
        if (x % 256 == 0 && r != NULL) {
            tide_reader_close(r);
            r = NULL;
        }
        if (r == NULL) {
            at("reader_open");
            opts.policy = (enum tide_policy)(x >> 20) % 3;
            opts.home = x % 2 == 0 ? (int32_t)(x >> 30) % 3 : -1;
            if (tide_reader_open(d, &opts, &r) != 0) {
                r = NULL;
                nap_ns(1000000);
                continue;
            }
        }
        at("read");
        read_something(r, random);
        if (self_role == LEADER || x % 8 == 0) {
            at("write");
            write_something(d, random);
        }
        if (x % 64 == 3) {
            at("ask");
            ask_something(d, x >> 8);
        }
        if (x % 64 == 4) {
            nap_ns(1000000);
        }
    }
    if (r != NULL) {
        at("reader_close");
        tide_reader_close(r);
    }
}

static void come_and_go(struct tide *d) {
    while (at("start")) {
        uint32_t id;
        if (tide_replica_start(d, NULL, &id) == 0) {
            at("stay");
            nap_ns(10000000);
            at("stop");
            tide_replica_stop(d, id);
        } else {
            nap_ns(5000000);
        }
    }
}

static void run_role(struct scene *s, int role) {
    self = s;
    self_role = role;
    uint64_t random = s->random + (uint64_t)role * 7919;
    struct tide *d = NULL;
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    while (at("open") && (d = open_domain()) == NULL) {
        nap_ns(2000000);
    }
    if (d == NULL) {
        return;
    }
    o.candidate = 1;
    o.role = role == LEADER ? TIDE_LEADER : TIDE_FOLLOWER;
    at("replica_start");
    if (role == LEADER || role == FOLLOWER) {
        bool ok = tide_replica_start(d, &o, NULL) == 0;
        atomic_fetch_add(&s->shared->served, ok);
    } else {
        atomic_fetch_add(&s->shared->served, 1);
    }
    if (role == LEADER) {
        /* Each is a step: a changed word may cost each its whole time-out, and all of them together take longer than a hang. */
        for (uint32_t i = 0; i < 2 * KEYS && at("first_write"); i++) {
            write_something(d, &random);
        }
    }
    if (role == NEWCOMER) {
        come_and_go(d);
    } else {
        work(d, &random);
    }
    at("close");
    tide_close(d);
    at("closed");
}

/* ---- the scribbler ------------------------------------------------------------------------------------------------- */

static uint8_t *map_file(const char *name, enum segment_kind kind, uint32_t replica, uint64_t *bytes) {
    char path[SEGMENT_PATH_BYTES];
    struct stat st;
    if (segment_path(path, name, kind, replica) != 0) {
        return NULL;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    uint8_t *base = MAP_FAILED;
    if (fstat(fd, &st) == 0 && st.st_size > 4096) {
        *bytes = (uint64_t)st.st_size;
        base = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    close(fd);
    return base != MAP_FAILED ? base : NULL;
}

static bool map_all(const char *name, struct scribble_map *m) {
    memset(m, 0, sizeof(*m));
    m->log = map_file(name, SEGMENT_LOG, 0, &m->log_bytes);
    for (uint32_t i = 0; m->log != NULL && i < SCRIBBLE_TABLES; i++) {
        m->tables[i] = map_file(name, SEGMENT_TABLE, i, &m->table_bytes[i]);
    }
    return m->log != NULL;
}

static void unmap_all(struct scribble_map *m) {
    for (uint32_t i = 0; i < SCRIBBLE_TABLES; i++) {
        if (m->tables[i] != NULL) {
            munmap(m->tables[i], m->table_bytes[i]);
        }
    }
    if (m->log != NULL) {
        munmap(m->log, m->log_bytes);
    }
}

static uint64_t new_value(uint64_t old, uint64_t random) {
    switch (random % 8) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return UINT64_MAX;
    case 3:
        return old + 1;
    case 4:
        return old - 1;
    case 5:
        return old ^ UINT64_C(1) << (random >> 8) % 64;
    case 6:
        return (random >> 8) % (TABLE_BYTES / 16); /* an offset, perhaps */
    default:
        return random * UINT64_C(0xd6e8feb86659fd93);
    }
}

/* Change one word of a kind. It stays so, or is put back after a moment. */
static void scribble_one(struct scene *s, struct scribble_map *m, uint32_t kind) {
    struct scribble_word w;
    if (!scribble_pick(m, kind, draw(&s->random), &w)) {
        return;
    }
    uint64_t old = 0, value, random = draw(&s->random);
    memcpy(&old, w.at, w.bytes);
    value = new_value(old, random);
    if (s->o->verbose) {
        fprintf(stderr, "  %s: %llx -> %llx\n", w.name, (unsigned long long)old, (unsigned long long)value);
    }
    memcpy(w.at, &value, w.bytes);
    nap_ns(200000 + (random >> 48) * 40);
    if (random >> 40 & 1) {
        memcpy(w.at, &old, w.bytes);
    }
}

/* ---- what must hold -------------------------------------------------------------------------------------------------- */

static bool complain(const struct scene *s, int role, const char *what) {
    fprintf(stderr, "VIOLATION (seed %llu): the %s %s; it was in %s\n", (unsigned long long)s->o->seed,
            role_names[role], what, atomic_load(&s->shared->roles[role].where));
    return false;
}

static uint64_t resident_bytes(pid_t pid) {
    char path[64], line[128];
    unsigned long long kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "RssAnon: %llu", &kib) == 1) {
            break;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return kib << 10;
}

/* Looks after the processes from time to time. */
struct guard {
    uint64_t steps[ROLES], since[ROLES];
    bool ended[ROLES];
};

static bool guard_look(struct scene *s, struct guard *g) {
    char text[96];
    for (int i = 0; i < ROLES; i++) {
        int status;
        uint64_t steps = atomic_load(&s->shared->roles[i].steps), now = now_ns();
        if (g->ended[i]) {
            continue;
        }
        if (waitpid(s->pids[i], &status, WNOHANG) == s->pids[i]) {
            g->ended[i] = true;
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
                snprintf(text, sizeof(text), WIFSIGNALED(status) ? "died of signal %d" : "ended with %d",
                         WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
                return complain(s, i, text);
            }
            continue;
        }
        if (steps != g->steps[i] || g->since[i] == 0) {
            g->steps[i] = steps;
            g->since[i] = now;
        } else if (now - g->since[i] > STUCK_NS) {
            if (getenv("SCRIBBLE_HOLD") != NULL) {
                fprintf(stderr, "held: process %d\n", (int)s->pids[i]);
                pause();
            }
            return complain(s, i, "hangs");
        }
        if (resident_bytes(s->pids[i]) > GROWTH_BYTES) {
            return complain(s, i, "grows without bound");
        }
    }
    return true;
}

/* All have ended by themselves. */
static bool guard_end(struct scene *s, struct guard *g) {
    bool ok = true;
    for (bool running = true; ok && running;) {
        ok = guard_look(s, g);
        running = false;
        for (int i = 0; i < ROLES; i++) {
            running |= !g->ended[i];
        }
        nap_ns(2000000);
    }
    for (int i = 0; i < ROLES; i++) {
        if (!g->ended[i]) {
            kill(s->pids[i], SIGKILL);
            waitpid(s->pids[i], NULL, 0);
        }
    }
    return ok;
}

/* ---- rounds ---------------------------------------------------------------------------------------------------------- */

static void begin_role(struct scene *s, int role) {
    fflush(NULL);
    s->pids[role] = fork();
    if (s->pids[role] != 0) {
        return;
    }
    const struct rlimit none = { 0, 0 };
    signal(SIGALRM, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getenv("SCRIBBLE_CORE") == NULL) {
        setrlimit(RLIMIT_CORE, &none);
    }
    run_role(s, role);
    _exit(0);
}

/* Kinds of words are gone through in turn, so that each has its turn early. */
static bool run_round(struct scene *s, uint32_t *next) {
    struct guard g = { 0 };
    snprintf(s->name, sizeof(s->name), "scribble-%d", (int)getpid());
    memset((void *)s->shared, 0, sizeof(*s->shared));
    for (int i = 0; i < ROLES; i++) {
        atomic_store(&s->shared->roles[i].where, "begin");
        begin_role(s, i);
    }
    bool ok = true;
    uint64_t start = now_ns();
    while (ok && atomic_load(&s->shared->served) < ROLES && now_ns() - start < STUCK_NS / 4) {
        nap_ns(1000000);
        ok = guard_look(s, &g);
    }
    nap_ns(SETTLE_NS);
    start = now_ns();
    while (ok && now_ns() - start < ROUND_NS) {
        struct scribble_map m;
        if (!map_all(s->name, &m)) {
            break;
        }
        for (int i = 0; i < 8; i++) {
            uint32_t kinds = scribble_kinds(), kind = (*next)++ % kinds;
            for (uint32_t tries = 0; s->o->word != NULL && tries < kinds; tries++) {
                if (strstr(scribble_kind_name(kind), s->o->word) != NULL) {
                    break;
                }
                kind = (*next)++ % kinds;
            }
            scribble_one(s, &m, kind);
        }
        unmap_all(&m);
        ok = guard_look(s, &g);
    }
    atomic_store(&s->shared->stop, 1);
    ok = ok ? guard_end(s, &g) : (guard_end(s, &g), false);
    tide_unlink(s->name);
    return ok;
}

int scribble_run(const struct scribble_options *o) {
    struct scene s = { .o = o, .random = o->seed };
    s.shared = mmap(NULL, sizeof(*s.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s.shared == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    uint64_t start = now_ns(), rounds = 0;
    uint32_t next = 0;
    bool ok = true;
    do {
        if (o->verbose) {
            fprintf(stderr, "round %llu\n", (unsigned long long)rounds);
        }
        ok = run_round(&s, &next);
        rounds++;
    } while (ok && (double)(now_ns() - start) < o->seconds * 1e9);
    printf("# scribble: seed %llu, %llu rounds, %u words changed\n", (unsigned long long)o->seed,
           (unsigned long long)rounds, next);
    munmap((void *)s.shared, sizeof(*s.shared));
    return ok ? 0 : 1;
}
