/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/read/reader_left.h"

#define READER_LEFT_MOST 1024u /* some hundred KiB */

static pthread_mutex_t left_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tide_reader *left_first, **left_last = &left_first;
static uint32_t left_count;

void reader_left_add(struct tide_reader *r) {
    r->quick = READER_NOT_QUICK; /* a later thread may have what it was known by */
    pthread_mutex_lock(&left_lock);
    r->next = NULL;
    *left_last = r;
    left_last = &r->next;
    left_count++;
    pthread_mutex_unlock(&left_lock);
}

struct tide_reader *reader_left_take(void) {
    struct tide_reader *r = NULL;
    pthread_mutex_lock(&left_lock);
    if (left_count > READER_LEFT_MOST) {
        r = left_first;
        left_first = r->next;
        left_count--;
    }
    pthread_mutex_unlock(&left_lock);
    return r;
}

void reader_left_before_fork(void) {
    pthread_mutex_lock(&left_lock);
}

void reader_left_after_fork(void) {
    pthread_mutex_unlock(&left_lock);
}
