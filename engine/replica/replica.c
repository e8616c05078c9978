/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/replica/replica.h"

#include <stdlib.h>
#include <unistd.h>

#include "engine/table/evict.h"
#include "engine/table/kill.h"
#include "shm/lag.h"

int replica_make_table(struct replica *r) {
    struct tide *d = r->domain;
    uint64_t size = table_segment_bytes(r->table_bytes);
    /* A follower that joins anew after its domain was removed must not make a table under that name again. */
    int current = segment_is_current(&d->segment);
    if (current != 1) {
        return current == 0 ? TIDE_ERR_GONE : current;
    }
    int error = segment_create(&r->view.segment, d->dir, d->name, SEGMENT_TABLE, r->view.id, size);
    if (error != 0) {
        return error;
    }
    if (table_create(&r->writer, r->view.segment.base, r->view.segment.size_bytes, d->words.table_bytes, d->hash_seed,
                     d->words.expected_keys) != 0) {
        segment_discard(&r->view.segment);
        return TIDE_ERR_NOMEM;
    }
    if (d->words.evict == EVICT_S3FIFO && evict_begin(&r->writer) != 0) {
        table_destroy(&r->writer);
        segment_discard(&r->view.segment);
        return TIDE_ERR_NOMEM;
    }
    struct table_segment *seg = r->writer.t.seg; /* no other process has mapped it yet */
    r->view.lag_all = (struct hdr *)(r->view.segment.base + seg->lag_all_off);
    r->view.lag_windows = (struct lag_windows *)(r->view.segment.base + seg->lag_windows_off);
    uint64_t id = segment_random();
    KILL_POINT("replica.created");
    error = tide_publish(d, &r->view.segment, SEGMENT_TABLE, r->view.id, id);
    if (error != 0) {
        table_destroy(&r->writer);
        segment_discard(&r->view.segment);
        return error;
    }
    KILL_POINT("replica.published");
    if (d->dumped) {
        segment_let_dump(r->view.segment.base, r->view.segment.size_bytes);
    }
    r->view.table = r->writer.t;
    r->view.buckets_most =
        view_buckets_most(&r->view); /* tide_verify() reads own replicas like foreign ones, by validated copies */
    r->applied = r->published = 0;
    r->pos = 0;
    r->last_ts = 0;
    r->exact = false;
    atomic_store(&r->damaged, false);
    memset((void *)r->done, 0, sizeof(r->done));
    r->source.revision = r->source.part = r->source.ts = 0;
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

void replica_stop_serving(struct replica *r) {
    if (atomic_exchange(&r->damaged, true)) {
        return;
    }
    struct tide *d = r->domain;
    const struct table_own *own = r->view.table.own;
    const char *what = atomic_load(&own->damage);
    tide_logf(d, TIDE_LOG_ERROR,
              "replica %u: %s is damaged, near byte %llu: another process wrote there; it serves nothing more, and %s",
              r->view.id, what != NULL ? what : "its table", (unsigned long long)atomic_load(&own->damage_off),
              !atomic_load(&r->leads) ? "joins anew"
              : r->candidate          ? "hands over"
                                      : "refuses writes until it is stopped and started again");
    uint32_t serving = REPLICA_SERVING;
    atomic_compare_exchange_strong(&r->view.board->state, &serving, REPLICA_FAILED);
    /* The threads that have to act sleep on these words. */
    _Atomic uint32_t *words[] = { &r->nudge, &d->log->leader.wake, &d->log->lanes_board.wake };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        park_rouse(words[i], INT32_MAX);
    }
}

void replica_mend_board(struct replica *r) {
    struct replica_board *b = r->view.board;
    if (r->applied != r->published ||
        (board_applied(b) == r->applied && board_pos(b) == r->pos &&
         atomic_load(&b->segment_id) == r->view.segment_id && /* MO(replica.segment) */
         atomic_load(&b->member) == r->domain->member && atomic_load(&b->table_bytes) == r->table_bytes)) {
        return;
    }
    tide_logf(r->domain, TIDE_LOG_WARN, "replica %u: another process changed words of its board: written again",
              r->view.id);
    board_publish(b, r->applied, r->last_ts, r->pos);
    source_publish(r);
    board_put_digest(b, r->applied, r->writer.digest);
    atomic_store(&b->segment_id, r->view.segment_id); /* MO(replica.segment) */
    atomic_store(&b->member, r->domain->member);
    atomic_store(&b->table_bytes, r->table_bytes);
    atomic_store(&b->pid, (uint32_t)getpid());
}
