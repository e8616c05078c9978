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
#include "bench/lib/options.h"
#include "bench/lib/plain.h"
#include "bench/lib/zipf.h"

#define LINE_MAX_BYTES 4096u
#define THETA 0.9
#define RUN_EVERY 200u /* requests between runs of keys that are asked for once */
#define RUN 20u

static int says(char *error, const char *what, const char *why) {
    snprintf(error, BENCH_ERROR_BYTES, "%.100s: %.140s", what, why);
    return -1;
}

/* ---- numbers for keys ------------------------------------------------------------------------------------------------ */

struct interning {
    struct bench_trace *t;
    uint32_t *slots; /* number of a key, plus one */
    uint64_t slots_n;
    uint64_t requests_room, texts_room;
    uint32_t keys_room;
};

static bool grow(void *memory, uint64_t bytes) {
    void **at = memory, *more = realloc(*at, bytes);
    *at = more != NULL ? more : *at;
    return more != NULL;
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

static bool more_slots(struct interning *in) {
    struct bench_trace *t = in->t;
    uint64_t n = in->slots_n != 0 ? 2 * in->slots_n : 1024;
    uint32_t *slots = calloc(n, sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    free(in->slots);
    in->slots = slots;
    in->slots_n = n;
    for (uint32_t k = 0; k < t->keys_n; k++) {
        size_t len;
        const char *key = bench_trace_key(t, k, &len);
        in->slots[slot_of(in, key, len)] = k + 1;
    }
    return true;
}

static bool more_keys(struct interning *in, size_t len) {
    struct bench_trace *t = in->t;
    uint64_t used = t->keys_n != 0 ? t->at[t->keys_n] : 0;
    if (used + len + 1 > in->texts_room) {
        in->texts_room = 2 * (used + len + 1) + 4096;
        if (!grow(&t->texts, in->texts_room)) {
            return false;
        }
    }
    if (t->keys_n + 2 > in->keys_room) {
        in->keys_room = 2 * in->keys_room + 1024;
        if (!grow(&t->at, in->keys_room * sizeof(*t->at))) {
            return false;
        }
        t->at[0] = 0;
    }
    return 2 * (uint64_t)t->keys_n < in->slots_n || more_slots(in);
}

/* One more request. False: no memory. */
static bool ask(struct interning *in, const char *key, size_t len) {
    struct bench_trace *t = in->t;
    if (!more_keys(in, len)) {
        return false;
    }
    if (t->requests_n == in->requests_room) {
        in->requests_room = 2 * in->requests_room + 4096;
        if (!grow(&t->requests, in->requests_room * sizeof(*t->requests))) {
            return false;
        }
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
    return true;
}

/* ---- files ----------------------------------------------------------------------------------------------------------- */

/* xz unpacks the file, without a shell. Its pipe, or NULL with `error`. */
static FILE *unpack(const char *path, pid_t *pid, char *error) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        says(error, "a pipe from xz", strerror(errno));
        return NULL;
    }
    *pid = bench_child_fork();
    if (*pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execlp("xz", "xz", "-dcqq", "--", path, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *f = *pid > 0 ? fdopen(ends[0], "re") : NULL;
    if (f == NULL) {
        close(ends[0]);
        says(error, "starting xz", strerror(errno));
    }
    return f;
}

static int xz_ended(pid_t pid, const char *path, char *error) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return 0;
    }
    return says(error, path,
                WIFEXITED(status) && WEXITSTATUS(status) == 127
                    ? "it is packed by xz, and there is no xz in PATH; install xz-utils, or give the unpacked file"
                    : "xz cannot unpack it: it is damaged or cut off");
}

static int bad_line(char *error, const char *path, uint64_t line, const char *why) {
    snprintf(error, BENCH_ERROR_BYTES, "%.100s, line %llu: %s; a trace has one key a line, of 1 to %u bytes", path,
             (unsigned long long)line, why, BENCH_TRACE_KEY_MAX);
    return -1;
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

static int read_lines(struct interning *in, FILE *f, const char *path, char *error) {
    char *line = NULL;
    size_t room = 0;
    ssize_t got;
    int rc = 0;
    for (uint64_t n = 1; rc == 0 && (got = getline(&line, &room, f)) > 0; n++) {
        size_t len = (size_t)got - (line[got - 1] == '\n');
        const char *wrong = wrong_with(line, len, len < LINE_MAX_BYTES);
        rc = wrong != NULL         ? bad_line(error, path, n, wrong)
             : !ask(in, line, len) ? says(error, path, "no memory for so many requests")
                                   : 0;
    }
    if (rc == 0 && ferror(f)) {
        rc = says(error, path, strerror(errno));
    }
    free(line);
    return rc;
}

static int read_file(struct interning *in, FILE *f, const char *path, char *error) {
    static const char magic[] = { '\xfd', '7', 'z', 'X', 'Z', '\0' };
    char head[sizeof(magic)];
    bool packed = fread(head, 1, sizeof(head), f) == sizeof(head) && memcmp(head, magic, sizeof(head)) == 0;
    if (!packed) {
        rewind(f);
        return read_lines(in, f, path, error);
    }
    pid_t pid;
    FILE *unpacked = unpack(path, &pid, error);
    if (unpacked == NULL) {
        return -1;
    }
    int rc = read_lines(in, unpacked, path, error);
    fclose(unpacked);
    if (rc != 0) {
        bench_child_kill(pid);
        return rc;
    }
    return xz_ended(pid, path, error);
}

static void name_it(struct bench_trace *t, const char *path) {
    const char *base = strrchr(path, '/');
    snprintf(t->name, sizeof(t->name), "%s", base != NULL ? base + 1 : path);
    char *dot = strchr(t->name, '.');
    if (dot != NULL && dot != t->name) {
        *dot = '\0';
    }
}

int bench_trace_read(struct bench_trace *t, const char *path, char *error) {
    struct interning in = { .t = t };
    memset(t, 0, sizeof(*t));
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return says(error, path, strerror(errno));
    }
    name_it(t, path);
    int rc = read_file(&in, f, path, error);
    fclose(f);
    free(in.slots);
    if (rc == 0 && t->requests_n == 0) {
        rc = says(error, path, "no request in it; a trace has one key a line");
    }
    if (rc != 0) {
        bench_trace_free(t);
    }
    return rc;
}

int bench_trace_make(struct bench_trace *t, uint32_t keys, uint64_t requests, char *error) {
    struct interning in = { .t = t };
    struct bench_zipf zipf;
    struct bench_rng rng;
    memset(t, 0, sizeof(*t));
    snprintf(t->name, sizeof(t->name), "zipf");
    bench_rng_init(&rng, 1);
    bool good = bench_zipf_init(&zipf, keys, THETA) == 0;
    for (uint64_t i = 0, once = 0; good && i < requests; i++) {
        char key[32];
        uint64_t number = i % RUN_EVERY < RUN ? keys + once++ : bench_zipf_next(&zipf, &rng);
        good = ask(&in, key, (size_t)snprintf(key, sizeof(key), "%llu", (unsigned long long)number));
    }
    free(in.slots);
    if (!good) {
        bench_trace_free(t);
        return says(error, "making up a trace", "no memory");
    }
    return 0;
}

void bench_trace_free(struct bench_trace *t) {
    free(t->requests);
    free(t->texts);
    free(t->at);
    t->requests = NULL;
    t->texts = NULL;
    t->at = NULL;
}
