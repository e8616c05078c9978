/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain that dead processes left: a log and two tables, in a folder of this process's own. Inputs change words of it, as another
 * process of the same user may; afterwards it is as it was. What is looked for are crashes, hangs and reads out of bounds.
 */
#ifndef TIDE_FUZZ_WORLD_H
#define TIDE_FUZZ_WORLD_H

#include <stdbool.h>

#include "engine/tidemark.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/scribble_words.h"

#define WORLD_KEYS 200u
#define WORLD_KEY_BYTES 8u

/* At the first call: make the folder, the domain, its dead. Removed at exit. */
struct scribble_map *world(void);
const char *world_name(void);
void world_key(uint64_t n, char key[WORLD_KEY_BYTES + 1]);

/* A handle on it, that may read; NULL: refused. */
struct tide *world_open(void);

/* Change words as the input says: at most `most` of them, in log or tables. */
void world_change(struct fuzz_input *in, unsigned most);

/* As it was. */
void world_mend(void);

#endif
