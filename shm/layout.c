/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/layout.h"

/*
 * The fingerprint is FNV-1a (Fowler, Noll, Vo) over this table, so that two builds whose structs differ do not attach
 * to each other's segments, whatever their version numbers say. Field names are part of it: two fields that swapped
 * their meaning have the same offsets. A new struct or field of layout.h gets a line here.
 */
struct layout_item {
    const char *name;
    uint64_t offset;
    uint64_t bytes;
};

#define FIELD(type, field) {#type "." #field, offsetof(struct type, field), sizeof(((struct type *)0)->field)}
#define FLEXIBLE(type, field) {#type "." #field, offsetof(struct type, field), sizeof(((struct type *)0)->field[0])}
#define WHOLE(type) {#type, alignof(struct type), sizeof(struct type)}
#define LIMIT(name) {#name, 0, (uint64_t)(name)}

static const struct layout_item layout_items[] = {
    FIELD(segment_header, magic), FIELD(segment_header, version), FIELD(segment_header, kind),
    FIELD(segment_header, fingerprint), FIELD(segment_header, size_bytes), FIELD(segment_header, incarnation),
    FIELD(segment_header, segment_id), FIELD(segment_header, created_unix_ns),
    FIELD(segment_header, time_ns_inode), FIELD(segment_header, owner_uid), FIELD(segment_header, replica),
    FIELD(segment_header, name), FIELD(segment_header, reserved), FIELD(segment_header, crc),
    WHOLE(segment_header),
    FIELD(clock_line, seq), FIELD(clock_line, use_tsc), FIELD(clock_line, base_tsc), FIELD(clock_line, base_ns),
    FIELD(clock_line, mult), FIELD(clock_line, shift), FIELD(clock_line, reserved),
    FIELD(clock_line, anchor_tsc), FIELD(clock_line, anchor_ns), WHOLE(clock_line),
    FIELD(frame, length), FIELD(frame, crc), FIELD(frame, index), FIELD(frame, commit_ts),
    FIELD(frame, lane_seq), FIELD(frame, term), FIELD(frame, lane), FIELD(frame, type), FIELD(frame, flags),
    FIELD(frame, value_len), FIELD(frame, key_len), FIELD(frame, reserved), WHOLE(frame),
    FIELD(ring_mark, index), FIELD(ring_mark, pos), WHOLE(ring_mark),
    FIELD(leader_board, commit), FIELD(leader_board, reclaimed), FIELD(leader_board, tail),
    FIELD(leader_board, term), FIELD(leader_board, leader), FIELD(leader_board, groups),
    FIELD(leader_board, wakes), FIELD(leader_board, waits), FIELD(leader_board, lapped),
    FIELD(leader_board, refused_full), FIELD(leader_board, wake), FIELD(leader_board, parked),
    WHOLE(leader_board),
    FIELD(digest_mark, index), FIELD(digest_mark, digest), WHOLE(digest_mark),
    FIELD(replica_board, applied), FIELD(replica_board, applied_ts), FIELD(replica_board, pos),
    FIELD(replica_board, state), FIELD(replica_board, role), FIELD(replica_board, segment_id),
    FIELD(replica_board, apply_delay_ns), FIELD(replica_board, member), FIELD(replica_board, reserved),
    FIELD(replica_board, pid), FIELD(replica_board, digest_seq),
    FIELD(replica_board, digest_index), FIELD(replica_board, digest), FIELD(replica_board, entries),
    FIELD(replica_board, joins), FIELD(replica_board, lapped), FIELD(replica_board, label),
    FIELD(replica_board, wake), FIELD(replica_board, waiters), FIELD(replica_board, digest_marks),
    WHOLE(replica_board),
    FIELD(reader_slot, owner_pid), FIELD(reader_slot, member), FIELD(reader_slot, counts), WHOLE(reader_slot),
    FIELD(member_slot, used), FIELD(member_slot, pid), FIELD(member_slot, started_unix_ns), WHOLE(member_slot),
    FIELD(lane, owner), FIELD(lane, pid), FIELD(lane, turn), FIELD(lane, wake), FIELD(lane, asleep),
    FIELD(lane, ops), FIELD(lane, spilled), FIELD(lane, request_bytes), FIELD(lane, result), FIELD(lane, failed),
    FIELD(lane, index), FIELD(lane, found), FIELD(lane, request), WHOLE(lane),
    FIELD(lane_op, value_len), FIELD(lane_op, expected), FIELD(lane_op, kind), FIELD(lane_op, key_len),
    WHOLE(lane_op),
    FIELD(lane_done, seq), FIELD(lane_done, index), WHOLE(lane_done),
    FIELD(lanes_board, ready), FIELD(lanes_board, wake), FIELD(lanes_board, asleep),
    FIELD(lanes_board, step_down), WHOLE(lanes_board),
    FIELD(log_segment, header), FIELD(log_segment, ring_off), FIELD(log_segment, ring_bytes),
    FIELD(log_segment, hash_seed), FIELD(log_segment, slow_follower_ns), FIELD(log_segment, table_bytes),
    FIELD(log_segment, expected_keys), FIELD(log_segment, clock), FIELD(log_segment, leader),
    FIELD(log_segment, marks), FIELD(log_segment, replicas), FIELD(log_segment, readers),
    FIELD(log_segment, members), FIELD(log_segment, lanes_board), FIELD(log_segment, lanes), WHOLE(log_segment),
    FIELD(hdr, lowest), FIELD(hdr, highest), FIELD(hdr, digits), FIELD(hdr, unit_magnitude),
    FIELD(hdr, sub_bucket_half_magnitude), FIELD(hdr, sub_bucket_count), FIELD(hdr, bucket_count),
    FIELD(hdr, counts_len), FIELD(hdr, total), FIELD(hdr, min), FIELD(hdr, max), FIELD(hdr, reserved),
    FLEXIBLE(hdr, counts), WHOLE(hdr),
    FIELD(lag_windows, hdr_bytes), FIELD(lag_windows, window_count), FIELD(lag_windows, second),
    FIELD(lag_windows, reserved), WHOLE(lag_windows),
    FIELD(table_bucket, tags), FIELD(table_bucket, slots), WHOLE(table_bucket),
    FIELD(table_node, index), FIELD(table_node, deleted), FIELD(table_node, prev), FIELD(table_node, crc),
    FIELD(table_node, value_len), FIELD(table_node, key_len), FIELD(table_node, size_class), WHOLE(table_node),
    FIELD(table_segment, header), FIELD(table_segment, buckets_off), FIELD(table_segment, nodes_end),
    FIELD(table_segment, lag_all_off), FIELD(table_segment, lag_windows_off), FIELD(table_segment, hash_seed),
    FIELD(table_segment, reserved), FIELD(table_segment, buckets), FIELD(table_segment, reorganised),
    FIELD(table_segment, carved), FIELD(table_segment, live_keys), FIELD(table_segment, live_bytes),
    FIELD(table_segment, retired_bytes), FIELD(table_segment, lanes), WHOLE(table_segment),
    LIMIT(LAYOUT_LINE), LIMIT(LAYOUT_PAIR), LIMIT(LAYOUT_REPLICAS), LIMIT(LAYOUT_READERS),
    LIMIT(LAYOUT_REASONS), LIMIT(LAYOUT_MEMBERS), LIMIT(LAYOUT_LANES), LIMIT(LAYOUT_LANE_BYTES),
    LIMIT(LAYOUT_MARKS), LIMIT(LAYOUT_NAME), LIMIT(LAYOUT_LABEL), LIMIT(LAYOUT_KEY_MAX),
    LIMIT(LAYOUT_RING_MIN), LIMIT(LAYOUT_RING_MAX), LIMIT(FRAME_ALIGN), LIMIT(FRAME_HEADER_BYTES),
    LIMIT(LAYOUT_DIGEST_MARKS), LIMIT(LAYOUT_DIGEST_EVERY), LIMIT(LAYOUT_LAG_WINDOWS), LIMIT(TABLE_SLOTS),
    LIMIT(TABLE_UNIT), LIMIT(TABLE_BYTES_MAX), LIMIT(NODE_HEADER_BYTES), LIMIT(SEGMENT_LOG),
    LIMIT(SEGMENT_TABLE), LIMIT(SEGMENT_SPILL), LIMIT(FRAME_PUT), LIMIT(FRAME_DELETE), LIMIT(FRAME_TERM),
    LIMIT(FRAME_NOOP), LIMIT(FRAME_EXPIRE), LIMIT(FRAME_EVICT), LIMIT(FRAME_MORE), LIMIT(FRAME_EXTENDED),
    LIMIT(REPLICA_FREE),
    LIMIT(REPLICA_CLAIMED), LIMIT(REPLICA_JOINING), LIMIT(REPLICA_SERVING), LIMIT(REPLICA_LAPPED),
    LIMIT(REPLICA_STOPPED), LIMIT(REPLICA_DIVERGED), LIMIT(REPLICA_FAILED), LIMIT(REPLICA_ORPHAN),
    LIMIT(LANE_IDLE), LIMIT(LANE_SUBMITTED), LIMIT(LANE_TAKEN), LIMIT(LANE_ANSWERED), LIMIT(LANE_CANCELLED),
    LIMIT(LANE_ORPHAN),
};

static uint64_t layout_mix(uint64_t hash, const void *data, size_t bytes) {
    const uint8_t *at = data;
    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* Numbers are mixed in as they lie in memory, so that the byte order is part of the fingerprint. */
uint64_t layout_fingerprint(void) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < sizeof(layout_items) / sizeof(layout_items[0]); i++) {
        const struct layout_item *item = &layout_items[i];
        for (const char *c = item->name; *c != '\0'; c++) {
            hash = layout_mix(hash, c, 1);
        }
        hash = layout_mix(hash, &item->offset, sizeof(item->offset));
        hash = layout_mix(hash, &item->bytes, sizeof(item->bytes));
    }
    return hash;
}
