/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A table in plain memory, which tests write and read as a replica does, and a thread that holds grace periods back. */
#ifndef TIDE_TESTS_TABLES_H
#define TIDE_TESTS_TABLES_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/table/limbo.h"
#include "engine/table/table_slots.h"
#include "engine/table/table.h"
#include "tests/lib/help.h"

#define MIB (UINT64_C(1) << 20)

struct fixture {
    struct table_writer w;
    uint8_t *base;
    uint64_t index;
    bool in_batch; /* the last entries are not published yet, so nothing may be freed on their account */
};

struct fixture open_table(uint64_t table_bytes, uint64_t expected_keys);
void close_table(struct fixture *f);

/* Setup and teardown of a group: grace periods need their thread. */
int hold_grace(void **state);
int drop_grace(void **state);

/* Put a key as of an index; wait for memory if need be. 0; -1: no overflow bucket; -2: no memory. */
int put_at(struct fixture *f, const void *key, size_t key_len, const void *value, size_t value_len, uint64_t index);

/* Keys and values of the numbered kind: a value says which entry made it. Keys are 8 to 24 bytes. */
size_t key_of(uint64_t k, uint8_t out[32]);
int put(struct fixture *f, uint64_t k);
uint64_t hash_of(const struct fixture *f, const void *key, size_t key_len);
void del(struct fixture *f, uint64_t k);

/* The index of the key's version as of `at`; 0: none; UINT64_MAX: a value that its node's index did not make. */
uint64_t find_at(const struct fixture *f, uint64_t k, uint64_t at);

/* Check every byte of the table, and the number of its keys. */
void assert_verifies(const struct fixture *f, uint64_t keys);

/* A thread that opens a section when asked and keeps it open (1), or ends it (0). While it is open no grace period ends. */
struct holder {
    pthread_t thread;
    _Atomic int want, have;
};
void holder_open(struct holder *h); /* with an open section */
void holder_set(struct holder *h, int want);
void holder_close(struct holder *h);

#endif
