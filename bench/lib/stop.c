/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/stop.h"

#include <string.h>

volatile sig_atomic_t bench_stop;

static void on_signal(int number) {
    (void)number;
    bench_stop = 1;
}

void bench_stop_catch(void) {
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}
