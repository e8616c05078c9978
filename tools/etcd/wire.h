/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What etcd's JSON gateway is asked and answers, as text: keys and values in base64, numbers of 64 bits as strings, whatever is zero left
 * out. What comes in is checked: an answer that cannot be etcd's is an error with words, never a crash. One thread.
 *
 * Checked strictly by the reader of JSON that the protocol uses (tools/node/json_tape.h): a number of 64 bits survives it, and keys and
 * values are copied once.
 */
#ifndef TIDE_ETCD_WIRE_H
#define TIDE_ETCD_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/lib/buf.h"
#include "tools/node/json_tape.h"

/* Codes of gRPC that something depends on. */
enum wire_code {
    WIRE_INVALID = 3,
    WIRE_DENIED = 7,
    WIRE_EXHAUSTED = 8,
    WIRE_PRECONDITION = 9,
    WIRE_OUT_OF_RANGE = 11,
    WIRE_UNAVAILABLE = 14,
    WIRE_UNAUTHENTICATED = 16,
};

struct wire_header {
    uint64_t cluster, member, revision, term;
};

struct wire_bytes {
    const char *data;
    size_t size;
};

struct wire_kv {
    struct wire_bytes key, value;
    uint64_t mod_revision, create_revision, lease;
    bool deleted; /* an event: the key is gone */
};

/* What was read last. Everything in it is valid until the next wire_read(). Zero-initialise; wire_free(). */
struct wire {
    struct json_tape tape;
    struct buf bytes;
    struct wire_kv *kvs; /* of a range's answer, or a watch's events, in their order */
    size_t n, room;
    struct wire_header header;
    bool more;      /* a range: there are more keys behind the limit */
    uint64_t count; /* a range: of all keys */
    bool created, canceled, fragment;
    uint64_t compact_revision;
    bool succeeded;   /* a transaction */
    uint64_t id, ttl; /* a lease */
    /* An error of etcd's: code >= 0. */
    int code;
    char text[300];
};

/*
 * Read an answer, or one message of a watch. 0; or -1: it is none, and text says why. An error that etcd tells is read well: 0, and `code`
 * is not -1. `code` is -1 where there is none.
 */
int wire_read(struct wire *w, const char *text, size_t size);
void wire_free(struct wire *w);

/* The mod_revision that wire_range_answer() finds; 0: there is no such key. */
uint64_t wire_found(struct wire *w, size_t i);

/* Of a transaction: what its range number `i` found: 1, and the key in *out; 0: there is no such key; -1: the answer is none. */
int wire_range_answer(struct wire *w, size_t i, struct wire_kv *out);

/* The string that stands at the top of the last answer under this name, into `to`. 0, or -1. */
int wire_string(const struct wire *w, const char *name, char *to, size_t to_size);

/* ---- asking ---- */

struct wire_range {
    struct wire_bytes key, end; /* end {NULL, 0}: this key alone */
    uint64_t revision;          /* 0: the newest */
    uint64_t limit;
    uint64_t min_mod_revision; /* 0: all */
    bool count_only, keys_only;
};
void wire_add_range(struct buf *out, const struct wire_range *r);
/* fragment: a message that is larger than etcd's largest request comes in parts. */
void wire_add_watch(struct buf *out, const struct wire_bytes *key, const struct wire_bytes *end, uint64_t from_revision,
                    bool fragment);

/* `,"NAME":"base64"`, without the comma where it would be the first of an object. */
void wire_add_bytes(struct buf *out, const char *name, const void *bytes, size_t size);
void wire_add_u64(struct buf *out, const char *name, uint64_t value);

/* All keys that begin with the prefix: from the first to the end of a range. A prefix that is empty, or all 0xff, ends nowhere: "\0". */
void wire_prefix_range(const char *prefix, size_t size, struct buf *key, struct buf *end);

/* The length of the first complete JSON object in bytes, or up to what begins none; 0: there is none yet. *scan keeps where it stopped; begin
 * with {0}. Blanks before it count. */
struct wire_scan {
    size_t at;
    uint32_t depth;
    bool in_string;
};
size_t wire_message_end(struct wire_scan *scan, const char *text, size_t size);

#endif
