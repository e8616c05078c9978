/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Numbers of JSON as text: their grammar, whether a double keeps them, and one spelling for each value. All of it
 * works on the digits, so that nothing is rounded on the way. Any thread; nothing here waits.
 */
#ifndef TIDE_NODE_JSON_NUMBER_H
#define TIDE_NODE_JSON_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#include "tools/lib/buf.h"

/* The longest prefix that looks like a number: digits, signs, point, e, E. *valid tells whether all of it is one by
 * RFC 8259 (no plus sign in front, no leading zeros, digits on both sides of the point). */
size_t json_number_scan(const char *text, size_t size, int *valid);

/*
 * Is the number kept exactly by those who read JSON numbers as doubles, as nearly everybody does? It is when the
 * nearest double prints back, by its shortest round trip, as the same value (0.1), or is exactly that value (2^64).
 * So 9007199254740993, 1e400 and 0.1000000000000000055511151231257827 are not. `text` must be valid.
 */
int json_number_exact(const char *text, size_t size);

/* Append the one spelling of the value: 1, 1.0, 10e-1 all give "1", -0 gives "0". `text` must be valid and exact. */
void json_number_canonical(struct buf *out, const char *text, size_t size);

/* The value as a whole number; 0, or -1 where it is not whole or not in 0 .. 2^53. 7, 7.0 and 70e-1 are all 7. */
int json_number_whole(const char *text, size_t size, uint64_t *out);

/* The value times 1,000,000, rounded up, as milliseconds to nanoseconds need it: a bound above 0 must never become 0,
 * which asks for something else. 0, or -1 where it is negative or over `max_ns`. */
int json_number_ms(const char *text, size_t size, uint64_t max_ns, uint64_t *out_ns);

#endif
