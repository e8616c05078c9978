/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fields of a request's body: read, checked, and where one is wrong, answered with error 12 that names it. */
#include <stdio.h>

#include "engine/tidemark.h"
#include "tools/node/json_number.h"
#include "tools/node/protocol.h"

static enum json_kind protocol_kind_of(const struct protocol *p, uint32_t node) {
    return (enum json_kind)p->tape.nodes[node].kind;
}

static int protocol_refuse(struct protocol *p, const struct request *q, const char *name, const char *expected) {
    protocol_error(p, q, CODE_MALFORMED, "%s must be %s", name, expected);
    return -1;
}

int field_any(struct protocol *p, const struct request *q, const char *name, uint32_t *node) {
    uint32_t found = json_find(&p->tape, q->body, name);
    if (found == 0) {
        protocol_error(p, q, CODE_MALFORMED, "%s is missing", name);
        return -1;
    }
    *node = found;
    return 0;
}

int field_string(struct protocol *p, const struct request *q, const char *name, struct buf *out) {
    uint32_t node;
    size_t size;
    if (field_any(p, q, name, &node) != 0) {
        return -1;
    }
    json_text(&p->tape, node, &size);
    if (protocol_kind_of(p, node) != JSON_STR || size == 0) {
        return protocol_refuse(p, q, name, "a string that is not empty");
    }
    out->size = 0;
    json_append(out, &p->tape, node);
    return 0;
}

int field_bool(struct protocol *p, const struct request *q, const char *name, int missing, int *out) {
    uint32_t node = json_find(&p->tape, q->body, name);
    if (node && protocol_kind_of(p, node) != JSON_TRUE && protocol_kind_of(p, node) != JSON_FALSE) {
        return protocol_refuse(p, q, name, "true or false");
    }
    *out = node ? protocol_kind_of(p, node) == JSON_TRUE : missing;
    return 0;
}

int field_whole(struct protocol *p, const struct request *q, const char *name, uint64_t missing, uint64_t *out) {
    uint32_t node = json_find(&p->tape, q->body, name);
    uint64_t value = missing;
    size_t size;
    if (node) {
        const char *text = json_text(&p->tape, node, &size);
        if (protocol_kind_of(p, node) != JSON_NUM || json_number_whole(text, size, &value) != 0) {
            return protocol_refuse(p, q, name, "a whole number from 0 to 2^53");
        }
    }
    *out = value;
    return 0;
}

int field_ms(struct protocol *p, const struct request *q, const char *name, uint64_t missing_ns, uint64_t max_ns,
             uint64_t *out_ns) {
    uint32_t node = json_find(&p->tape, q->body, name);
    uint64_t value = missing_ns;
    size_t size;
    if (node) {
        const char *text = json_text(&p->tape, node, &size);
        if (protocol_kind_of(p, node) != JSON_NUM || json_number_ms(text, size, max_ns, &value) != 0) {
            char expected[64];
            snprintf(expected, sizeof(expected), "a number of milliseconds from 0 to %llu",
                     (unsigned long long)(max_ns / 1000000));
            return protocol_refuse(p, q, name, expected);
        }
    }
    *out_ns = value;
    return 0;
}

int field_ttl(struct protocol *p, const struct request *q, uint64_t *out_ns) {
    uint32_t node = json_find(&p->tape, q->body, "ttl_ms");
    uint64_t ms = 0;
    size_t size;
    if (node) {
        const char *text = json_text(&p->tape, node, &size);
        if (protocol_kind_of(p, node) != JSON_NUM || json_number_whole(text, size, &ms) != 0 || ms == 0 ||
            ms > PROTOCOL_TTL_MAX_MS) {
            return protocol_refuse(p, q, "ttl_ms", "a whole number of milliseconds from 1 to 1000000000000");
        }
    }
    *out_ns = ms * 1000000;
    return 0;
}

int field_delta(struct protocol *p, const struct request *q, const char *name, int64_t missing, int64_t *out) {
    uint32_t node = json_find(&p->tape, q->body, name);
    uint64_t value;
    size_t size;
    if (!node) {
        *out = missing;
        return 0;
    }
    const char *text = json_text(&p->tape, node, &size);
    int negative = protocol_kind_of(p, node) == JSON_NUM && text[0] == '-';
    if (protocol_kind_of(p, node) != JSON_NUM ||
        json_number_whole(text + negative, size - (size_t)negative, &value) != 0) {
        return protocol_refuse(p, q, name, "a whole number from -2^53 to 2^53");
    }
    *out = negative ? -(int64_t)value : (int64_t)value;
    return 0;
}

int field_word(struct protocol *p, const struct request *q, const char *name, const char *const *words,
               unsigned missing, unsigned *out) {
    uint32_t node = json_find(&p->tape, q->body, name);
    char expected[128] = "one of";
    size_t used = strlen(expected);
    if (!node) {
        *out = missing;
        return 0;
    }
    for (unsigned i = 0; words[i]; i++) {
        if (json_is(&p->tape, node, words[i])) {
            *out = i;
            return 0;
        }
        used += (size_t)snprintf(expected + used, sizeof(expected) - used, " \"%s\"", words[i]);
    }
    return protocol_refuse(p, q, name, expected);
}

static int protocol_refuse_inexact(struct protocol *p, const struct request *q, const char *name, uint32_t node) {
    size_t size;
    const char *text = json_text(&p->tape, node, &size);
    protocol_error(p, q, CODE_MALFORMED, "%s has a number that cannot be kept exactly: %.*s%s (send it as a string)",
                   name, size > 60 ? 60 : (int)size, text, size > 60 ? "..." : "");
    return -1;
}

int field_key_node(struct protocol *p, const struct request *q, const char *name, uint32_t node, struct buf *out) {
    enum json_kind kind = protocol_kind_of(p, node);
    uint32_t inexact = json_find_inexact(&p->tape, node);
    if (kind == JSON_ARRAY || kind == JSON_OBJECT) {
        return protocol_refuse(p, q, name, "a string, a number, true, false or null");
    }
    if (inexact) {
        return protocol_refuse_inexact(p, q, name, inexact);
    }
    size_t start = out->size;
    json_append_canonical(out, &p->tape, node);
    if (out->size - start > TIDE_KEY_MAX) {
        protocol_error(p, q, CODE_MALFORMED, "%s is longer than %u bytes", name, TIDE_KEY_MAX);
        return -1;
    }
    return 0;
}

int field_key(struct protocol *p, const struct request *q, struct buf *out) {
    uint32_t node;
    out->size = 0;
    return field_any(p, q, "key", &node) != 0 ? -1 : field_key_node(p, q, "key", node, out);
}

int field_value(struct protocol *p, const struct request *q, const char *name, uint32_t *node, struct buf *out) {
    if (field_any(p, q, name, node) != 0) {
        return -1;
    }
    uint32_t inexact = json_find_inexact(&p->tape, *node);
    if (inexact) {
        return protocol_refuse_inexact(p, q, name, inexact);
    }
    out->size = 0;
    json_append(out, &p->tape, *node);
    return 0;
}
