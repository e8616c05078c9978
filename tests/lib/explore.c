/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/explore.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/stress_util.h"

#define MS UINT64_C(1000000)
#define SLACK_NS (20000 * MS) /* a busy machine is no fault */

struct slot {
    pid_t pid;              /* 0: nobody */
    uint64_t stopped_until; /* 0: it runs */
    uint64_t stopped_at;
};

struct drive {
    const struct explore_options *o;
    struct slot slots[EXPLORE_SLOTS];
    uint64_t rng;
};

static uint64_t below(struct drive *d, uint64_t n) {
    return stress_below(&d->rng, n);
}

static void draw(struct drive *d) {
    static const uint64_t tables[] = { 256 << 10, 512 << 10, 1 << 20, 2 << 20, 8 << 20 };
    static const uint64_t patience[] = { 50000, MS, 20 * MS, 50 * MS };
    struct explore_setup *s = &explore->s;
    s->ring_bytes = UINT64_C(64 << 10) << below(d, 3);
    s->table_bytes = tables[below(d, 5)];
    s->wild = below(d, 4) == 0;
    s->sure = below(d, 2) == 0;
    s->loads = below(d, 3) == 0;
    s->evict = below(d, 2) == 0 ? TIDE_EVICT_S3FIFO : TIDE_EVICT_NONE;
    s->ephemeral = below(d, 2) == 0 && s->wild == 0;
    s->default_ttl_ns = below(d, 3) == 0 ? (1 + below(d, 500)) * MS : 0;
    s->slow_follower_ns = s->sure != 0 ? 3000 * MS : patience[below(d, 4)];
    s->write_timeout_ns = (20 + below(d, 400)) * MS;
}

/* ---- processes ------------------------------------------------------------------------------------------------------------ */

static void begin_slot(struct drive *d, uint32_t i) {
    for (uint32_t t = 0; t < EXPLORE_THREADS; t++) {
        atomic_store(&explore->calls[i][t].what, NULL);
    }
    uint64_t seed = stress_rand(&d->rng);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit none = { 0, 0 };
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getenv("EXPLORE_CORE") == NULL) {
            setrlimit(RLIMIT_CORE, &none);
        }
        explore_play(i, seed);
    }
    d->slots[i] = (struct slot){ .pid = pid > 0 ? pid : 0 };
}

static void stacks(pid_t pid) {
    char text[16];
    snprintf(text, sizeof(text), "%d", (int)pid);
    fflush(NULL);
    pid_t gdb = fork();
    if (gdb == 0) {
        dup2(2, 1);
        execlp("gdb", "gdb", "-batch", "-p", text, "-ex", "thread apply all bt", (char *)NULL);
        _exit(127);
    }
    if (gdb > 0) {
        waitpid(gdb, NULL, 0);
    }
}

/* A process that we did not kill ended? A call that lasts for too long? */
static void look(struct drive *d, uint32_t i) {
    int status;
    struct slot *s = &d->slots[i];
    if (s->pid == 0) {
        return;
    }
    if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
        if (status != 0) {
            explore_fail("process %d (%u) ended with status %x; it was in %s", (int)s->pid, i, (unsigned)status,
                         atomic_load(&explore->calls[i][0].what));
        }
        s->pid = 0;
        return;
    }
    uint64_t now = explore_now();
    for (uint32_t t = 0; s->stopped_until == 0 && t < EXPLORE_THREADS; t++) {
        struct explore_call *c = &explore->calls[i][t];
        const char *what = atomic_load(&c->what);
        uint64_t began = atomic_load(&c->began_ns), most = atomic_load(&c->most_ns);
        if (what != NULL && now > began && now - began > most + SLACK_NS) {
            explore_fail("process %d (%u), thread %u: %s lasts for %llu ms; %llu is the most", (int)s->pid, i, t, what,
                         (unsigned long long)((now - began) / MS), (unsigned long long)(most / MS));
            for (uint32_t k = 0; k < EXPLORE_SLOTS; k++) {
                for (uint32_t u = 0; u < EXPLORE_THREADS; u++) {
                    what = atomic_load(&explore->calls[k][u].what);
                    fprintf(stderr, "  %d (%u.%u)%s in %s\n", (int)d->slots[k].pid, k, u,
                            d->slots[k].stopped_until != 0 ? " stopped" : "", what != NULL ? what : "-");
                }
            }
            stacks(s->pid);
            break;
        }
    }
}

static void resume(struct drive *d, uint32_t i) {
    struct slot *s = &d->slots[i];
    uint64_t gone = explore_now() - s->stopped_at;
    for (uint32_t t = 0; t < EXPLORE_THREADS; t++) {
        atomic_fetch_add(&explore->calls[i][t].began_ns, gone);
    }
    s->stopped_until = 0;
    kill(s->pid, SIGCONT);
}

static void end_slot(struct drive *d, uint32_t i) {
    struct slot *s = &d->slots[i];
    if (s->pid != 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
        s->pid = 0;
        s->stopped_until = 0;
    }
}

/* Nobody who is spared is among them. */
static void disturb(struct drive *d) {
    uint32_t spared = explore->s.wild != 0 ? 0 : EXPLORE_ANCHORS,
             i = spared + (uint32_t)below(d, EXPLORE_SLOTS - spared);
    struct slot *s = &d->slots[i];
    if (s->pid == 0) {
        begin_slot(d, i);
        return;
    }
    switch (below(d, 10)) {
    case 0:
    case 1:
    case 2:
        end_slot(d, i);
        atomic_fetch_add(&explore->kills, 1);
        if (below(d, 2) == 0) {
            begin_slot(d, i);
        }
        break;
    case 3:
        if (s->stopped_until == 0) {
            s->stopped_at = explore_now();
            s->stopped_until = s->stopped_at + below(d, below(d, 8) == 0 ? 1500 * MS : 60 * MS);
            kill(s->pid, SIGSTOP);
            atomic_fetch_add(&explore->stops, 1);
        }
        break;
    default:
        break;
    }
}

/* ---- a round --------------------------------------------------------------------------------------------------------------- */

static void look_at_all(struct drive *d) {
    for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
        look(d, i);
        if (d->slots[i].pid != 0 && d->slots[i].stopped_until != 0 && explore_now() > d->slots[i].stopped_until) {
            resume(d, i);
        }
    }
}

/* Wait for processes [from, to) to end by themselves. */
static void await(struct drive *d, uint32_t from, uint32_t to) {
    for (bool some = true; some && atomic_load(&explore->failures) == 0;) {
        some = false;
        look_at_all(d);
        for (uint32_t i = from; i < to; i++) {
            some |= d->slots[i].pid != 0;
        }
        stress_sleep_ns(MS);
    }
}

static void unlink_domain(void) {
    pid_t pid = fork();
    if (pid == 0) {
        _exit(-tide_unlink(explore->name));
    }
    waitpid(pid, NULL, 0);
}

/* Remove the round's directory. Files that are left there, where none should be, are told. */
static void empty(bool should_be) {
    char path[400];
    DIR *dir = opendir(explore->dir);
    for (struct dirent *e = dir != NULL ? readdir(dir) : NULL; e != NULL; e = readdir(dir)) {
        if (e->d_name[0] == '.' && (e->d_name[1] == '\0' || e->d_name[1] == '.')) {
            continue;
        }
        if (should_be) {
            explore_fail("%s is left in shared memory", e->d_name);
        }
        snprintf(path, sizeof(path), "%s/%s", explore->dir, e->d_name);
        unlink(path);
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

static void run_round(struct drive *d, uint64_t seed) {
    memset((void *)explore, 0, offsetof(struct explore_world, kills));
    explore->seed = seed;
    d->rng = seed;
    /* Not an earlier round's: commands keep their snapshots under it. */
    snprintf(explore->name, sizeof(explore->name), "explore-%d-%llu", (int)getpid(), (unsigned long long)seed);
    snprintf(explore->dir, sizeof(explore->dir), "/dev/shm/tide-explore-%d", (int)getpid());
    mkdir(explore->dir, 0700);
    setenv("TIDE_SHM_DIR", explore->dir, 1);
    draw(d);
    const struct explore_setup *s = &explore->s;
    if (d->o->verbose) {
        fprintf(
            stderr, "# round %llu: ring %llu, table %llu, evict %u, ttl %llu, wild %u, sure %u, loads %u, slow %llu\n",
            (unsigned long long)seed, (unsigned long long)s->ring_bytes, (unsigned long long)s->table_bytes, s->evict,
            (unsigned long long)s->default_ttl_ns, s->wild, s->sure, s->loads, (unsigned long long)s->slow_follower_ns);
    }
    begin_slot(d, 0);
    uint64_t start = explore_now();
    while (s->wild == 0 && atomic_load(&explore->served) == 0 && atomic_load(&explore->failures) == 0) {
        look_at_all(d);
        stress_sleep_ns(MS);
    }
    for (uint32_t i = 1; i < EXPLORE_SLOTS; i++) {
        begin_slot(d, i);
    }
    while (atomic_load(&explore->failures) == 0 && (double)(explore_now() - start) < d->o->round * 1e9) {
        look_at_all(d);
        disturb(d);
        stress_sleep_ns(below(d, 12 * MS));
    }
    /* The guests end, some by themselves; then the second anchor, then the first. */
    for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
        if (d->slots[i].pid != 0 && d->slots[i].stopped_until != 0) {
            resume(d, i);
        }
        if (i >= EXPLORE_ANCHORS && below(d, 2) == 0) {
            end_slot(d, i);
        }
    }
    atomic_store(&explore->ending, 1);
    await(d, 1, EXPLORE_SLOTS);
    atomic_store(&explore->ending, 2);
    await(d, 0, EXPLORE_SLOTS);
    for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
        end_slot(d, i);
    }
    if (s->ephemeral == 0) {
        unlink_domain();
    }
    empty(atomic_load(&explore->failures) == 0);
    rmdir(explore->dir);
    char file[TIDE_NAME_MAX + 16];
    snprintf(file, sizeof(file), "/tmp/%.40s.snap", explore->name);
    unlink(file);
}

int explore_run(const struct explore_options *o) {
    struct drive d = { .o = o };
    explore = mmap(NULL, sizeof(*explore), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (explore == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    printf("# stress_explore --seconds %g --seed %llu\n", o->seconds, (unsigned long long)o->seed);
    uint64_t start = explore_now(), rounds = 0;
    do {
        run_round(&d, o->seed + rounds);
        rounds++;
    } while (atomic_load(&explore->failures) == 0 && (double)(explore_now() - start) < o->seconds * 1e9);
    printf("explore: %llu rounds, %llu kills, %llu stops, %llu writes, %llu reads, %llu events, %llu commands, %u "
           "violations\n",
           (unsigned long long)rounds, (unsigned long long)atomic_load(&explore->kills),
           (unsigned long long)atomic_load(&explore->stops), (unsigned long long)atomic_load(&explore->writes),
           (unsigned long long)atomic_load(&explore->reads), (unsigned long long)atomic_load(&explore->events),
           (unsigned long long)atomic_load(&explore->tools), atomic_load(&explore->failures));
    printf("explore: errors");
    for (int i = 1; i < 40; i++) {
        if (atomic_load(&explore->errors[i]) != 0) {
            printf(", %s: %llu", tide_strerror(-i), (unsigned long long)atomic_load(&explore->errors[i]));
        }
    }
    printf("\n");
    uint32_t failures = atomic_load(&explore->failures);
    munmap((void *)explore, sizeof(*explore));
    return failures != 0;
}
