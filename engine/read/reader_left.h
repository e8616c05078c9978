/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What stays of readers whose threads ended without closing them: somebody may hold a pointer yet, and is to be told
 * TIDE_ERR_THREAD. All that such a reader held was freed; its struct lies here, and is used again only when many others have come
 * after it.
 */
#ifndef TIDE_READ_READER_LEFT_H
#define TIDE_READ_READER_LEFT_H

#include "engine/read/reader.h"

/* Its owner's number stays in it: no thread has that any more. */
void reader_left_add(struct tide_reader *r);

/* One to be used again, or NULL. */
struct tide_reader *reader_left_take(void);

/* Around fork(). */
void reader_left_before_fork(void);
void reader_left_after_fork(void);

#endif
