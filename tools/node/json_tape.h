/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One JSON text, read strictly (RFC 8259, UTF-8, no duplicate names, nesting up to 64) into a flat list of nodes
 * that point into the text. The text itself stays, because values must come back with the digits that they went in
 * with, names may hold a NUL, and a damaged line must still be searched for whom to answer: a parser that hands out
 * doubles and C strings (cJSON) can do none of these, and takes some texts that are no JSON.
 *
 * The nodes stand in the order of the text: a container, then its children, each with all of its own; in an object
 * the children are name, value, name, value. `next` of a node is the one behind all that belongs to it.
 *
 * After a fault that leaves the structure clear (a bad string or number, too deep, a name twice) reading goes on, so
 * that what follows can still be found; after any other it stops and the nodes so far stay.
 *
 * A tape is reused for text after text; zero-initialise it once. One thread at a time.
 */
#ifndef TIDE_NODE_JSON_TAPE_H
#define TIDE_NODE_JSON_TAPE_H

#include <stddef.h>
#include <stdint.h>

#include "tools/lib/buf.h"
#include "tools/node/json_string.h"

#define JSON_DEPTH_MAX 64
#define JSON_TEXT_MAX (1u << 30) /* offsets have 32 bits */

enum json_kind { JSON_NONE, JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUM, JSON_STR, JSON_ARRAY, JSON_OBJECT };

struct json_node {
    uint32_t start, end; /* of the text; a string's quotes included */
    uint32_t next;
    uint8_t kind; /* enum json_kind */
    uint8_t bad;  /* a string or number that is damaged, or that the end of the text cut: do not use it */
};

struct json_tape {
    const char *text;
    size_t size;
    struct json_node *nodes;
    uint32_t n_nodes, room;
    enum json_fault fault; /* the first one */
    size_t fault_at;
    uint32_t *names; /* scratch of the search for duplicates */
    size_t names_room;
};

/* Read a text, which must stay where it is while the tape is used. Returns the first fault, JSON_OK where there is
 * none. */
enum json_fault json_tape_read(struct json_tape *t, const char *text, size_t size);

void json_tape_free(struct json_tape *t);

/* The value of a name in an object: its node, or 0 where the object has no such name (0 is never a member), or
 * `object` is no object. On a damaged tape only values that were read whole are found. */
uint32_t json_find(const struct json_tape *t, uint32_t object, const char *name);

/* The node's text, and a string's without its quotes. */
static inline const char *json_text(const struct json_tape *t, uint32_t node, size_t *size) {
    const struct json_node *n = &t->nodes[node];
    uint32_t quote = n->kind == JSON_STR;
    *size = n->end - n->start - 2 * quote;
    return t->text + n->start + quote;
}

/* Is the node this string (of at least one and no NUL characters)? */
int json_is(const struct json_tape *t, uint32_t node, const char *string);

/* The first number in a node's value that a double does not keep (json_number_exact), or 0. */
uint32_t json_find_inexact(const struct json_tape *t, uint32_t node);

/* Append a node in the output's style: ", " and ": ", numbers with the digits that they came with, strings in their
 * one spelling, members in the order that they came in. Only for a tape without faults. */
void json_append(struct buf *out, const struct json_tape *t, uint32_t node);

/* Append a node so that two equal values give equal bytes: members sorted by name, one spelling for each number.
 * Only for a tape without faults. */
void json_append_canonical(struct buf *out, const struct json_tape *t, uint32_t node);

#endif
