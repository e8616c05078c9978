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
#include "tests/lib/scribble_roles.h"
#include "tests/lib/scribble_words.h"

#define ROUND_NS UINT64_C(400000000)
#define STUCK_NS UINT64_C(20000000000)
#define SETTLE_NS UINT64_C(20000000)

/* A sanitizer keeps freed memory for a while. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GROWTH_BYTES (UINT64_C(900) << 20)
#else
#define GROWTH_BYTES (UINT64_C(96) << 20)
#endif

struct scene {
    const struct scribble_options *o;
    struct scribble_scene base;
    uint32_t turn; /* a domain that evicts, one that is fed, one that is neither */
    pid_t pids[ROLES];
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
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
        return (random >> 8) % (SCRIBBLE_TABLE_BYTES / 16); /* may pass for an offset */
    default:
        return random * UINT64_C(0xd6e8feb86659fd93);
    }
}

/* Change one word of a kind. The word keeps its new value, or gets the old one back after a moment. */
static void scribble_one(struct scene *s, struct scribble_map *m, uint32_t kind) {
    struct scribble_word w;
    if (!scribble_pick(m, kind, scribble_draw(&s->base.random), &w)) {
        return;
    }
    uint64_t old = 0, value, random = scribble_draw(&s->base.random);
    memcpy(&old, w.at, w.bytes);
    value = new_value(old, random);
    if (s->o->verbose) {
        fprintf(stderr, "  %s: %llx -> %llx\n", w.name, (unsigned long long)old, (unsigned long long)value);
    }
    memcpy(w.at, &value, w.bytes);
    scribble_nap(200000 + (random >> 48) * 40);
    if (random >> 40 & 1) {
        memcpy(w.at, &old, w.bytes);
    }
}

/* ---- what must hold -------------------------------------------------------------------------------------------------- */

static bool complain(const struct scene *s, int role, const char *what) {
    fprintf(stderr, "VIOLATION (seed %llu): the %s %s; it was in %s\n", (unsigned long long)s->o->seed,
            scribble_role_name(role), what, atomic_load(&s->base.shared->roles[role].where));
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

/* Checks now and then that every process lives, makes progress and does not grow. */
struct guard {
    uint64_t steps[ROLES], since[ROLES];
    bool ended[ROLES];
};

static bool guard_look(struct scene *s, struct guard *g) {
    char text[96];
    for (int i = 0; i < ROLES; i++) {
        int status;
        uint64_t steps = atomic_load(&s->base.shared->roles[i].steps), now = now_ns();
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

/* True when every process has ended by itself. */
static bool guard_end(struct scene *s, struct guard *g) {
    bool ok = true;
    for (bool running = true; ok && running;) {
        ok = guard_look(s, g);
        running = false;
        for (int i = 0; i < ROLES; i++) {
            running |= !g->ended[i];
        }
        scribble_nap(2000000);
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
    _exit(scribble_run_role(&s->base, role) ? 0 : 1);
}

static bool is_wanted(const struct scribble_options *o, uint32_t kind) {
    return (o->word == NULL || strstr(scribble_kind_name(kind), o->word) != NULL) &&
           (!o->no_leads || !scribble_kind_leads(kind));
}

/* The scribbler takes the kinds of words in turn, so that a short run reaches each kind. */
static bool run_round(struct scene *s, uint32_t *next) {
    struct guard g = { 0 };
    s->turn++;
    s->base.evicts = s->turn % 3 == 1;
    s->base.fed = s->turn % 3 == 2;
    snprintf(s->base.name, sizeof(s->base.name), "scribble-%d", (int)getpid());
    memset((void *)s->base.shared, 0, sizeof(*s->base.shared));
    for (int i = 0; i < ROLES; i++) {
        atomic_store(&s->base.shared->roles[i].where, "begin");
        begin_role(s, i);
    }
    bool ok = true;
    uint64_t start = now_ns();
    while (ok && atomic_load(&s->base.shared->served) < ROLES && now_ns() - start < STUCK_NS / 4) {
        scribble_nap(1000000);
        ok = guard_look(s, &g);
    }
    scribble_nap(SETTLE_NS);
    start = now_ns();
    while (ok && now_ns() - start < ROUND_NS) {
        struct scribble_map m;
        if (!map_all(s->base.name, &m)) {
            break;
        }
        for (int i = 0; i < 8; i++) {
            uint32_t kinds = scribble_kinds(), kind = (*next)++ % kinds;
            for (uint32_t tries = 0; !is_wanted(s->o, kind) && tries < kinds; tries++) {
                kind = (*next)++ % kinds;
            }
            scribble_one(s, &m, kind);
        }
        unmap_all(&m);
        ok = guard_look(s, &g);
    }
    atomic_store(&s->base.shared->stop, 1);
    ok = ok ? guard_end(s, &g) : (guard_end(s, &g), false);
    tide_unlink(s->base.name);
    return ok;
}

int scribble_run(const struct scribble_options *o) {
    struct scene s = { .o = o, .base = { .random = o->seed, .verbose = o->verbose } };
    s.base.shared = mmap(NULL, sizeof(*s.base.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s.base.shared == MAP_FAILED) {
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
    munmap((void *)s.base.shared, sizeof(*s.base.shared));
    return ok ? 0 : 1;
}
