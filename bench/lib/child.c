/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void *bench_shared_map(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void bench_shared_unmap(void *memory, size_t size) {
    if (memory != NULL) {
        munmap(memory, size);
    }
}

pid_t bench_child_fork(void) {
    pid_t parent = getpid();
    /* Where SIGCHLD is ignored, which a parent can hand down, the kernel forgets how a child ended. */
    signal(SIGCHLD, SIG_DFL);
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1); /* the parent ended before the line above: no signal will come */
    }
    return 0;
}

int bench_child_ended(pid_t pid, char *how, size_t size) {
    int status = 0;
    pid_t got = waitpid(pid, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR)) {
        return 0;
    }
    if (got > 0 && WIFSIGNALED(status)) {
        snprintf(how, size, "was killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (got > 0 && WIFEXITED(status)) {
        snprintf(how, size, "exited with %d", WEXITSTATUS(status));
    } else {
        snprintf(how, size, "is gone");
    }
    return 1;
}

void bench_child_kill(pid_t pid) {
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}
