/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _LGPL_SOURCE
#define _LGPL_SOURCE /* also where rcu.h undefines it: the thread's record tells whether the thread is registered */
#endif
#include <urcu/urcu-memb.h>

#include "engine/table/rcu.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <urcu/list.h>

#include "engine/table/thread.h"
#include "shm/park.h"

#ifdef ENGINE_TSAN
char rcu_tsan_edge;
#endif

/* The threads that this file registered. A forked child must forget all but its own. */
struct rcu_thread {
    struct urcu_reader *reader;
    struct rcu_thread *next, **at;
};
static pthread_mutex_t rcu_threads_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rcu_thread *rcu_threads;
static _Thread_local struct rcu_thread rcu_self;

/* True once a thread that the application registered has read: it is not in that list, and may end unseen. */
static _Atomic bool rcu_others;

static void rcu_threads_add(void) {
    rcu_self.reader = &URCU_TLS(urcu_memb_reader);
    rcu_self.next = rcu_threads;
    rcu_self.at = &rcu_threads;
    if (rcu_threads != NULL) {
        rcu_threads->at = &rcu_self.next;
    }
    rcu_threads = &rcu_self;
}

static void rcu_threads_remove(void) {
    *rcu_self.at = rcu_self.next;
    if (rcu_self.next != NULL) {
        rcu_self.next->at = rcu_self.at;
    }
    rcu_self.reader = NULL; /* the application may still register this ending thread */
}

static pthread_mutex_t rcu_wait_lock = PTHREAD_MUTEX_INITIALIZER;
static bool rcu_fork_waited; /* valid from rcu_before_fork() to rcu_after_fork(), which hold rcu_threads_lock */

void rcu_before_fork(void) {
    /* Let no grace period of ours be under way while the process is copied, or the child would find liburcu's lock
     * taken. Inside a section we would wait for ourselves, so we do not wait: such a child can only exec(). */
    rcu_fork_waited = !rcu_inside();
    if (rcu_fork_waited) {
        pthread_mutex_lock(&rcu_wait_lock);
    }
    pthread_mutex_lock(&rcu_threads_lock);
}

void rcu_after_fork(bool child) {
    if (child) {
        /* The other threads' stacks will be reused: neither liburcu's list nor ours may lead there. */
        struct rcu_thread *self = NULL;
        for (struct rcu_thread *t = rcu_threads; t != NULL; t = t->next) {
            if (t == &rcu_self) {
                self = t;
            } else {
                cds_list_del(&t->reader->node);
            }
        }
        rcu_threads = self;
        rcu_self.next = NULL;
        rcu_self.at = &rcu_threads;
    }
    pthread_mutex_unlock(&rcu_threads_lock);
    if (rcu_fork_waited) {
        pthread_mutex_unlock(&rcu_wait_lock);
    }
}

static void rcu_end(void) {
    pthread_mutex_lock(&rcu_threads_lock);
    rcu_threads_remove();
    urcu_memb_unregister_thread();
    pthread_mutex_unlock(&rcu_threads_lock);
}

int rcu_register_self(void) {
    /* An application that uses the same flavour has registered its threads already, and registering twice aborts. */
    if (URCU_TLS(urcu_memb_reader).registered) {
        if (rcu_self.reader == NULL) {
            atomic_store(&rcu_others, true);
        }
        return 0;
    }
    if (thread_at_end(THREAD_END_RCU, rcu_end) != 0) {
        return -1;
    }
    pthread_mutex_lock(&rcu_threads_lock);
    urcu_memb_register_thread();
    rcu_threads_add();
    pthread_mutex_unlock(&rcu_threads_lock);
    return 0;
}

void rcu_wait(void) {
    pthread_mutex_lock(&rcu_wait_lock);
    urcu_memb_synchronize_rcu();
    pthread_mutex_unlock(&rcu_wait_lock);
    RCU_TSAN_ACQUIRE();
}

#ifdef ENGINE_TSAN
bool rcu_quiet(void) {
    return false; /* ThreadSanitizer must be told of each edge; only rcu_wait() tells it */
}
#else

#define RCU_LOOKS 64 /* looks at one thread; a get takes less time than one */

/* liburcu has registered the process, where the kernel has this call. An error means that it has not. */
static bool rcu_membarrier(void) {
    return syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/* Was the thread outside any section once since the membarrier()? A section that it has now began later. */
static bool rcu_was_out(const struct rcu_thread *t) {
    for (int i = 0; i < RCU_LOOKS; i++) {
        /* MO(rcu.section): after the membarrier(), which rcu_quiet() has passed. */
        if ((CMM_LOAD_SHARED(t->reader->ctr) & URCU_GP_CTR_NEST_MASK) == 0) {
            return true;
        }
        park_relax();
    }
    return false;
}

bool rcu_quiet(void) {
    if (!rcu_is_plain() || atomic_load(&rcu_others) || pthread_mutex_trylock(&rcu_threads_lock) != 0) {
        return false;
    }
    /* MO(rcu.section): every section that begins after this sees the unlinking. */
    bool quiet = rcu_membarrier() && !atomic_load(&rcu_others); /* also a thread that came since */
    for (const struct rcu_thread *t = rcu_threads; quiet && t != NULL; t = t->next) {
        quiet = rcu_was_out(t);
    }
#if !defined(__x86_64__)
    /* The loads of sections that ended precede what follows; x86 moves no load behind a later store. */
    quiet = quiet && rcu_membarrier();
#endif
    pthread_mutex_unlock(&rcu_threads_lock);
    return quiet;
}
#endif
