/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/machine.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define TEXT(name, shown)                                                                                              \
    { #name, shown, offsetof(struct bench_machine, name), sizeof(((struct bench_machine *)NULL)->name) }
const struct bench_machine_text bench_machine_texts[BENCH_MACHINE_TEXTS] = {
    TEXT(cpu_model, "CPU"),
    TEXT(kernel, "Kernel"),
    TEXT(huge_pages, "Huge pages"),
    TEXT(clock_source, "Clock source"),
    TEXT(compiler, "Compiler"),
    TEXT(commit, "Commit"),
    TEXT(date, NULL),
};

static void cut_line(char *text) {
    text[strcspn(text, "\n")] = '\0';
}

/* As much of a text as fits. */
static void copy_text(char *out, size_t size, const char *text) {
    size_t n = strnlen(text, size - 1);
    memcpy(out, text, n);
    out[n] = '\0';
}

bool bench_file_field(const char *path, const char *name, char *out, size_t size) {
    char line[512];
    bool found = false;
    copy_text(out, size, "unknown");
    FILE *f = fopen(path, "re");
    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
        found = strncmp(line, name, strlen(name)) == 0;
        cut_line(line);
        if (found) {
            const char *rest = line + strlen(name);
            copy_text(out, size, name[0] != '\0' ? rest + strspn(rest, ": \t") : rest);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return found;
}

uint64_t bench_file_kib(const char *path, const char *name) {
    char text[64];
    return bench_file_field(path, name, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

static int command_line(const char *command, char *out, size_t size) {
    FILE *p = popen(command, "r");
    if (p == NULL) {
        return -1;
    }
    char line[128] = "";
    const char *got = fgets(line, sizeof(line), p);
    int status = pclose(p);
    if (got != NULL) {
        cut_line(line);
    }
    copy_text(out, size, line);
    return status == 0 ? 0 : -1;
}

static void read_commit(char *out, size_t size) {
    char hash[48];
    char change[64];
    if (command_line("git rev-parse --short=12 HEAD 2>/dev/null", hash, sizeof(hash)) != 0 || hash[0] == '\0') {
        copy_text(out, size, "unknown");
        return;
    }
    int known = command_line("git status --porcelain --untracked-files=no 2>/dev/null", change, sizeof(change)) == 0;
    snprintf(out, size, "%s%s", hash, known && change[0] != '\0' ? "-dirty" : "");
}

/* The word in brackets of "always [madvise] never". */
static void chosen_word(const char *path, char *out, size_t size) {
    char line[128];
    bench_file_field(path, "", line, sizeof(line));
    const char *open = strchr(line, '[');
    const char *close = strchr(line, ']');
    if (open != NULL && close != NULL && close > open) {
        snprintf(out, size, "%.*s", (int)(close - open - 1), open + 1);
    } else {
        copy_text(out, size, "unknown");
    }
}

static void read_cpus(struct bench_machine *m) {
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    m->cpus_online = online > 0 ? (uint32_t)online : 1;
    m->cpus = 0;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        for (uint32_t i = 0; i < CPU_SETSIZE && m->cpus < BENCH_CPUS_MAX; i++) {
            if (CPU_ISSET(i, &set)) {
                m->cpu_ids[m->cpus++] = i;
            }
        }
    }
    if (m->cpus == 0) {
        m->cpus = 1;
        m->cpu_ids[0] = 0;
    }
}

void bench_machine_read(struct bench_machine *m) {
    memset(m, 0, sizeof(*m));
    bench_file_field("/proc/cpuinfo", "model name", m->cpu_model, sizeof(m->cpu_model));
    read_cpus(m);
    struct utsname u;
    if (uname(&u) == 0) {
        snprintf(m->kernel, sizeof(m->kernel), "%.30s %.60s %.30s", u.sysname, u.release, u.machine);
    } else {
        snprintf(m->kernel, sizeof(m->kernel), "unknown");
    }
#if defined(__clang__)
    snprintf(m->compiler, sizeof(m->compiler), "clang %s", __clang_version__);
#else
    snprintf(m->compiler, sizeof(m->compiler), "gcc %s", __VERSION__);
#endif
    read_commit(m->commit, sizeof(m->commit));
    char ordinary[24];
    char shared[24];
    chosen_word("/sys/kernel/mm/transparent_hugepage/enabled", ordinary, sizeof(ordinary));
    chosen_word("/sys/kernel/mm/transparent_hugepage/shmem_enabled", shared, sizeof(shared));
    snprintf(m->huge_pages, sizeof(m->huge_pages), "%s, shared memory %s", ordinary, shared);
    bench_file_field("/sys/devices/system/clocksource/clocksource0/current_clocksource", "", m->clock_source,
                     sizeof(m->clock_source));
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(m->date, sizeof(m->date), "%Y-%m-%dT%H:%M:%SZ", &tm);
    long pages = sysconf(_SC_PHYS_PAGES);
    long page = sysconf(_SC_PAGESIZE);
    m->memory_bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
}

int bench_machine_pin(const struct bench_machine *m, uint32_t turn) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(m->cpu_ids[turn % m->cpus], &set);
    return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0 ? 0 : -1;
}

int bench_machine_unpin(const struct bench_machine *m) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (uint32_t i = 0; i < m->cpus; i++) {
        CPU_SET(m->cpu_ids[i], &set);
    }
    return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0 ? 0 : -1;
}

uint64_t bench_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t bench_unix_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

void bench_sleep_ns(uint64_t ns) {
    struct timespec t = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };
    nanosleep(&t, NULL);
}
