/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Strings of JSON as text. "Inner" text is what stands between the quotes. Any thread; nothing here waits.
 */
#ifndef TIDE_NODE_JSON_STRING_H
#define TIDE_NODE_JSON_STRING_H

#include <stddef.h>

#include "tools/lib/buf.h"

enum json_fault {
    JSON_OK = 0,
    JSON_SYNTAX,    /* something else was expected at this place */
    JSON_END,       /* the text ends too early */
    JSON_UTF8,      /* a string is not UTF-8 */
    JSON_CONTROL,   /* a control character inside a string */
    JSON_ESCAPE,    /* an unknown escape inside a string */
    JSON_SURROGATE, /* half a surrogate pair: no character */
    JSON_NUMBER,    /* a number that is against the grammar */
    JSON_DEPTH,     /* nested deeper than JSON_DEPTH_MAX */
    JSON_DUPLICATE, /* a name twice in one object */
};

/* What is wrong, in words that fit behind "bad JSON: ". Static storage. */
const char *json_fault_text(enum json_fault fault);

/*
 * Find the end of a string: text starts behind the opening quote; returns the offset of the closing quote, or `size`
 * where there is none. *fault is set to the first thing that is wrong, but JSON_END, and *fault_at to its offset, if
 * *fault is JSON_OK.
 */
size_t json_string_scan(const char *text, size_t size, enum json_fault *fault, size_t *fault_at);

/* Append a valid string, in quotes, in the one spelling that the output uses: UTF-8 as it is, escapes only where JSON
 * demands them. */
void json_string_append(struct buf *out, const char *inner, size_t size);

/* Append the bytes that a valid string stands for; they may hold a NUL. */
void json_string_decode(struct buf *out, const char *inner, size_t size);

/* Order of two valid strings by the bytes that they stand for: below, at, or above 0. */
int json_string_compare(const char *a, size_t a_size, const char *b, size_t b_size);

#endif
