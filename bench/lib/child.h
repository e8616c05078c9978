/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes that work for a benchmark, and the memory that they have in common with it. */
#ifndef TIDE_BENCH_CHILD_H
#define TIDE_BENCH_CHILD_H

#include <stddef.h>
#include <sys/types.h>

/* Zeroed memory that is shared with children forked later, at the same address. NULL: no memory. */
void *bench_shared_map(size_t size);
void bench_shared_unmap(void *memory, size_t size);

/*
 * Fork. Returns 0 in the child, its pid in the parent, -1 with errno. The child is killed when the calling thread
 * ends, and lets the terminal's signals to its parent, which ends it. It must leave by _exit(). Call while no domain is
 * open: a domain's threads are not in the child.
 */
pid_t bench_child_fork(void);

/* Has it ended? Does not wait. 0: no; 1: yes, and `how` says by what: "exited with 1", "was killed by signal 9
 * (Killed)". The pid is not to be used afterwards. */
int bench_child_ended(pid_t pid, char *how, size_t size);

/* Kill it and wait until it is gone. */
void bench_child_kill(pid_t pid);

/* Kill all that are left. */
void bench_children_end(void);

/* Run a program of PATH, or by its path, as such a child; out, err: its stdout and stderr, -1: ours. Returns as
 * bench_child_fork(), in the parent alone. argv ends with NULL. */
pid_t bench_child_run(const char *const *argv, int out, int err);

/* Run `tide serve` and wait until it says that it is ready. 0; or -1: *pid is to be killed where it is not 0. */
int bench_child_serve(const char *const *argv, int err, pid_t *pid);

/* The `tide` that was built beside this program: build/tide. 0, or -1 with errno: there is none. */
int bench_tide_path(char *out, size_t size);

#endif
