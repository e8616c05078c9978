/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/crash_kill.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/crash_roles.h"

enum {
    NODES = 3,
    FIRST_WRITER = 3,
    FIRST_READER = 6,
    JANITOR = 8,
    WATCHER = 9,
    PROCESSES = 10,
    CHECKER = CRASH_SLOTS - 1
};

#define KILL_EVICTING_BYTES (UINT64_C(2) << 20)  /* a table's, where the domain evicts */
#define KILL_EVICTS_BY (4 * KILL_EVICTING_BYTES) /* so much in the log, most of it values of keys in random order */

static crash_role *const kill_roles[PROCESSES] = {
    crash_role_node,   crash_role_node,   crash_role_node,   crash_role_follower, crash_role_writer,
    crash_role_writer, crash_role_reader, crash_role_reader, crash_role_janitor,  crash_role_watcher,
};

struct kill_run {
    struct crash_world *w;
    struct crash_audit *audit;
    struct help_rng rng;
    uint64_t kills, stops, leaders, alone, everything, left;
    bool stopped[PROCESSES];
};

static void kill_respawn(struct kill_run *k) {
    for (uint32_t i = 0; i < PROCESSES; i++) {
        crash_ended(k->w, i, NULL);
        if (k->w->slots[i].pid == 0) {
            k->stopped[i] = false;
            crash_spawn(k->w, i, kill_roles[i], help_random(&k->rng), NULL);
        }
    }
    if (k->audit == NULL) {
        k->audit = crash_audit_open(k->w);
    }
}

static void kill_nap(struct kill_run *k, uint64_t us) {
    uint64_t until = crash_now_ns() + us * 1000;
    do {
        crash_nap_us(1000);
        if (k->audit != NULL) {
            crash_audit_step(k->audit);
        }
    } while (crash_now_ns() < until);
}

static void kill_continue(struct kill_run *k) {
    for (uint32_t i = 0; i < PROCESSES; i++) {
        if (k->stopped[i]) {
            crash_signal(k->w, i, SIGCONT);
            k->stopped[i] = false;
        }
    }
}

static void kill_one(struct kill_run *k, uint32_t slot) {
    k->kills++;
    crash_kill(k->w, slot);
    k->stopped[slot] = false;
}

/* The slot of the process that leads, or any. */
static uint32_t kill_leader(struct kill_run *k) {
    pid_t pid = k->audit != NULL ? crash_audit_leader(k->audit, NULL, NULL) : 0;
    for (uint32_t i = 0; i < PROCESSES; i++) {
        if (pid != 0 && k->w->slots[i].pid == pid) {
            k->leaders++;
            return i;
        }
    }
    return (uint32_t)help_below(&k->rng, PROCESSES);
}

/* Writes are acknowledged again, however long that takes; what never comes is a failure. */
static void kill_await_writes(struct kill_run *k, const char *after) {
    uint64_t wanted = crash_acks(k->w) + 20, until = crash_now_ns() + UINT64_C(30000000000);
    kill_continue(k);
    kill_respawn(k);
    while (crash_acks(k->w) < wanted) {
        if (crash_now_ns() > until) {
            crash_fail(k->w, "no writes any more after %s", after);
            return;
        }
        kill_nap(k, 1000);
        kill_respawn(k);
    }
}

/* All but one reader: it goes on reading what there is. */
static void kill_all_but_a_reader(struct kill_run *k) {
    k->alone++;
    kill_continue(k);
    kill_respawn(k);
    uint32_t kept = FIRST_READER;
    for (uint32_t i = 0; i < PROCESSES; i++) {
        if (i != kept) {
            crash_signal(k->w, i, SIGKILL);
        }
    }
    for (uint32_t i = 0; i < PROCESSES; i++) {
        if (i != kept) {
            kill_one(k, i);
        }
    }
    uint64_t before = atomic_load(&k->w->slots[kept].beats), until = crash_now_ns() + UINT64_C(30000000000);
    while (atomic_load(&k->w->slots[kept].beats) < before + 3 && !crash_ended(k->w, kept, NULL)) { /* asked to leave? */
        if (crash_now_ns() > until) {
            crash_fail(k->w, "the last reader hangs");
            break;
        }
        kill_nap(k, 1000);
    }
    kill_await_writes(k, "a reader was alone");
}

static void kill_everything(struct kill_run *k) {
    k->everything++;
    kill_continue(k);
    k->kills += PROCESSES;
    crash_kill_all(k->w);
    kill_await_writes(k, "everything was killed");
}

/* Nobody writes for a moment: compare everything with the journal. */
static void kill_check(struct kill_run *k) {
    kill_await_writes(k, "a round");
    if (crash_pause(k->w)) {
        crash_spawn(k->w, CHECKER, crash_role_checker, 0, NULL);
        crash_wait(k->w, CHECKER);
        uint64_t missed = crash_audit_missed(k->audit);
        if (missed != 0) {
            crash_fail(k->w, "%llu of %llu entries of the log were not seen: a write could be there twice",
                       (unsigned long long)missed, (unsigned long long)(crash_audit_entries(k->audit) + missed));
        }
    }
    crash_resume(k->w);
}

static void kill_act(struct kill_run *k) {
    uint32_t slot = (uint32_t)help_below(&k->rng, PROCESSES);
    switch (help_below(&k->rng, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
        kill_one(k, kill_leader(k));
        break;
    case 4:
    case 5:
    case 6:
        crash_signal(k->w, slot, SIGSTOP);
        k->stopped[slot] = true;
        k->stops++;
        break;
    case 7: {
        uint32_t leader = kill_leader(k); /* a stopped leader keeps its place: nobody writes until it goes on or dies */
        crash_signal(k->w, leader, SIGSTOP);
        k->stopped[leader] = true;
        k->stops++;
        break;
    }
    case 8:
        atomic_store(&k->w->slots[slot].leave, 1);
        k->left++;
        break;
    default:
        kill_one(k, slot);
        break;
    }
}

static void kill_report(const struct kill_run *k, uint64_t seconds) {
    uint64_t unknown = 0, added = 0, lived = 0;
    for (uint32_t i = 0; i < CRASH_WRITERS; i++) {
        added += atomic_load(&k->w->writers[i].added);
        lived += atomic_load(&k->w->writers[i].lived);
        unknown += atomic_load(&k->w->writers[i].unknown);
    }
    printf(
        "# %llu kills (%llu of a leader, %llu times all but a reader, %llu times everything), %llu stops, %llu left by "
        "themselves, in %llu s\n",
        (unsigned long long)k->kills, (unsigned long long)k->leaders, (unsigned long long)k->alone,
        (unsigned long long)k->everything, (unsigned long long)k->stops, (unsigned long long)k->left,
        (unsigned long long)seconds);
    printf("# %llu writes acknowledged, %llu unknown, %llu reads (%llu got nothing)\n",
           (unsigned long long)crash_acks(k->w), (unsigned long long)unknown,
           (unsigned long long)atomic_load(&k->w->reads), (unsigned long long)atomic_load(&k->w->lost));
    printf("# %llu added to the sum, %llu lives looked at; leaders removed %llu expired and %llu other keys\n",
           (unsigned long long)added, (unsigned long long)lived, (unsigned long long)atomic_load(&k->w->expired),
           (unsigned long long)atomic_load(&k->w->evicted));
    bool evicts = atomic_load(&k->w->evicts) != 0, evicted = atomic_load(&k->w->evicted) != 0;
    if (evicted && !evicts) {
        crash_fail(k->w, "a domain that refuses did evict");
    }
    /* On a machine that is busy with other things, little may have been written. */
    if (evicts && !evicted && crash_audit_bytes(k->audit) > KILL_EVICTS_BY) {
        crash_fail(k->w, "a domain that evicts did not");
    }
    printf("# all %llu entries of the log seen, %llu MiB in a ring of %llu KiB\n",
           (unsigned long long)crash_audit_entries(k->audit), (unsigned long long)(crash_audit_bytes(k->audit) >> 20),
           (unsigned long long)(k->w->ring_bytes >> 10));
}

unsigned crash_kill_run(uint64_t seed, uint64_t kills, uint64_t seconds, bool evicts) {
    struct kill_run k = { .w = crash_world_new(1 << 20, evicts ? KILL_EVICTING_BYTES : 4 << 20), .rng = { seed } };
    crash_world_reset(k.w, help_name());
    atomic_store(&k.w->paced, 1);
    atomic_store(&k.w->evicts, evicts);
    uint64_t start = crash_now_ns(), checked = 0, rounds = 0;
    uint64_t until = seconds != 0 ? start + seconds * 1000000000u : UINT64_MAX;
    kill_await_writes(&k, "the start");
    while (k.kills < kills && crash_now_ns() < until && atomic_load(&k.w->failures) == 0) {
        kill_respawn(&k);
        kill_nap(&k, help_below(&k.rng, 40000));
        kill_act(&k);
        rounds++;
        if (help_below(&k.rng, 4) == 0) {
            kill_continue(&k);
        }
        if (rounds % 41 == 0) {
            kill_all_but_a_reader(&k);
        }
        if (rounds % 29 == 0) {
            kill_everything(&k);
        }
        if (k.kills - checked >= 50) {
            checked = k.kills;
            kill_check(&k);
        }
    }
    kill_continue(&k);
    kill_check(&k);
    kill_report(&k, (crash_now_ns() - start) / 1000000000u);
    crash_kill_all(k.w);
    if (k.audit != NULL) {
        crash_audit_close(k.audit);
    }
    tide_unlink(k.w->name);
    if (crash_files(k.w->name) != 0) {
        crash_fail(k.w, "files of the domain are left after its removal");
    }
    return atomic_load(&k.w->failures);
}

/* ---- fail-over --------------------------------------------------------------------------------------------------------- */

static int failover_compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void failover_print(const char *what, uint64_t *ns, uint64_t n) {
    qsort(ns, n, sizeof(*ns), failover_compare);
    if (getenv("TIDE_CRASH_ALL") != NULL) {
        for (uint64_t i = 0; i < n; i++) {
            fprintf(stderr, "# %.2f\n", (double)ns[i] / 1e6);
        }
    }
    printf("# %s: p50 %.2f ms, p99 %.2f ms, max %.2f ms over %llu kills\n", what, (double)ns[n / 2] / 1e6,
           (double)ns[n * 99 / 100] / 1e6, (double)ns[n - 1] / 1e6, (unsigned long long)n);
}

unsigned crash_failover_run(uint64_t seed, uint64_t kills) {
    struct kill_run k = { .w = crash_world_new(1 << 20, 4 << 20), .rng = { seed } };
    uint64_t *commit_ns = calloc(kills, sizeof(*commit_ns)), *ack_ns = calloc(kills, sizeof(*ack_ns));
    assert_non_null(commit_ns);
    assert_non_null(ack_ns);
    crash_world_reset(k.w, help_name());
    for (uint64_t i = 0; i < kills && atomic_load(&k.w->failures) == 0; i++) {
        for (uint32_t slot = 0; slot < FIRST_WRITER + 2; slot++) {
            if (k.w->slots[slot].pid == 0) {
                crash_spawn(k.w, slot, slot < NODES ? crash_role_node : crash_role_writer, help_random(&k.rng), NULL);
            }
        }
        for (uint64_t acks = crash_acks(k.w); crash_acks(k.w) < acks + 20 || k.audit == NULL; crash_nap_us(1000)) {
            k.audit = k.audit != NULL ? k.audit : crash_audit_open(k.w);
        }
        crash_nap_us(30000); /* all followers serve */
        uint32_t term, now_term, slot = 0;
        uint64_t commit, now_commit;
        pid_t leader = crash_audit_leader(k.audit, &term, NULL);
        while (slot < PROCESSES && (k.w->slots[slot].pid != leader || leader == 0)) {
            slot++;
        }
        if (slot == PROCESSES) {
            i--;
            continue;
        }
        uint64_t start = crash_now_ns();
        crash_signal(k.w, slot, SIGKILL);
        do {
            crash_audit_leader(k.audit, &now_term, &commit);
        } while (now_term == term && crash_now_ns() - start < UINT64_C(20000000000));
        uint64_t acks = crash_acks(k.w);
        do { /* the term is announced before its entry, the first of the new leader, is committed */
            crash_audit_leader(k.audit, &now_term, &now_commit);
        } while (now_commit == commit && crash_now_ns() - start < UINT64_C(20000000000));
        commit_ns[i] = crash_now_ns() - start;
        while (crash_acks(k.w) == acks && crash_now_ns() - start < UINT64_C(20000000000)) {
            crash_nap_us(50);
        }
        ack_ns[i] = crash_now_ns() - start;
        if (ack_ns[i] >= UINT64_C(20000000000)) {
            crash_fail(k.w, "nobody took over");
        }
        crash_kill(k.w, slot);
    }
    failover_print("from kill -9 of the leader to the next one's first commit", commit_ns, kills);
    failover_print("from kill -9 of the leader to the next acknowledged write", ack_ns, kills);
    crash_kill_all(k.w);
    crash_audit_close(k.audit);
    tide_unlink(k.w->name);
    free(commit_ns);
    free(ack_ns);
    return atomic_load(&k.w->failures);
}
