/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Builds log segments byte by byte, apart from the library's own writer, and runs `tide dump` on them. */
#ifndef TIDE_TESTS_DUMP_BUILD_H
#define TIDE_TESTS_DUMP_BUILD_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/crc.h"
#include "shm/layout.h"
#include "tools/tools.h"

#define BUILD_RING_BYTES LAYOUT_RING_MIN

struct build {
    uint8_t *bytes; /* the file */
    uint64_t size_bytes, ring_off, ring_bytes;
    struct log_segment *seg; /* its start */
    uint64_t pos, index, ts, next_mark;
    uint32_t mark;
};

static inline uint64_t build_now(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void build_seal(struct build *b) {
    struct segment_header *h = &b->seg->header;
    h->crc = crc32c(0, h, offsetof(struct segment_header, crc));
}

static inline void build_new(struct build *b, const char *name) {
    memset(b, 0, sizeof(*b));
    b->ring_off = (sizeof(struct log_segment) + 4095) & ~UINT64_C(4095);
    b->ring_bytes = BUILD_RING_BYTES;
    b->size_bytes = b->ring_off + b->ring_bytes;
    if (posix_memalign((void **)&b->bytes, 4096, b->size_bytes) != 0) {
        abort();
    }
    memset(b->bytes, 0, b->size_bytes);
    b->seg = (struct log_segment *)b->bytes;
    struct stat ns = { 0 };
    (void)stat("/proc/self/ns/time", &ns);
    b->seg->header = (struct segment_header){
        .magic = TIDE_LAYOUT_MAGIC,
        .version = TIDE_LAYOUT_VERSION,
        .kind = SEGMENT_LOG,
        .fingerprint = layout_fingerprint(),
        .size_bytes = b->size_bytes,
        .incarnation = 77,
        .segment_id = 78,
        .created_unix_ns = build_now(CLOCK_REALTIME),
        .time_ns_inode = ns.st_ino,
        .owner_uid = getuid(),
    };
    snprintf(b->seg->header.name, sizeof(b->seg->header.name), "%s", name);
    build_seal(b);
    b->seg->ring_off = b->ring_off;
    b->seg->ring_bytes = b->ring_bytes;
    b->seg->slow_follower_ns = 50000000;
    b->seg->leader.leader = 0;
    b->seg->leader.term = 1;
    struct replica_board *r = &b->seg->replicas[0];
    r->state = REPLICA_SERVING;
    r->role = 1;
    r->pid = (uint32_t)getpid();
    snprintf(r->label, sizeof(r->label), "first");
    b->index = 1;
    b->ts = build_now(CLOCK_MONOTONIC);
}

static inline void build_free(struct build *b) {
    free(b->bytes);
    b->bytes = NULL;
}

static inline uint8_t *build_at(struct build *b, uint64_t pos) {
    return b->bytes + b->ring_off + (pos & (b->ring_bytes - 1));
}

static inline void build_put(struct build *b, uint64_t pos, const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        *build_at(b, pos + i) = ((const uint8_t *)bytes)[i];
    }
}

/* The frame's CRC from what lies in the ring. */
static inline uint32_t build_crc(struct build *b, uint64_t pos, const struct frame *f) {
    uint32_t crc = 0;
    for (uint64_t i = 0; i < (uint64_t)f->key_len + f->value_len; i++) {
        crc = crc32c(crc, build_at(b, pos + sizeof(*f) + i), 1);
    }
    return crc32c(crc, (const uint8_t *)f + offsetof(struct frame, index), sizeof(*f) - offsetof(struct frame, index));
}

/* Append and commit; gives up the oldest part of the ring, up to a mark, when it is full. Returns the frame's position.
 * */
static inline uint64_t build_append(struct build *b, uint8_t type, const void *key, uint16_t key_len, const void *value,
                                    uint32_t value_len) {
    uint64_t pos = b->pos, length = (sizeof(struct frame) + key_len + value_len + 7) & ~UINT64_C(7);
    if (pos + length > b->seg->leader.reclaimed + b->ring_bytes) {
        uint64_t best = UINT64_MAX;
        for (uint32_t i = 0; i < LAYOUT_MARKS; i++) {
            uint64_t at = b->seg->marks[i].pos;
            if (b->seg->marks[i].index != 0 && at >= pos + length - b->ring_bytes && at < best) {
                best = at;
            }
        }
        b->seg->leader.reclaimed = best;
    }
    if (pos >= b->next_mark) {
        b->seg->marks[b->mark].index = b->index;
        b->seg->marks[b->mark].pos = pos;
        b->mark = (b->mark + 1) % LAYOUT_MARKS;
        b->next_mark = pos + b->ring_bytes / LAYOUT_MARKS;
    }
    struct frame f = {
        .length = (uint32_t)length,
        .index = b->index,
        .commit_ts = b->ts,
        .term = 1,
        .type = type,
        .value_len = value_len,
        .key_len = key_len,
    };
    build_put(b, pos + sizeof(f), key, key_len);
    build_put(b, pos + sizeof(f) + key_len, value, value_len);
    f.crc = build_crc(b, pos, &f);
    build_put(b, pos, &f, sizeof(f));
    b->pos += length;
    b->seg->leader.commit = b->seg->replicas[0].applied = b->index++;
    b->seg->leader.tail = b->seg->replicas[0].pos = b->pos;
    return pos;
}

static inline uint64_t build_put_text(struct build *b, const char *key, const char *value) {
    return build_append(b, FRAME_PUT, key, (uint16_t)strlen(key), value, (uint32_t)strlen(value));
}

/* n entries key:K = value:K. */
static inline void build_fill(struct build *b, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        char key[32], value[32];
        snprintf(key, sizeof(key), "key:%llu", (unsigned long long)b->index);
        snprintf(value, sizeof(value), "value:%llu", (unsigned long long)b->index);
        build_put_text(b, key, value);
    }
}

static inline void build_save(const struct build *b, const char *path, uint64_t bytes) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, b->bytes, bytes) != (ssize_t)bytes || close(fd) != 0) {
        perror(path);
        abort();
    }
}

struct ran {
    int code;  /* exit code; -signal */
    char *out; /* standard output and error; free it */
};

/* Run `tide dump` in a child, which a watchdog ends. args: after "tide dump", ended by NULL. */
static inline struct ran run_dump(const char *const *args) {
    char *argv[16] = { "tide dump" };
    int argc = 1;
    FILE *tmp = tmpfile();
    while (args[argc - 1]) {
        argv[argc] = (char *)(uintptr_t)args[argc - 1];
        argc++;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fileno(tmp), STDOUT_FILENO);
        dup2(fileno(tmp), STDERR_FILENO);
        alarm(60);
        int code = tool_dump(argc, argv);
        fflush(NULL);
        _exit(code);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    struct ran ran = { WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), NULL };
    fseek(tmp, 0, SEEK_END);
    long n = ftell(tmp);
    rewind(tmp);
    ran.out = calloc(1, (size_t)n + 1);
    if (fread(ran.out, 1, (size_t)n, tmp) != (size_t)n) {
        abort();
    }
    fclose(tmp);
    return ran;
}

#define RUN_DUMP(...) run_dump((const char *const[]){ __VA_ARGS__, NULL })

/* Lines that contain `what`. Line by line, as a sanitizer's strstr() measures all that follows at each call. */
static inline uint32_t count_of(const char *text, const char *what) {
    uint32_t n = 0;
    const char *end = text + strlen(text);
    while (text < end) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        line_end = line_end ? line_end : end;
        n += memmem(text, (size_t)(line_end - text), what, strlen(what)) != NULL;
        text = line_end + 1;
    }
    return n;
}

#endif
