/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver's side: processes, and waiting for them. */
#include "tests/crash_world.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void (*crash_meanwhile)(struct crash_world *w);

#define CRASH_PATIENCE_NS UINT64_C(30000000000)

/* AddressSanitizer asks: a thread that is cancelled in a system call (the engine's steward) leaves marks of its frames, which
 * would be taken for those of a signal stack of its own. */
const char *__asan_default_options(void);
__attribute__((visibility("default"), used)) const char *__asan_default_options(void) {
    return "use_sigaltstack=0";
}

struct crash_world *crash_world_new(uint64_t ring_bytes, uint64_t table_bytes) {
    struct crash_world *w =
        mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(w != MAP_FAILED);
    w->ring_bytes = ring_bytes;
    w->table_bytes = table_bytes;
    return w;
}

void crash_world_reset(struct crash_world *w, const char *name) {
    uint32_t failures = atomic_load(&w->failures);
    uint64_t ring_bytes = w->ring_bytes, table_bytes = w->table_bytes;
    /* Removes the pages, which is cheaper than zeroing what was never touched. */
    if (madvise(w, sizeof(*w), MADV_REMOVE) != 0) {
        memset((void *)w, 0, sizeof(*w));
    }
    w->ring_bytes = ring_bytes;
    w->table_bytes = table_bytes;
    atomic_store(&w->failures, failures);
    snprintf(w->name, sizeof(w->name), "%s", name);
}

void crash_fail(struct crash_world *w, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (atomic_fetch_add(&w->failures, 1) < 20) {
        fprintf(stderr, "# FAILED [%d]: %s\n", (int)getpid(), text);
        if (getenv("TIDE_CRASH_STOP") != NULL) {
            kill(0, SIGSTOP); /* to look at it as it is */
        }
    }
}

uint64_t crash_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void crash_nap_us(uint64_t us) {
    struct timespec t = { .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };
    nanosleep(&t, NULL);
}

void crash_rest(struct crash_world *w) {
    if (crash_meanwhile != NULL) {
        crash_meanwhile(w);
    }
    crash_nap_us(200);
}

void crash_spawn(struct crash_world *w, uint32_t slot, crash_role *role, uint64_t seed, const char *kill_at) {
    struct crash_slot *s = &w->slots[slot];
    atomic_store(&s->writes, 0);
    atomic_store(&s->leave, 0);
    pid_t driver = getpid();
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0) {
        s->pid = pid; /* by the parent alone: this memory is the child's as well */
        return;
    }
    signal(SIGALRM, SIG_DFL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != driver) {
        _exit(1);
    }
    if (kill_at != NULL) {
        setenv("TIDE_KILL", kill_at, 1);
    }
    role(w, slot, seed);
    _exit(0);
}

bool crash_ended(struct crash_world *w, uint32_t slot, int *status) {
    struct crash_slot *s = &w->slots[slot];
    int ended;
    if (s->pid == 0 || waitpid(s->pid, &ended, WNOHANG) != s->pid) {
        return false;
    }
    s->pid = 0;
    atomic_store(&s->writes, 0);
    if (WIFSIGNALED(ended) && WTERMSIG(ended) != SIGKILL) {
        crash_fail(w, "the process in slot %u died of signal %d", slot, WTERMSIG(ended));
    }
    if (status != NULL) {
        *status = ended;
    }
    return true;
}

void crash_signal(struct crash_world *w, uint32_t slot, int signal_number) {
    if (w->slots[slot].pid != 0) {
        kill(w->slots[slot].pid, signal_number);
    }
}

int crash_wait(struct crash_world *w, uint32_t slot) {
    uint64_t until = crash_now_ns() + CRASH_PATIENCE_NS;
    int status = -1;
    while (w->slots[slot].pid != 0 && !crash_ended(w, slot, &status)) {
        if (crash_now_ns() > until) {
            crash_fail(w, "the process in slot %u hangs", slot);
            crash_kill(w, slot);
            return -1;
        }
        crash_rest(w);
    }
    return status;
}

void crash_kill(struct crash_world *w, uint32_t slot) {
    crash_signal(w, slot, SIGKILL);
    if (w->slots[slot].pid != 0) {
        waitpid(w->slots[slot].pid, NULL, 0);
        w->slots[slot].pid = 0;
        atomic_store(&w->slots[slot].writes, 0);
    }
}

void crash_kill_all(struct crash_world *w) {
    for (uint32_t i = 0; i < CRASH_SLOTS; i++) {
        crash_signal(w, i, SIGKILL); /* all at once, or the first's death would be answered by the others */
    }
    for (uint32_t i = 0; i < CRASH_SLOTS; i++) {
        crash_kill(w, i);
    }
}

uint64_t crash_acks(const struct crash_world *w) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < CRASH_WRITERS; i++) {
        sum += atomic_load(&w->writers[i].acks);
    }
    return sum;
}

bool crash_pause(struct crash_world *w) {
    atomic_store(&w->pause, 1);
    uint64_t until = crash_now_ns() + CRASH_PATIENCE_NS;
    for (uint32_t i = 0; i < CRASH_SLOTS; i++) {
        while (w->slots[i].pid != 0 && atomic_load(&w->slots[i].writes) != 0 && !crash_ended(w, i, NULL)) {
            if (crash_now_ns() > until) {
                crash_fail(w, "the writer in slot %u does not come back from a write", i);
                return false;
            }
            crash_rest(w);
        }
    }
    return true;
}

void crash_resume(struct crash_world *w) {
    atomic_store(&w->pause, 0);
}

unsigned crash_files(const char *name) {
    char prefix[TIDE_NAME_MAX + 16];
    const char *where = getenv("TIDE_SHM_DIR");
    int length = snprintf(prefix, sizeof(prefix), "tidemark.%s.", name);
    unsigned count = 0;
    DIR *dir = opendir(where != NULL ? where : "/dev/shm");
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        count += strncmp(e->d_name, prefix, (size_t)length) == 0;
    }
    closedir(dir);
    return count;
}
