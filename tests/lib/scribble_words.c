/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/scribble_words.h"

#include <string.h>

#include "shm/layout.h"

enum where { IN_LOG, IN_TABLE, IN_USES, IN_BUCKET, IN_NODE, IN_NODE_END, IN_FRAME, IN_FRAME_END, ANYWHERE };

struct kind {
    const char *name;
    enum where where;
    size_t off, bytes;
    size_t stride, count; /* how many there are, and how far apart they lie */
};

#define MEMBER(type, field) sizeof(((struct type *)0)->field)
#define LOG(field)                                                                                                     \
    { #field, IN_LOG, offsetof(struct log_segment, field), MEMBER(log_segment, field), 0, 1 }
#define MANY(array, used, type, field)                                                                                 \
    {                                                                                                                  \
#array "." #field, IN_LOG, offsetof(struct log_segment, array) + offsetof(struct type, field),                 \
            MEMBER(type, field), sizeof(struct type), used                                                             \
    }
#define TABLE(field)                                                                                                   \
    { "table." #field, IN_TABLE, offsetof(struct table_segment, field), MEMBER(table_segment, field), 0, 1 }
#define NODE(field)                                                                                                    \
    { "node." #field, IN_NODE, offsetof(struct table_node, field), MEMBER(table_node, field), 0, 1 }
#define REQUEST(field)                                                                                                 \
    {                                                                                                                  \
        "lanes.request." #field, IN_LOG,                                                                               \
            offsetof(struct log_segment, lanes) + offsetof(struct lane, request) + offsetof(struct lane_op, field),    \
            sizeof(((struct lane_op *)0)->field), sizeof(struct lane), FEW                                             \
    }
#define FRAME(field)                                                                                                   \
    { "frame." #field, IN_FRAME, offsetof(struct frame, field), MEMBER(frame, field), 0, 1 }

#define SLOTS 8u /* the replica slots that such a domain uses */
#define FEW 12u  /* how many members and lanes the scribbler changes */

static const struct kind kinds[] = {
    LOG(header.magic),
    LOG(header.version),
    LOG(header.kind),
    LOG(header.fingerprint),
    LOG(header.size_bytes),
    LOG(header.incarnation),
    LOG(header.segment_id),
    LOG(header.created_unix_ns),
    LOG(header.time_ns_inode),
    LOG(header.owner_uid),
    LOG(header.replica),
    LOG(header.name[0]),
    LOG(header.flags),
    LOG(header.crc),
    LOG(ring_off),
    LOG(ring_bytes),
    LOG(hash_seed),
    LOG(slow_follower_ns),
    LOG(table_bytes),
    LOG(expected_keys),
    LOG(default_ttl_ns),
    LOG(evict),
    LOG(clock.seq),
    LOG(clock.use_tsc),
    LOG(clock.base_tsc),
    LOG(clock.base_ns),
    LOG(clock.mult),
    LOG(clock.shift),
    LOG(clock.anchor_tsc),
    LOG(clock.anchor_ns),
    LOG(leader.commit),
    LOG(leader.tail),
    LOG(leader.groups),
    LOG(leader.expired),
    LOG(leader.evicted),
    LOG(leader.reclaimed),
    LOG(leader.term),
    LOG(leader.leader),
    LOG(leader.wakes),
    LOG(leader.waits),
    LOG(leader.lapped),
    LOG(leader.refused_full),
    LOG(leader.table_bytes),
    LOG(leader.wake),
    LOG(leader.parked),
    LOG(leader.deciding),
    LOG(feed.complete_ts),
    LOG(feed.complete_revision),
    LOG(feed.complete_index),
    LOG(feed.begun),
    LOG(feed.done),
    LOG(feed.position),
    LOG(feed.identity),
    LOG(feed.writes_open),
    LOG(feed.wanted),
    LOG(feed.wake),
    LOG(feed.waiters),
    LOG(feed.bound),
    LOG(feed.note[0]),
    { "feed.note's end", IN_LOG,
      offsetof(struct log_segment, feed) + offsetof(struct feed_board, note) + LAYOUT_SOURCE_NOTE - 1, 1, 0, 1 },
    { "source's end", IN_LOG, offsetof(struct log_segment, source) + LAYOUT_SOURCE - 1, 1, 0, 1 },
    LOG(leader.vigil),
    LOG(leader.founder),
    MANY(marks, LAYOUT_MARKS, ring_mark, index),
    MANY(marks, LAYOUT_MARKS, ring_mark, pos),
    MANY(replicas, SLOTS, replica_board, applied),
    MANY(replicas, SLOTS, replica_board, applied_ts),
    MANY(replicas, SLOTS, replica_board, pos),
    MANY(replicas, SLOTS, replica_board, state),
    MANY(replicas, SLOTS, replica_board, role),
    MANY(replicas, SLOTS, replica_board, segment_id),
    MANY(replicas, SLOTS, replica_board, apply_delay_ns),
    MANY(replicas, SLOTS, replica_board, member),
    MANY(replicas, SLOTS, replica_board, pid),
    MANY(replicas, SLOTS, replica_board, digest_seq),
    MANY(replicas, SLOTS, replica_board, digest_index),
    MANY(replicas, SLOTS, replica_board, digest),
    MANY(replicas, SLOTS, replica_board, entries),
    MANY(replicas, SLOTS, replica_board, joins),
    MANY(replicas, SLOTS, replica_board, lapped),
    MANY(replicas, SLOTS, replica_board, join_laps),
    MANY(replicas, SLOTS, replica_board, source_revision),
    MANY(replicas, SLOTS, replica_board, source_ts),
    MANY(replicas, SLOTS, replica_board, label[0]),
    MANY(replicas, SLOTS, replica_board, table_bytes),
    MANY(replicas, SLOTS, replica_board, wake),
    MANY(replicas, SLOTS, replica_board, waiters),
    MANY(replicas, SLOTS, replica_board, digest_marks[1].index),
    MANY(replicas, SLOTS, replica_board, digest_marks[1].digest),
    MANY(readers, FEW, reader_slot, owner_pid),
    MANY(readers, FEW, reader_slot, member),
    MANY(readers, FEW, reader_slot, misses),
    MANY(readers, FEW, reader_slot, made),
    MANY(readers, FEW, reader_slot, waited),
    MANY(readers, FEW, reader_slot, extra),
    MANY(readers, FEW, reader_slot, touches),
    MANY(readers, FEW, reader_slot, touched[0]),
    MANY(readers, FEW, reader_slot, touched[1]),
    MANY(readers, FEW, reader_slot, counts[0][0]),
    MANY(members, FEW, member_slot, used),
    MANY(members, FEW, member_slot, pid),
    MANY(members, FEW, member_slot, started_unix_ns),
    LOG(lanes_board.ready),
    LOG(lanes_board.wake),
    LOG(lanes_board.asleep),
    LOG(lanes_board.step_down),
    LOG(lanes_board.pinged),
    LOG(lanes_board.answered),
    MANY(leases, LAYOUT_LEASE_SETS, lease_set, lock),
    MANY(leases, LAYOUT_LEASE_SETS, lease_set, ways[0].key),
    MANY(leases, LAYOUT_LEASE_SETS, lease_set, ways[0].holder),
    MANY(leases, LAYOUT_LEASE_SETS, lease_set, ways[0].turn),
    MANY(leases, LAYOUT_LEASE_SETS, lease_set, ways[0].waiters),
    MANY(leases, LAYOUT_LEASE_SETS, lease_set, ways[LAYOUT_LEASE_WAYS - 1].key),
    MANY(leases, LAYOUT_LEASE_SETS, lease_set, ways[LAYOUT_LEASE_WAYS - 1].holder),
    MANY(leases, LAYOUT_LEASE_SETS, lease_set, ways[LAYOUT_LEASE_WAYS - 1].turn),
    MANY(lanes, FEW, lane, owner),
    MANY(lanes, FEW, lane, pid),
    MANY(lanes, FEW, lane, turn),
    MANY(lanes, FEW, lane, wake),
    MANY(lanes, FEW, lane, asleep),
    MANY(lanes, FEW, lane, ops),
    MANY(lanes, FEW, lane, flags),
    MANY(lanes, FEW, lane, request_bytes),
    MANY(lanes, FEW, lane, result),
    MANY(lanes, FEW, lane, failed),
    MANY(lanes, FEW, lane, index),
    MANY(lanes, FEW, lane, found),
    REQUEST(expected),
    REQUEST(ttl_ns),
    REQUEST(value_len),
    REQUEST(key_len),
    REQUEST(kind),
    REQUEST(flags),
    FRAME(length),
    FRAME(crc),
    FRAME(index),
    FRAME(commit_ts),
    FRAME(lane_seq),
    FRAME(term),
    FRAME(lane),
    FRAME(type),
    FRAME(flags),
    FRAME(value_len),
    FRAME(key_len),
    { "frame.payload", IN_FRAME, FRAME_HEADER_BYTES, 1, 1, 24 },
    { "frame.expiry", IN_FRAME_END, 0, EXPIRY_BYTES, 0, 1 },
    TABLE(header.magic),
    TABLE(header.incarnation),
    TABLE(header.segment_id),
    TABLE(header.size_bytes),
    TABLE(header.version),
    TABLE(header.kind),
    TABLE(header.owner_uid),
    TABLE(header.replica),
    TABLE(header.time_ns_inode),
    TABLE(header.flags),
    TABLE(header.crc),
    TABLE(buckets_off),
    TABLE(nodes_end),
    TABLE(lag_all_off),
    TABLE(lag_windows_off),
    TABLE(hash_seed),
    TABLE(buckets),
    TABLE(reorganised),
    TABLE(pages_off),
    TABLE(uses_off),
    TABLE(page_bytes),
    TABLE(reused),
    TABLE(used_bytes),
    TABLE(sum_bytes),
    TABLE(limit_bytes),
    TABLE(keys_most),
    { "table.sizes", IN_TABLE, offsetof(struct table_segment, sizes), 8, 8, 2 * LAYOUT_SIZES },
    TABLE(live_keys),
    TABLE(live_bytes),
    TABLE(retired_bytes),
    { "table.sizes.keys", IN_TABLE, offsetof(struct table_segment, sizes), 8, sizeof(struct size_count), LAYOUT_SIZES },
    { "table.sizes.bytes", IN_TABLE, offsetof(struct table_segment, sizes) + 8, 8, sizeof(struct size_count),
      LAYOUT_SIZES },
    TABLE(source.revision),
    TABLE(source.part),
    { "table.lanes.seq", IN_TABLE, offsetof(struct table_segment, lanes), 8, sizeof(struct lane_done), FEW },
    { "table.lanes.index", IN_TABLE, offsetof(struct table_segment, lanes) + 8, 8, sizeof(struct lane_done), FEW },
    { "table.lag", IN_TABLE, sizeof(struct table_segment), 8, 8, 9 },
    { "table.windows", IN_TABLE, sizeof(struct table_segment) + 36992, 8, 8, 40 },
    { "table.uses", IN_USES, 0, 4, 0, 1 },
    { "bucket.tags", IN_BUCKET, 0, 1, 1, TABLE_SLOTS },
    { "bucket.overflow", IN_BUCKET, 12, 4, 0, 1 },
    { "bucket.slots", IN_BUCKET, offsetof(struct table_bucket, slots), 4, 4, TABLE_SLOTS },
    NODE(index),
    NODE(deleted),
    NODE(prev),
    NODE(crc),
    NODE(heat),
    NODE(flags),
    { "node.expiry", IN_NODE_END, 0, EXPIRY_BYTES, 0, 1 },
    NODE(value_len),
    NODE(key_len),
    { "node.rest", IN_NODE, offsetof(struct table_node, key_len), 2, 2, 2 },
    { "node.payload", IN_NODE, NODE_HEADER_BYTES, 1, 1, 24 },
    { "anything", ANYWHERE, 0, 8, 0, 1 },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

uint32_t scribble_kinds(void) {
    return KINDS;
}

/* Words that a table's writer and readers follow: a changed one leads them to the bytes of another node, perhaps while its writer fills it. */
bool scribble_kind_leads(uint32_t kind) {
    static const char *const leads[] = { "bucket.",      "node.prev", "node.value_len",
                                         "node.key_len", "node.rest", "anything" };
    for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++) {
        if (strncmp(kinds[kind].name, leads[i], strlen(leads[i])) == 0) {
            return true;
        }
    }
    return false;
}

const char *scribble_kind_name(uint32_t kind) {
    return kinds[kind].name;
}

static uint64_t word_at(const uint8_t *at, size_t bytes) {
    uint64_t value = 0;
    memcpy(&value, at, bytes);
    return value;
}

/* Choose a mapped table by the low bits of `random`. */
static bool pick_table(const struct scribble_map *m, uint64_t *random, uint8_t **base, uint64_t *bytes) {
    uint32_t first = (uint32_t)(*random % SCRIBBLE_TABLES);
    *random /= SCRIBBLE_TABLES;
    for (uint32_t i = 0; i < SCRIBBLE_TABLES; i++) {
        uint32_t k = (first + i) % SCRIBBLE_TABLES;
        if (m->tables[k] != NULL) {
            *base = m->tables[k];
            *bytes = m->table_bytes[k];
            return true;
        }
    }
    return false;
}

/* Choose a bucket in use; few tables have more buckets than this. */
static uint8_t *pick_bucket(uint8_t *table, uint64_t bytes, uint64_t *random) {
    const struct table_segment *seg = (const struct table_segment *)table;
    uint64_t off = seg->buckets_off, n = 64;
    if (off >= bytes || bytes - off < n * sizeof(struct table_bucket)) {
        return NULL;
    }
    uint8_t *at = table + off + *random % n * sizeof(struct table_bucket);
    *random /= n;
    return at;
}

/* The word that counts how often a page changed its use. */
static uint8_t *pick_use(uint8_t *table, uint64_t bytes, uint64_t *random) {
    const struct table_segment *seg = (const struct table_segment *)table;
    uint64_t off = seg->uses_off, n = 64;
    if (off >= bytes || bytes - off < n * sizeof(uint32_t)) {
        return NULL;
    }
    uint8_t *at = table + off + *random % n * sizeof(uint32_t);
    *random /= n;
    return at;
}

static uint8_t *pick_node(uint8_t *table, uint64_t bytes, uint64_t *random) {
    for (int tries = 0; tries < 20; tries++) {
        const uint8_t *b = pick_bucket(table, bytes, random);
        if (b == NULL) {
            return NULL;
        }
        for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
            uint64_t off = word_at(b + offsetof(struct table_bucket, slots) + 4 * i, 4) * TABLE_UNIT;
            if (off != 0 && off < bytes && bytes - off > 64) {
                return table + off;
            }
        }
        *random = *random * UINT64_C(0x9e3779b97f4a7c15) + 1;
    }
    return NULL;
}

/* The instant of expiry, which stands behind key and value of a node or frame that has one. */
static uint8_t *pick_expiry(uint8_t *payload, bool has, uint64_t skip, const uint8_t *base, uint64_t bytes) {
    uint64_t left = bytes - (uint64_t)(payload - base);
    return has && skip < left && left - skip >= EXPIRY_BYTES ? payload + skip : NULL;
}

/* Find the start of a frame by a mark. */
static uint8_t *pick_frame(const struct scribble_map *m, uint64_t *random) {
    struct log_segment *log = (struct log_segment *)m->log;
    uint64_t pos = log->marks[*random % LAYOUT_MARKS].pos, ring = log->ring_bytes, off = log->ring_off;
    *random /= LAYOUT_MARKS;
    if (off >= m->log_bytes || ring == 0 || ring > m->log_bytes - off || (ring & (ring - 1)) != 0) {
        return NULL;
    }
    pos &= ring - 1;
    return pos + FRAME_HEADER_BYTES <= ring ? m->log + off + pos : NULL;
}

bool scribble_pick(const struct scribble_map *m, uint32_t kind, uint64_t random, struct scribble_word *out) {
    const struct kind *k = &kinds[kind];
    uint8_t *base = m->log;
    uint64_t bytes = m->log_bytes, off = k->off;
    bool in_table = k->where == ANYWHERE ? random % 4 != 0 : k->where >= IN_TABLE && k->where <= IN_NODE_END;
    if (in_table && !pick_table(m, &random, &base, &bytes)) {
        return false;
    }
    uint8_t *start = base;
    if (k->where == IN_USES) {
        base = pick_use(base, bytes, &random);
    } else if (k->where == IN_BUCKET) {
        base = pick_bucket(base, bytes, &random);
    } else if (k->where == IN_NODE || k->where == IN_NODE_END) {
        base = pick_node(base, bytes, &random);
    } else if (k->where == IN_FRAME || k->where == IN_FRAME_END) {
        base = pick_frame(m, &random);
    } else if (k->where == ANYWHERE) {
        off = random % (bytes / 8) * 8;
    }
    if (base != NULL && k->where == IN_NODE_END) {
        struct table_node n;
        memcpy((void *)&n, base, sizeof(n)); /* a changed word may lead to an address that is not aligned */
        base = pick_expiry(base + NODE_HEADER_BYTES, (n.value_len & (NODE_EXPIRES | NODE_SOURCED)) != 0,
                           n.key_len + (n.value_len & ~(NODE_EXPIRES | NODE_SOURCED)), start, bytes);
    } else if (base != NULL && k->where == IN_FRAME_END) {
        struct frame f;
        memcpy(&f, base, sizeof(f));
        base = pick_expiry(base + FRAME_HEADER_BYTES, (f.flags & FRAME_EXPIRES) != 0, (uint64_t)f.key_len + f.value_len,
                           start, bytes);
    }
    if (base == NULL) {
        return false;
    }
    *out = (struct scribble_word){ k->name, base + off + random % k->count * k->stride, (uint32_t)k->bytes };
    return true;
}
