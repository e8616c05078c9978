/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/stress_util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/lib/args.h"

#define STRESS_PRINTED 20u
#define STRESS_COUNTERS 64u
#define STRESS_ROUND_NS UINT64_C(1200000000)

static _Atomic uint64_t stress_violations;
static uint64_t stress_seed_of_round;

static struct {
    pthread_mutex_t lock;
    const char *names[STRESS_COUNTERS];
    uint64_t values[STRESS_COUNTERS];
    uint32_t count;
} stress_report = { .lock = PTHREAD_MUTEX_INITIALIZER };

uint64_t stress_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void stress_sleep_ns(uint64_t ns) {
    struct timespec t = { .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };
    nanosleep(&t, NULL);
}

uint64_t stress_rand(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void stress_violation(const char *format, ...) {
    if (atomic_fetch_add(&stress_violations, 1) >= STRESS_PRINTED) {
        return;
    }
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fprintf(stderr, "VIOLATION (round seed %llu): %s\n", (unsigned long long)stress_seed_of_round, text);
}

bool stress_failed(void) {
    return atomic_load(&stress_violations) != 0;
}

void stress_count(const char *name, uint64_t n) {
    pthread_mutex_lock(&stress_report.lock);
    uint32_t i = 0;
    while (i < stress_report.count && strcmp(stress_report.names[i], name) != 0) {
        i++;
    }
    if (i < STRESS_COUNTERS) {
        stress_report.count += i == stress_report.count;
        stress_report.names[i] = name;
        stress_report.values[i] += n;
    }
    pthread_mutex_unlock(&stress_report.lock);
}

/* ---- workers ----------------------------------------------------------------------------------------------------- */

struct stress_worker {
    _Atomic bool used;
    char name[32];
    void *(*fn)(void *);
    void *arg;
    _Atomic uint64_t beats;
    _Atomic(const char *) where;
};

static struct stress_worker stress_workers[STRESS_WORKERS];
static _Thread_local struct stress_worker *stress_self;
static _Atomic bool stress_watch_stop;

void stress_at(const char *where) {
    if (stress_self != NULL) {
        atomic_store(&stress_self->where, where);
        atomic_store(&stress_self->beats, atomic_load(&stress_self->beats) + 1);
    }
}

static struct stress_worker *stress_enlist(const char *name) {
    for (uint32_t i = 0; i < STRESS_WORKERS; i++) {
        bool unused = false;
        struct stress_worker *w = &stress_workers[i];
        if (atomic_compare_exchange_strong(&w->used, &unused, true)) {
            snprintf(w->name, sizeof(w->name), "%s", name);
            atomic_store(&w->where, "start");
            atomic_fetch_add(&w->beats, 1);
            return w;
        }
    }
    fprintf(stderr, "more than %d workers\n", STRESS_WORKERS);
    abort();
}

static void *stress_worker_run(void *worker) {
    struct stress_worker *w = worker;
    stress_self = w;
    void *result = w->fn(w->arg);
    atomic_store(&w->used, false);
    return result;
}

void stress_spawn(struct stress_team *team, const char *name, void *(*fn)(void *), void *arg) {
    struct stress_worker *w = stress_enlist(name);
    w->fn = fn;
    w->arg = arg;
    if (team->count == STRESS_WORKERS || pthread_create(&team->threads[team->count], NULL, stress_worker_run, w) != 0) {
        fprintf(stderr, "cannot start worker %s: %s\n", name, strerror(errno));
        abort();
    }
    team->count++;
}

void stress_join(struct stress_team *team) {
    atomic_store(&team->stop, true);
    for (uint32_t i = 0; i < team->count; i++) {
        pthread_join(team->threads[i], NULL);
    }
    team->count = 0;
}

static void stress_stuck(const struct stress_worker *stuck) {
    fprintf(stderr, "VIOLATION (round seed %llu): %s is stuck in %s\n", (unsigned long long)stress_seed_of_round,
            stuck->name, atomic_load(&stuck->where));
    for (uint32_t i = 0; i < STRESS_WORKERS; i++) {
        const struct stress_worker *w = &stress_workers[i];
        if (atomic_load(&w->used)) {
            fprintf(stderr, "    %-16s in %s\n", w->name, atomic_load(&w->where));
        }
    }
    abort(); /* a core shows where */
}

static void *stress_watch(void *unused) {
    (void)unused;
    uint64_t beats[STRESS_WORKERS] = { 0 }, since[STRESS_WORKERS];
    for (uint32_t i = 0; i < STRESS_WORKERS; i++) {
        since[i] = stress_now_ns();
    }
    while (!atomic_load(&stress_watch_stop)) {
        uint64_t now = stress_now_ns();
        for (uint32_t i = 0; i < STRESS_WORKERS; i++) {
            struct stress_worker *w = &stress_workers[i];
            uint64_t seen = atomic_load(&w->beats);
            if (!atomic_load(&w->used) || seen != beats[i]) {
                beats[i] = seen;
                since[i] = now;
            } else if (now - since[i] > STRESS_STUCK_NS) {
                stress_stuck(w);
            }
        }
        stress_sleep_ns(100000000);
    }
    return NULL;
}

/* ---- domains ----------------------------------------------------------------------------------------------------- */

_Atomic uint64_t stress_joins_lapped;

void stress_log(void *ctx, enum tide_log_level level, const char *text) {
    if (level != TIDE_LOG_ERROR) {
        if (getenv("TIDE_STRESS_LOG") != NULL) {
            fprintf(stderr, "log: %s\n", text);
        }
        return;
    }
    if (strstr(text, " while it joined: ") != NULL) { /* the other half of a start's TIMEOUT */
        atomic_fetch_add(&stress_joins_lapped, 1);
        stress_count("joins given up", 1);
    } else if (ctx == NULL) {
        stress_violation("the library reports an error: %s", text);
    } else {
        stress_count(ctx, 1);
    }
}

void stress_domain_name(char *out, size_t room) {
    static _Atomic uint32_t next;
    snprintf(out, room, "stress-%d-%u", (int)getpid(), atomic_fetch_add(&next, 1));
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static void stress_print(const char *name, uint64_t seed, double seconds, uint64_t rounds, bool json) {
    uint64_t violations = atomic_load(&stress_violations);
    if (json) {
        printf("{\"name\":\"%s\",\"seed\":%llu,\"seconds\":%.1f,\"rounds\":%llu", name, (unsigned long long)seed,
               seconds, (unsigned long long)rounds);
    } else {
        printf("%s: seed %llu, %.1f s, %llu rounds", name, (unsigned long long)seed, seconds,
               (unsigned long long)rounds);
    }
    for (uint32_t i = 0; i < stress_report.count; i++) {
        printf(json ? ",\"%s\":%llu" : ", %s %llu", stress_report.names[i],
               (unsigned long long)stress_report.values[i]);
    }
    printf(json ? ",\"violations\":%llu}\n" : ", %llu violations\n", (unsigned long long)violations);
    fflush(stdout);
}

int stress_run(const char *name, stress_round_fn *round, double seconds, uint64_t seed, bool json) {
    atomic_store(&stress_violations, 0);
    stress_report.count = 0;
    memset(stress_report.values, 0, sizeof(stress_report.values));
    if (!json) {
        printf("# %s --seconds %g --seed %llu\n", name, seconds, (unsigned long long)seed);
        fflush(stdout);
    }
    pthread_t watch;
    atomic_store(&stress_watch_stop, false);
    if (pthread_create(&watch, NULL, stress_watch, NULL) != 0) {
        fprintf(stderr, "cannot start the watchdog\n");
        return 1;
    }
    stress_self = stress_enlist("main");
    uint64_t start = stress_now_ns(), length = (uint64_t)(seconds * 1e9), rounds = 0, gone = 0;
    bool terminal = isatty(STDERR_FILENO);
    do {
        stress_seed_of_round = seed + rounds; /* round 0 of this seed is what reproduces */
        uint64_t left = length - gone;
        round(seed + rounds, left < STRESS_ROUND_NS ? left : STRESS_ROUND_NS);
        rounds++;
        gone = stress_now_ns() - start;
        if (terminal) {
            fprintf(stderr, "\r%s: %.0f of %.0f s, round %llu ", name, (double)gone / 1e9, seconds,
                    (unsigned long long)rounds);
        }
    } while (gone < length && !stress_failed());
    if (terminal) {
        fprintf(stderr, "\r%60s\r", "");
    }
    atomic_store(&stress_self->used, false);
    stress_self = NULL;
    atomic_store(&stress_watch_stop, true);
    pthread_join(watch, NULL);
    stress_print(name, seed, (double)gone / 1e9, rounds, json);
    return stress_failed() ? 1 : 0;
}

int stress_main(int argc, char **argv, const char *name, const char *what, stress_round_fn *round) {
    double seconds = 5;
    uint64_t seed = stress_now_ns() ^ (uint64_t)getpid() << 32;
    seed = stress_rand(&seed) % 1000000000u;
    int json = 0;
    const struct bench_arg args[] = {
        BENCH_ARG(NUMBER, "seconds", "N", &seconds, "how long. Default 5", .most = 1000000),
        BENCH_ARG(WHOLE, "seed", "S", &seed, "settings and choices of round 0; the next rounds take S+1, ..."),
        BENCH_ARG(FLAG, "json", NULL, &json, "the report as one JSON line"),
    };
    struct bench_command c = {
        .name = name,
        .usage = "[options]",
        .about = what,
        .after = "Exit codes: 0 nothing wrong; 1 a violation; 2 bad arguments.\n",
        .args = args,
        .args_n = sizeof(args) / sizeof(args[0]),
    };
    int code = bench_args_take(&c, argc, argv);
    return code >= 0 ? code : stress_run(name, round, seconds, seed, json != 0);
}
