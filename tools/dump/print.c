/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/dump/print.h"

#include "engine/tidemark.h"
#include "shm/board.h"

const char *dump_type_name(uint32_t type) {
    static const char *const NAMES[] = { "?", "put", "delete", "term", "noop", "expire", "evict" };
    return type < sizeof(NAMES) / sizeof(NAMES[0]) ? NAMES[type] : "?";
}

const char *dump_state_name(uint32_t state) {
    state &= BOARD_STATE_MASK;
    return state <= REPLICA_ORPHAN ? tide_state_name((enum tide_state)state) : "?";
}

const char *dump_role_name(uint32_t role) {
    return role == TIDE_LEADER ? "leader" : role == TIDE_FOLLOWER ? "follower" : "?";
}

const char *dump_phase_name(uint32_t phase) {
    static const char *const NAMES[] = { "idle", "submitted", "taken", "answered", "cancelled" };
    return phase < sizeof(NAMES) / sizeof(NAMES[0]) ? NAMES[phase] : "?";
}

const char *dump_kind_name(uint32_t kind) {
    return kind == SEGMENT_LOG ? "log" : kind == SEGMENT_TABLE ? "table" : kind == SEGMENT_SPILL ? "spill" : "?";
}
