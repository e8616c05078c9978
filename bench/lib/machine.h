/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a result was measured on, and pinning to CPUs. */
#ifndef TIDE_BENCH_MACHINE_H
#define TIDE_BENCH_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_CPUS_MAX 1024u

struct bench_machine {
    char cpu_model[128];
    char kernel[128];
    char compiler[128];
    char commit[64];     /* "unknown" outside of a git checkout; "-dirty" when files differ from it */
    char date[32];       /* UTC, ISO 8601 */
    char huge_pages[64]; /* the kernel's setting for ordinary memory, and for shared memory */
    char clock_source[32];
    uint32_t cpus_online;
    uint32_t cpus; /* that this process may use */
    uint32_t cpu_ids[BENCH_CPUS_MAX];
    uint64_t memory_bytes;
};

/* The texts of it: in results, and on pages where `shown` is not NULL. */
#define BENCH_MACHINE_TEXTS 7u
extern const struct bench_machine_text {
    const char *name, *shown;
    size_t at, size;
} bench_machine_texts[BENCH_MACHINE_TEXTS];

/* Look at the machine. Never fails: what cannot be found out is "unknown" or 0 (cpus: at least 1). Runs git. */
void bench_machine_read(struct bench_machine *m);

/* Of the first line of a file that begins with `name` ("": of the first line), what follows name, blanks and a colon. False with "unknown":
 * there is none. */
bool bench_file_field(const char *path, const char *name, char *out, size_t size);
/* The same as a number of KiB, as /proc has it; 0: there is none. */
uint64_t bench_file_kib(const char *path, const char *name);

/* Pin the calling thread to the turn-th usable CPU, round robin. 0, or -1 where the system does not allow it. */
int bench_machine_pin(const struct bench_machine *m, uint32_t turn);

/* Let the calling thread run on every usable CPU again. Threads that it starts take its pinning over. */
int bench_machine_unpin(const struct bench_machine *m);

/* CLOCK_MONOTONIC and wall-clock time, ns and ms. Any thread. */
uint64_t bench_now_ns(void);
uint64_t bench_unix_ms(void);

/* Sleep; ends early on a signal. */
void bench_sleep_ns(uint64_t ns);

#endif
