/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What does a second reader bring? One thread and then two run the control loop, then the same peer's gets, over and
 * over: the peer's gain is told as a part of the control loop's, which is what the machine had to give. Tidemark's
 * two threads read two replicas; the others' share their table.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "bench/lib/control.h"
#include "bench/lib/sweep.h"
#include "bench/peers/stage.h"

#define ROWS (PEERS + 1u)
#define SLICE_TRIES 8u
#define CONTROL_WARM_NS UINT64_C(1000000)
#define START_NS UINT64_C(200000) /* for the threads to wake up */

/* Orders are written between two meetings at the barrier, which makes plain memory safe. */
struct pair {
    struct peer_stage *stage;
    pthread_barrier_t meet;
    int end;
    uint32_t threads; /* how many of the two work */
    uint32_t row;     /* 0: the control loop; k: seats[k - 1] */
    uint64_t start_ns, end_ns;
    struct pair_worker {
        _Alignas(128) struct pair *pair;
        pthread_t thread;
        uint32_t turn;
        int failed;
        struct peer_reader *readers[ROWS];
        uint64_t positions[ROWS];
        uint64_t sum;
        double rate; /* operations each ns */
    } workers[PEER_READERS];
};

static uint64_t run_chunk(struct pair_worker *w, uint32_t row, uint64_t position) {
    if (row == 0) {
        return bench_control(w->sum);
    }
    const struct peer_row *gets = w->pair->stage->seats[row - 1].peer->gets;
    return gets->run(w->readers[row], position, gets->chunk);
}

static void work(struct pair_worker *w) {
    const struct pair *p = w->pair;
    uint32_t row = p->row;
    uint64_t done = 0, *position = &w->positions[row], start_ns = 0, now_ns = bench_now_ns();
    uint64_t chunk = row == 0 ? 1 : p->stage->seats[row - 1].peer->gets->chunk;
    while (now_ns < p->end_ns) {
        w->sum += run_chunk(w, row, *position);
        *position += chunk;
        done += chunk;
        now_ns = bench_now_ns();
        if (start_ns == 0 && now_ns >= p->start_ns) {
            start_ns = now_ns; /* until here the caches were warmed */
            done = 0;
        }
    }
    w->rate = start_ns != 0 ? bench_ratio((double)done, (double)(now_ns - start_ns)) : 0.0;
}

static void *worker_main(void *arg) {
    struct pair_worker *w = arg;
    struct pair *p = w->pair;
    bench_machine_pin(&bench->machine, w->turn);
    for (uint32_t row = 1; row < ROWS; row++) {
        struct peer_seat *seat = &p->stage->seats[row - 1];
        if (seat->ready && seat->peer->pairs) {
            w->readers[row] = peer_stage_reader(p->stage, seat, w->turn);
        }
    }
    pthread_barrier_wait(&p->meet);
    for (;;) {
        pthread_barrier_wait(&p->meet);
        if (p->end) {
            break;
        }
        if (w->turn < p->threads) {
            work(w);
        }
        pthread_barrier_wait(&p->meet);
    }
    for (uint32_t row = 1; row < ROWS; row++) {
        if (w->readers[row] != NULL) {
            w->failed |= w->readers[row]->bad != 0;
            peer_stage_reader_close(&p->stage->seats[row - 1], w->readers[row]);
        }
    }
    return NULL;
}

/* Operations each ns of all threads together; 0 where one of them had no CPU for the whole slice. */
static double try_slice(struct pair *p, uint32_t row, uint32_t threads, uint64_t slice_ns) {
    double rate = 0.0;
    p->row = row;
    p->threads = threads;
    p->start_ns = bench_now_ns() + START_NS + (row == 0 ? CONTROL_WARM_NS : p->stage->warm_ns);
    p->end_ns = p->start_ns + slice_ns;
    pthread_barrier_wait(&p->meet);
    pthread_barrier_wait(&p->meet);
    for (uint32_t t = 0; t < threads; t++) {
        if (p->workers[t].rate == 0.0) {
            return 0.0;
        }
        rate += p->workers[t].rate;
    }
    return rate;
}

static double slice(struct pair *p, uint32_t row, uint32_t threads) {
    double rate = 0.0;
    /* Slices get longer after some tries: where all is slow, as under a sanitizer, one chunk may outlast a slice. */
    for (uint32_t tries = 0; rate == 0.0; tries++) {
        bench_go_on();
        rate = try_slice(p, row, threads, p->stage->slice_ns * (1 + tries / SLICE_TRIES));
    }
    return rate;
}

struct sums {
    double one, two, control_one, control_two;
};

static void one_round(struct pair *p, uint32_t row, struct sums *s) {
    s->control_one += slice(p, 0, 1);
    s->one += slice(p, row, 1);
    s->control_two += slice(p, 0, 2);
    s->two += slice(p, row, 2);
}

static void add_results(struct peer_stage *s, uint32_t of_control[ROWS], uint32_t *control) {
    const char *keys = peer_count_text(s->options.keys);
    const char *group = bench_text("two readers, %s keys: gain over one, as part of the control loop's", keys);
    for (uint32_t row = 1; row < ROWS; row++) {
        const struct peer_seat *seat = &s->seats[row - 1];
        of_control[row] = BENCH_NO_FIGURE;
        if (seat->ready && seat->peer->pairs) {
            const struct peer_row *get = &seat->peer->gets[0];
            of_control[row] =
                bench_figures_add(s->figures, bench_text("pairs.%s.%s", keys, get->id), group, get->title, "x");
        }
    }
    *control = bench_figures_add(s->figures, bench_text("pairs.%s.control", keys), group,
                                 "the control loop itself: two over one", "x");
}

static void measure(struct pair *p) {
    struct peer_stage *s = p->stage;
    uint32_t of_control[ROWS], control;
    add_results(s, of_control, &control);
    for (uint32_t repetition = 0; repetition < s->settings->repetitions; repetition++) {
        struct sums sums[ROWS] = { 0 }, all = { 0 };
        peer_progress("two readers", s, repetition + 1);
        for (uint32_t round = 0; round < s->rounds; round++) {
            for (uint32_t row = 1; row < ROWS; row++) {
                if (of_control[row] != BENCH_NO_FIGURE) {
                    one_round(p, row, &sums[row]);
                }
            }
        }
        for (uint32_t row = 1; row < ROWS; row++) {
            all.control_one += sums[row].control_one;
            all.control_two += sums[row].control_two;
            if (of_control[row] != BENCH_NO_FIGURE) {
                double control_gain = bench_ratio(sums[row].control_two, sums[row].control_one);
                bench_figures_set(s->figures, of_control[row], repetition,
                                  bench_ratio(bench_ratio(sums[row].two, sums[row].one), control_gain));
            }
        }
        bench_figures_set(s->figures, control, repetition, bench_ratio(all.control_two, all.control_one));
    }
}

void peer_measure_pairs(struct peer_stage *s) {
    static struct pair p;
    memset(&p, 0, sizeof(p));
    p.stage = s;
    pthread_barrier_init(&p.meet, NULL, PEER_READERS + 1);
    for (uint32_t t = 0; t < PEER_READERS; t++) {
        p.workers[t].pair = &p;
        p.workers[t].turn = t;
        p.workers[t].thread = bench_thread(worker_main, &p.workers[t]);
    }
    pthread_barrier_wait(&p.meet);
    measure(&p);
    p.end = 1;
    pthread_barrier_wait(&p.meet);
    for (uint32_t t = 0; t < PEER_READERS; t++) {
        pthread_join(p.workers[t].thread, NULL);
        s->sum += p.workers[t].sum;
    }
    pthread_barrier_destroy(&p.meet);
    if (p.workers[0].failed || p.workers[1].failed) {
        bench_fail("two readers: some of their gets were not answered");
    }
}

/* ---- processes: readscale's own sweep ---------------------------------------------------------------------------- */

static void no_progress(void *ctx, uint32_t done, uint32_t total, uint32_t replicas, uint32_t repetition) {
    (void)replicas;
    (void)repetition;
    const struct peer_stage *s = ctx;
    if (done < total) {
        peer_progress("two processes, part", s, done);
    }
}

void peer_measure_processes(const struct peer_settings *settings, struct bench_figures *figures) {
    static struct bench_options o;
    static struct bench_sweep sweep;
    static struct peer_stage shown;
    char error[BENCH_ERROR_BYTES], repetitions[16],
        *args[] = { "peers",      "--mode", "processes",    "--replicas", "1,2",           "--keys",   "10k",
                    "--duration", "400ms",  "--write-rate", "0",          "--repetitions", repetitions };
    snprintf(repetitions, sizeof(repetitions), "%u", settings->repetitions);
    if (bench_options_parse(&o, (int)(sizeof(args) / sizeof(args[0])), args, bench->machine.cpus, error) !=
        BENCH_PARSED_RUN) {
        bench_fail("%s", error);
    }
    shown = (struct peer_stage){ .settings = settings, .options = o };
    int rc = bench_sweep_run(&sweep, &o, &bench->machine, &bench_stop, no_progress, &shown, error);
    peer_progress(NULL, &shown, 0);
    bench_go_on();
    if (rc != 0) {
        bench_fail("%s", error);
    }
    const struct bench_trial *one = sweep.points[0].trials, *two = sweep.points[1].trials;
    uint32_t result = bench_figures_add(figures, "pairs.10k.tide_processes",
                                        "two processes, 10k keys, a replica and a reader in each: gain over one",
                                        "tide_get, part of the control loop's", "x");
    for (uint32_t i = 0; i < settings->repetitions; i++) {
        double reads = bench_ratio((double)two[i].reads / two[i].read_s, (double)one[i].reads / one[i].read_s);
        double control =
            bench_ratio((double)two[i].control_ops / two[i].control_s, (double)one[i].control_ops / one[i].control_s);
        bench_figures_set(figures, result, i, bench_ratio(reads, control));
    }
    bench_sweep_destroy(&sweep);
}
