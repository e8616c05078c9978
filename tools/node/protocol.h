/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The envelope of the JSON-lines protocol: who asks, what, and how the answer is laid out (docs/protocol.md). It
 * knows nothing of domains and replicas. One thread.
 *
 * A handler reads its fields first, each by one of the field_ functions: where one is missing or wrong they have
 * written the error answer already and return -1, and the handler just returns. Then it writes one answer:
 * reply_begin, its fields, reply_end; or protocol_error.
 */
#ifndef TIDE_NODE_PROTOCOL_H
#define TIDE_NODE_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include "tools/lib/buf.h"
#include "tools/lib/json_out.h"
#include "tools/node/json_tape.h"

#define PROTOCOL_LINE_MAX (1u << 20)                           /* bytes of a line, without its end */
#define PROTOCOL_WAIT_MAX_NS (3600ull * 1000000000)            /* no request may keep the others waiting for longer */
#define PROTOCOL_STALENESS_MAX_NS (1000000000000ull * 1000000) /* 1e12 ms, some 31 years */

#define PROTOCOL_TTL_MAX_MS 1000000000000ull /* some 31 years */

/* Maelstrom's error codes. 0 and 13 leave open what became of the request, the others say that it was not done. */
enum protocol_code {
    CODE_TIMEOUT = 0,
    CODE_NOT_SUPPORTED = 10,
    CODE_UNAVAILABLE = 11,
    CODE_MALFORMED = 12,
    CODE_CRASH = 13,
    CODE_NO_KEY = 20,
    CODE_PRECONDITION = 22,
};

struct protocol {
    struct json_out out;  /* answers that are not written yet */
    uint64_t next_msg_id; /* answers are numbered in the order in which they are written */
    struct json_tape tape;
    struct buf node_id; /* as JSON text; empty before init */
};

/* One line, read. The nodes are of the protocol's tape and live until the next line; 0 where there is none. */
struct request {
    uint32_t src, dest, body;
    uint64_t msg_id;
};

/*
 * Read a line (without its end). is_cut: the line was over PROTOCOL_LINE_MAX and these are its first bytes.
 * Returns 0 for a request; 1 when the line was bad and has been answered with error 12; -1 when it is bad and cannot
 * be answered: `why` then says what is wrong.
 */
int protocol_read(struct protocol *p, const char *line, size_t size, int is_cut, struct request *q, char *why,
                  size_t why_size);

void protocol_free(struct protocol *p);

/* ---- answers ---- */

void reply_begin(struct protocol *p, const struct request *q, const char *type);
void reply_end(struct protocol *p);

/* Between the two: one field each, by the json_out_ functions on p->out. This one is for nanoseconds as milliseconds, up to
 * three decimals, rounded up: no answer is called fresher than it is. */
void reply_ms(struct protocol *p, const char *name, uint64_t ns);
/* Behind a name: what is left of a life, in the same way but rounded down, so that none is told longer than it is; null: it does not end. */
void reply_ttl(struct json_out *out, uint64_t ttl_ns);

/* A whole error answer, or its beginning for those that have more fields: then reply_end(). */
void protocol_error(struct protocol *p, const struct request *q, enum protocol_code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void protocol_error_begin(struct protocol *p, const struct request *q, enum protocol_code code, const char *text);

/* ---- fields: 0, or -1 when error 12 has been answered. An optional field that is missing gets its default ---- */

/* The node of a field that must be there, of any kind. */
int field_any(struct protocol *p, const struct request *q, const char *name, uint32_t *node);
/* A non-empty string; as JSON text into out. */
int field_string(struct protocol *p, const struct request *q, const char *name, struct buf *out);
int field_bool(struct protocol *p, const struct request *q, const char *name, int missing, int *out);
int field_whole(struct protocol *p, const struct request *q, const char *name, uint64_t missing, uint64_t *out);
int field_ms(struct protocol *p, const struct request *q, const char *name, uint64_t missing_ns, uint64_t max_ns,
             uint64_t *out_ns);
/* ttl_ms as nanoseconds; 0 where it is missing. */
int field_ttl(struct protocol *p, const struct request *q, uint64_t *out_ns);
/* A whole number with a sign; `missing` where it is not there. */
int field_delta(struct protocol *p, const struct request *q, const char *name, int64_t missing, int64_t *out);
/* One of the words (NULL ends the list); its position into *out. */
int field_word(struct protocol *p, const struct request *q, const char *name, const char *const *words,
               unsigned missing, unsigned *out);
/* A key: a string or another scalar, in the one spelling that the table uses; `name` is for the error text. */
int field_key_node(struct protocol *p, const struct request *q, const char *name, uint32_t node, struct buf *out);
int field_key(struct protocol *p, const struct request *q, struct buf *out);
/* A value of any kind, as the text that it comes back as. */
int field_value(struct protocol *p, const struct request *q, const char *name, uint32_t *node, struct buf *out);

#endif
