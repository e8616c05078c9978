/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plugin with a cache: three functions that the host finds by name, called from any of its threads. */
#include <tidemark.h>

int plugin_begin(const char *name);
int plugin_work(int number);
int plugin_end(void);

static struct tide *d;

TIDE_API int plugin_begin(const char *name) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide_replica_opts leader = TIDE_REPLICA_OPTS_INIT;
    opts.flags |= TIDE_EPHEMERAL;
    leader.role = TIDE_LEADER;
    int error = tide_open(&d, name, &opts);
    return error != 0 ? error : tide_replica_start(d, &leader, 0);
}

/* The thread's reader is opened once. It is closed when the thread ends, also after plugin_end() and dlclose(). */
TIDE_API int plugin_work(int number) {
    static _Thread_local struct tide_reader *mine;
    char value[16];
    int error = mine != 0 ? 0 : tide_reader_open(d, 0, &mine);
    error = error != 0 ? error : tide_put(d, mine, &number, sizeof(number), "done", 4, 0);
    return error != 0 ? error : tide_get(mine, &number, sizeof(number), 0, value, sizeof(value), 0);
}

TIDE_API int plugin_end(void) {
    return tide_close(d);
}
