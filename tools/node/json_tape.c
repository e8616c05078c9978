/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/node/json_tape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/node/json_number.h"

/* Where reading stands. -1 from a read_ function: the structure is lost, stop. */
struct cursor {
    struct json_tape *t;
    size_t at;
    int depth;
};

static int json_read_value(struct cursor *c);

static void json_fault_here(struct cursor *c, enum json_fault what, size_t at) {
    if (c->t->fault == JSON_OK) {
        c->t->fault = what;
        c->t->fault_at = at;
    }
}

static int json_stop(struct cursor *c) {
    json_fault_here(c, c->at < c->t->size ? JSON_SYNTAX : JSON_END, c->at);
    return -1;
}

static void *json_grow(void *old, size_t count, size_t size) {
    void *p = reallocarray(old, count, size);
    if (!p) {
        fputs("tide: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static uint32_t json_add_node(struct cursor *c, enum json_kind kind, size_t start, size_t end) {
    struct json_tape *t = c->t;
    if (t->n_nodes == t->room) {
        t->room = t->room ? t->room * 2 : 64;
        t->nodes = json_grow(t->nodes, t->room, sizeof(t->nodes[0]));
    }
    uint32_t i = t->n_nodes++;
    t->nodes[i] = (struct json_node){ (uint32_t)start, (uint32_t)end, i + 1, (uint8_t)kind, 0 };
    return i;
}

static void json_skip_blanks(struct cursor *c) {
    for (; c->at < c->t->size; c->at++) {
        char at = c->t->text[c->at];
        if (at != ' ' && at != '\t' && at != '\n' && at != '\r') {
            return;
        }
    }
}

static int json_next_is(struct cursor *c, char what) {
    json_skip_blanks(c);
    if (c->at >= c->t->size || c->t->text[c->at] != what) {
        return 0;
    }
    c->at++;
    return 1;
}

static int json_read_string(struct cursor *c) {
    struct json_tape *t = c->t;
    size_t start = c->at, fault_at = 0;
    enum json_fault what = JSON_OK;
    size_t end = start + 1 + json_string_scan(t->text + start + 1, t->size - start - 1, &what, &fault_at);
    if (what != JSON_OK) {
        json_fault_here(c, what, start + 1 + fault_at);
    }
    c->at = end;
    if (end >= t->size) {
        return json_stop(c);
    }
    c->at = end + 1;
    uint32_t node = json_add_node(c, JSON_STR, start, c->at);
    t->nodes[node].bad = what != JSON_OK;
    return 0;
}

static int json_read_number(struct cursor *c) {
    struct json_tape *t = c->t;
    int valid;
    size_t len = json_number_scan(t->text + c->at, t->size - c->at, &valid);
    if (len == 0) {
        return json_stop(c);
    }
    if (!valid) {
        json_fault_here(c, JSON_NUMBER, c->at);
    }
    uint32_t node = json_add_node(c, JSON_NUM, c->at, c->at + len);
    c->at += len;
    /* Digits may be missing where the text was cut in the middle: 12 may have been 123. */
    t->nodes[node].bad = !valid || (c->depth > 0 && c->at == t->size);
    return 0;
}

static int json_read_word(struct cursor *c, const char *word, enum json_kind kind) {
    size_t len = strlen(word);
    if (c->t->size - c->at < len || memcmp(c->t->text + c->at, word, len) != 0) {
        return json_stop(c);
    }
    json_add_node(c, kind, c->at, c->at + len);
    c->at += len;
    return 0;
}

static int json_compare_names(const void *a, const void *b, void *arg) {
    const struct json_tape *t = arg;
    size_t a_size, b_size;
    const char *x = json_text(t, *(const uint32_t *)a, &a_size);
    const char *y = json_text(t, *(const uint32_t *)b, &b_size);
    return json_string_compare(x, a_size, y, b_size);
}

/* The object's name nodes, sorted by name, into `names`, which has room for n_names of them. */
static void json_sort_names(const struct json_tape *t, uint32_t object, uint32_t *names, size_t n_names) {
    uint32_t node = object + 1;
    for (size_t i = 0; i < n_names; i++) {
        names[i] = node;
        node = t->nodes[node + 1].next;
    }
    qsort_r(names, n_names, sizeof(names[0]), json_compare_names, (void *)t);
}

/* Sorted, because a line of a hundred thousand names, each compared with each, would keep everybody else waiting. */
static void json_check_duplicates(struct cursor *c, uint32_t object, size_t n_names) {
    struct json_tape *t = c->t;
    if (t->fault != JSON_OK || n_names < 2) {
        return;
    }
    if (n_names > t->names_room) {
        t->names_room = n_names < 64 ? 64 : n_names * 2;
        t->names = json_grow(t->names, t->names_room, sizeof(t->names[0]));
    }
    json_sort_names(t, object, t->names, n_names);
    for (size_t i = 1; i < n_names; i++) {
        if (json_compare_names(&t->names[i - 1], &t->names[i], t) == 0) {
            json_fault_here(c, JSON_DUPLICATE, t->nodes[t->names[i]].start);
            return;
        }
    }
}

static int json_read_members(struct cursor *c, uint32_t object) {
    size_t n_names = 0;
    if (json_next_is(c, '}')) {
        return 0;
    }
    do {
        json_skip_blanks(c);
        if (c->at >= c->t->size || c->t->text[c->at] != '"' || json_read_string(c) != 0) {
            return json_stop(c);
        }
        if (!json_next_is(c, ':') || json_read_value(c) != 0) {
            return json_stop(c);
        }
        n_names++;
    } while (json_next_is(c, ','));
    if (!json_next_is(c, '}')) {
        return json_stop(c);
    }
    json_check_duplicates(c, object, n_names);
    return 0;
}

static int json_read_elements(struct cursor *c) {
    if (json_next_is(c, ']')) {
        return 0;
    }
    do {
        if (json_read_value(c) != 0) {
            return json_stop(c);
        }
    } while (json_next_is(c, ','));
    return json_next_is(c, ']') ? 0 : json_stop(c);
}

/* To the end of a container that is nested too deep, by counting brackets alone: its contents are of no use to
 * anybody. */
static int json_skip_container(struct cursor *c) {
    const char *text = c->t->text;
    size_t open = 1;
    for (; c->at < c->t->size && open > 0; c->at++) {
        char at = text[c->at];
        if (at == '"') {
            enum json_fault what = JSON_OK;
            size_t ignored;
            c->at += 1 + json_string_scan(text + c->at + 1, c->t->size - c->at - 1, &what, &ignored);
            if (c->at >= c->t->size) {
                break;
            }
        }
        open += at == '[' || at == '{';
        open -= at == ']' || at == '}';
    }
    return open == 0 ? 0 : json_stop(c);
}

static int json_read_container(struct cursor *c, enum json_kind kind) {
    uint32_t node = json_add_node(c, kind, c->at, c->at);
    int result;
    c->at++;
    if (c->depth >= JSON_DEPTH_MAX) {
        json_fault_here(c, JSON_DEPTH, c->at - 1);
        c->t->nodes[node].bad = 1;
        result = json_skip_container(c);
    } else {
        c->depth++;
        result = kind == JSON_OBJECT ? json_read_members(c, node) : json_read_elements(c);
        c->depth--;
    }
    c->t->nodes[node].end = (uint32_t)c->at;
    c->t->nodes[node].next = c->t->n_nodes;
    return result;
}

static int json_read_value(struct cursor *c) {
    json_skip_blanks(c);
    if (c->at >= c->t->size) {
        return json_stop(c);
    }
    switch (c->t->text[c->at]) {
    case '{':
        return json_read_container(c, JSON_OBJECT);
    case '[':
        return json_read_container(c, JSON_ARRAY);
    case '"':
        return json_read_string(c);
    case 't':
        return json_read_word(c, "true", JSON_TRUE);
    case 'f':
        return json_read_word(c, "false", JSON_FALSE);
    case 'n':
        return json_read_word(c, "null", JSON_NULL);
    default:
        return json_read_number(c);
    }
}

enum json_fault json_tape_read(struct json_tape *t, const char *text, size_t size) {
    struct cursor c = { t, 0, 0 };
    t->text = text;
    t->size = size;
    t->n_nodes = 0;
    t->fault = JSON_OK;
    t->fault_at = 0;
    if (size > JSON_TEXT_MAX) {
        json_fault_here(&c, JSON_SYNTAX, JSON_TEXT_MAX);
        return t->fault;
    }
    if (json_read_value(&c) == 0) {
        json_skip_blanks(&c);
        if (c.at < size) {
            json_fault_here(&c, JSON_SYNTAX, c.at);
        }
    }
    return t->fault;
}

void json_tape_free(struct json_tape *t) {
    free(t->nodes);
    free(t->names);
    *t = (struct json_tape){ 0 };
}

uint32_t json_find(const struct json_tape *t, uint32_t object, const char *name) {
    if (object >= t->n_nodes || t->nodes[object].kind != JSON_OBJECT) {
        return 0;
    }
    uint32_t end = t->nodes[object].next;
    /* On a damaged tape the last name may have no value. */
    for (uint32_t node = object + 1; node + 1 < end; node = t->nodes[node + 1].next) {
        if (json_is(t, node, name)) {
            return node + 1;
        }
    }
    return 0;
}

int json_is(const struct json_tape *t, uint32_t node, const char *string) {
    size_t size;
    if (t->nodes[node].kind != JSON_STR || t->nodes[node].bad) {
        return 0;
    }
    const char *inner = json_text(t, node, &size);
    return json_string_compare(inner, size, string, strlen(string)) == 0;
}

uint32_t json_find_inexact(const struct json_tape *t, uint32_t node) {
    for (uint32_t i = node; i < t->nodes[node].next; i++) {
        size_t size;
        const char *text = json_text(t, i, &size);
        if (t->nodes[i].kind == JSON_NUM && !json_number_exact(text, size)) {
            return i;
        }
    }
    return 0;
}

static void json_append_leaf(struct buf *out, const struct json_tape *t, uint32_t node, int canonical) {
    size_t size;
    const char *text = json_text(t, node, &size);
    if (t->nodes[node].kind == JSON_STR) {
        json_string_append(out, text, size);
    } else if (t->nodes[node].kind == JSON_NUM && canonical) {
        json_number_canonical(out, text, size);
    } else {
        buf_add(out, text, size);
    }
}

void json_append(struct buf *out, const struct json_tape *t, uint32_t node) {
    const struct json_node *n = &t->nodes[node];
    int is_object = n->kind == JSON_OBJECT;
    if (!is_object && n->kind != JSON_ARRAY) {
        json_append_leaf(out, t, node, 0);
        return;
    }
    buf_add_char(out, is_object ? '{' : '[');
    for (uint32_t i = node + 1; i < n->next; i = t->nodes[i].next) {
        if (i != node + 1) {
            buf_add(out, ", ", 2);
        }
        if (is_object) {
            json_append_leaf(out, t, i++, 0);
            buf_add(out, ": ", 2);
        }
        json_append(out, t, i);
    }
    buf_add_char(out, is_object ? '}' : ']');
}

static void json_append_members_sorted(struct buf *out, const struct json_tape *t, uint32_t object) {
    size_t n_names = 0;
    for (uint32_t i = object + 1; i < t->nodes[object].next; i = t->nodes[i + 1].next) {
        n_names++;
    }
    uint32_t *names = json_grow(NULL, n_names + 1, sizeof(names[0]));
    json_sort_names(t, object, names, n_names);
    for (size_t i = 0; i < n_names; i++) {
        json_append_leaf(out, t, names[i], 1);
        buf_add_char(out, ':');
        json_append_canonical(out, t, names[i] + 1);
        buf_add_char(out, ',');
    }
    free(names);
}

void json_append_canonical(struct buf *out, const struct json_tape *t, uint32_t node) {
    const struct json_node *n = &t->nodes[node];
    if (n->kind == JSON_OBJECT) {
        buf_add_char(out, '{');
        json_append_members_sorted(out, t, node);
        buf_add_char(out, '}');
    } else if (n->kind == JSON_ARRAY) {
        buf_add_char(out, '[');
        for (uint32_t i = node + 1; i < n->next; i = t->nodes[i].next) {
            json_append_canonical(out, t, i);
            buf_add_char(out, ',');
        }
        buf_add_char(out, ']');
    } else {
        json_append_leaf(out, t, node, 1);
    }
}
