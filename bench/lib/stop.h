/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ctrl-C and its like: a benchmark ends in order, so that it leaves no domain behind. */
#ifndef TIDE_BENCH_STOP_H
#define TIDE_BENCH_STOP_H

#include <signal.h>

/* Set by SIGINT, SIGTERM and SIGHUP once they are caught; every loop that waits looks at it. */
extern volatile sig_atomic_t bench_stop;

/* Catch them. The second one ends the program at once, should it hang. */
void bench_stop_catch(void);

#endif
