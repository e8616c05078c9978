/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does a domain cost while nobody uses it? */
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>

#include "bench/lib/child.h"
#include "bench/lib/program.h"
#include "bench/lib/setup.h"
#include "bench/lib/worker.h"

#define BAR 0.005
#define KEYS 1000u
#define MEMBERS_MAX 5u
#define SETTLE_NS UINT64_C(200000000)

/* One arrangement: so many processes, each with so many replicas. */
static const struct layout {
    const char *id;
    const char *title;
    uint32_t processes;
    uint32_t replicas; /* in each */
    int barred;
} layouts[] = {
    { "threads.1", "tide: leader and 1 follower, one process", 1, 2, 0 },
    { "threads.4", "tide: leader and 4 followers, one process", 1, 5, 1 },
    { "processes.1", "tide: leader and 1 follower, 2 processes", 2, 1, 0 },
    { "processes.4", "tide: leader and 4 followers, 5 processes", 5, 1, 1 },
    { "sleepers", "5 processes that sleep, no domain", 5, 0, 0 },
};
#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

enum { ORDER_SERVED = 1, ORDER_MEASURE, ORDER_STOP };

struct member {
    struct world *w;
    const struct layout *layout;
    struct bench_worker *worker;
    bool leads;
    uint64_t cpu_ns; /* between MEASURE and STOP */
    uint64_t switches;
    uint64_t wall_ns;
};

struct world {
    char name[TIDE_NAME_MAX];
    struct member members[MEMBERS_MAX];
};

struct idle {
    struct bench_program *p;
    uint64_t ms;
    struct world *w;
    uint32_t share[LAYOUTS], switches[LAYOUTS]; /* rows */
};

static int start_replicas(struct world *w, const struct layout *l, bool leads) {
    struct tide *d = NULL;
    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags = leads ? TIDE_CREATE | TIDE_EXCLUSIVE : 0;
    int rc = l->replicas > 0 ? tide_open(&d, w->name, &opts) : 0;
    for (uint32_t i = 0; i < l->replicas && rc == 0; i++) {
        struct tide_replica_opts replica = TIDE_REPLICA_OPTS_INIT;
        replica.role = leads && i == 0 ? TIDE_LEADER : TIDE_FOLLOWER;
        replica.candidate = 1; /* as `tide serve` has them: with it a thread sleeps for the leader's lock */
        rc = tide_replica_start(d, &replica, NULL);
        if (rc == 0 && replica.role == TIDE_LEADER) {
            rc = bench_setup_fill_numbers(d, KEYS);
        }
    }
    return rc;
}

static void usage_now(struct member *m) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    m->cpu_ns = ((uint64_t)u.ru_utime.tv_sec + (uint64_t)u.ru_stime.tv_sec) * UINT64_C(1000000000) +
                ((uint64_t)u.ru_utime.tv_usec + (uint64_t)u.ru_stime.tv_usec) * 1000u;
    m->switches = (uint64_t)u.ru_nvcsw + (uint64_t)u.ru_nivcsw;
    m->wall_ns = bench_now_ns();
}

static int be_idle(struct bench_worker *w, void *ctx) {
    struct member *m = ctx, before, after;
    bench_worker_what(w, "starting replicas");
    int rc = start_replicas(m->w, m->layout, m->leads);
    if (rc != 0) {
        return rc;
    }
    bench_worker_done(w, ORDER_SERVED);
    bench_worker_order(w, 0);
    usage_now(&before);
    bench_worker_order(w, ORDER_MEASURE);
    usage_now(&after);
    m->cpu_ns = after.cpu_ns - before.cpu_ns;
    m->switches = after.switches - before.switches;
    m->wall_ns = after.wall_ns - before.wall_ns;
    bench_worker_done(w, ORDER_STOP);
    bench_worker_order(w, ORDER_STOP); /* until it is killed */
    return 0;
}

static void tell_all(struct idle *t, const struct layout *l, uint32_t order) {
    for (uint32_t i = 0; i < l->processes; i++) {
        bench_worker_tell(t->w->members[i].worker, order);
    }
}

static int sleep_for(uint64_t ns) {
    uint64_t until = bench_now_ns() + ns;
    for (uint64_t now = bench_now_ns(); now < until && !bench_stop; now = bench_now_ns()) {
        bench_sleep_ns(until - now);
    }
    return bench_stop ? 1 : 0;
}

static void end_members(struct idle *t) {
    for (uint32_t i = 0; i < MEMBERS_MAX; i++) {
        bench_worker_end(t->w->members[i].worker);
        t->w->members[i].worker = NULL;
    }
    tide_unlink(t->w->name);
}

static int run_members(struct idle *t, const struct layout *l) {
    int rc = 0;
    for (uint32_t i = 0; i < l->processes && rc == 0; i++) {
        struct member *m = &t->w->members[i];
        *m = (struct member){ .w = t->w, .layout = l, .leads = i == 0 };
        m->worker = bench_worker_start(true, &t->p->machine, -1, be_idle, m);
        rc = m->worker == NULL ? bench_program_failed(t->p, "no memory, or no process to be had")
                               : bench_worker_await(m->worker, ORDER_SERVED, &bench_stop, t->p->error);
    }
    rc = rc != 0 ? rc : sleep_for(SETTLE_NS);
    if (rc == 0) {
        tell_all(t, l, ORDER_MEASURE);
        rc = sleep_for(t->ms * 1000000u);
    }
    if (rc == 0) {
        tell_all(t, l, ORDER_STOP);
    }
    for (uint32_t i = 0; i < l->processes && rc == 0; i++) {
        rc = bench_worker_await(t->w->members[i].worker, ORDER_STOP, &bench_stop, t->p->error);
    }
    return rc;
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    struct idle *t = ctx;
    for (size_t l = 0; l < LAYOUTS; l++) {
        double share = 0.0, switches = 0.0;
        bench_program_progress(p, "%s", layouts[l].title);
        int rc = run_members(t, &layouts[l]);
        for (uint32_t i = 0; i < layouts[l].processes && rc == 0; i++) {
            const struct member *m = &t->w->members[i];
            share += bench_ratio((double)m->cpu_ns, (double)m->wall_ns);
            switches += bench_ratio((double)m->switches * 1e9, (double)m->wall_ns);
        }
        end_members(t);
        if (rc != 0) {
            return rc;
        }
        bench_program_set(p, t->share[l], repetition, share);
        bench_program_set(p, t->switches[l], repetition, switches);
    }
    return 0;
}

static void add_rows(struct bench_program *p, struct idle *t) {
    static const char *const cpu = "idle domain: share of one core";
    char id[64], what[160];
    for (size_t l = 0; l < LAYOUTS; l++) {
        snprintf(id, sizeof(id), "idle.%s.cpu", layouts[l].id);
        t->share[l] = bench_program_row(p, id, cpu, layouts[l].title, "share");
    }
    for (size_t l = 0; l < LAYOUTS; l++) {
        snprintf(id, sizeof(id), "idle.%s.switches", layouts[l].id);
        t->switches[l] = bench_program_row(p, id, "idle domain: context switches", layouts[l].title, "1/s");
        p->figures.figures[t->switches[l]].more = false;
    }
    for (size_t l = 0; l < LAYOUTS; l++) {
        if (layouts[l].barred) {
            snprintf(id, sizeof(id), "idle.%s", layouts[l].id);
            snprintf(what, sizeof(what), "idle domain, leader and 4 followers, %s: share of one core",
                     layouts[l].processes > 1 ? "5 processes" : "one process");
            bench_program_bar(p, id, what, "share", BENCH_AT_MOST, BAR, t->share[l], BENCH_NO_ROW);
        }
    }
}

int main(int argc, char **argv) {
    static struct idle t = { .ms = 1500 };
    static const struct bench_number numbers[] = { { "ms", "of idleness that are measured", &t.ms, 10, 3600000, 100 } };
    static struct bench_program p = {
        .name = "idle",
        .about = "CPU time and context switches of a domain that nobody uses: a leader and 1 or 4 followers,\n"
                 "all in one process, or each in its own.\n",
        .numbers = numbers,
        .numbers_n = 1,
        .repetitions = 3,
    };
    int code;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    snprintf(p.figures.note, sizeof(p.figures.note),
             "%u keys, all followers up to date, nobody reads or writes; getrusage of all processes of the domain over "
             "%llu ms, 200 ms after the last follower came to serve. All replicas are candidates",
             KEYS, (unsigned long long)t.ms);
    add_rows(&p, &t);
    t.p = &p;
    t.w = bench_shared_map(sizeof(*t.w));
    int rc = t.w == NULL ? bench_program_failed_code(&p, "starting", TIDE_ERR_NOMEM) : 0;
    if (rc == 0) {
        bench_program_domain_name(&p, t.w->name);
        rc = bench_program_repeat(&p, one_repetition, &t);
    }
    bench_shared_unmap(t.w, sizeof(*t.w));
    return bench_program_end(&p, rc);
}
