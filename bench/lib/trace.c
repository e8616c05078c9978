/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/plain.h"
#include "bench/lib/program.h"
#include "bench/lib/zipf.h"

#define LINE_MAX_BYTES 4096u
#define THETA 0.9
#define RUN_EVERY 200u /* requests between runs of keys that are asked for once */
#define RUN 20u

static _Noreturn void fail(const char *path, const char *why) {
    bench_fail("%.100s: %.140s", path, why);
}

/* ---- numbers for keys ------------------------------------------------------------------------------------------------ */

struct interning {
    struct bench_trace *t;
    uint32_t *slots; /* number of a key, plus one */
    uint64_t slots_n;
    uint64_t requests_room, texts_room;
    uint32_t keys_room;
};

static void grow(void *memory, uint64_t bytes) {
    void **at = memory;
    *at = realloc(*at, bytes);
    bench_must_system(*at != NULL, "memory for so many requests");
}

static uint64_t slot_of(const struct interning *in, const char *key, size_t len) {
    for (uint64_t i = plain_hash(key, len);; i++) {
        uint32_t number = in->slots[i & (in->slots_n - 1)];
        size_t other;
        const char *text = number != 0 ? bench_trace_key(in->t, number - 1, &other) : NULL;
        if (number == 0 || (other == len && memcmp(text, key, len) == 0)) {
            return i & (in->slots_n - 1);
        }
    }
}

static void more_slots(struct interning *in) {
    struct bench_trace *t = in->t;
    free(in->slots);
    in->slots_n = in->slots_n != 0 ? 2 * in->slots_n : 1024;
    in->slots = bench_alloc(in->slots_n, sizeof(*in->slots));
    for (uint32_t k = 0; k < t->keys_n; k++) {
        size_t len;
        const char *key = bench_trace_key(t, k, &len);
        in->slots[slot_of(in, key, len)] = k + 1;
    }
}

static void more_keys(struct interning *in, size_t len) {
    struct bench_trace *t = in->t;
    uint64_t used = t->keys_n != 0 ? t->at[t->keys_n] : 0;
    if (used + len + 1 > in->texts_room) {
        in->texts_room = 2 * (used + len + 1) + 4096;
        grow(&t->texts, in->texts_room);
    }
    if (t->keys_n + 2 > in->keys_room) {
        in->keys_room = 2 * in->keys_room + 1024;
        grow(&t->at, in->keys_room * sizeof(*t->at));
        t->at[0] = 0;
    }
    if (2 * (uint64_t)t->keys_n >= in->slots_n) {
        more_slots(in);
    }
}

/* One more request. */
static void ask(struct interning *in, const char *key, size_t len) {
    struct bench_trace *t = in->t;
    more_keys(in, len);
    if (t->requests_n == in->requests_room) {
        in->requests_room = 2 * in->requests_room + 4096;
        grow(&t->requests, in->requests_room * sizeof(*t->requests));
    }
    uint64_t slot = slot_of(in, key, len);
    if (in->slots[slot] == 0) {
        uint64_t at = t->at[t->keys_n];
        memcpy(t->texts + at, key, len);
        t->texts[at + len] = '\0';
        t->at[++t->keys_n] = at + len + 1;
        in->slots[slot] = t->keys_n;
    }
    t->requests[t->requests_n++] = in->slots[slot] - 1;
}

/* ---- files ----------------------------------------------------------------------------------------------------------- */

/* xz unpacks the file, without a shell. Its pipe. */
static FILE *unpack(const char *path, pid_t *pid) {
    int ends[2];
    bench_must_system(pipe2(ends, O_CLOEXEC) == 0, "a pipe from xz");
    *pid = bench_child_fork();
    if (*pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execlp("xz", "xz", "-dcqq", "--", path, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *f = *pid > 0 ? fdopen(ends[0], "re") : NULL;
    bench_must_system(f != NULL, "starting xz");
    return f;
}

static void await_xz(pid_t pid, const char *path) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        fail(path, "it is packed by xz, and there is no xz in PATH; install xz-utils, or give the unpacked file");
    }
    if (status != 0) {
        fail(path, "xz cannot unpack it: it is damaged or cut off");
    }
}

static const char *wrong_with(const char *line, size_t len, bool ended) {
    if (len == 0) {
        return "it is empty";
    }
    if (!ended || len > BENCH_TRACE_KEY_MAX) {
        return "it is too long";
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)line[i] <= ' ' || line[i] == 0x7f) {
            return "it holds a blank or a byte that is no text";
        }
    }
    return NULL;
}

static void read_lines(struct interning *in, FILE *f, const char *path) {
    char *line = NULL;
    size_t room = 0;
    ssize_t got;
    for (unsigned long long n = 1; (got = getline(&line, &room, f)) > 0; n++) {
        size_t len = (size_t)got - (line[got - 1] == '\n');
        const char *wrong = wrong_with(line, len, len < LINE_MAX_BYTES);
        if (wrong != NULL) {
            bench_fail("%.100s, line %llu: %s; a trace has one key a line, of 1 to %u bytes", path, n, wrong,
                       BENCH_TRACE_KEY_MAX);
        }
        ask(in, line, len);
    }
    bench_must_system(!ferror(f), path);
    free(line);
}

static void read_file(struct interning *in, FILE *f, const char *path) {
    static const char magic[] = { '\xfd', '7', 'z', 'X', 'Z', '\0' };
    char head[sizeof(magic)];
    pid_t pid;
    if (fread(head, 1, sizeof(head), f) != sizeof(head) || memcmp(head, magic, sizeof(head)) != 0) {
        rewind(f);
        read_lines(in, f, path);
        return;
    }
    FILE *unpacked = unpack(path, &pid);
    read_lines(in, unpacked, path);
    fclose(unpacked);
    await_xz(pid, path);
}

static void name_it(struct bench_trace *t, const char *path) {
    const char *base = strrchr(path, '/');
    snprintf(t->name, sizeof(t->name), "%s", base != NULL ? base + 1 : path);
    char *dot = strchr(t->name, '.');
    if (dot != NULL && dot != t->name) {
        *dot = '\0';
    }
}

void bench_trace_read(struct bench_trace *t, const char *path) {
    struct interning in = { .t = t };
    FILE *f = fopen(path, "re");
    bench_must_system(f != NULL, path);
    name_it(t, path);
    read_file(&in, f, path);
    fclose(f);
    free(in.slots);
    if (t->requests_n == 0) {
        fail(path, "no request in it; a trace has one key a line");
    }
}

void bench_trace_make(struct bench_trace *t, uint32_t keys, uint64_t requests) {
    struct interning in = { .t = t };
    struct bench_zipf zipf;
    struct bench_rng rng;
    snprintf(t->name, sizeof(t->name), "zipf");
    bench_rng_init(&rng, 1);
    bench_must_system(bench_zipf_init(&zipf, keys, THETA) == 0, "memory for a trace");
    for (uint64_t i = 0, once = 0; i < requests; i++) {
        char key[32];
        uint64_t number = i % RUN_EVERY < RUN ? keys + once++ : bench_zipf_next(&zipf, &rng);
        ask(&in, key, (size_t)snprintf(key, sizeof(key), "%llu", (unsigned long long)number));
    }
    free(in.slots);
}
