/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `tide dump` shows, in two forms: text for people, and one JSON object a line for programs (docs/layout.md lists
 * its fields). Nothing of a segment reaches the terminal unescaped.
 */
#ifndef TIDE_DUMP_PRINT_H
#define TIDE_DUMP_PRINT_H

#include "tools/dump/dump.h"
#include "tools/dump/ring.h"
#include "tools/lib/escape.h"
#include "tools/lib/json_out.h"

struct dump_view {
    FILE *out;
    struct json_out json;
    bool full;               /* keys and values whole */
    bool ages;               /* timestamps are of this machine's clock */
    bool other_version;      /* made the segment: that is no damage */
    struct clock_line clock; /* a copy of the domain's */
    uint32_t key_room;       /* characters for a key, and for a value */
    uint32_t value_room;
};

struct dump_totals {
    uint64_t frames; /* shown */
    uint64_t bad;    /* of those walked over: CRC or content */
    uint64_t problems;
    enum tool_code code;
    bool other_version;
};

struct dump_format {
    void (*header)(struct dump_view *v, const struct dump_file *f, const struct segment_header *h, bool understood);
    void (*leader)(struct dump_view *v, const struct dump_log *log);
    void (*source)(struct dump_view *v, const struct log_segment *seg); /* of a fed domain */
    void (*members)(struct dump_view *v, const struct dump_log *log);
    void (*replica)(struct dump_view *v, const struct log_segment *seg, uint32_t id);
    void (*lanes)(struct dump_view *v, const struct log_segment *seg);
    void (*reads)(struct dump_view *v, const struct log_segment *seg);
    void (*table)(struct dump_view *v, const struct dump_table *t);
    void (*spill)(struct dump_view *v, const struct segment_header *h);
    void (*ring)(struct dump_view *v, const struct log_segment *seg); /* before the frames */
    void (*frame)(struct dump_view *v, const struct dump_frame *frame);
    void (*gap)(struct dump_view *v, const struct dump_gap *gap);
    void (*problem)(struct dump_view *v, const char *text);
    void (*end)(struct dump_view *v, const struct dump_totals *totals);
};
extern const struct dump_format dump_text, dump_json;

/* A name of at most `room` bytes, ended by a zero or not. */
static inline size_t dump_name_len(const char *name, size_t room) {
    size_t n = 0;
    while (n < room && name[n]) {
        n++;
    }
    return n;
}

/* Names for what lies in shared memory; "?" where there is no such thing. Static storage. */
const char *dump_type_name(uint32_t type);
const char *dump_state_name(uint32_t state); /* of a replica's whole state word */
const char *dump_role_name(uint32_t role);
const char *dump_phase_name(uint32_t phase);
const char *dump_kind_name(uint32_t kind);

#endif
