/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing JSON, one object a line. 64-bit numbers come out exactly, which a double would not do: indexes and
 * nanoseconds grow large. Zero-initialise; members in the order in which they are added; `name` is NULL inside a list.
 * Memory: json_out_free(), or json_out_print(), which ends with it. One thread.
 */
#ifndef TIDE_JSON_OUT_H
#define TIDE_JSON_OUT_H

#include <stdint.h>
#include <stdio.h>

#include "tools/buf.h"

struct json_out {
    struct buf text;
    int comma;
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

/* Write the text and a newline, and free. 0 or -1. */
int json_out_print(struct json_out *j, FILE *out);
void json_out_free(struct json_out *j);

#endif
