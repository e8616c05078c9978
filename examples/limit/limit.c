/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A rate limiter on counters: at most LIMIT requests of one client in each window, counted by all processes together. The
 * counter of a window is made by its first request, with a life of two windows, so nobody has to clean up.
 *
 *     tide serve limits &
 *     ./limit limits alice; echo $?     # 0: let it in; 1: too many; in any number of processes
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <tidemark.h>

#define LIMIT 5
#define WINDOW_S 10
#define SECOND UINT64_C(1000000000)

/* 1: let it in; 0: too many; negative: an error of the library. */
static int let_in(struct tide *d, const char *client) {
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    char key[128];
    int64_t count;
    long window = (long)(time(NULL) / WINDOW_S);
    int key_len = snprintf(key, sizeof(key), "rate/%s/%ld", client, window);
    if (key_len < 0 || (size_t)key_len >= sizeof(key)) {
        return TIDE_ERR_TOO_BIG;
    }
    o.ttl_ns = 2 * WINDOW_S * SECOND;
    int error = tide_add(d, NULL, key, (size_t)key_len, 1, &o, NULL, &count);
    return error != 0 ? error : count <= LIMIT;
}

int main(int argc, char **argv) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide *d;
    if (argc != 3) {
        fprintf(stderr, "usage: limit DOMAIN CLIENT\n");
        return 2;
    }
    opts.flags = 0;
    int error = tide_open(&d, argv[1], &opts);
    if (error != 0) {
        fprintf(stderr, "limit: %s: %s\n", argv[1], tide_strerror(error));
        return 3;
    }
    int in = let_in(d, argv[2]);
    tide_close(d);
    if (in < 0) { /* the cache is away: better let one in too many than turn all away */
        fprintf(stderr, "limit: %s\n", tide_strerror(in));
    }
    return in == 0;
}
