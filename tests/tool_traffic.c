/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Something to look at for tests/web_browser.test.sh: one writer and some readers in a process of their own, until killed.
 *
 *   tool_traffic NAME WRITE_EVERY_US READERS READ_EVERY_US BOUND_US KEYS
 *
 * Writes are puts of keys of a skewed choice, some of them with a ttl; now and then a batch, an add, a delete.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/tidemark.h"

static struct tide *domain;
static uint64_t write_every_us, read_every_us, bound_us, keys;

static void nap(uint64_t us) {
    struct timespec ts = { (time_t)(us / 1000000), (long)(us % 1000000 * 1000) };
    nanosleep(&ts, NULL);
}

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Low numbers are chosen more often. */
static uint64_t choose(uint64_t *state) {
    double x = (double)(next_random(state) >> 11) / 9007199254740992.0;
    return (uint64_t)(x * x * x * (double)keys);
}

static size_t name_key(char key[48], uint64_t number) {
    static const char *const KINDS[] = { "user", "session", "price", "page" };
    return (size_t)snprintf(key, 48, "%s:%llu", KINDS[number % 4], (unsigned long long)(number * 7919 % 100000));
}

static void *write_all(void *arg) {
    static char value[4096];
    uint64_t state = 88172645463325252u;
    memset(value, 'v', sizeof(value));
    for (uint64_t i = 0;; i++) {
        char key[48];
        size_t n = name_key(key, choose(&state));
        struct tide_put_opts opts = TIDE_PUT_OPTS_INIT;
        opts.ttl_ns = i % 5 == 0 ? 2000000000u : 0;
        if (i % 97 == 96) {
            (void)tide_delete(domain, NULL, key, n, NULL);
        } else if (i % 41 == 40) {
            (void)tide_add(domain, NULL, "hits:total", 10, 1, NULL, NULL, NULL);
        } else {
            (void)tide_put_with(domain, NULL, key, n, value, 20 + next_random(&state) % 300, &opts, NULL);
        }
        nap(write_every_us);
    }
    return arg;
}

static void *read_all(void *arg) {
    struct tide_reader *r;
    struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    uint64_t number = (uintptr_t)arg, state = 7 + number * 2654435761u;
    char value[4096];
    opts.home = (int32_t)(number % 4);
    if (number % 4 == 2) { /* of this one replica or, where it is too far behind, of the leader */
        opts.replicas = 1u << 2;
    }
    if (tide_reader_open(domain, &opts, &r) != 0) {
        return NULL;
    }
    bound.max_staleness_ns = bound_us * 1000;
    bound.fallback = TIDE_FALLBACK_LEADER;
    for (uint64_t i = 0;; i++) {
        char key[48];
        struct tide_answer a = TIDE_ANSWER_INIT;
        for (uint64_t k = 0; k < 12 + 4 * (number % 4); k++) {
            size_t n = name_key(key, choose(&state));
            (void)tide_get(r, key, n, &bound, value, sizeof(value), &a);
        }
        nap(read_every_us);
    }
    return NULL;
}

int main(int argc, char **argv) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    pthread_t thread;
    if (argc != 7) {
        fputs("see tests/tool_traffic.c\n", stderr);
        return 2;
    }
    opts.flags = 0;
    write_every_us = strtoull(argv[2], NULL, 10);
    read_every_us = strtoull(argv[4], NULL, 10);
    bound_us = strtoull(argv[5], NULL, 10);
    keys = strtoull(argv[6], NULL, 10);
    int rc = tide_open(&domain, argv[1], &opts);
    if (rc != 0) {
        fprintf(stderr, "%s: %s\n", argv[1], tide_strerror(rc));
        return 1;
    }
    for (uintptr_t i = 0; i < (uintptr_t)atoi(argv[3]); i++) {
        (void)pthread_create(&thread, NULL, read_all, (void *)i);
    }
    write_all(NULL);
    return 0;
}
