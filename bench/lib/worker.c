/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/options.h"
#include "shm/park.h"

#define LOOK_EVERY_NS UINT64_C(20000000) /* at a child that may have died */
#define LEAVE_NS UINT64_C(200000)

struct bench_worker {
    _Alignas(128) _Atomic uint32_t order; /* the coordinator's, and the worker's futex */
    _Alignas(128) _Atomic uint32_t done;  /* the last order that was carried out, and the coordinator's futex */
    _Atomic int code;
    char who[80];                   /* for errors */
    char failed[BENCH_ERROR_BYTES]; /* bench_worker_fail()'s */
    const char *what;               /* a literal: the same address in all processes */
    const struct bench_machine *machine;
    int32_t turn;
    bench_worker_fn *fn;
    void *ctx;
    bool process;
    pid_t pid; /* of a process; 0: it is gone */
    pthread_t thread;
};

static __thread struct bench_worker *own_thread;
static struct bench_worker *own_process; /* also of the threads that a worker's process starts */

static int work(struct bench_worker *w) {
    *(w->process ? &own_process : &own_thread) = w;
    if (w->turn >= 0) {
        bench_machine_pin(w->machine, (uint32_t)w->turn);
    }
    int code = w->fn(w, w->ctx);
    atomic_store(&w->code, code);
    park_wake(&w->done, 1);
    return code;
}

static void *thread_main(void *worker) {
    work(worker);
    return NULL;
}

struct bench_worker *bench_worker_start(bool process, const struct bench_machine *m, int32_t turn, bench_worker_fn *fn,
                                        void *ctx) {
    struct bench_worker *w = bench_shared_map(sizeof(*w));
    if (w == NULL) {
        return NULL;
    }
    w->machine = m;
    w->turn = turn;
    w->fn = fn;
    w->ctx = ctx;
    w->process = process;
    w->what = "working";
    bench_worker_call(w, process ? "the process beside it" : "the thread beside it");
    bool started;
    if (process) {
        pid_t pid = bench_child_fork();
        if (pid == 0) {
            _exit(work(w) == 0 ? 0 : 1); /* before the line below: what it writes there the parent would see */
        }
        w->pid = pid;
        started = pid > 0;
    } else {
        started = pthread_create(&w->thread, NULL, thread_main, w) == 0;
    }
    if (!started) {
        bench_shared_unmap(w, sizeof(*w));
        return NULL;
    }
    return w;
}

void bench_worker_tell(struct bench_worker *w, uint32_t order) {
    atomic_store(&w->order, order);
    park_wake(&w->order, 1);
}

uint32_t bench_worker_next(struct bench_worker *w) {
    uint32_t order = atomic_load(&w->order) + 1;
    bench_worker_tell(w, order);
    return order;
}

bool bench_worker_reached(struct bench_worker *w, uint32_t order) {
    return atomic_load(&w->done) >= order;
}

void bench_worker_call(struct bench_worker *w, const char *who) {
    snprintf(w->who, sizeof(w->who), "%s", who);
}

void bench_worker_text(const struct bench_worker *w, char *out, size_t size) {
    snprintf(out, size, "%s, %s", w->who, w->what);
}

int bench_worker_code(const struct bench_worker *w) {
    return atomic_load(&w->code);
}

pid_t bench_worker_pid(const struct bench_worker *w) {
    return w->pid;
}

bool bench_worker_lives(struct bench_worker *w, char *error) {
    char how[80] = "failed";
    pid_t pid = w->pid;
    bool ended = pid != 0 && bench_child_ended(pid, how, sizeof(how));
    w->pid = ended ? 0 : pid;
    int code = atomic_load(&w->code); /* looked at last: what ended may have left one */
    if (code > 0 && w->failed[0] != '\0') {
        snprintf(error, BENCH_ERROR_BYTES, "%s, %.170s", w->who, w->failed);
    } else if (code < 0) {
        snprintf(error, BENCH_ERROR_BYTES, "%s, %s: %s", w->who, w->what, tide_strerror(code));
    } else if (ended || code > 0) {
        snprintf(error, BENCH_ERROR_BYTES, "%s (pid %ld) %s", w->who, (long)pid, how);
    }
    return !ended && code == 0;
}

int bench_worker_leave(struct bench_worker *w, uint64_t patience_ns, char *error) {
    uint64_t until = bench_now_ns() + patience_ns;
    char how[80] = "did not end in time";
    pid_t pid = w->pid;
    while (w->pid != 0 && bench_now_ns() < until) {
        bench_worker_tell(w, BENCH_ORDER_END);
        if (bench_child_ended(w->pid, how, sizeof(how))) {
            w->pid = 0;
        } else {
            bench_sleep_ns(LEAVE_NS);
        }
    }
    if (pid == 0 || (w->pid == 0 && strcmp(how, "exited with 0") == 0)) {
        return 0;
    }
    snprintf(error, BENCH_ERROR_BYTES, "%s (pid %ld) %s", w->who, (long)pid, how);
    return -1;
}

int bench_worker_await(struct bench_worker *w, uint32_t order, const volatile sig_atomic_t *stop, char *error) {
    for (;;) {
        uint32_t done = atomic_load(&w->done);
        if (done >= order) {
            return 0;
        }
        if (*stop) {
            return 1;
        }
        bool gone = w->process && w->pid == 0; /* that was told before */
        if (gone) {
            snprintf(error, BENCH_ERROR_BYTES, "%s has ended", w->who);
        }
        if (gone || !bench_worker_lives(w, error)) {
            return atomic_load(&w->done) >= order ? 0 : -1; /* it may have done it, and ended, since `done` was read */
        }
        park_wait(&w->done, done, LOOK_EVERY_NS);
    }
}

void bench_worker_end(struct bench_worker *w) {
    if (w == NULL) {
        return;
    }
    if (!w->process) {
        bench_worker_tell(w, BENCH_ORDER_END);
        pthread_join(w->thread, NULL);
    } else if (w->pid != 0) {
        bench_child_kill(w->pid); /* what it leaves goes with the domain, which its parent has made */
    }
    bench_shared_unmap(w, sizeof(*w));
}

uint32_t bench_worker_order(struct bench_worker *w, uint32_t seen) {
    uint32_t order;
    while ((order = atomic_load(&w->order)) == seen) {
        park_wait(&w->order, seen, UINT64_MAX);
    }
    return order;
}

uint32_t bench_worker_peek(struct bench_worker *w) {
    return atomic_load(&w->order);
}

void bench_worker_done(struct bench_worker *w, uint32_t order) {
    atomic_store(&w->done, order);
    park_wake(&w->done, 1);
}

int bench_worker_serve(struct bench_worker *w, uint32_t order) {
    uint32_t seen = atomic_load(&w->order);
    bench_worker_done(w, order);
    bench_worker_order(w, seen);
    return 0;
}

void bench_worker_what(struct bench_worker *w, const char *what) {
    w->what = what;
}

struct bench_worker *bench_worker_self(void) {
    return own_thread != NULL ? own_thread : own_process;
}

void bench_worker_fail(struct bench_worker *w, const char *text) {
    snprintf(w->failed, sizeof(w->failed), "%s", text);
    atomic_store(&w->code, 1);
    park_wake(&w->done, 1);
    if (w->process) {
        _exit(1);
    }
    pthread_exit(NULL);
}
