/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The signals that end `tide node`, and waits that a signal interrupts. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "shm/fd.h"
#include "tools/lib/signals.h"
#include "tools/node/node.h"

static atomic_int stop_requested; /* atomic: the handler may run in any thread */
static int stop_pipe[2] = { -1, -1 };

/* Also writes a byte, so that a signal that arrives just before poll() is not slept over. */
static void stop_on_stop(int signal_number) {
    int saved = errno;
    (void)signal_number;
    atomic_store(&stop_requested, 1);
    ssize_t ignored = write(stop_pipe[1], "", 1);
    (void)ignored;
    errno = saved;
}

int node_catch_signals(void) {
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    if (pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK) != 0 || (stop_pipe[0] = fd_lift(stop_pipe[0])) < 0 ||
        (stop_pipe[1] = fd_lift(stop_pipe[1])) < 0) {
        perror("tide node: pipe");
        return -1;
    }
    sigaction(SIGPIPE, &ignore, NULL);
    /* The second one ends the process at once: the way out of a request that waits long. */
    signals_catch(stop_on_stop, (int)SA_RESETHAND);
    return 0;
}

void node_wait_for(int fd, short events) {
    struct pollfd fds[2] = { { fd, events, 0 }, { stop_pipe[0], POLLIN, 0 } };
    poll(fds, 2, -1);
}

int node_is_stopped(void) {
    return atomic_load(&stop_requested);
}
