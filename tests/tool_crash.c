/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Death at every named instant (engine/table/kill.h), in every part that a process can play. For each part the victim plays it once
 * while the points that it passes are noted; then it plays it again for each of them and dies there, the first time that it
 * passes or a later one. The others go on, and then everything is compared with the journal (tests/crash_world.h).
 *
 * All names come as arguments, from the sources: one at which no process died is a failure. With a + in front: another tool
 * dies there, and chance decides whether a victim of this one passes it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/table/kill.h"
#include "tests/crash_roles.h"

#define POINTS_MAX 128u
#define FILL_KEYS 1500u
#define LARGE_BYTES 5000u
#define SMALL_KEYS 39000u
#define LARGE_KEYS 960u /* of three fifths of that: four fifths of the table */

/* The slots and their processes. */
enum { VICTIM = 0, NODE = 1, OTHER = 2, PREY = 3, WRITER = 4, READER = 6, CHECKER = CRASH_SLOTS - 1 };

struct point {
    char name[48];
    _Atomic uint64_t passed; /* in the part that is being noted */
    uint64_t died;
    bool elsewhere; /* no process of this program dies there */
};

struct points {
    _Atomic uint32_t count;
    _Atomic uint32_t noting;
    struct point point[POINTS_MAX];
};

static struct points *points; /* shared with the victims */

static void note_point(const char *name) {
    for (uint32_t i = 0; i < atomic_load(&points->count); i++) {
        if (strcmp(points->point[i].name, name) == 0) {
            atomic_fetch_add(&points->point[i].passed, 1);
            return;
        }
    }
    fprintf(stderr, "# kill point %s is not among the arguments\n", name);
    _exit(6);
}

/* ---- what the victims do ------------------------------------------------------------------------------------------------ */

static struct tide *victim_begin(struct crash_world *w) {
    if (atomic_load(&points->noting) != 0) {
        kill_point_seen = note_point;
    }
    return crash_open(w);
}

/* Enough keys to split buckets, enough that is replaced and deleted to be cleared away. Refusals do not matter. */
static void victim_fill(struct crash_world *w, struct tide *d) {
    char key[32], value[64] = "fill";
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < FILL_KEYS; i++) {
            while (crash_is_ahead(w)) {
                crash_nap_us(100);
            }
            crash_begin_bytes(w, 1, sizeof(value));
            int length = snprintf(key, sizeof(key), "fill.%u", i);
            if (round == 2) {
                tide_delete(d, NULL, key, (size_t)length, NULL);
            } else {
                tide_put(d, NULL, key, (size_t)length, value, sizeof(value), NULL);
            }
        }
    }
}

static void victim_lead(struct crash_world *w, uint32_t slot, uint64_t seed) {
    struct tide *d = victim_begin(w);
    crash_start_replica(w, d, TIDE_LEADER, true);
    crash_work(w, d, slot, slot, seed, 200);
    victim_fill(w, d);
    crash_work(w, d, slot, slot, seed + 1, 600);
    tide_close(d);
}

static void victim_write_large(struct crash_world *w, struct tide *d, uint32_t i, size_t bytes) {
    static char value[LARGE_BYTES] = "large";
    char key[32];
    while (crash_is_ahead(w)) {
        crash_nap_us(100);
    }
    crash_begin_bytes(w, 1, bytes);
    int length = snprintf(key, sizeof(key), "large.%u", i);
    if (bytes == 0) {
        tide_delete(d, NULL, key, (size_t)length, NULL);
    } else {
        tide_put(d, NULL, key, (size_t)length, value, bytes, NULL);
    }
}

/* Most of the table, then every other value of it is gone, then larger ones come: nodes have to be moved for them. Room is left for
 * the processes that go on. */
static void victim_compact(struct crash_world *w, uint32_t slot, uint64_t seed) {
    struct tide *d = victim_begin(w);
    crash_start_replica(w, d, TIDE_LEADER, true);
    atomic_fetch_add(&w->slots[slot].beats, 1);
    crash_work(w, d, slot, slot, seed, 100);
    for (uint32_t i = 0; i < LARGE_KEYS; i++) {
        victim_write_large(w, d, i, LARGE_BYTES * 3 / 5);
    }
    for (uint32_t i = 0; i < LARGE_KEYS; i += 2) {
        victim_write_large(w, d, i, 0);
    }
    for (uint32_t i = 0; i < LARGE_KEYS / 4; i++) {
        victim_write_large(w, d, LARGE_KEYS + i, LARGE_BYTES);
    }
    crash_work(w, d, slot, slot, seed + 1, 100);
    tide_close(d);
}

/* So many small keys come and go that pages become overflow buckets. Most go, then large values come: buckets have to be moved for them. */
static void victim_overflow(struct crash_world *w, uint32_t slot, uint64_t seed) {
    struct tide *d = victim_begin(w);
    crash_start_replica(w, d, TIDE_LEADER, true);
    atomic_fetch_add(&w->slots[slot].beats, 1);
    crash_work(w, d, slot, slot, seed, 100);
    for (uint32_t i = 0; i < 2 * SMALL_KEYS + SMALL_KEYS / 8 * 7; i++) {
        while (crash_is_ahead(w)) {
            crash_nap_us(100);
        }
        crash_begin_bytes(w, 2, sizeof(i));
        uint32_t gone = i - SMALL_KEYS;
        if (i >= SMALL_KEYS) {
            tide_delete(d, NULL, &gone, sizeof(gone), NULL);
        }
        if (i < 2 * SMALL_KEYS) {
            tide_put(d, NULL, &i, sizeof(i), &i, sizeof(i), NULL);
        }
    }
    for (uint32_t i = 0; i < LARGE_KEYS; i++) {
        victim_write_large(w, d, i, LARGE_BYTES);
    }
    crash_work(w, d, slot, slot, seed + 1, 100);
    tide_close(d);
}

static void victim_follow(struct crash_world *w, uint32_t slot, uint64_t seed) {
    struct tide *d = victim_begin(w);
    crash_start_replica(w, d, TIDE_FOLLOWER, true);
    crash_work(w, d, slot, slot, seed, 300);
    tide_close(d);
}

static void victim_write(struct crash_world *w, uint32_t slot, uint64_t seed) {
    struct tide *d = victim_begin(w);
    crash_work(w, d, slot, slot, seed, 400);
    tide_close(d);
}

static void victim_read(struct crash_world *w, uint32_t slot, uint64_t seed) {
    struct tide *d = victim_begin(w);
    crash_work(w, d, slot, UINT32_MAX, seed, 1000);
    tide_close(d);
}

static void victim_collect(struct crash_world *w, uint32_t slot, uint64_t seed) {
    (void)slot, (void)seed;
    struct tide *d = victim_begin(w);
    tide_gc(d, NULL);
    tide_close(d);
}

/* Serve, say so, and take over when the leader has gone. */
static void victim_take_over(struct crash_world *w, uint32_t slot, uint64_t seed) {
    struct tide *d = victim_begin(w);
    crash_start_replica(w, d, TIDE_FOLLOWER, true);
    atomic_fetch_add(&w->slots[slot].beats, 1);
    crash_work(w, d, slot, slot, seed, 400);
    /* Its time as a leader may have begun only now. */
    for (int i = 0; i < 1000; i++) {
        struct tide_info info = TIDE_INFO_INIT;
        if (tide_info(d, &info) == 0 && info.leader_pid == (int32_t)getpid()) {
            break;
        }
        crash_nap_us(1000);
    }
    crash_work(w, d, slot, slot, seed + 1, 100);
    tide_close(d);
}

static void victim_hand_over(struct crash_world *w, uint32_t slot, uint64_t seed) {
    struct tide *d = victim_begin(w);
    crash_start_replica(w, d, TIDE_LEADER, true);
    for (uint64_t i = 0; i < 4; i++) {
        crash_work(w, d, slot, slot, seed + i, 100);
        tide_step_down(d);
        crash_nap_us(3000);
    }
    tide_close(d);
}

/* ---- the auditor ---------------------------------------------------------------------------------------------------------- */

static struct crash_audit *audit;

/* A reader reads the log while it is written, so that it has seen every entry before it is overwritten. */
static void watch(struct crash_world *w) {
    if (audit != NULL && crash_audit_stale(audit)) {
        crash_audit_drop(audit);
        audit = NULL;
    }
    audit = audit != NULL ? audit : crash_audit_open(w);
    if (audit != NULL) {
        crash_audit_step(audit);
    }
}

/* ---- what is around them -------------------------------------------------------------------------------------------------- */

static void await_acks(struct crash_world *w, uint64_t more, const char *what) {
    uint64_t wanted = crash_acks(w) + more, until = crash_now_ns() + UINT64_C(20000000000);
    while (crash_acks(w) < wanted) {
        if (crash_now_ns() > until) {
            crash_fail(w, "no writes any more: %s", what);
            return;
        }
        crash_rest(w);
    }
}

/* More was written than the ring holds, so that a newcomer has to copy. */
static void await_a_full_ring(struct crash_world *w, const char *what) {
    while (atomic_load(&w->begun) < 2 * w->ring_bytes && atomic_load(&w->failures) == 0) {
        await_acks(w, 100, what);
    }
}

static void spawn(struct crash_world *w, uint32_t slot, crash_role *role, uint64_t seed) {
    if (w->slots[slot].pid == 0) {
        crash_spawn(w, slot, role, seed, NULL);
    }
}

/* A leader that has written more than the ring holds. */
static void around_leader(struct crash_world *w, uint64_t seed) {
    spawn(w, NODE, crash_role_node, seed * 3);
    await_a_full_ring(w, "before the victim came");
}

static void around_two(struct crash_world *w, uint64_t seed) {
    spawn(w, NODE, crash_role_node, seed * 3);
    spawn(w, OTHER, crash_role_node, seed * 3 + 1);
    spawn(w, WRITER, crash_role_writer, seed);
    await_acks(w, 100, "before the victim came");
}

static void around_dead(struct crash_world *w, uint64_t seed) {
    around_two(w, seed);
    spawn(w, PREY, crash_role_follower, seed);
    spawn(w, READER, crash_role_reader, seed);
    for (int i = 0; i < 5000 && (atomic_load(&w->slots[PREY].beats) < 50 || atomic_load(&w->slots[READER].beats) < 50);
         i++) {
        crash_rest(w);
    }
    crash_kill(w, PREY);
    crash_kill(w, READER);
    crash_kill(w, WRITER);
}

static void around_all_dead(struct crash_world *w, uint64_t seed) {
    around_two(w, seed);
    await_a_full_ring(w, "before all died");
    crash_kill_all(w);
}

static int victim_status; /* of one that ended while it was waited for: play() asks */

static void await_victim(struct crash_world *w) {
    while (w->slots[VICTIM].pid != 0 && atomic_load(&w->slots[VICTIM].beats) == 0 &&
           !crash_ended(w, VICTIM, &victim_status)) {
        crash_rest(w);
    }
}

/* While the victim lives, and has what it came for. */
static void meanwhile_company(struct crash_world *w, uint64_t seed) {
    await_victim(w);
    spawn(w, NODE, crash_role_node, seed * 3 + 1); /* does not ask to lead, only takes over */
    spawn(w, WRITER, crash_role_writer, seed);
    spawn(w, READER, crash_role_reader, seed);
}

static void meanwhile_leader_dies(struct crash_world *w, uint64_t seed) {
    (void)seed;
    await_victim(w);
    crash_kill(w, NODE);
}

struct part {
    const char *name;
    crash_role *victim;
    void (*before)(struct crash_world *w, uint64_t seed);
    void (*meanwhile)(struct crash_world *w, uint64_t seed);
    const char *only; /* points whose names begin so; NULL: all */
};

static const struct part parts[] = {
    { "leader", victim_lead, NULL, meanwhile_company, NULL },
    { "leader that moves nodes", victim_compact, NULL, meanwhile_company, "compact." },
    { "leader that moves buckets", victim_overflow, NULL, meanwhile_company, "overflow." },
    { "follower", victim_follow, around_two, NULL, NULL },
    { "newcomer", victim_follow, around_leader, NULL, NULL },
    { "writer", victim_write, around_two, NULL, NULL },
    { "reader", victim_read, around_two, NULL, NULL },
    { "collector", victim_collect, around_dead, NULL, NULL },
    { "heir", victim_take_over, around_leader, meanwhile_leader_dies, NULL },
    { "retiring leader", victim_hand_over, NULL, meanwhile_company, NULL },
    { "first of the next life", victim_lead, around_all_dead, NULL, NULL },
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

/* ---- one death ------------------------------------------------------------------------------------------------------------ */

/* All processes go on, nothing is missing, nothing is left. */
static void settle(struct crash_world *w, uint64_t seed) {
    spawn(w, NODE, crash_role_node, seed * 3 + 1);
    spawn(w, WRITER, crash_role_writer, seed + 7);
    spawn(w, READER, crash_role_reader, seed + 8);
    uint64_t reads = atomic_load(&w->reads);
    await_acks(w, 20, "after the victim had gone");
    while (atomic_load(&w->reads) == reads && atomic_load(&w->failures) == 0) {
        crash_rest(w);
    }
    if (crash_pause(w)) {
        crash_spawn(w, CHECKER, crash_role_checker, 0, NULL);
        crash_wait(w, CHECKER);
        watch(w);
        crash_audit_slots(audit);
        if (crash_audit_missed(audit) != 0) {
            crash_fail(w, "%llu entries of the log were not seen: a write could be there twice",
                       (unsigned long long)crash_audit_missed(audit));
        }
    }
    crash_kill_all(w);
    watch(w);
    crash_audit_close(audit);
    audit = NULL;
    tide_unlink(w->name);
    if (crash_files(w->name) != 0) {
        crash_fail(w, "files are left after the removal");
    }
}

/* Play a part, and die at a point if one is given. True when the victim died there. */
static bool play(struct crash_world *w, const struct part *p, const char *kill_at, uint64_t seed) {
    static unsigned plays;
    char name[TIDE_NAME_MAX];
    snprintf(name, sizeof(name), "crash-%ld-%u", (long)getpid(), plays++);
    crash_world_reset(w, name);
    atomic_store(&w->paced, 1);
    if (p->before != NULL) {
        p->before(w, seed);
    }
    victim_status = 0;
    crash_spawn(w, VICTIM, p->victim, seed, kill_at);
    if (p->meanwhile != NULL) {
        p->meanwhile(w, seed);
    }
    int status = w->slots[VICTIM].pid != 0 ? crash_wait(w, VICTIM) : victim_status;
    bool died = status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!died && status != -1 && WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        crash_fail(w, "the victim ended with status %d", WEXITSTATUS(status));
    }
    settle(w, seed);
    return died;
}

static unsigned play_all(struct crash_world *w, const struct part *p, struct help_rng *rng, const char *only) {
    uint64_t passed[POINTS_MAX];
    unsigned deaths = 0;
    for (uint32_t i = 0; i < atomic_load(&points->count); i++) {
        atomic_store(&points->point[i].passed, 0);
    }
    atomic_store(&points->noting, 1);
    play(w, p, NULL, help_random(rng));
    atomic_store(&points->noting, 0);
    for (uint32_t i = 0; i < atomic_load(&points->count); i++) {
        passed[i] = atomic_load(&points->point[i].passed);
    }
    for (uint32_t i = 0; i < atomic_load(&points->count) && atomic_load(&w->failures) == 0; i++) {
        struct point *point = &points->point[i];
        if (passed[i] == 0 || point->elsewhere || (only != NULL && strcmp(only, point->name) != 0) ||
            (p->only != NULL && strncmp(p->only, point->name, strlen(p->only)) != 0)) {
            continue;
        }
        /* The first time, or some other: what was reached once and is passed often is worth one of the later ones. */
        uint64_t nth =
            passed[i] == 1 || (point->died == 0 && help_below(rng, 2) == 0) ? 1 : 1 + help_below(rng, passed[i]);
        for (int tries = 0; tries < 2; tries++) {
            char kill_at[80];
            snprintf(kill_at, sizeof(kill_at), "%s:%llu", point->name, (unsigned long long)nth);
            uint64_t seed = help_random(rng);
            bool died = play(w, p, kill_at, seed);
            point->died += died;
            deaths += died;
            if (atomic_load(&w->failures) != 0) {
                fprintf(stderr, "# %s, killed at %s (seed %llu, %s)\n", p->name, kill_at, (unsigned long long)seed,
                        died ? "died" : "did not die");
                break;
            }
            if (died) {
                break;
            }
            nth = 1; /* this time it was not passed so often */
        }
    }
    return deaths;
}

int main(int argc, char **argv) {
    help_start(240);
    points = mmap(NULL, sizeof(*points), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(points != MAP_FAILED);
    for (int i = 1; i < argc && i <= (int)POINTS_MAX; i++) {
        bool elsewhere = argv[i][0] == '+';
        points->point[i - 1].elsewhere = elsewhere;
        snprintf(points->point[i - 1].name, sizeof(points->point[0].name), "%s", argv[i] + elsewhere);
        atomic_fetch_add(&points->count, 1);
    }
    if (argc < 2 || argc - 1 > (int)POINTS_MAX) {
        fprintf(stderr,
                "Usage: tool_crash POINT...: names of kill points, at most %u; +POINT: another tool dies there\n"
                "TIDE_CRASH_PART and TIDE_CRASH_POINT choose one part and one point.\n",
                POINTS_MAX);
        return 2;
    }
    const char *only_part = getenv("TIDE_CRASH_PART"), *only_point = getenv("TIDE_CRASH_POINT");
    struct crash_world *w = crash_world_new(512 << 10, 4 << 20);
    crash_meanwhile = watch;
    struct help_rng rng = { help_seed() };
    unsigned missing = 0;
    for (size_t p = 0; p < PARTS && atomic_load(&w->failures) == 0; p++) {
        if (only_part != NULL && strcmp(only_part, parts[p].name) != 0) {
            continue;
        }
        uint64_t start = crash_now_ns();
        unsigned deaths = play_all(w, &parts[p], &rng, only_point);
        printf("# %s: %u deaths, %.1f s\n", parts[p].name, deaths, (double)(crash_now_ns() - start) / 1e9);
        fflush(stdout);
    }
    for (uint32_t i = 0;
         i < atomic_load(&points->count) && only_part == NULL && only_point == NULL && atomic_load(&w->failures) == 0;
         i++) {
        if (points->point[i].died == 0 && !points->point[i].elsewhere) {
            fprintf(stderr, "# nobody died at %s\n", points->point[i].name);
            missing++;
        }
    }
    return atomic_load(&w->failures) != 0 || missing != 0;
}
