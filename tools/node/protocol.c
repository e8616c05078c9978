/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Envelope and answers; the fields of a request's body are in protocol_fields.c. */
#include "tools/node/protocol.h"

#include <stdarg.h>
#include <stdio.h>

#include "engine/tidemark.h"
#include "tools/node/json_number.h"

/* A number that answers can carry as in_reply_to. */
static int protocol_read_msg_id(const struct json_tape *t, uint32_t body, uint64_t *out) {
    uint32_t node = json_find(t, body, "msg_id");
    size_t size;
    if (node == 0 || t->nodes[node].kind != JSON_NUM || t->nodes[node].bad) {
        return -1;
    }
    const char *text = json_text(t, node, &size);
    return json_number_whole(text, size, out);
}

/* A string with something in it, undamaged; else 0. */
static uint32_t protocol_find_name(const struct json_tape *t, const char *name) {
    uint32_t node = json_find(t, 0, name);
    size_t size;
    if (node == 0 || t->nodes[node].kind != JSON_STR || t->nodes[node].bad) {
        return 0;
    }
    json_text(t, node, &size);
    return size > 0 ? node : 0;
}

/* What is wrong with the line as JSON, for either channel; empty where nothing is. */
static void protocol_describe_fault(const struct json_tape *t, int is_cut, char *text, size_t text_size) {
    text[0] = '\0';
    if (is_cut) {
        snprintf(text, text_size, "the line is longer than %u bytes", PROTOCOL_LINE_MAX);
    } else if (t->fault != JSON_OK) {
        snprintf(text, text_size, "bad JSON at byte %zu: %s", t->fault_at, json_fault_text(t->fault));
    }
}

int protocol_read(struct protocol *p, const char *line, size_t size, int is_cut, struct request *q, char *why,
                  size_t why_size) {
    struct json_tape *t = &p->tape;
    *q = (struct request){ 0 };
    json_tape_read(t, line, size);
    protocol_describe_fault(t, is_cut, why, why_size);
    q->src = protocol_find_name(t, "src");
    q->body = json_find(t, 0, "body");
    if (q->src == 0 || protocol_read_msg_id(t, q->body, &q->msg_id) != 0) {
        if (why[0] == '\0') {
            snprintf(why, why_size, "%s",
                     t->n_nodes == 0 || t->nodes[0].kind != JSON_OBJECT ? "not a JSON object"
                     : q->src == 0                                      ? "src is missing or no string"
                     : q->body == 0 || t->nodes[q->body].kind != JSON_OBJECT
                         ? "body is missing or no object"
                         : "msg_id is missing or no whole number from 0 to 2^53");
        }
        return -1;
    }
    q->dest = protocol_find_name(t, "dest");
    if (why[0] != '\0') {
        protocol_error(p, q, CODE_MALFORMED, "%s", why);
        return 1;
    }
    if (q->dest == 0) {
        protocol_error(p, q, CODE_MALFORMED, "dest is missing or no string");
        return 1;
    }
    return 0;
}

void protocol_free(struct protocol *p) {
    json_out_free(&p->out);
    buf_free(&p->node_id);
    json_tape_free(&p->tape);
}

/* The answer comes from the name that was asked: a node hosts all replicas and answers to each of their names. */
static void protocol_append_sender(struct protocol *p, const struct request *q) {
    struct buf *out = &p->out.text;
    json_out_name(&p->out, "src");
    if (q->dest) {
        json_append(out, &p->tape, q->dest);
    } else if (p->node_id.size > 0) {
        buf_add(out, p->node_id.data, p->node_id.size);
    } else {
        buf_add_text(out, "\"\"");
    }
}

void reply_begin(struct protocol *p, const struct request *q, const char *type) {
    struct json_out *out = &p->out;
    json_out_open(out, NULL, '{');
    protocol_append_sender(p, q);
    json_out_name(out, "dest");
    json_append(&out->text, &p->tape, q->src);
    json_out_open(out, "body", '{');
    json_out_text(out, "type", type);
    json_out_u64(out, "in_reply_to", q->msg_id);
    json_out_u64(out, "msg_id", p->next_msg_id++);
}

void reply_end(struct protocol *p) {
    json_out_close(&p->out, '}');
    json_out_close(&p->out, '}');
    json_out_end_line(&p->out);
}

static void protocol_add_ms(struct buf *out, uint64_t us) {
    char text[32];
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)(us / 1000));
    if (us % 1000 != 0) {
        n += snprintf(text + n, sizeof(text) - (size_t)n, ".%03u", (unsigned)(us % 1000));
        while (text[n - 1] == '0') {
            n--;
        }
    }
    buf_add(out, text, (size_t)n);
}

void reply_ms(struct protocol *p, const char *name, uint64_t ns) {
    json_out_name(&p->out, name);
    protocol_add_ms(&p->out.text, ns / 1000 + (ns % 1000 != 0));
}

void reply_ttl(struct json_out *out, uint64_t ttl_ns) {
    if (ttl_ns == TIDE_TTL_NONE) {
        buf_add_text(&out->text, "null");
    } else {
        protocol_add_ms(&out->text, ttl_ns / 1000);
    }
}

void protocol_error_begin(struct protocol *p, const struct request *q, enum protocol_code code, const char *text) {
    reply_begin(p, q, "error");
    json_out_u64(&p->out, "code", (uint64_t)code);
    json_out_text(&p->out, "text", text);
}

void protocol_error(struct protocol *p, const struct request *q, enum protocol_code code, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    protocol_error_begin(p, q, code, text);
    reply_end(p);
}
