/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two processes: the child has the terminal, and the parent only waits for it. So even SIGKILL, SIGSEGV or the OOM killer leaves somebody
 * who gives the terminal back. Signals that are sent to the parent go to the child. If the parent is killed by SIGKILL, the child gets
 * SIGTERM, and gives the terminal back itself.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tools/lib/codes.h"
#include "tools/top/top.h"

#define RESTORING_BYTES 240u

/* Shared by the two. */
struct guard {
    _Atomic uint32_t armed;
    char restoring[RESTORING_BYTES];
};

static struct guard *guard;

void guard_arm(const char *restoring) {
    if (!guard) {
        return;
    }
    atomic_store(&guard->armed, 0);
    if (restoring) {
        snprintf(guard->restoring, sizeof(guard->restoring), "%s", restoring);
        atomic_store(&guard->armed, 1);
    }
}

static void guard_give_back(const struct termios *as_it_was) {
    sigset_t ttou;
    sigemptyset(&ttou);
    sigaddset(&ttou, SIGTTOU); /* the shell may have the terminal already */
    sigprocmask(SIG_BLOCK, &ttou, NULL);
    (void)!write(STDOUT_FILENO, guard->restoring, strnlen(guard->restoring, sizeof(guard->restoring)));
    tcsetattr(STDOUT_FILENO, TCSADRAIN, as_it_was);
}

/* Die as the child did, so that the shell tells the same. */
static int guard_die_of(int number) {
    const struct rlimit no_core = { 0, 0 }; /* the child's is the one to look at */
    sigset_t one;
    setrlimit(RLIMIT_CORE, &no_core);
    signal(number, SIG_DFL);
    sigemptyset(&one);
    sigaddset(&one, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    return 128 + number; /* not reached, unless the signal was ignored */
}

/* From the terminal a signal reaches both; from elsewhere only this one. */
static void guard_pass_on(pid_t child, const siginfo_t *info) {
    if (info->si_code <= 0 || info->si_signo == SIGTERM || info->si_signo == SIGHUP) {
        kill(child, info->si_signo);
    }
}

static int guard_watch(pid_t child, const sigset_t *signals, const struct termios *as_it_was) {
    siginfo_t info;
    int status;
    for (;;) {
        pid_t changed = waitpid(child, &status, WNOHANG | WUNTRACED);
        if (changed == child && WIFEXITED(status)) {
            return WEXITSTATUS(status);
        }
        if (changed == child && WIFSIGNALED(status)) {
            if (atomic_load(&guard->armed)) {
                guard_give_back(as_it_was);
            }
            return guard_die_of(WTERMSIG(status));
        }
        if (changed == child && WIFSTOPPED(status)) {
            raise(SIGSTOP); /* so the shell goes on */
            kill(child, SIGCONT);
        } else if (sigwaitinfo(signals, &info) > 0 && info.si_signo != SIGCHLD) {
            guard_pass_on(child, &info);
        }
    }
}

int guard_run(int (*run)(void *ctx), void *ctx) {
    static const int OURS[] = { SIGCONT, SIGTTIN, SIGTTOU, SIGWINCH,
                                SIGURG }; /* stop and go, and what nobody asked for */
    struct termios as_it_was;
    sigset_t signals, before;
    pid_t parent = getpid();
    void *shared = mmap(NULL, sizeof(*guard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || tcgetattr(STDOUT_FILENO, &as_it_was) != 0) {
        return run(ctx); /* without a guard, then */
    }
    guard = shared;
    sigfillset(&signals);
    for (size_t i = 0; i < sizeof(OURS) / sizeof(OURS[0]); i++) {
        sigdelset(&signals, OURS[i]);
    }
    sigprocmask(SIG_BLOCK, &signals, &before);
    pid_t child = fork();
    if (child > 0) {
        return guard_watch(child, &signals, &as_it_was);
    }
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) {
            _exit(TOOL_FAILED); /* it died before it could be told */
        }
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return run(ctx);
}
