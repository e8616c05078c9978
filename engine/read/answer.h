/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every field of an answer is filled here. Inline, since most fields of a get's answer are constants to the
 * compiler. */
#ifndef TIDE_READ_ANSWER_H
#define TIDE_READ_ANSWER_H

#include <string.h>

#include "engine/read/reader.h"
#include "engine/replica/sized.h"

/* Which replica served, and how fresh that was. */
static inline void answer_served(struct tide_answer *a, const struct verdict *v) {
    /* linearizable, stale, from_leader, reserved: in one store */
    const uint8_t flags[4] = { v->staleness_ns == 0 && !v->breach, v->breach, v->leader, 0 };
    a->reason = v->reason;
    a->served_by = v->id;
    memcpy(&a->linearizable, flags, sizeof(flags));
    a->index = v->index;
    a->commit_index = v->commit;
    a->staleness_ns = v->staleness_ns;
    a->waited_ns = v->waited_ns;
}

/* The value that was found, and what is left of its life: all 0 where there was none. An older program's answer has no ttl_ns. */
static inline void answer_value(struct tide_answer *a, uint64_t value_size, uint64_t version, uint64_t ttl_ns) {
    a->value_size = value_size;
    a->version = version;
    if (__builtin_expect(SIZED_HAS(a, tide_answer, ttl_ns), 1)) {
        a->ttl_ns = ttl_ns;
    }
}

static inline void answer_found(struct tide_answer *a, const struct found *f, const struct instant *when) {
    answer_value(a, f->size, f->version, f->expiry != 0 ? instant_left(when, f->expiry) : 0);
}

#endif
