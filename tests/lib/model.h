/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A plain reference for a domain: every version that every key ever had, so that a read at any index can be checked.
 * One thread at a time.
 */
#ifndef TIDE_TESTS_MODEL_H
#define TIDE_TESTS_MODEL_H

#include "tests/lib/help.h"

#define MODEL_KEYS 400u
#define MODEL_KEY_MOST 260u
#define MODEL_VALUE_MOST 1500u
#define MODEL_OPS 24u /* the most of one batch */

struct model_version {
    uint64_t index;
    uint64_t seed; /* of its bytes */
    uint32_t size;
    bool deleted;
};

struct model {
    struct help_rng rng;
    uint64_t commit;
    struct {
        struct model_version *versions;
        size_t count, room;
    } keys[MODEL_KEYS];
    uint64_t puts, deletes, mismatches, full, batches; /* for the curious */
};

void model_open(struct model *m, uint64_t seed);
void model_close(struct model *m);

/* Keys are 4 to MODEL_KEY_MOST bytes. */
size_t model_key(uint32_t k, uint8_t out[MODEL_KEY_MOST]);

/* The version of a key that is current at an index; NULL: none, or deleted. */
const struct model_version *model_at(const struct model *m, uint32_t k, uint64_t index);

/* Is this the value? */
bool model_is(const struct model_version *v, const void *value, size_t size, uint64_t version);

/* One random write, single or batch, done and noted. led: is there a leader? Checks by help_check(): any thread. */
void model_write(struct model *m, struct tide *d, struct tide_reader *session, bool led);

/* Compare a whole open section at an index with the model: each key by get and peek, and a scan. By help_check(). */
void model_check_section(const struct model *m, struct tide_reader *r, uint64_t index);

#endif
