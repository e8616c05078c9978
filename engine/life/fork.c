/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/life/fork.h"

#include <sys/mman.h>
#include <unistd.h>

#include "engine/life/handles.h"
#include "engine/read/reader_left.h"
#include "engine/table/grace.h"
#include "engine/table/rcu.h"

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t fork_opening = PTHREAD_MUTEX_INITIALIZER;

static void fork_before(void) {
    pthread_mutex_lock(&fork_opening);
    handles_lock();
    grace_before_fork(); /* before rcu_before_fork(): the holder of this lock may be waiting for a thread that is in a grace period */
    rcu_before_fork();
    reader_left_before_fork();
}

static void fork_parent(void) {
    reader_left_after_fork();
    rcu_after_fork(false);
    grace_after_fork(false);
    handles_unlock();
    pthread_mutex_unlock(&fork_opening);
}

/* The locks belong to the open file. It lives as long as a descriptor or a mapping of it does, so both have to go.
 * Private, empty memory takes the mappings' place, for a thread that looks there before it has seen TIDE_ERR_FORKED. */
static void fork_let_go(struct tide *d) {
    int fd = segment_fd(&d->segment);
    if (fd >= 0) {
        close(fd);
    }
    d->segment.fd = -1;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    mmap(d->segment.base, d->segment.size_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    mmap(d->ring.base, 2 * d->ring.bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
}

static void fork_child(void) {
    reader_left_after_fork();
    for (struct tide *d = handles_take(); d != NULL; d = d->next_open) {
        fork_let_go(d);
        atomic_store(&d->closed, (uint32_t)-TIDE_ERR_FORKED);
        for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
            atomic_store(&d->views[i], NULL); /* reads come to the slow path, which sees `closed` */
        }
        atomic_store(&d->seq.here, false);
    }
    rcu_after_fork(true);
    grace_after_fork(true);
    handles_unlock();
    pthread_mutex_unlock(&fork_opening);
}

static void fork_init(void) {
    pthread_atfork(fork_before, fork_parent, fork_child);
}

void fork_hold_off(void) {
    pthread_once(&fork_once, fork_init);
    pthread_mutex_lock(&fork_opening);
}

void fork_let_on(void) {
    pthread_mutex_unlock(&fork_opening);
}
