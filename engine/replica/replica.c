/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/replica/replica.h"

#include <stdlib.h>

#include "engine/table/kill.h"
#include "engine/table/rcu.h"
#include "shm/lag.h"

int replica_make_table(struct replica *r) {
    struct tide *d = r->domain;
    uint64_t size = table_segment_bytes(r->table_bytes);
    /* A follower that joins anew after its domain was removed must not bring a table back under that name. */
    if (segment_is_current(&d->segment) == 0) {
        return TIDE_ERR_GONE;
    }
    int error = segment_create(&r->segment, d->name, SEGMENT_TABLE, r->id, size);
    if (error != 0) {
        return error;
    }
    if (table_create(&r->writer, r->segment.base, r->segment.size_bytes, d->words.table_bytes, d->hash_seed,
                     d->words.expected_keys) != 0) {
        segment_discard(&r->segment);
        return TIDE_ERR_NOMEM;
    }
    uint64_t id = segment_random();
    KILL_POINT("replica.created");
    error = segment_publish_replace(&r->segment, d->name, SEGMENT_TABLE, r->id, d->words.header.incarnation, id);
    if (error != 0) {
        table_destroy(&r->writer);
        segment_discard(&r->segment);
        return error;
    }
    KILL_POINT("replica.published");
    struct table_segment *seg = r->writer.t.seg;
    r->lag_all = (struct hdr *)(r->segment.base + seg->lag_all_off);
    r->lag_windows = (struct lag_windows *)(r->segment.base + seg->lag_windows_off);
    r->table = r->writer.t;
    r->buckets_most = replica_buckets_most(r); /* tide_verify() looks at own replicas by the way of foreign ones */
    r->applied = r->published = 0;
    r->pos = 0;
    r->last_ts = 0;
    r->exact = false;
    r->segment_id = id;
    atomic_store(&r->board->segment_id, id); /* MO(replica.segment) */
    KILL_POINT("replica.announced");
    return 0;
}

void replica_drop_table(struct replica *r) {
    r->exact = false;
    table_destroy(&r->writer);
    segment_detach(&r->segment);
}

void replica_show(struct replica *r) {
    /* MO(domain.replica): release; pairs with the acquire in read_replica(): the replica's fields before its pointer. */
    atomic_store_explicit(&r->domain->replicas[r->id], r, memory_order_release);
}

void replica_hide(struct replica *r) {
    atomic_store(&r->domain->replicas[r->id], NULL);
    rcu_wait();
}
