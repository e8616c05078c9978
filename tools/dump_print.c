/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/dump_print.h"

#include <string.h>

#include "engine/tidemark.h"
#include "shm/board.h"

static const char HEX[] = "0123456789abcdef";

size_t dump_escape(FILE *out, const void *bytes, size_t n, uint64_t room, bool json) {
    const unsigned char *b = bytes;
    const char *backslash = json ? "\\\\" : "\\";
    size_t i = 0;
    for (; i < n; i++) {
        bool plain = b[i] >= 0x20 && b[i] < 0x7f && b[i] != '"' && b[i] != '\\';
        uint64_t needs = plain ? 1 : b[i] == '\\' ? 2 : 4;
        if (needs > room)
            break;
        room -= needs;
        if (plain) {
            putc_unlocked(b[i], out);
        } else if (b[i] == '\\') {
            fputs(backslash, out);
            fputs(backslash, out);
        } else {
            fputs(backslash, out);
            putc_unlocked('x', out);
            putc_unlocked(HEX[b[i] >> 4], out);
            putc_unlocked(HEX[b[i] & 15], out);
        }
    }
    return i;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long dump_unescape(char *text) {
    char *to = text;
    for (const char *at = text; *at;) {
        if (*at != '\\') {
            *to++ = *at++;
        } else if (at[1] == '\\') {
            *to++ = '\\';
            at += 2;
        } else if (at[1] == 'x' && hex_digit(at[2]) >= 0 && hex_digit(at[3]) >= 0) {
            *to++ = (char)(hex_digit(at[2]) * 16 + hex_digit(at[3]));
            at += 4;
        } else {
            return -1;
        }
    }
    return to - text;
}

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
