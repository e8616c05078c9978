/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The run behind `tide demo`: one thread writes at a steady pace, another reads under every bound in turn. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "engine/tidemark.h"
#include "tools/demo.h"
#include "tools/lib/args.h"
#include "tools/lib/signals.h"

#define N_KEYS 16u
#define WARM_UP_NS (100ull * 1000000)
/* Between two rounds of reads, half as much more or less, so that the reads do not keep step with the writes. */
#define ROUND_NS 200000u

struct run {
    const struct demo_opts *opts;
    struct demo_result *out;
    struct tide *domain;
    atomic_int ended;
    uint64_t writes;
    int write_error;
};

static atomic_int interrupted; /* atomic: the handler may run in any thread */

static void demo_run_on_interrupt(int signal_number) {
    (void)signal_number;
    atomic_store(&interrupted, 1);
}

static uint64_t demo_run_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void demo_run_sleep_until(uint64_t at_ns) {
    struct timespec t = { (time_t)(at_ns / 1000000000u), (long)(at_ns % 1000000000u) };
    while (!atomic_load(&interrupted) && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
        ;
    }
}

static size_t demo_run_key_of(uint64_t i, char *key, size_t size) {
    return (size_t)snprintf(key, size, "key-%llu", (unsigned long long)(i % N_KEYS));
}

static void *demo_run_write_steadily(void *arg) {
    struct run *run = arg;
    uint64_t next = demo_run_now_ns();
    while (!atomic_load(&run->ended) && !atomic_load(&interrupted)) {
        char key[24];
        size_t key_len = demo_run_key_of(run->writes, key, sizeof(key));
        run->write_error = tide_put(run->domain, NULL, key, key_len, &run->writes, sizeof(run->writes), NULL);
        if (run->write_error != 0) {
            break;
        }
        run->writes++;
        next += run->opts->write_every_ns;
        demo_run_sleep_until(next);
    }
    return NULL;
}

static int demo_run_add_sample(struct demo_row *row, uint64_t staleness_ns) {
    if (row->served == row->room) {
        size_t room = row->room ? row->room * 2 : 4096;
        uint64_t *samples = realloc(row->staleness_ns, room * sizeof(samples[0]));
        if (!samples) {
            return TIDE_ERR_NOMEM;
        }
        row->staleness_ns = samples;
        row->room = room;
    }
    row->staleness_ns[row->served++] = staleness_ns;
    return 0;
}

/* One read, by a client of its own: a session that fell back to the leader once has read the newest, and would have
 * to be sent there for ever after. */
static int demo_run_read_once(struct run *run, struct demo_row *row, const char *key, size_t key_len) {
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    struct tide_reader *reader;
    uint64_t value;
    opts.policy = TIDE_FRESHEST;
    opts.replicas = row->replica ? 1ull << row->replica : ((1ull << run->opts->n_followers) - 1) << 1;
    bound.max_staleness_ns = row->bound_ns;
    int rc = tide_reader_open(run->domain, &opts, &reader);
    if (rc != 0) {
        return rc;
    }
    rc = tide_get(reader, key, key_len, &bound, &value, sizeof(value), &a);
    tide_reader_close(reader);
    if (rc != 0 && rc != TIDE_ERR_NOT_FOUND) {
        return rc;
    }
    row->reads++;
    return a.from_leader ? 0 : demo_run_add_sample(row, a.staleness_ns);
}

static void demo_run_show_progress(const struct run *run, uint64_t begin_ns, uint64_t *shown_s) {
    uint64_t done_s = (demo_run_now_ns() - begin_ns) / 1000000000u;
    if (done_s == *shown_s || !isatty(STDERR_FILENO)) {
        return;
    }
    *shown_s = done_s;
    fprintf(stderr, "\rtide demo: %llu of %llu s", (unsigned long long)done_s,
            (unsigned long long)(run->opts->duration_ns / 1000000000u));
}

static int demo_run_read_steadily(struct run *run) {
    uint64_t begin = demo_run_now_ns(), next = begin, round = 0, shown_s = 0;
    uint32_t dice = 1;
    while (!atomic_load(&interrupted) && demo_run_now_ns() - begin < run->opts->duration_ns) {
        char key[24];
        size_t key_len = demo_run_key_of(round++, key, sizeof(key));
        for (size_t i = 0; i < run->out->n_rows; i++) {
            int rc = demo_run_read_once(run, &run->out->rows[i], key, key_len);
            if (rc != 0) {
                return rc;
            }
        }
        dice = dice * 1664525u + 1013904223u;
        next = demo_run_now_ns() + ROUND_NS / 2 + (dice >> 8) % ROUND_NS;
        demo_run_sleep_until(next);
        demo_run_show_progress(run, begin, &shown_s);
    }
    if (shown_s > 0) {
        fprintf(stderr, "\r\033[K");
    }
    return 0;
}

static int demo_run_compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int demo_run_collect(struct run *run) {
    struct demo_result *out = run->out;
    for (uint32_t i = 0; i < run->opts->n_followers; i++) {
        struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
        int rc = tide_replica_info(run->domain, i + 1, &info);
        if (rc != 0) {
            return rc;
        }
        out->followers[i] = (struct demo_follower){ info.lag_all_p50_ns, info.lag_all_p99_ns };
    }
    for (size_t i = 0; i < out->n_rows; i++) {
        if (out->rows[i].served > 0) {
            qsort(out->rows[i].staleness_ns, out->rows[i].served, sizeof(uint64_t), demo_run_compare_u64);
        }
    }
    out->writes = run->writes;
    return 0;
}

static void demo_run_lay_out_rows(const struct demo_opts *opts, struct demo_result *out) {
    for (size_t b = 0; b < opts->n_bounds; b++) {
        for (uint32_t f = 1; f <= opts->n_followers + (opts->n_followers > 1); f++) {
            out->rows[out->n_rows++] = (struct demo_row){
                .bound_ns = opts->bounds_ns[b],
                .replica = f <= opts->n_followers ? f : 0,
            };
        }
    }
}

static int demo_run_run_threads(struct run *run) {
    pthread_t writer;
    uint64_t longest_ns = 0;
    if (pthread_create(&writer, NULL, demo_run_write_steadily, run) != 0) {
        return TIDE_ERR_SYSTEM;
    }
    for (size_t i = 0; i < run->opts->n_followers; i++) {
        if (run->opts->delays_ns[i] > longest_ns) {
            longest_ns = run->opts->delays_ns[i];
        }
    }
    demo_run_sleep_until(demo_run_now_ns() + longest_ns + WARM_UP_NS);
    int rc = demo_run_read_steadily(run);
    atomic_store(&run->ended, 1);
    pthread_join(writer, NULL);
    if (rc == 0) {
        rc = run->write_error;
    }
    return rc == 0 ? demo_run_collect(run) : rc;
}

static void demo_run_log_line(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx;
    if (level != TIDE_LOG_INFO) {
        args_say("tide demo", text);
    }
}

static int demo_run_start_replicas(struct run *run) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i <= run->opts->n_followers; i++) {
        struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
        opts.role = i == 0 ? TIDE_LEADER : TIDE_FOLLOWER;
        opts.id = (int32_t)i;
        opts.apply_delay_ns = i == 0 ? 0 : run->opts->delays_ns[i - 1];
        rc = tide_replica_start(run->domain, &opts, NULL);
    }
    return rc;
}

int demo_run(const struct demo_opts *opts, struct demo_result *out) {
    struct run run = { .opts = opts, .out = out };
    struct tide_opts domain = TIDE_OPTS_INIT;
    char name[TIDE_NAME_MAX];
    *out = (struct demo_result){ 0 };
    demo_run_lay_out_rows(opts, out);
    snprintf(name, sizeof(name), "demo-%ld-%llx", (long)getpid(), (unsigned long long)demo_run_now_ns());
    domain.flags = TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    domain.ring_bytes = 1u << 20;
    domain.table_bytes = 4u << 20;
    domain.log = demo_run_log_line;
    /* Without it an interrupted demo would leave its segments in /dev/shm. */
    signals_catch(demo_run_on_interrupt, (int)SA_RESETHAND);
    int rc = tide_open(&run.domain, name, &domain);
    if (rc != 0) {
        return rc;
    }
    rc = demo_run_start_replicas(&run);
    if (rc == 0) {
        rc = demo_run_run_threads(&run);
    }
    tide_close(run.domain);
    return rc;
}

void demo_result_free(struct demo_result *r) {
    for (size_t i = 0; i < r->n_rows; i++) {
        free(r->rows[i].staleness_ns);
    }
    r->n_rows = 0;
}

uint64_t demo_staleness(const struct demo_row *row, double percent) {
    if (row->served == 0) {
        return 0;
    }
    return row->staleness_ns[(size_t)((double)(row->served - 1) * percent / 100.0)];
}
