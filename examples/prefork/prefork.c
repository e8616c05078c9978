/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A prefork server without the network: the parent leads the domain, workers answer "requests" from it and count them in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tidemark.h>
#include <unistd.h>

#define WORKERS 4
#define REQUESTS 10000

static void log_line(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx, (void)level;
    fprintf(stderr, "%s\n", text);
}

static void must(int error, const char *what) {
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", what, tide_strerror(error));
        exit(1);
    }
}

/* Opened after the fork: what the parent opened is the parent's. */
static int work(const char *name, int number) {
    struct tide *d;
    struct tide_reader *r;
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_answer answer = TIDE_ANSWER_INIT;
    char key[32], value[64];
    opts.flags = 0; /* the parent made it */
    opts.log = log_line;
    bound.max_staleness_ns = 200 * 1000 * 1000;
    must(tide_open(&d, name, &opts), "worker: open");
    must(tide_reader_open(d, NULL, &r), "worker: reader");
    uint64_t stalest_ns = 0;
    for (int i = 0; i < REQUESTS; i++) {
        int len = snprintf(key, sizeof(key), "page/%d", i % 100);
        must(tide_get(r, key, (size_t)len, &bound, value, sizeof(value), &answer), "worker: get");
        stalest_ns = answer.staleness_ns > stalest_ns ? answer.staleness_ns : stalest_ns;
    }
    int len = snprintf(key, sizeof(key), "served/%d", number);
    int value_len =
        snprintf(value, sizeof(value), "%d requests, at most %llu ns stale", REQUESTS, (unsigned long long)stalest_ns);
    must(tide_put(d, r, key, (size_t)len, value, (size_t)value_len, NULL),
         "worker: put"); /* through the parent, which leads */
    must(tide_reader_close(r), "worker: close the reader");
    must(tide_close(d), "worker: close");
    return 0;
}

int main(void) {
    char name[32], key[32], value[64];
    struct tide *d;
    struct tide_reader *r;
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide_replica_opts leader = TIDE_REPLICA_OPTS_INIT;
    struct tide_answer answer = TIDE_ANSWER_INIT;
    snprintf(name, sizeof(name), "prefork-%d", (int)getpid());
    opts.flags |= TIDE_EPHEMERAL; /* the domain goes when the server does */
    opts.log = log_line;
    leader.role = TIDE_LEADER;
    must(tide_open(&d, name, &opts), "open");
    must(tide_replica_start(d, &leader, NULL), "lead");
    for (int i = 0; i < 100; i++) {
        int len = snprintf(key, sizeof(key), "page/%d", i);
        must(tide_put(d, NULL, key, (size_t)len, "<html>", 6, NULL), "put");
    }
    for (int i = 0; i < WORKERS; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(work(name, i));
        }
        must(pid < 0 ? TIDE_ERR_SYSTEM : 0, "fork");
    }
    int failed = 0, status;
    while (wait(&status) > 0) {
        failed |= status;
    }
    must(tide_reader_open(d, NULL, &r), "reader");
    for (int i = 0; i < WORKERS && !failed; i++) {
        int len = snprintf(key, sizeof(key), "served/%d", i);
        must(tide_get(r, key, (size_t)len, NULL, value, sizeof(value), &answer), "get");
        printf("worker %d: %.*s\n", i, (int)answer.value_size, value);
    }
    must(tide_reader_close(r), "close the reader");
    must(tide_close(d), "close");
    return failed != 0;
}
