/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef _LGPL_SOURCE
#define _LGPL_SOURCE /* also where rcu.h does without: the thread's record tells whether it is registered */
#endif
#include <urcu/urcu-memb.h>

#include "engine/rcu.h"

#include <pthread.h>

#ifdef ENGINE_TSAN
char rcu_tsan_edge;
#endif

static pthread_key_t registered_key;
static pthread_once_t registered_once = PTHREAD_ONCE_INIT;
static int registered_key_error;

static void registered_end(void *self) {
    (void)self;
    urcu_memb_unregister_thread();
}

static void registered_init(void) {
    registered_key_error = pthread_key_create(&registered_key, registered_end);
}

int rcu_register_self(void) {
    /* An application that uses the same flavour has its threads registered already, and registering twice aborts. */
    if (URCU_TLS(urcu_memb_reader).registered) {
        return 0;
    }
    pthread_once(&registered_once, registered_init);
    static char mark;
    if (registered_key_error != 0 || pthread_setspecific(registered_key, &mark) != 0) {
        return -1;
    }
    urcu_memb_register_thread();
    return 0;
}

void rcu_wait(void) {
    urcu_memb_synchronize_rcu();
    RCU_TSAN_ACQUIRE();
}
