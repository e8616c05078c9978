/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file of `tide snapshot`: all keys and values of a domain at one index. Everything is little endian, nothing is
 * aligned:
 *
 *   bytes 0..7     magic "TIDESNAP"
 *   8..11          version of this format: 2 (1 is read as well)
 *   12..15         bytes of this header: 128
 *   16..23         number of records
 *   24..31         bytes of all records
 *   32..39         index that the records are the state of
 *   40..47         incarnation of the domain
 *   48..55         when it was taken: nanoseconds since 1970
 *   56..63         0
 *   64..127        the domain's name, filled up with zeroes
 *   each record    4 bytes key length (1 to 65,535), 4 bytes value length, 8 bytes version (index of the write),
 *                  8 bytes expiry (nanoseconds since 1970; 0: never), 4 bytes flags (1: not to be evicted), 4 bytes 0, key,
 *                  value; sorted by key, no key twice. Format 1 has neither expiry nor flags
 *   last 16 bytes  XXH3-64 (seed 0) of all bytes before it; magic "TIDEDONE"
 *
 * The checksum finds accidents: a truncated copy, a flipped bit. It is no signature. One thread.
 */
#ifndef TIDE_TOOLS_SNAPSHOT_FILE_H
#define TIDE_TOOLS_SNAPSHOT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "tools/lib/records.h"

#define SNAPSHOT_VERSION 2u
#define SNAPSHOT_KEEP 1u
#define SNAPSHOT_HEADER_BYTES 128u
#define SNAPSHOT_TRAILER_BYTES 16u
#define SNAPSHOT_RECORD_BYTES 32u
#define SNAPSHOT_RECORD_BYTES_1 16u /* of format 1 */
#define SNAPSHOT_NAME_BYTES 64u

struct snapshot_head {
    uint64_t count;
    uint32_t version; /* of the format, when read */
    uint64_t index;
    uint64_t incarnation;
    uint64_t created_unix_ns;
    char name[SNAPSHOT_NAME_BYTES]; /* ended by a zero */
};

/* Write head and records (sorted) to a descriptor. head->count is taken from the records. 0, or -1 with errno. */
int snapshot_write(int fd, const struct snapshot_head *head, const struct records *records);

/*
 * Check a whole file, and only then take it apart: `records` (sorted) get copies of what it holds. NULL on success,
 * else what is wrong, in words, static storage; *head and *records are then untouched. Believes nothing: every length is
 * checked against the size.
 */
const char *snapshot_parse(const uint8_t *bytes, size_t size, struct snapshot_head *head, struct records *records);

#endif
