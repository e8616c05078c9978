/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log's last entries, looked at again and again from outside. A look begins where the one before it ended, or at the leader's newest
 * mark, whichever is nearer to the log's end, and reads a bounded part of the ring: where more than that is written between two looks,
 * what is shown is older than the log's end, and each entry's age says how much. One thread.
 */
#ifndef TIDE_DUMP_RECENT_H
#define TIDE_DUMP_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#define RECENT_ENTRIES 12u
#define RECENT_KEY_BYTES 96u

struct recent_entry {
    uint64_t index;
    uint64_t age_ns;    /* since its commit, at the last look; UINT64_MAX: not known */
    uint64_t commit_ts; /* on the domain's clock */
    const char *type;   /* "put", "delete", "expire", "evict", "term", "no-op" */
    bool batch;         /* the next entry belongs to the same batch */
    bool keep;          /* a put that is not to be evicted */
    uint64_t ttl_ns;    /* of a put, at its commit; 0: it does not expire */
    uint32_t key_bytes; /* all of the key; of it so many are here: */
    uint32_t kept_bytes;
    uint8_t key[RECENT_KEY_BYTES];
    uint32_t value_bytes;
};

/* Zero-initialise it; it owns nothing. */
struct recent {
    uint64_t incarnation;
    uint64_t index, pos; /* the entry behind the last one that was seen; index 0: none was */
    uint32_t n;
    struct recent_entry entries[RECENT_ENTRIES]; /* the newest first */
};

/* Look again. A domain that is missing, damaged or another one has no entries: n is 0, or what it was of the new one. */
void recent_read(struct recent *r, const char *name);

#endif
