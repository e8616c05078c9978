/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every word of shm/layout.h, by name: where it lies in which segment. */
#ifndef TIDE_TESTS_SCRIBBLE_WORDS_H
#define TIDE_TESTS_SCRIBBLE_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The scribbler's mappings of the segments. */
#define SCRIBBLE_TABLES 8u
struct scribble_map {
    uint8_t *log;
    uint64_t log_bytes;
    uint8_t *tables[SCRIBBLE_TABLES]; /* NULL: none */
    uint64_t table_bytes[SCRIBBLE_TABLES];
};

/* One word: its bytes, and what it is called. */
struct scribble_word {
    const char *name;
    uint8_t *at;
    uint32_t bytes; /* 1, 2, 4 or 8 */
};

/* How many kinds of words there are. Choose one word of a kind, by `random` where there are many. False: the segments have none now. */
uint32_t scribble_kinds(void);
bool scribble_kind_leads(uint32_t kind); /* it says where other words lie, or how many there are */
const char *scribble_kind_name(uint32_t kind);
bool scribble_pick(const struct scribble_map *m, uint32_t kind, uint64_t random, struct scribble_word *out);

#endif
