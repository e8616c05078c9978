/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN_MAX 256u

/* All that were forked and are not known to be gone. By the main thread. */
static pid_t children[CHILDREN_MAX];

static void replace_child(pid_t old, pid_t by) {
    for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
        if (children[i] == old) {
            children[i] = by;
            return;
        }
    }
}

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
    if (pid > 0) {
        replace_child(0, pid);
    }
    if (pid != 0) {
        return pid;
    }
    memset(children, 0, sizeof(children));
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
    replace_child(pid, 0);
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
    replace_child(pid, 0);
}

void bench_children_end(void) {
    for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
        if (children[i] > 0) {
            bench_child_kill(children[i]);
        }
    }
}

pid_t bench_child_run(const char *const *argv, int out, int err) {
    pid_t pid = bench_child_fork();
    if (pid == 0) {
        dup2(out >= 0 ? out : STDOUT_FILENO, STDOUT_FILENO);
        dup2(err >= 0 ? err : STDERR_FILENO, STDERR_FILENO);
        execvp(argv[0], (char *const *)(void *)argv);
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    return pid;
}

int bench_child_serve(const char *const *argv, int err, pid_t *pid) {
    char line[64];
    int ends[2];
    *pid = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    pid_t started = bench_child_run(argv, ends[1], err);
    close(ends[1]);
    ssize_t got = started > 0 ? read(ends[0], line, sizeof(line)) : -1;
    close(ends[0]);
    *pid = started > 0 ? started : 0;
    return got > 5 && memcmp(line, "ready", 5) == 0 ? 0 : -1;
}

int bench_tide_path(char *out, size_t size) {
    char self[2048];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    for (int up = 0; up < 2 && strrchr(self, '/') != NULL; up++) {
        *strrchr(self, '/') = '\0';
    }
    snprintf(out, size, "%s/tide", self);
    return access(out, X_OK);
}
