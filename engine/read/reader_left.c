/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/read/reader_left.h"

#define READER_LEFT_MOST 1024u /* some hundred KiB */

static pthread_mutex_t reader_left_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tide_reader *reader_left_first, **reader_left_last = &reader_left_first;
static uint32_t reader_left_count;

void reader_left_add(struct tide_reader *r) {
    r->quick = READER_NOT_QUICK; /* a later thread may have what it was known by */
    pthread_mutex_lock(&reader_left_lock);
    r->next = NULL;
    *reader_left_last = r;
    reader_left_last = &r->next;
    reader_left_count++;
    pthread_mutex_unlock(&reader_left_lock);
}

struct tide_reader *reader_left_take(void) {
    struct tide_reader *r = NULL;
    pthread_mutex_lock(&reader_left_lock);
    if (reader_left_count > READER_LEFT_MOST) {
        r = reader_left_first;
        reader_left_first = r->next;
        reader_left_count--;
    }
    pthread_mutex_unlock(&reader_left_lock);
    return r;
}

void reader_left_before_fork(void) {
    pthread_mutex_lock(&reader_left_lock);
}

void reader_left_after_fork(void) {
    pthread_mutex_unlock(&reader_left_lock);
}
