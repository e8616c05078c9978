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

/* An instant of expiry that never comes. */
#define MODEL_FOREVER UINT64_MAX

struct model_version {
    uint64_t index;
    uint64_t seed; /* of its bytes; is_number: the number whose text they are */
    uint32_t size;
    bool deleted, is_number;
    bool keep;       /* it must not be evicted */
    bool over;       /* its life was over when it was committed: `expiry` is the commit's instant, or before */
    uint64_t expiry; /* on the domain's clock; MODEL_FOREVER: none */
};

/* The instants that a read can have looked at: low <= T < high. What it found narrows them. */
struct model_span {
    uint64_t low, high;
};

struct model {
    struct help_rng rng;
    uint64_t commit;
    bool large; /* most values are: all keys do not fit into a small table */
    struct {
        struct model_version *versions;
        size_t count, room;
    } keys[MODEL_KEYS];
    uint64_t puts, deletes, mismatches, full, batches; /* printed in the end */

    /* A live one: ttl, touch, add, eviction. Entries that the leader makes by itself are taken from a watch and checked. */
    struct tide_watch *watch; /* NULL: none of that, and every index is a write's of the model */
    uint64_t default_ttl_ns;
    bool evicts;
    uint64_t touches, adds, expired, evicted, refused; /* refused: touch, add that could not be done */
};

void model_open(struct model *m, uint64_t seed);
void model_close(struct model *m);

/* Keys are 4 to MODEL_KEY_MOST bytes. */
size_t model_key(uint32_t k, uint8_t out[MODEL_KEY_MOST]);

/* The version of a key that is current at an index; NULL: none, or deleted. */
const struct model_version *model_at(const struct model *m, uint32_t k, uint64_t index);

/* Is this the value? */
bool model_is(const struct model_version *v, const void *value, size_t size, uint64_t version);

/* Its bytes. */
void model_bytes(const struct model_version *v, uint8_t out[MODEL_VALUE_MOST + 8]);

/* A read found this version, or found the key absent (NULL where it has none). False where no instant is left that explains it. */
bool model_saw(struct model_span *span, const struct model_version *v, bool found);

/* A size for a new value. */
uint32_t model_size(struct model *m);

void model_note(struct model *m, uint32_t k, const struct model_version *v);
uint64_t model_commit(struct tide *d);

/* Every key, as many as there are, is deleted in batches, as `tide clear` does it. Live ones alone. */
void model_clear(struct model *m, struct tide *d);

/* One random write, single or batch, done and noted. led: is there a leader? Checks by help_check(): any thread. */
void model_write(struct model *m, struct tide *d, struct tide_reader *session, bool led);
void model_write_live(struct model *m, struct tide *d, struct tide_reader *session, bool led);

/* Take in what the leader did by itself up to now: m->commit is the domain's. Does nothing where the model is not live. By help_check(). */
void model_sync(struct model *m, struct tide *d);

/* Compare a whole open section at an index with the model: each key by get and peek, and a scan. By help_check(). */
void model_check_section(const struct model *m, struct tide_reader *r, uint64_t index, struct model_span *span);

#endif
