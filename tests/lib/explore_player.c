/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a process does: tests/lib/explore.h. */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/explore.h"
#include "tests/lib/scribble_roles.h"
#include "tests/lib/scribble_tools.h"
#include "tests/lib/stress_util.h"

#define MS UINT64_C(1000000)
#define E EXPLORE_E
#define UNLED_NS (15000 * MS) /* a candidate lives: so long, and a busy machine's while, nobody may lead */
#define MINE 4u               /* replicas of one process */

struct player {
    uint32_t slot;
    bool anchor;
    struct explore_thread main;
    struct tide *d;
    _Atomic bool closing;
    pthread_mutex_t opens;
    pthread_t threads[EXPLORE_THREADS];
    struct explore_thread workers[EXPLORE_THREADS];
    uint32_t workers_n, own[MINE], own_n;
    uint64_t unled_since;
};

static struct player player;

static uint64_t below(uint64_t n) {
    return stress_below(&player.main.rng, n);
}

static void begin(const char *what, uint64_t most_ns) {
    explore_begin(&player.main, what, most_ns);
}

static void end(int error, uint64_t may) {
    explore_end(&player.main, error, may);
}

static void hear(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx;
    if (level == TIDE_LOG_ERROR || getenv("TIDE_STRESS_LOG") != NULL) {
        fprintf(stderr, "# [%d] %s\n", (int)getpid(), text);
    }
}

/* ---- threads ----------------------------------------------------------------------------------------------------------- */

static void thread_init(struct explore_thread *t, uint32_t number, uint64_t seed) {
    *t = (struct explore_thread){ .d = player.d, .rng = seed, .closing = &player.closing, .opens = &player.opens };
    t->writer = player.slot * EXPLORE_THREADS + number;
    t->call = &explore->calls[player.slot][number];
    t->value = malloc(EXPLORE_VALUE_MOST + 16);
    t->other = malloc(EXPLORE_VALUE_MOST + 16);
}

static void thread_open(struct explore_thread *t) {
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    o.policy = (enum tide_policy)stress_below(&t->rng, 3);
    pthread_mutex_lock(t->opens);
    t->r = NULL;
    if (!atomic_load(t->closing)) {
        explore_begin(t, "reader_open", 0);
        explore_end(t, tide_reader_open(t->d, &o, &t->r), 0);
    }
    pthread_mutex_unlock(t->opens);
    t->fence = 0;
    t->token = (struct tide_token){ 0, 0 };
}

static void thread_close(struct explore_thread *t) {
    if (t->r != NULL) {
        explore_begin(t, "reader_close", 0);
        explore_end(t, tide_reader_close(t->r), 0);
    }
    t->r = NULL;
}

/* Every call of these threads is a reader's, so that the handle may be closed under them. */
static void *work(void *arg) {
    struct explore_thread *t = arg;
    thread_open(t);
    while (t->r != NULL && !atomic_load(&player.closing) && atomic_load(&explore->ending) == 0) {
        explore_step(t);
        if (stress_below(&t->rng, 300) == 0 && !atomic_load(&player.closing)) {
            thread_close(t);
            thread_open(t);
        }
    }
    thread_close(t);
    return NULL;
}

static void spawn_workers(uint64_t n) {
    atomic_store(&player.closing, false);
    for (player.workers_n = 0; player.workers_n < n; player.workers_n++) {
        struct explore_thread *t = &player.workers[player.workers_n];
        thread_init(t, player.workers_n + 1, stress_rand(&player.main.rng));
        if (pthread_create(&player.threads[player.workers_n], NULL, work, t) != 0) {
            break;
        }
    }
}

/* From now on they may be answered CLOSED. */
static void say_closing(void) {
    pthread_mutex_lock(&player.opens);
    atomic_store(&player.closing, true);
    pthread_mutex_unlock(&player.opens);
}

static void join_workers(void) {
    say_closing();
    for (uint32_t i = 0; i < player.workers_n; i++) {
        pthread_join(player.threads[i], NULL);
        free(player.workers[i].value);
        free(player.workers[i].other);
    }
    player.workers_n = 0;
}

/* ---- the life of a handle ------------------------------------------------------------------------------------------------- */

static bool open_domain(bool first) {
    const struct explore_setup *s = &explore->s;
    struct tide_opts o = TIDE_OPTS_INIT;
    o.ring_bytes = s->ring_bytes;
    o.table_bytes = s->table_bytes;
    o.slow_follower_ns = s->slow_follower_ns;
    o.write_timeout_ns = s->write_timeout_ns;
    o.default_ttl_ns = s->default_ttl_ns;
    o.evict = s->evict;
    o.expected_keys = below(3) == 0 ? below(2000) : 0;
    o.flags = first && !player.anchor ? 0 : TIDE_CREATE;
    o.flags = s->wild != 0 || (player.anchor && player.slot == 0) ? TIDE_CREATE : 0;
    o.flags |= s->ephemeral != 0 && player.slot == 0 ? TIDE_EPHEMERAL : 0;
    o.log = hear;
    begin("open", 5000 * MS);
    int error = tide_open(&player.d, explore->name, &o);
    end(error, s->wild != 0 ? 0 : E(NO_DOMAIN));
    player.main.d = player.d;
    return error == 0;
}

static void start_replica(enum tide_role role, bool candidate) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    const struct explore_setup *s = &explore->s;
    if (player.own_n == MINE) {
        return;
    }
    o.role = role;
    o.candidate = candidate;
    o.id = below(6) == 0 ? (int32_t)below(12) : -1;
    o.apply_delay_ns = role == TIDE_FOLLOWER && !player.anchor && below(4) == 0 ? below(20 * MS) : 0;
    o.table_bytes = below(5) == 0 ? s->table_bytes * 2 : 0;
    o.spin_ns = below(5) == 0 ? below(MS) : 0;
    o.label = below(3) == 0 ? "a label" : NULL;
    begin("replica_start", 12000 * MS);
    int error = tide_replica_start(player.d, &o, &player.own[player.own_n]);
    uint64_t may = E(TIMEOUT) | E(BUSY) | (s->sure != 0 && s->wild == 0 ? 0 : E(NO_REPLICA));
    /* A slot that was named may be taken; and larger tables that all replicas have are the domain's least, which 0 meets. */
    end(error, may | (o.id >= 0 ? E(SLOTS) : 0));
    player.own_n += error == 0;
}

static void stop_replica(void) {
    uint32_t kept = player.anchor ? 1 : 0;
    if (player.own_n > kept) {
        uint32_t i = kept + (uint32_t)below(player.own_n - kept);
        begin("replica_stop", 1000 * MS);
        int error = tide_replica_stop(player.d, player.own[i]);
        end(error, 0);
        player.own[i] = player.own[--player.own_n];
    }
}

static void look_around(void) {
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_replica_info r = TIDE_REPLICA_INFO_INIT;
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    uint64_t index, digest;
    begin("info", 0);
    end(tide_info(player.d, &info), 0);
    begin("read_counts", 0);
    end(tide_read_counts(player.d, &counts), 0);
    for (uint32_t id = 0; id < TIDE_REPLICAS; id++) {
        begin("replica_info", 0);
        int error = tide_replica_info(player.d, id, &r);
        end(error, E(NOT_FOUND));
        if (error == 0 && (r.state == TIDE_STATE_DIVERGED || r.state == TIDE_STATE_FAILED)) {
            explore_fail("replica %u of process %d is %s", id, r.pid, tide_state_name(r.state));
        }
        if (error == 0) {
            begin("replica_digest", 0);
            end(tide_replica_digest(player.d, id, &index, &digest), E(NOT_FOUND));
        }
    }
    uint64_t now = explore_now();
    if (info.led != 0 || !player.anchor || explore->s.wild != 0 || player.unled_since == 0) {
        player.unled_since = now;
    } else if (now - player.unled_since > UNLED_NS) {
        explore_fail("nobody leads for %llu ms, and two candidates live",
                     (unsigned long long)((now - player.unled_since) / MS));
        player.unled_since = now;
    }
}

static void verify(void) {
    struct tide_verify v = TIDE_VERIFY_INIT;
    begin("verify", 2000 * MS);
    int error = tide_verify(player.d, &v);
    end(error, 0);
    if (error == 0 && (v.differing != 0 || v.damaged != 0)) {
        explore_fail("verify: %u of %u differ at index %llu, %llu nodes are damaged", v.differing, v.compared,
                     (unsigned long long)v.index, (unsigned long long)v.damaged);
    }
}

/* In a child no handle works, and closing them is all that may be done. */
static void try_fork(void) {
    begin("fork", 2000 * MS);
    pid_t pid = fork();
    if (pid == 0) {
        struct tide_info info = TIDE_INFO_INIT;
        alarm(60);
        int bad = tide_put(player.d, NULL, "kept00", 6, "x", 1, NULL) != TIDE_ERR_FORKED;
        bad |= (tide_info(player.d, &info) != TIDE_ERR_FORKED) << 1;
        bad |= (tide_get(player.main.r, "kept00", 6, NULL, NULL, 0, NULL) != TIDE_ERR_FORKED) << 2;
        bad |= (tide_step_down(player.d) != TIDE_ERR_FORKED) << 3;
        bad |= (tide_gc(player.d, NULL) != TIDE_ERR_FORKED) << 4;
        tide_close(player.d);
        _exit(bad);
    }
    int status = 0;
    if (pid > 0 && waitpid(pid, &status, 0) == pid && status != 0) {
        explore_fail("a forked child ended with status %x", (unsigned)status);
    }
    end(0, 0);
}

/* One call of the handle's own. */
static void live(void) {
    uint32_t reaped;
    switch (below(24)) {
    case 0:
        start_replica(TIDE_FOLLOWER, below(2) == 0);
        break;
    case 1:
        start_replica(TIDE_LEADER, below(2) == 0);
        break;
    case 2:
    case 3:
        stop_replica();
        break;
    case 4:
        begin("step_down", 0);
        end(tide_step_down(player.d), E(NO_LEADER) | E(BUSY));
        break;
    case 5:
        begin("ping", 50 * MS);
        end(tide_ping(player.d, below(50 * MS)), E(NO_LEADER) | E(TIMEOUT));
        break;
    case 6:
        begin("gc", 2000 * MS);
        end(tide_gc(player.d, &reaped), 0);
        break;
    case 7:
        verify();
        break;
    case 8:
        if (player.main.r != NULL && below(4) == 0) {
            try_fork();
        }
        break;
    case 9:
        if (player.main.token.incarnation != 0) {
            begin("wait_applied", 30 * MS);
            end(tide_wait_applied(player.d, &player.main.token, 1 + (uint32_t)below(3), below(30 * MS)), E(TIMEOUT));
        }
        break;
    case 10:
        if (player.own_n > 0) {
            begin("set_delay", 0);
            end(tide_replica_set_delay(player.d, player.own[player.own_n - 1], below(3) == 0 ? below(10 * MS) : 0),
                E(INVALID)); /* it leads */
        }
        break;
    case 11:
        if (explore->s.wild != 0 && below(10) == 0) {
            begin("unlink", 1000 * MS);
            end(tide_unlink(explore->name), E(NO_DOMAIN));
        }
        break;
    case 12:
    case 13:
    case 14:
        look_around();
        break;
    default:
        for (uint64_t n = below(12); n > 0 && player.main.r != NULL; n--) {
            explore_step(&player.main);
        }
    }
}

static void close_domain(void) {
    /* Under its readers, or when they have ended. */
    if (below(2) == 0) {
        join_workers();
    }
    say_closing();
    begin("close", 3000 * MS);
    end(tide_close(player.d), 0);
    join_workers();
    thread_close(&player.main);
    player.d = NULL;
    player.own_n = 0;
    atomic_store(&player.closing, false);
}

/* ---- what a process ends with ------------------------------------------------------------------------------------------- */

static unsigned entries(const char *path) {
    unsigned n = 0;
    DIR *dir = opendir(path);
    for (struct dirent *e = dir != NULL ? readdir(dir) : NULL; e != NULL; e = readdir(dir)) {
        n += e->d_name[0] != '.';
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return n;
}

/* All others have ended. */
static void settle(void) {
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_token token = { 0, 0 };
    uint64_t start = explore_now();
    int error;
    player.main.fence = 0;
    do { /* a follower that took over may not have heard of it yet */
        begin("put when all is settled", explore->s.write_timeout_ns + explore->s.slow_follower_ns);
        error = tide_put(player.d, player.main.r, "key00000001", 11, "value", 5, &token);
        end(error, E(FULL) | E(NO_LEADER) | E(TIMEOUT));
    } while ((error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_TIMEOUT) && explore_now() - start < UNLED_NS);
    if (error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_TIMEOUT) {
        explore_fail("when all others have ended: put answers %s", tide_strerror(error));
    }
    for (uint32_t i = 0; i < player.own_n; i++) {
        tide_replica_set_delay(player.d, player.own[i], 0);
    }
    explore_settled(&player.main);
    look_around();
    verify();
    begin("gc", 2000 * MS);
    end(tide_gc(player.d, NULL), 0);
    tide_info(player.d, &info);
    if (info.members != 1 || info.replicas != player.own_n || info.led == 0) {
        explore_fail("when all others have ended: %u members, %u replicas of which %u are here, led %u", info.members,
                     info.replicas, player.own_n, info.led);
    }
}

static void play_anchor(void) {
    bool first = player.slot == 0;
    struct tide *dummy;
    if (tide_open(&dummy, "baseline", NULL) == 0) {
        tide_close(dummy);
        tide_unlink("baseline");
    }
    unsigned descriptors = entries("/proc/self/fd");
    while (!open_domain(first)) {
        stress_sleep_ns(MS);
    }
    while (player.own_n == 0) {
        start_replica(first ? TIDE_LEADER : TIDE_FOLLOWER, true);
    }
    atomic_fetch_add(&explore->served, 1);
    thread_open(&player.main);
    spawn_workers(1 + below(2));
    while (atomic_load(&explore->ending) == 0) {
        live();
    }
    join_workers();
    atomic_store(&player.closing, false);
    while (first && atomic_load(&explore->ending) == 1) {
        look_around();
        stress_sleep_ns(2 * MS);
    }
    if (first) {
        settle();
    }
    close_domain();
    uint64_t start = explore_now();
    while (entries("/proc/self/fd") != descriptors && explore_now() - start < 5000 * MS) {
        stress_sleep_ns(MS);
    }
    if (entries("/proc/self/fd") != descriptors) {
        explore_fail("%u descriptors are open, there were %u", entries("/proc/self/fd"), descriptors);
    }
}

static void play_guest(void) {
    while (atomic_load(&explore->ending) == 0) {
        if (!open_domain(false)) {
            stress_sleep_ns(MS);
            continue;
        }
        for (uint64_t n = below(3); n > 0; n--) {
            start_replica(below(4) == 0 ? TIDE_LEADER : TIDE_FOLLOWER, below(2) == 0);
        }
        thread_open(&player.main);
        spawn_workers(below(EXPLORE_THREADS));
        for (uint64_t n = below(60); n > 0 && atomic_load(&explore->ending) == 0; n--) {
            live();
        }
        close_domain();
    }
}

static bool tool_at(const char *where) {
    explore_end(&player.main, 0, 0);
    if (atomic_load(&explore->ending) != 0) {
        return false;
    }
    begin(where, 30000 * MS);
    atomic_fetch_add(&explore->tools, 1);
    return true;
}

void explore_play(uint32_t slot, uint64_t seed) {
    memset(&player, 0, sizeof(player));
    pthread_mutex_init(&player.opens, NULL);
    player.slot = slot;
    player.anchor = slot < EXPLORE_ANCHORS && explore->s.wild == 0;
    thread_init(&player.main, 0, seed);
    if (slot == EXPLORE_SLOTS - 1) {
        struct scribble_scene scene = { .without = explore->s.loads != 0 ? NULL : "snapshot load" };
        memcpy(scene.name, explore->name, sizeof(scene.name));
        begin("tools", 0);
        if (!scribble_run_tools(&scene, &player.main.rng, tool_at)) {
            explore_fail("a command failed");
        }
    } else if (player.anchor) {
        play_anchor();
    } else {
        play_guest();
    }
    atomic_store(&player.main.call->what, NULL);
    _exit(0);
}
