/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A domain with a leader and a session. */
#ifndef TIDE_TESTS_ONE_H
#define TIDE_TESTS_ONE_H

#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)

struct one {
    struct tide *d;
    struct tide_reader *r;
};

struct one open_one(uint64_t ring_bytes, uint64_t table_bytes);
void close_one(struct one *o);
uint64_t commit_index(struct tide *d);

/* The version of a key, 0: not there. *value: its first 8 bytes. */
uint64_t version_of(struct tide_reader *r, const void *key, size_t key_len, uint64_t *value);

#endif
