/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The feed of a domain whose words are changed: it appends, asks itself, completes and answers writes in a thread, and goes on after any error. */
#ifndef TIDE_TESTS_SCRIBBLE_FEED_H
#define TIDE_TESTS_SCRIBBLE_FEED_H

#include <stdint.h>

#include "engine/tidemark.h"

#define SCRIBBLE_SOURCE "scribble"

struct scribble_feed;

/* Before the handle's replicas. NULL: it could not be begun. */
struct scribble_feed *scribble_feed_begin(struct tide *d, uint64_t random);
/* Stop its thread, and answer all writes: while the domain is open. */
void scribble_feed_end(struct scribble_feed *f);
/* After tide_close(). */
void scribble_feed_free(struct scribble_feed *f);

#endif
