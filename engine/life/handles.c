/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/life/handles.h"

static pthread_mutex_t handles_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct tide *handles_first;

void handles_add(struct tide *d) {
    pthread_mutex_lock(&handles_mutex);
    d->next_open = handles_first;
    handles_first = d;
    pthread_mutex_unlock(&handles_mutex);
}

void handles_remove(struct tide *d) {
    pthread_mutex_lock(&handles_mutex);
    for (struct tide **at = &handles_first; *at != NULL; at = &(*at)->next_open) {
        if (*at == d) {
            *at = d->next_open;
            break;
        }
    }
    pthread_mutex_unlock(&handles_mutex);
}

void handles_each(void (*look)(struct tide *d)) {
    if (pthread_mutex_trylock(&handles_mutex) != 0) {
        return;
    }
    for (struct tide *d = handles_first; d != NULL; d = d->next_open) {
        look(d);
    }
    pthread_mutex_unlock(&handles_mutex);
}

void handles_lock(void) {
    pthread_mutex_lock(&handles_mutex);
}

void handles_unlock(void) {
    pthread_mutex_unlock(&handles_mutex);
}

struct tide *handles_take(void) {
    struct tide *all = handles_first;
    handles_first = NULL;
    return all;
}
