/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does a domain cost while nobody uses it? */
#include <stdio.h>
#include <sys/resource.h>

#include "bench/lib/program.h"
#include "bench/lib/setup.h"

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

static struct {
    uint64_t ms;
    struct world *w;
    uint32_t share[LAYOUTS], switches[LAYOUTS]; /* rows */
} plan = { .ms = 1500 };

static void start_replicas(const struct world *w, const struct layout *l, bool leads) {
    struct tide *d = NULL;
    struct tide_opts opts = bench_setup_opts(leads ? TIDE_CREATE | TIDE_EXCLUSIVE : 0, 0, 0, 0);
    bench_must(l->replicas > 0 ? tide_open(&d, w->name, &opts) : 0, "opening the domain");
    for (uint32_t i = 0; i < l->replicas; i++) {
        struct tide_replica_opts replica = TIDE_REPLICA_OPTS_INIT;
        replica.role = leads && i == 0 ? TIDE_LEADER : TIDE_FOLLOWER;
        replica.candidate = 1; /* as `tide serve` has them: with it a thread sleeps for the leader's lock */
        bench_must(tide_replica_start(d, &replica, NULL), "starting a replica");
        if (replica.role == TIDE_LEADER) {
            bench_must(bench_setup_fill_numbers(d, KEYS), "filling");
        }
    }
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
    start_replicas(m->w, m->layout, m->leads);
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

static void tell_all(const struct layout *l, uint32_t order) {
    for (uint32_t i = 0; i < l->processes; i++) {
        bench_worker_tell(plan.w->members[i].worker, order);
    }
}

static void run_members(const struct layout *l) {
    for (uint32_t i = 0; i < l->processes; i++) {
        struct member *m = &plan.w->members[i];
        *m = (struct member){ .w = plan.w, .layout = l, .leads = i == 0 };
        m->worker = bench_start(true, -1, be_idle, m);
        bench_await(m->worker, ORDER_SERVED);
    }
    bench_rest(SETTLE_NS);
    tell_all(l, ORDER_MEASURE);
    bench_rest(plan.ms * 1000000u);
    tell_all(l, ORDER_STOP);
    for (uint32_t i = 0; i < l->processes; i++) {
        bench_await(plan.w->members[i].worker, ORDER_STOP);
    }
}

static void repeat(void) {
    for (size_t l = 0; l < LAYOUTS; l++) {
        double share = 0.0, switches = 0.0;
        bench_progress("%s", layouts[l].title);
        run_members(&layouts[l]);
        for (uint32_t i = 0; i < layouts[l].processes; i++) {
            const struct member *m = &plan.w->members[i];
            share += bench_ratio((double)m->cpu_ns, (double)m->wall_ns);
            switches += bench_ratio((double)m->switches * 1e9, (double)m->wall_ns);
            bench_worker_end(m->worker);
        }
        tide_unlink(plan.w->name);
        bench_set(plan.share[l], share);
        bench_set(plan.switches[l], switches);
    }
}

static void prepare(void) {
    for (size_t l = 0; l < LAYOUTS; l++) {
        plan.share[l] = bench_row(bench_text("idle.%s.cpu", layouts[l].id), "idle domain: share of one core",
                                  layouts[l].title, "share");
    }
    for (size_t l = 0; l < LAYOUTS; l++) {
        plan.switches[l] = bench_row(bench_text("idle.%s.switches", layouts[l].id), "idle domain: context switches",
                                     layouts[l].title, "1/s");
        bench->figures.figures[plan.switches[l]].more = false;
        if (layouts[l].barred) {
            bench_at_most(bench_text("idle.%s", layouts[l].id),
                          bench_text("idle domain, leader and 4 followers, %s: share of one core",
                                     layouts[l].processes > 1 ? "5 processes" : "one process"),
                          "share", BAR, plan.share[l], BENCH_NO_ROW);
        }
    }
    plan.w = bench_share(sizeof(*plan.w));
    bench_domain_name(NULL, plan.w->name);
}

BENCH_NOTE("%u keys, all followers up to date, nobody reads or writes; getrusage of all processes of the domain over "
           "%llu ms, 200 ms after the last follower came to serve. All replicas are candidates",
           KEYS, (unsigned long long)plan.ms)

BENCH_MAIN(.name = "idle", .repetitions = 3, .note = note,
           BENCH_NUMBERS({ "ms", "of idleness that are measured", &plan.ms, 10, 3600000, 100 }),
           .about = "CPU time and context switches of a domain that nobody uses: a leader and 1 or 4 followers,\n"
                    "all in one process, or each in its own.\n")
