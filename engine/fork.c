/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/fork.h"

#include <unistd.h>

#include "engine/grace.h"
#include "engine/rcu.h"

static pthread_mutex_t fork_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tide *fork_open; /* all handles of this process */
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void fork_before(void) {
    pthread_mutex_lock(&fork_lock);
    grace_before_fork(); /* first: whoever holds it may be waiting for a thread that is in a grace period */
    rcu_before_fork();
}

static void fork_parent(void) {
    rcu_after_fork(false);
    grace_after_fork(false);
    pthread_mutex_unlock(&fork_lock);
}

static void fork_child(void) {
    for (struct tide *d = fork_open; d != NULL; d = d->next_open) {
        close(d->segment.fd);
        d->segment.fd = -1;
        atomic_store(&d->closed, (uint32_t)-TIDE_ERR_FORKED);
        for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
            atomic_store(&d->replicas[i], NULL); /* reads come to the slow path, and find out */
        }
        atomic_store(&d->seq.here, 0);
    }
    fork_open = NULL;
    rcu_after_fork(true);
    grace_after_fork(true);
    pthread_mutex_unlock(&fork_lock);
}

static void fork_init(void) {
    pthread_atfork(fork_before, fork_parent, fork_child);
}

void fork_note_open(struct tide *d) {
    pthread_once(&fork_once, fork_init);
    pthread_mutex_lock(&fork_lock);
    d->next_open = fork_open;
    fork_open = d;
    pthread_mutex_unlock(&fork_lock);
}

void fork_note_closed(struct tide *d) {
    pthread_mutex_lock(&fork_lock);
    for (struct tide **at = &fork_open; *at != NULL; at = &(*at)->next_open) {
        if (*at == d) {
            *at = d->next_open;
            break;
        }
    }
    pthread_mutex_unlock(&fork_lock);
}
