/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/signals.h"

#include <signal.h>
#include <stddef.h>

void signals_catch(void (*handler)(int number), int flags) {
    static const int SIGNALS[] = { SIGTERM, SIGINT, SIGHUP };
    struct sigaction action = { .sa_handler = handler, .sa_flags = flags }, old;
    sigset_t wanted;
    sigemptyset(&wanted);
    for (size_t i = 0; i < sizeof(SIGNALS) / sizeof(SIGNALS[0]); i++) {
        if (sigaction(SIGNALS[i], NULL, &old) != 0 || old.sa_handler == SIG_IGN) {
            continue;
        }
        sigaction(SIGNALS[i], &action, NULL);
        sigaddset(&wanted, SIGNALS[i]);
    }
    pthread_sigmask(SIG_UNBLOCK, &wanted, NULL); /* whoever started us may have had them blocked */
}
