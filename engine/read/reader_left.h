/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The structs of readers whose threads ended without closing them. Somebody may still hold a pointer, and must be told
 * TIDE_ERR_THREAD. Everything that such a reader held was freed; its struct is reused only after many other readers
 * were left.
 */
#ifndef TIDE_READ_READER_LEFT_H
#define TIDE_READ_READER_LEFT_H

#include "engine/read/reader.h"

/* Keep the struct. Its owner's number stays in it: no thread has that number any more. */
void reader_left_add(struct tide_reader *r);

/* Take a struct for reuse, or NULL. */
struct tide_reader *reader_left_take(void);

/* Around fork(). */
void reader_left_before_fork(void);
void reader_left_after_fork(void);

#endif
