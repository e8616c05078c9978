/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide dump` of damaged segments: with any bytes it ends, with 0, 1 or 3, and not by a signal. The seed is printed, and
 * TIDE_SEED repeats a run; TIDE_FUZZ_RUNS sets how many mutations each case makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "shm/lag.h"
#include "tests/dump_build.h"

static char path[64];
static int file_fd;
static uint64_t seed, state_of_random;
static uint32_t runs = 500;

/* xorshift64*: Vigna, 2014. */
static uint64_t random64(void) {
    state_of_random ^= state_of_random >> 12;
    state_of_random ^= state_of_random << 25;
    state_of_random ^= state_of_random >> 27;
    return state_of_random * UINT64_C(2685821657736338717);
}

static uint64_t below(uint64_t n) {
    return random64() % n;
}

/* Numbers that programs trip over. */
static uint64_t odd_number(void) {
    static const uint64_t ODD[] = { 0,
                                    1,
                                    7,
                                    8,
                                    47,
                                    48,
                                    56,
                                    64,
                                    4096,
                                    65535,
                                    65536,
                                    UINT32_MAX,
                                    UINT64_C(1) << 32,
                                    INT64_MAX,
                                    UINT64_C(1) << 62,
                                    UINT64_C(1) << 63,
                                    UINT64_MAX - 7,
                                    UINT64_MAX };
    return below(4) ? ODD[below(sizeof(ODD) / sizeof(ODD[0]))] : random64();
}

static void set_word(uint8_t *bytes, uint64_t size_bytes, uint64_t off) {
    uint64_t value = odd_number();
    size_t n = (size_t)1 << below(4);
    if (off + n <= size_bytes) {
        memcpy(bytes + off, &value, n);
    }
}

static void dump_once(const uint8_t *bytes, uint64_t size_bytes, bool with_options) {
    struct build b = { .bytes = (uint8_t *)(uintptr_t)bytes };
    char *options[] = { "--json", "--full", "--from=20", "--key=key:5", "--from=3", "--limit=4", "--no-ring" };
    char *argv[] = { "tide dump", path, NULL, NULL };
    int argc = 2;
    build_save(&b, path, size_bytes);
    if (with_options) {
        argv[argc++] = options[below(sizeof(options) / sizeof(options[0]))];
    }
    alarm(60); /* the watchdog: a run takes milliseconds */
    int code = tool_dump(argc, argv);
    alarm(0);
    assert_true(code == 0 || code == 1 || code == 3 || code == 7 || (code == 2 && argc == 3));
}

/* The ring and everything in the head that is not reads' counts are worth hitting. */
static uint64_t interesting_off(const struct build *b) {
    switch (below(8)) {
    case 0:
        return below(sizeof(struct segment_header));
    case 1:
        return 144 + below(112);
    case 2:
        return offsetof(struct log_segment, leader) + below(sizeof(struct leader_board));
    case 3:
        return offsetof(struct log_segment, marks) + below(sizeof(struct ring_mark) * LAYOUT_MARKS);
    case 4:
        return offsetof(struct log_segment, replicas) + below(sizeof(struct replica_board) * 2);
    case 5:
        return offsetof(struct log_segment, members) + below(sizeof(struct member_slot) * 2);
    case 6:
        return offsetof(struct log_segment, lanes_board) + below(sizeof(struct lanes_board) + 256);
    default:
        return b->ring_off + below(b->ring_bytes);
    }
}

static void log_with_odd_words__ends(void **state) {
    (void)state;
    struct build whole;
    build_new(&whole, "demo");
    build_fill(&whole, 3000);
    uint8_t *copy = malloc(whole.size_bytes);
    for (uint32_t i = 0; i < runs; i++) {
        struct build b = whole;
        memcpy(copy, whole.bytes, whole.size_bytes);
        for (uint64_t n = 1 + below(8); n > 0; n--) {
            set_word(copy, b.size_bytes, interesting_off(&b) & (below(3) ? ~UINT64_C(7) : UINT64_MAX));
        }
        b.bytes = copy;
        b.seg = (struct log_segment *)copy;
        if (below(4)) { /* mostly a good header, or nothing behind it would be looked at */
            memcpy((void *)copy, (const void *)whole.bytes, sizeof(struct segment_header));
        }
        dump_once(copy, below(8) ? b.size_bytes : below(b.size_bytes + 1), below(2));
    }
    free(copy);
    build_free(&whole);
}

/* Random frames: lengths that lead on, or astray. */
static void ring_of_garbage__ends(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    for (uint32_t i = 0; i < runs; i++) {
        uint64_t step = 8 + 8 * below(16);
        for (uint64_t off = 0; off + 48 <= b.ring_bytes; off += step) {
            struct frame f = { .length = (uint32_t)(8 * below(20)),
                               .index = below(3) ? off / step + 1 : odd_number(),
                               .key_len = (uint16_t)below(30),
                               .value_len = (uint32_t)below(60),
                               .type = 1 };
            if (below(3)) {
                f.length = (48u + f.key_len + f.value_len + 7) & ~7u;
            }
            memcpy(b.bytes + b.ring_off + off, &f, sizeof(f));
        }
        b.seg->leader.commit = below(2) ? 1000 : odd_number();
        b.seg->leader.tail = below(2) ? b.ring_bytes : odd_number() & ~UINT64_C(7);
        b.seg->leader.reclaimed = below(2) ? 0 : odd_number() & ~UINT64_C(7);
        for (uint32_t m = 0; m < LAYOUT_MARKS; m++) {
            b.seg->marks[m].pos = below(2) ? below(b.ring_bytes / step) * step : odd_number();
            b.seg->marks[m].index = below(2) ? b.seg->marks[m].pos / step + 1 : odd_number();
        }
        dump_once(b.bytes, b.size_bytes, below(2));
    }
    build_free(&b);
}

static void random_files__end(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    for (uint32_t i = 0; i < runs / 4 + 1; i++) {
        uint64_t keep = below(2) ? sizeof(struct segment_header) : 0;
        for (uint64_t off = keep; off + 8 <= b.size_bytes; off += 8) {
            uint64_t value = random64();
            memcpy(b.bytes + off, &value, 8);
        }
        if (below(2)) {
            b.seg->ring_off = b.ring_off;
            b.seg->ring_bytes = b.ring_bytes;
            b.seg->leader.commit = 1 + below(100000);
            b.seg->leader.reclaimed &= 0xfffff8;
            b.seg->leader.tail = b.seg->leader.reclaimed + below(b.ring_bytes);
        }
        dump_once(b.bytes, below(3) ? b.size_bytes : below(b.size_bytes), below(2));
    }
    build_free(&b);
}

static void table_with_odd_words__ends(void **state) {
    (void)state;
    struct build head;
    build_new(&head, "demo");
    uint64_t all = (sizeof(struct table_segment) + 127) & ~UINT64_C(127);
    uint64_t windows = (all + lag_all_size_bytes() + 127) & ~UINT64_C(127);
    uint64_t size_bytes = windows + lag_windows_size_bytes() + 8192;
    struct table_segment *t = aligned_alloc(128, (size_bytes + 127) & ~UINT64_C(127));
    for (uint32_t i = 0; i < runs; i++) {
        memset((void *)t, 0, size_bytes);
        t->header = head.seg->header;
        t->header.kind = SEGMENT_TABLE;
        t->header.size_bytes = size_bytes;
        t->header.crc = crc32c(0, &t->header, offsetof(struct segment_header, crc));
        t->lag_all_off = all;
        t->lag_windows_off = windows;
        t->buckets_off = windows + lag_windows_size_bytes();
        t->nodes_end = size_bytes;
        t->buckets = 64;
        assert_int_equal(lag_init((struct hdr *)((char *)t + all), (struct lag_windows *)((char *)t + windows)), 0);
        for (uint64_t n = 1 + below(6); n > 0; n--) {
            static const uint64_t ENDS[] = { 144, 0, 0, 0, 0 };
            uint64_t from[] = { 144, all, windows, windows + sizeof(struct lag_windows),
                                offsetof(struct table_segment, lanes) };
            uint64_t k = below(5);
            set_word((uint8_t *)t, size_bytes, from[k] + ENDS[k] + 8 * below(k == 0 ? 16 : 12));
        }
        dump_once((uint8_t *)t, below(8) ? size_bytes : below(size_bytes), below(2));
    }
    free(t);
    build_free(&head);
}

static int start(void **state) {
    (void)state;
    const char *text = getenv("TIDE_SEED"), *many = getenv("TIDE_FUZZ_RUNS");
    seed = text ? strtoull(text, NULL, 0) : build_now(CLOCK_REALTIME);
    state_of_random = seed | 1;
    runs = many ? (uint32_t)strtoul(many, NULL, 0) : runs;
    fprintf(stderr, "TIDE_SEED=%llu\n", (unsigned long long)seed);
    file_fd = memfd_create("test_dump_fuzz", MFD_CLOEXEC); /* written thousands of times: not by way of a disk */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file_fd);
    return file_fd < 0 ? -1 : 0;
}

static int end(void **state) {
    (void)state;
    return close(file_fd);
}

/* What the dumps say is not looked at: standard output goes to /dev/null while a case runs, and back for cmocka. */
static int kept_out = -1, kept_err = -1;

static int hush(void **state) {
    (void)state;
    fflush(NULL);
    int null = open("/dev/null", O_WRONLY);
    kept_out = dup(STDOUT_FILENO);
    kept_err = dup(STDERR_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    return close(null);
}

static int speak(void **state) {
    (void)state;
    fflush(NULL);
    dup2(kept_out, STDOUT_FILENO);
    dup2(kept_err, STDERR_FILENO);
    close(kept_out);
    return close(kept_err);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(log_with_odd_words__ends, hush, speak),
        cmocka_unit_test_setup_teardown(ring_of_garbage__ends, hush, speak),
        cmocka_unit_test_setup_teardown(random_files__end, hush, speak),
        cmocka_unit_test_setup_teardown(table_with_odd_words__ends, hush, speak),
    };
    return cmocka_run_group_tests(tests, start, end);
}
