/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A prefork server that makes each page once: the parent leads the domain, its children answer requests, and of all children that miss a page
 * at the same moment one makes it. A page is fresh for two seconds; for ten more it is served while one child makes it anew.
 *
 *     ./pages            # requests are made up here; each child prints what it served
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tidemark.h>

#define CHILDREN 8
#define REQUESTS 200
#define SECOND UINT64_C(1000000000)

/* Takes long: a database, a template. Runs in one child at a time for each page. */
static int make_page(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size) {
    unsigned *made = ctx;
    struct timespec work = { 0, 20000000 };
    nanosleep(&work, NULL);
    int n = snprintf(buf, buf_size, "<h1>%.*s</h1><p>made by process %d", (int)key_len, (const char *)key, (int)getpid());
    *value_size = n < 0 ? 0 : (size_t)n; /* more than buf_size: the library answers TIDE_ERR_BUFFER */
    (*made)++;
    return 0;
}

static int serve(const char *name) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide_make_opts how = TIDE_MAKE_OPTS_INIT;
    struct tide *d;
    struct tide_reader *r;
    unsigned made = 0, served = 0;
    how.ttl_ns = 2 * SECOND;
    how.stale_ns = 10 * SECOND;
    how.wait_ns = 1 * SECOND;
    opts.flags = 0;
    int error = tide_open(&d, name, &opts);
    if (error != 0) {
        return 1;
    }
    error = tide_reader_open(d, NULL, &r);
    for (int i = 0; i < REQUESTS && error == 0; i++) {
        char key[32], page[4096];
        struct tide_answer a = TIDE_ANSWER_INIT;
        int key_len = snprintf(key, sizeof(key), "/page/%d", i % 10);
        error = tide_get_or_make(r, key, (size_t)key_len, NULL, &how, make_page, &made, page, sizeof(page), &a);
        /* page has a.value_size bytes now: send them. */
        served += error == 0;
    }
    printf("process %d: served %u pages, made %u\n", (int)getpid(), served, made);
    tide_close(d);
    if (error != 0) {
        fprintf(stderr, "pages: %s\n", tide_strerror(error));
    }
    return error != 0;
}

/* fork() first: a child of a process that has a domain open cannot use that handle. */
int main(void) {
    char name[32];
    int go[2];
    snprintf(name, sizeof(name), "pages-%d", (int)getpid());
    if (pipe(go) != 0) {
        return 1;
    }
    for (int i = 0; i < CHILDREN; i++) {
        if (fork() == 0) {
            char byte;
            close(go[1]);
            _Bool there = read(go[0], &byte, 1) == 0; /* the parent has the domain open, and a leader */
            int code = there ? serve(name) : 1;
            fflush(NULL);
            _exit(code);
        }
    }
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide_replica_opts lead = TIDE_REPLICA_OPTS_INIT;
    struct tide *d;
    opts.flags |= TIDE_EPHEMERAL; /* it ends with this process */
    lead.role = TIDE_LEADER;
    int error = tide_open(&d, name, &opts);
    error = error != 0 ? error : tide_replica_start(d, &lead, NULL);
    if (error != 0) {
        fprintf(stderr, "pages: %s\n", tide_strerror(error));
        return 1;
    }
    close(go[1]);
    int failed = 0, status;
    while (wait(&status) > 0) {
        failed |= status;
    }
    tide_close(d);
    return failed != 0;
}
