/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames that cannot be, with checksums that fit or not, as a follower applies them: engine/log/apply.c on the replica of a leader that
 * does nothing else meanwhile. The table has to stay one that can be read from end to end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/log/apply.h"
#include "engine/replica/domain.h"
#include "shm/crc.h"
#include "tests/fuzz/fuzz.h"

#define RING_BYTES (64u << 10)
#define TABLE_BYTES (1u << 20)
#define INPUTS_MOST 20000u /* for one domain */

static struct tide *d;
static unsigned inputs;

static void leave(void) {
    if (d != NULL) {
        atomic_store(&d->seq.taken, false);
        (void)tide_put(d, NULL, "end", 3, "", 0, NULL); /* wakes the thread that waited for the turn */
        (void)tide_close(d);
        d = NULL;
    }
}

static void start(void) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide_replica_opts r = TIDE_REPLICA_OPTS_INIT;
    char name[32];
    snprintf(name, sizeof(name), "fuzz-apply-%d", (int)getpid());
    o.flags |= TIDE_EPHEMERAL;
    o.ring_bytes = RING_BYTES;
    o.table_bytes = TABLE_BYTES;
    o.evict = TIDE_EVICT_S3FIFO;
    r.role = TIDE_LEADER;
    FUZZ_EXPECT(tide_open(&d, name, &o) == 0 && tide_replica_start(d, &r, NULL) == 0);
    /* The turn is this thread's from now on: the leader removes nothing that expires, and writes nothing of its own. */
    while (atomic_exchange(&d->seq.taken, true)) {
    }
    inputs = 0;
}

/* One frame at *pos, as the input says. False: nothing more fits. */
static bool make_frame(struct fuzz_input *in, uint64_t *pos, uint64_t index, uint64_t from) {
    static uint8_t frame[8192];
    struct frame f;
    memset((void *)&f, 0, sizeof(f));
    uint64_t how = fuzz_take(in, 1);
    f.index = index;
    f.term = d->log->leader.term;
    f.commit_ts = fuzz_take(in, 4);
    f.type = (uint8_t)(how & 1 ? fuzz_take(in, 1) : FRAME_PUT);
    f.flags = (uint8_t)fuzz_take(in, 1);
    f.key_len = (uint16_t)(how & 2 ? fuzz_take(in, 2) : 1 + fuzz_below(in, 12));
    f.value_len = (uint32_t)(how & 4 ? fuzz_take(in, 4) : fuzz_below(in, 200));
    f.lane = (uint16_t)(how & 8 ? fuzz_take(in, 2) : 0);
    f.lane_seq = how & 8 ? fuzz_take(in, 2) : 0;
    size_t payload = ring_payload_bytes(&f);
    size_t length = (sizeof(f) + payload + 7) & ~(size_t)7;
    f.length = how & 16 ? (uint32_t)fuzz_take(in, 4) : (uint32_t)length;
    if (length > sizeof(frame) || *pos + length - from > RING_BYTES / 2) {
        payload = 64; /* what the lengths promise is not there */
        length = sizeof(f) + payload;
    }
    if (*pos + length - from > RING_BYTES / 2) {
        return false;
    }
    for (size_t i = 0; i < payload; i++) {
        frame[sizeof(f) + i] = in->left > 0 && i < 24 ? (uint8_t)fuzz_take(in, 1) : (uint8_t)i;
    }
    f.crc = how & 32 ? (uint32_t)fuzz_take(in, 4) : ring_frame_crc(&f, crc32c(0, frame + sizeof(f), payload));
    memcpy(frame, (const void *)&f, sizeof(f));
    for (size_t i = 0; i < length; i++) {
        *ring_at(&d->ring, *pos + i) = frame[i];
    }
    *pos += length;
    return true;
}

static void read_all(void) {
    struct tide_reader *r;
    struct tide_bound any = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    any.max_staleness_ns = TIDE_UNBOUNDED;
    any.fallback = TIDE_FALLBACK_STALE;
    if (tide_reader_open(d, NULL, &r) == 0) {
        if (tide_section_begin(r, &any, &a) == 0) {
            (void)tide_section_scan(r, fuzz_see, NULL);
            (void)tide_section_end(r);
        }
        (void)tide_reader_close(r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct fuzz_input in = { bytes, size };
    static bool at_exit;
    if (d == NULL) {
        start();
    }
    if (!at_exit) {
        at_exit = true;
        atexit(leave);
    }
    struct replica *r = d->seq.leader;
    uint64_t from = r->pos, pos = from, index = r->applied, due;
    while (in.left > 0 && index - r->applied < 64 && make_frame(&in, &pos, index + 1, from)) {
        index++;
    }
    atomic_store(&d->log->leader.reclaimed, from);
    atomic_store(&d->log->leader.tail, pos);
    atomic_store(&d->log->leader.commit, index);
    enum apply_status status = apply_catch_up(r, index, &due);
    FUZZ_EXPECT(status == APPLY_OK || status == APPLY_LAPPED || status == APPLY_CORRUPT || status == APPLY_FULL);
    FUZZ_EXPECT(r->applied <= index && r->pos <= pos);
    atomic_store(&d->log->leader.commit, r->applied);
    atomic_store(&d->log->leader.tail, r->pos);
    if (++inputs % 64 == 0) {
        read_all();
    }
    if (r->applied != r->published) { /* a batch broke off: a real follower begins anew */
        replica_publish(r, r->last_ts);
    }
    if (inputs >= INPUTS_MOST || status == APPLY_FULL || table_is_damaged(&r->writer.t)) {
        leave();
    }
    return 0;
}
