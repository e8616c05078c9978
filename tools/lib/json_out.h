/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing JSON, one object a line: the one writer that all subcommands use. 64-bit numbers come out exactly, which a
 * double would not do: indexes and nanoseconds grow large. Zero-initialise; members come out in the order in which
 * they are added. `name` is NULL inside a list, else ASCII without anything that JSON would escape. One thread.
 * Memory: json_out_free(), or json_out_print(), which ends with it.
 */
#ifndef TIDE_LIB_JSON_OUT_H
#define TIDE_LIB_JSON_OUT_H

#include <stdint.h>
#include <stdio.h>

#include "tools/lib/buf.h"

struct json_out {
    struct buf text;
    int comma; /* a member stands in front of the next one */
};

void json_out_open(struct json_out *j, const char *name, char bracket); /* '{' or '[' */
void json_out_close(struct json_out *j, char bracket);                  /* '}' or ']' */

void json_out_u64(struct json_out *j, const char *name, uint64_t value);
void json_out_i64(struct json_out *j, const char *name, int64_t value);
void json_out_real(struct json_out *j, const char *name, double value); /* finite */
void json_out_bool(struct json_out *j, const char *name, int value);
void json_out_null(struct json_out *j, const char *name);
void json_out_text(struct json_out *j, const char *name, const char *value);
void json_out_hex(struct json_out *j, const char *name, uint64_t value); /* a string of sixteen digits */

/*
 * Bytes: as text where they are UTF-8, else as base64. `encoding`: the name of the member behind it that says which,
 * "utf-8" or "base64"; NULL: it is written only for base64, as NAME_encoding.
 */
void json_out_bytes(struct json_out *j, const char *name, const void *bytes, size_t size, const char *encoding);

/* What is JSON already. */
void json_out_raw(struct json_out *j, const char *name, const char *json, size_t size);

/* Only the name; the caller appends the value, which is JSON, to j->text. */
void json_out_name(struct json_out *j, const char *name);
/* The same for a name that is the inside of a JSON string. */
void json_out_inner_name(struct json_out *j, const char *inner, size_t size);

/* Append bytes as a string in quotes. Bytes that are not UTF-8 become U+FFFD, so that the output is JSON whatever
 * they are. */
void json_quote(struct buf *out, const char *bytes, size_t size);
/* One byte of the inside of a string: escaped only where JSON demands it. */
void json_quote_byte(struct buf *out, char c);

/* A newline; the next object may begin. */
void json_out_end_line(struct json_out *j);

/* Write what there is so far, in the middle of an object perhaps, and keep the memory. 0 or -1. */
int json_out_flush(struct json_out *j, FILE *out);

/* Write the text and a newline, and free. 0 or -1. */
int json_out_print(struct json_out *j, FILE *out);
void json_out_free(struct json_out *j);

#endif
