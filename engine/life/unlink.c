/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/life/unlink.h"

#include "engine/table/cancel.h"
#include "shm/bytes.h"
#include "shm/member.h"

void unlink_tables(const char *dir, const char *name, uint64_t incarnation) {
    for (uint32_t i = 0; i < LAYOUT_REPLICAS + LAYOUT_LANES; i++) {
        enum segment_kind kind = i < LAYOUT_REPLICAS ? SEGMENT_TABLE : SEGMENT_SPILL;
        uint32_t number = i % LAYOUT_REPLICAS;
        if (incarnation != 0) {
            segment_unlink_of(dir, name, kind, number, incarnation);
        } else {
            segment_unlink(dir, name, kind, number);
        }
    }
}
_Static_assert(LAYOUT_REPLICAS == LAYOUT_LANES, "one loop goes over both");

/* A member that made a table of a removed domain, and was killed before it noticed, has left it: nobody would ever remove it. A table is made
 * where its log has the name. So if the log is another one, or none, once the table's incarnation is known, that incarnation is over. */
static void unlink_strays(const char *dir, const char *name) {
    for (uint32_t i = 0; i < LAYOUT_REPLICAS + LAYOUT_LANES; i++) {
        enum segment_kind kind = i < LAYOUT_REPLICAS ? SEGMENT_TABLE : SEGMENT_SPILL;
        uint64_t incarnation = segment_incarnation(dir, name, kind, i % LAYOUT_REPLICAS);
        if (incarnation != 0 && segment_incarnation(dir, name, SEGMENT_LOG, 0) != incarnation) {
            segment_unlink_of(dir, name, kind, i % LAYOUT_REPLICAS, incarnation);
        }
    }
}

int unlink_dead(struct tide *d) {
    struct segment_header h;
    bytes_copy_racy(&h, d->log, sizeof(h));
    unlink_tables(d->dir, d->name, h.incarnation);
    return segment_unlink(d->dir, d->name, SEGMENT_LOG, 0);
}

static int unlink_named(const char *dir, const char *name) {
    /* The log first: without it nobody attaches, so nobody makes tables of this domain any more. Somebody may create the domain
     * anew at once: its tables are not ours to remove. Where there is no log, what lies there is nobody's. */
    struct segment log;
    int error = segment_attach(&log, dir, name, SEGMENT_LOG, 0, false);
    if (error == TIDE_ERR_SYSTEM) {
        return error; /* out of descriptors, say: whose tables those are cannot be told */
    }
    uint64_t incarnation = error == 0 ? ((struct segment_header *)log.base)->incarnation : 0;
    if (error == 0) {
        segment_detach(&log);
    }
    error = segment_unlink(dir, name, SEGMENT_LOG, 0);
    if (error == 0 || error == TIDE_ERR_NO_DOMAIN) {
        unlink_tables(dir, name, incarnation);
        unlink_strays(dir, name);
    }
    return error;
}

void unlink_at_end(struct tide *d) {
    if (d->read_only || segment_is_current(&d->segment) != 1) {
        return;
    }
    bool ephemeral = (d->segment.flags & SEGMENT_EPHEMERAL) != 0;
    bool stillborn = d->stillborn && board_commit(d->log) == 0;
    /* The one who made it ends it at once; anybody else, where he is the last. While byte 0 is ours alone, nobody comes in. */
    if (d->ephemeral) {
        unlink_named(d->dir, d->name);
    } else if ((ephemeral || stillborn) && member_claim_dead(segment_fd(&d->segment))) {
        unlink_dead(d);
    }
}

int tide_unlink(const char *name) {
    CANCEL_HOLD_OFF();
    char dir[SEGMENT_PATH_BYTES], path[SEGMENT_PATH_BYTES];
    if (name == NULL || segment_dir(dir) != 0 || segment_path(path, dir, name, SEGMENT_LOG, 0) != 0) {
        return TIDE_ERR_INVALID;
    }
    return unlink_named(dir, name);
}
