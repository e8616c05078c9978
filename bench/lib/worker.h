/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker runs beside the measurement: a thread, or a process that dies with its parent. Its coordinator gives it
 * orders, small numbers whose meaning only the two know, and it reports each one as done.
 *
 * A process is forked while no domain is open (bench/lib/child.h); it sees the parent's memory as it was then, and what
 * lies in bench_shared_map() as it is.
 */
#ifndef TIDE_BENCH_WORKER_H
#define TIDE_BENCH_WORKER_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/lib/machine.h"

struct bench_worker;

/* Returns 0, or a code (the engine's is TIDE_ERR_) after bench_worker_what(). */
typedef int bench_worker_fn(struct bench_worker *w, void *ctx);

/* Start one, pinned to the turn-th CPU where turn >= 0. NULL: no memory, thread or process to be had. */
struct bench_worker *bench_worker_start(bool process, const struct bench_machine *m, int32_t turn, bench_worker_fn *fn,
                                        void *ctx);

/* ---- the coordinator's side ---- */

#define BENCH_ORDER_END UINT32_MAX

/* Give an order, and do not wait. order: above the last one. */
void bench_worker_tell(struct bench_worker *w, uint32_t order);

/* Until the order is done, asleep. 0; 1: *stop was set; -1: it failed or died, `error` (BENCH_ERROR_BYTES) says how. */
int bench_worker_await(struct bench_worker *w, uint32_t order, const volatile sig_atomic_t *stop, char *error);

/* Give the order after the last one, from 1 on. Returns it. */
uint32_t bench_worker_next(struct bench_worker *w);

/* Has it neither failed nor died? Does not wait; false with `error` filled. A function that returned 0 is well. */
bool bench_worker_lives(struct bench_worker *w, char *error);

/* Has it done this order? Does not wait. */
bool bench_worker_reached(struct bench_worker *w, uint32_t order);

/* What errors call it: "the process of replica 3"; without this: "the process beside it". Before it has anything to
 * do. */
void bench_worker_call(struct bench_worker *w, const char *who);

/* For errors: its name, and what it was about to do. */
void bench_worker_text(const struct bench_worker *w, char *out, size_t size);

/* The code that it ended with: 0 as long as it is well. */
int bench_worker_code(const struct bench_worker *w);

/* Of a process; 0: a thread, or it is gone. */
pid_t bench_worker_pid(const struct bench_worker *w);

/* Tell a process BENCH_ORDER_END and wait until it has ended; one that takes longer than that is killed. 0, or -1:
 * it did not end well, `error` says how. bench_worker_end() follows. */
int bench_worker_leave(struct bench_worker *w, uint64_t patience_ns, char *error);

/* End it: a thread is told BENCH_ORDER_END and joined, a process killed. NULL is fine. */
void bench_worker_end(struct bench_worker *w);

/* ---- the worker's side ---- */

/* Sleep until the order is another one than `seen`. */
uint32_t bench_worker_order(struct bench_worker *w, uint32_t seen);

/* The order as it stands: for workers that are busy. */
uint32_t bench_worker_peek(struct bench_worker *w);

void bench_worker_done(struct bench_worker *w, uint32_t order);

/* It serves from now on: report the order as done, and sleep until it is killed. Returns when it gets another order. */
int bench_worker_serve(struct bench_worker *w, uint32_t order);

/* The worker that the calling thread is, or NULL. */
struct bench_worker *bench_worker_self(void);

/* It cannot go on: end it with this text, for the coordinator's error. */
_Noreturn void bench_worker_fail(struct bench_worker *w, const char *text);

/* What it is about to do, for the error's text: a literal. */
void bench_worker_what(struct bench_worker *w, const char *what);

#endif
