/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/replica/replica.h"

#include <stdlib.h>

#include "engine/table/kill.h"
#include "shm/lag.h"

int replica_make_table(struct replica *r) {
    struct tide *d = r->domain;
    uint64_t size = table_segment_bytes(r->table_bytes);
    /* A follower that joins anew after its domain was removed must not bring a table back under that name. */
    int current = segment_is_current(&d->segment);
    if (current != 1) {
        return current == 0 ? TIDE_ERR_GONE : current;
    }
    int error = segment_create(&r->view.segment, d->name, SEGMENT_TABLE, r->view.id, size);
    if (error != 0) {
        return error;
    }
    if (table_create(&r->writer, r->view.segment.base, r->view.segment.size_bytes, d->words.table_bytes, d->hash_seed,
                     d->words.expected_keys) != 0) {
        segment_discard(&r->view.segment);
        return TIDE_ERR_NOMEM;
    }
    uint64_t id = segment_random();
    KILL_POINT("replica.created");
    error =
        segment_publish_replace(&r->view.segment, d->name, SEGMENT_TABLE, r->view.id, d->words.header.incarnation, id);
    if (error != 0) {
        table_destroy(&r->writer);
        segment_discard(&r->view.segment);
        return error;
    }
    KILL_POINT("replica.published");
    if (d->dumped) {
        segment_let_dump(r->view.segment.base, r->view.segment.size_bytes);
    }
    struct table_segment *seg = r->writer.t.seg;
    r->view.lag_all = (struct hdr *)(r->view.segment.base + seg->lag_all_off);
    r->view.lag_windows = (struct lag_windows *)(r->view.segment.base + seg->lag_windows_off);
    r->view.table = r->writer.t;
    r->view.buckets_most =
        view_buckets_most(&r->view); /* tide_verify() looks at own replicas by the way of foreign ones */
    r->applied = r->published = 0;
    r->pos = 0;
    r->last_ts = 0;
    r->exact = false;
    r->view.segment_id = id;
    atomic_store(&r->view.board->segment_id, id); /* MO(replica.segment) */
    KILL_POINT("replica.announced");
    return 0;
}

void replica_drop_table(struct replica *r) {
    r->exact = false;
    table_destroy(&r->writer);
    segment_detach(&r->view.segment);
}
