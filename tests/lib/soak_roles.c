/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the processes of a long run do: tests/lib/soak.h. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/soak.h"
#include "tests/lib/stress_util.h"

#define KEYS 6000u
#define KEPT 64u /* of these keys a session remembers versions */
#define VALUE_MOST 20000u

/* What a value begins with; a fill that depends on it follows. */
struct soak_head {
    uint64_t key, number;
};

/* One process's part of a domain. */
struct soak_part {
    struct soak_world *w;
    struct soak_slot *slot;
    struct tide *d;
    struct tide_reader *r;
    uint64_t rng;
    uint64_t seen[KEPT]; /* versions: a session never goes back */
    uint8_t value[VALUE_MOST];
};

static struct soak_part part;

static bool soak_may_be(int error) {
    switch (error) {
    case TIDE_ERR_NO_LEADER:
    case TIDE_ERR_TIMEOUT:
    case TIDE_ERR_UNKNOWN:
    case TIDE_ERR_FULL:
    case TIDE_ERR_MISMATCH:
    case TIDE_ERR_NOT_FOUND:
    case TIDE_ERR_NO_REPLICA:
    case TIDE_ERR_REFUSED:
    case TIDE_ERR_LOST:
    case TIDE_ERR_NOT_LOCAL:
    case TIDE_ERR_BUSY:
        return true;
    default:
        return false;
    }
}

static void soak_expect(const char *what, int error) {
    if (error != 0 && !soak_may_be(error)) {
        soak_fail(part.w, "%s: %s", what, tide_strerror(error));
    }
}

static void soak_log(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx;
    if (getenv("TIDE_TEST_LOG") != NULL || level == TIDE_LOG_ERROR) {
        fprintf(stderr, "# [%d] %s\n", (int)getpid(), text);
    }
}

static void soak_begin(struct soak_world *w, uint32_t slot, uint32_t domain, uint64_t seed) {
    struct tide_opts o = TIDE_OPTS_INIT;
    part.w = w;
    part.slot = &w->slots[slot];
    part.rng = seed;
    memset(part.seen, 0, sizeof(part.seen));
    o.ring_bytes = 1 << 20;
    o.table_bytes = 8 << 20;
    o.evict = domain == SOAK_EVICTS ? TIDE_EVICT_S3FIFO : TIDE_EVICT_NONE;
    o.log = soak_log;
    int error = tide_open(&part.d, w->name[domain], &o);
    if (error != 0 || (error = tide_reader_open(part.d, NULL, &part.r)) != 0) {
        soak_fail(w, "cannot open: %s", tide_strerror(error));
        _exit(3);
    }
}

static void soak_end(void) {
    tide_reader_close(part.r);
    tide_close(part.d);
}

static bool soak_start_replica(enum tide_role role, bool candidate, uint64_t delay_ns) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = role;
    o.candidate = candidate;
    o.apply_delay_ns = delay_ns;
    for (uint64_t until = stress_now_ns() + UINT64_C(60000000000); stress_now_ns() < until;) {
        int error = tide_replica_start(part.d, &o, NULL);
        if (error == 0) {
            return true;
        }
        if (error == TIDE_ERR_BUSY && o.role == TIDE_LEADER) {
            o.role = TIDE_FOLLOWER;
        } else if (error != TIDE_ERR_NO_REPLICA && error != TIDE_ERR_TIMEOUT && error != TIDE_ERR_BUSY) {
            soak_fail(part.w, "cannot start a replica: %s", tide_strerror(error));
            return false;
        }
        atomic_fetch_add(&part.slot->beats, 1);
        stress_sleep_ns(2000000);
    }
    return false; /* no donor for a minute: this process ends, and another comes */
}

/* The more load, the shorter. */
static void soak_rest(void) {
    uint32_t load = atomic_load(&part.w->load);
    atomic_fetch_add(&part.slot->beats, 1);
    stress_sleep_ns(load == 0 ? 20000000 : (101 - load) * UINT64_C(50000) + stress_below(&part.rng, 100000));
}

/* Low numbers more often. */
static uint64_t soak_key(char key[32], size_t *len) {
    uint64_t a = stress_below(&part.rng, KEYS), b = stress_below(&part.rng, KEYS), n = a < b ? a : b;
    *len = (size_t)snprintf(key, 32, "key:%llu", (unsigned long long)n);
    return n;
}

static uint8_t soak_fill(uint64_t number, size_t i) {
    return (uint8_t)((number * UINT64_C(0x9e3779b97f4a7c15) >> 32) + i * 7);
}

static size_t soak_value(uint64_t key) {
    struct soak_head head = { key, stress_rand(&part.rng) };
    uint64_t kind = stress_below(&part.rng, 100);
    size_t size = sizeof(head) + (kind < 70   ? stress_below(&part.rng, 100)
                                  : kind < 97 ? stress_below(&part.rng, 1500)
                                              : stress_below(&part.rng, VALUE_MOST - sizeof(head)));
    memcpy(part.value, &head, sizeof(head));
    for (size_t i = sizeof(head); i < size; i++) {
        part.value[i] = soak_fill(head.number, i);
    }
    return size;
}

static bool soak_is_whole(uint64_t key, const uint8_t *value, size_t size) {
    struct soak_head head;
    if (size < sizeof(head)) {
        return false;
    }
    memcpy(&head, value, sizeof(head));
    for (size_t i = sizeof(head); i < size; i++) {
        if (value[i] != soak_fill(head.number, i)) {
            return false;
        }
    }
    return head.key == key;
}

static void soak_write_one(void) {
    char key[32];
    size_t len;
    uint64_t n = soak_key(key, &len), kind = stress_below(&part.rng, 100);
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    int error;
    if (kind < 12) {
        error = tide_delete(part.d, part.r, key, len, NULL);
    } else if (kind < 16) {
        error = tide_add(part.d, part.r, "sum", 3, 1, NULL, NULL, NULL);
    } else if (kind < 20) {
        error = tide_touch(part.d, part.r, key, len, 1000000 * (1 + stress_below(&part.rng, 5000)), NULL);
    } else if (kind < 24) {
        struct tide_answer a = TIDE_ANSWER_INIT;
        uint64_t version = tide_get(part.r, key, len, NULL, NULL, 0, &a) == TIDE_ERR_BUFFER ? a.version : 0;
        error = tide_cas(part.d, part.r, key, len, version, part.value, soak_value(n), NULL, NULL);
    } else if (kind < 30) {
        char other[32];
        size_t other_len;
        static uint8_t first[VALUE_MOST];
        size_t first_size = soak_value(n), size;
        memcpy(first, part.value, first_size);
        uint64_t m = soak_key(other, &other_len);
        size = soak_value(m);
        struct tide_op ops[2] = { { TIDE_OP_PUT, 0, key, len, first, first_size, 0 },
                                  { TIDE_OP_PUT, 0, other, other_len, part.value, size, 0 } };
        error = tide_batch(part.d, part.r, ops, 2, NULL, NULL);
    } else {
        o.ttl_ns = kind < 60 ? 1000000 * (1 + stress_below(&part.rng, 20000)) : 0;
        o.flags = kind == 99 ? TIDE_KEEP : 0;
        error = tide_put_with(part.d, part.r, key, len, part.value, soak_value(n), &o, NULL);
    }
    if (error == 0) {
        atomic_fetch_add(&part.slot->writes, 1);
    } else {
        atomic_fetch_add(&part.w->refused, 1);
        soak_expect("write", error);
    }
}

static void soak_read_one(void) {
    char key[32];
    size_t len;
    uint64_t n = soak_key(key, &len), kind = stress_below(&part.rng, 4);
    struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    bound.max_staleness_ns = kind == 0 ? 0 : kind == 1 ? 10000000 : TIDE_UNBOUNDED;
    bound.fallback = kind == 1 ? TIDE_FALLBACK_STALE : TIDE_FALLBACK_LEADER;
    int error = tide_get(part.r, key, len, &bound, part.value, sizeof(part.value), &a);
    soak_expect("get", error);
    if (error == 0) {
        if (!soak_is_whole(n, part.value, a.value_size)) {
            soak_fail(part.w, "%s: torn, or another key's: %llu bytes from replica %u", key,
                      (unsigned long long)a.value_size, a.served_by);
        }
        if (n < KEPT && a.stale == 0 && a.version < part.seen[n]) {
            soak_fail(part.w, "%s: version %llu after version %llu in one session", key, (unsigned long long)a.version,
                      (unsigned long long)part.seen[n]);
        }
        if (n < KEPT && a.stale == 0) {
            part.seen[n] = a.version;
        }
    }
    atomic_fetch_add(&part.slot->reads, 1);
}

static void soak_replica(struct soak_world *w, uint32_t slot, uint32_t domain, uint64_t seed, enum tide_role role,
                         bool candidate) {
    soak_begin(w, slot, domain, seed);
    if (soak_start_replica(role, candidate, slot % 12 == 4 ? 2000000 : 0)) {
        for (;;) {
            soak_write_one();
            for (int i = 0; i < 8; i++) {
                soak_read_one();
            }
            soak_rest();
        }
    }
    soak_end();
}

void soak_node(struct soak_world *w, uint32_t slot, uint32_t domain, uint64_t seed) {
    soak_replica(w, slot, domain, seed, slot % 12 == 0 ? TIDE_LEADER : TIDE_FOLLOWER, true);
}

void soak_follower(struct soak_world *w, uint32_t slot, uint32_t domain, uint64_t seed) {
    soak_replica(w, slot, domain, seed, TIDE_FOLLOWER, false);
}

void soak_writer(struct soak_world *w, uint32_t slot, uint32_t domain, uint64_t seed) {
    soak_begin(w, slot, domain, seed);
    for (;;) {
        for (uint64_t n = 1 + atomic_load(&w->load) / 10; n > 0; n--) {
            soak_write_one();
        }
        soak_rest();
    }
}

void soak_reader(struct soak_world *w, uint32_t slot, uint32_t domain, uint64_t seed) {
    soak_begin(w, slot, domain, seed);
    for (;;) {
        for (uint64_t n = 1 + atomic_load(&w->load); n > 0; n--) {
            soak_read_one();
        }
        soak_rest();
    }
}

static int soak_look(void *ctx, const struct tide_entry *e) {
    char text[32] = "";
    unsigned long long n;
    (void)ctx;
    memcpy(text, e->key, e->key_len < sizeof(text) ? e->key_len : sizeof(text) - 1);
    if (sscanf(text, "key:%llu", &n) == 1 && !soak_is_whole(n, e->value, e->value_size)) {
        soak_fail(part.w, "%s: torn in a visit", text);
    }
    return 0;
}

void soak_sections(struct soak_world *w, uint32_t slot, uint32_t domain, uint64_t seed) {
    soak_begin(w, slot, domain, seed);
    struct tide_bound any = TIDE_BOUND_INIT;
    any.max_staleness_ns = TIDE_UNBOUNDED;
    for (uint64_t i = 0;; i++) {
        int error = tide_section_begin(part.r, &any, NULL);
        soak_expect("section", error);
        if (error == 0) {
            char key[32];
            size_t len, size = 0;
            for (int k = 0; k < 20; k++) {
                uint64_t n = soak_key(key, &len);
                error = tide_section_get(part.r, key, len, part.value, sizeof(part.value), &size, NULL);
                soak_expect("get of a section", error);
                if (error == 0 && !soak_is_whole(n, part.value, size)) {
                    soak_fail(w, "%s: torn in a section", key);
                }
                atomic_fetch_add(&part.slot->reads, 1);
                if (k == 10) {
                    stress_sleep_ns(stress_below(&part.rng, 3000000));
                }
            }
            if (i % 50 == 0) {
                soak_expect("visit", tide_section_visit(part.r, soak_look, NULL));
            }
            tide_section_end(part.r);
        }
        soak_rest();
    }
}

void soak_watcher(struct soak_world *w, uint32_t slot, uint32_t domain, uint64_t seed) {
    soak_begin(w, slot, domain, seed);
    for (;;) {
        struct tide_watch_opts o = TIDE_WATCH_OPTS_INIT;
        struct tide_event e = TIDE_EVENT_INIT;
        struct tide_watch *watch;
        o.flags = stress_below(&part.rng, 2) == 0 ? TIDE_WATCH_INITIAL : 0;
        int error = tide_watch_open(part.d, &o, &watch);
        soak_expect("watch", error);
        uint64_t last = 0, told = 0, most = 20000 + stress_below(&part.rng, 20000);
        while (error == 0 && told < most) {
            error = tide_watch_next(watch, &e, 200000000);
            if (error == TIDE_ERR_TIMEOUT) {
                error = 0;
            } else if (error == 0) {
                if (e.kind != TIDE_EVENT_SYNCED && e.index <= last && (o.flags == 0 || told > KEYS * 2)) {
                    soak_fail(w, "a watch told entry %llu after entry %llu", (unsigned long long)e.index,
                              (unsigned long long)last);
                }
                last = e.index;
                told++;
            }
            atomic_fetch_add(&part.slot->beats, 1);
        }
        soak_expect("event", error);
        atomic_fetch_add(&part.slot->reads, told);
        if (error == 0 || watch != NULL) {
            tide_watch_close(watch);
        }
        watch = NULL;
        soak_rest();
    }
}

void soak_janitor(struct soak_world *w, uint32_t slot, uint32_t domain, uint64_t seed) {
    soak_begin(w, slot, domain, seed);
    for (;;) {
        struct tide_verify v = TIDE_VERIFY_INIT;
        soak_expect("gc", tide_gc(part.d, NULL));
        if (stress_below(&part.rng, 40) == 0) {
            soak_expect("step down", tide_step_down(part.d));
        }
        if (stress_below(&part.rng, 8) == 0) {
            int error = tide_verify(part.d, &v);
            soak_expect("verify", error);
            if (error == 0 && (v.differing != 0 || v.damaged != 0)) {
                soak_fail(w, "%u of %u replicas differ at index %llu, %llu nodes are damaged", v.differing, v.compared,
                          (unsigned long long)v.index, (unsigned long long)v.damaged);
            }
        }
        soak_expect("ping", tide_ping(part.d, 100000000));
        atomic_fetch_add(&part.slot->beats, 1);
        stress_sleep_ns(100000000 + stress_below(&part.rng, 400000000));
    }
}

void soak_comer(struct soak_world *w, uint32_t slot, uint32_t domain, uint64_t seed) {
    for (;; seed = stress_rand(&seed)) {
        soak_begin(w, slot, domain, seed);
        if (soak_start_replica(TIDE_FOLLOWER, false, 0)) {
            for (int i = 0; i < 100; i++) {
                soak_read_one();
                soak_write_one();
                soak_rest();
            }
        }
        soak_end();
        stress_sleep_ns(200000000 + stress_below(&seed, 800000000));
    }
}

/* Read it to its end: the descriptor is what would be lost. */
void soak_commands(struct soak_world *w, uint32_t slot, uint32_t domain, uint64_t seed) {
    static const char *const LINES[][4] = {
        { "stat" },
        { "stat", "--json" },
        { "ls" },
        { "metrics" },
        { "verify" },
        { "get", "key:1" },
        { "scan" },
        { "put", "key:by-hand", "x" },
        { "dump", "--summary" },
    };
    char tide[512];
    const char *build = getenv("TIDE_BUILD");
    snprintf(tide, sizeof(tide), "%s/tide", build != NULL ? build : "build");
    for (uint64_t state = seed;;) {
        const char *const *line = LINES[stress_below(&state, sizeof(LINES) / sizeof(LINES[0]))];
        pid_t pid = fork();
        if (pid == 0) {
            const char *argv[7] = { tide, line[0] };
            int n = 2, null = open("/dev/null", O_RDWR | O_CLOEXEC);
            if (strcmp(line[0], "ls") != 0) {
                argv[n++] = w->name[domain];
            }
            for (int i = 1; i < 4 && line[i] != NULL; i++) {
                argv[n++] = line[i];
            }
            prctl(PR_SET_PDEATHSIG, SIGKILL); /* or it would be a member yet when all others are gone */
            dup2(null, 1);
            dup2(null, 2);
            execv(tide, (char *const *)argv);
            _exit(127);
        }
        int status = 0;
        while (pid > 0 && waitpid(pid, &status, WNOHANG) == 0) {
            stress_sleep_ns(5000000);
        }
        if (WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 127)) {
            soak_fail(w, "tide %s ended with status %x", line[0], (unsigned)status);
        }
        atomic_fetch_add(&w->slots[slot].beats, 1);
        atomic_fetch_add(&w->slots[slot].reads, 1);
        stress_sleep_ns(500000000 + stress_below(&state, 1000000000));
    }
}
