/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shm/fd.h"
#include "tools/dump/peek.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#define SYS_pidfd_send_signal 424
#endif

/* The leader's pid, if the board names it and the kernel certifies that a leader lives; else 0. */
static int32_t watchdog_leader_of(struct cli *c, uint64_t *term) {
    struct tide_info info = TIDE_INFO_INIT;
    if (tide_info(c->domain, &info) != 0 || !info.led || info.leader < 0) {
        return 0;
    }
    *term = info.term;
    return info.leader_pid == getpid() ? 0 : info.leader_pid;
}

static int watchdog_spare(const struct cli *c, struct serve_watch *w, int32_t pid, const char *why) {
    if (w->spared_pid != pid) {
        fprintf(stderr,
                "%s: the leader, process %d, does not answer, but is not killed: %s\n  If it is stuck, end it ('kill "
                "-9 %d'): then this one leads\n",
                c->tool, (int)pid, why, (int)pid);
    }
    w->spared_pid = pid;
    return 0;
}

static int watchdog_spare_errno(const struct cli *c, struct serve_watch *w, int32_t pid, const char *call) {
    char why[128];
    snprintf(why, sizeof(why), "%s: %s", call, strerror(errno));
    return watchdog_spare(c, w, pid, why);
}

static int watchdog_kill_leader(struct cli *c, struct serve_watch *w, int32_t pid) {
    uint64_t term = 0;
    int fd = fd_lift((int)syscall(SYS_pidfd_open, pid, 0));
    if (fd < 0) {
        return watchdog_spare_errno(c, w, pid, "pidfd_open");
    }
    int killed = 0;
    /* While we hold the pidfd, no other process gets this pid. */
    if (!peek_maps(c->name, pid)) {
        watchdog_spare(c, w, pid, "it cannot be seen to have this domain open (another pid namespace or user?)");
    } else if (watchdog_leader_of(c, &term) == pid && term == w->suspect_term) {
        killed = syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
        if (killed) {
            fprintf(stderr, "%s: the leader, process %d, did not answer and was killed\n", c->tool, (int)pid);
        } else {
            watchdog_spare_errno(c, w, pid, "pidfd_send_signal");
        }
    }
    close(fd);
    return killed;
}

int watchdog_look(struct cli *c, struct serve_watch *w) {
    uint64_t term = 0, half_ns = w->patience_ns / 2 > 0 ? w->patience_ns / 2 : 1;
    int32_t pid = watchdog_leader_of(c, &term);
    int rc = pid != 0 ? tide_ping(c->domain, half_ns) : 0;
    if (rc != TIDE_ERR_TIMEOUT && rc != TIDE_ERR_UNKNOWN) {
        w->suspect_pid = 0;
        return 0;
    }
    if (w->suspect_pid != pid || w->suspect_term != term) {
        w->suspect_pid = pid;
        w->suspect_term = term;
        return 0;
    }
    w->suspect_pid = 0;
    return watchdog_kill_leader(c, w, pid);
}
