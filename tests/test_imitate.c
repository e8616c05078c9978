/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Readers of other processes, against values that imitate nodes byte for byte: header, key and all, at each place where a node may
 * have been, with an index that a reader believes. Memory changes its use as fast as can be. Nobody may be given such a value.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/replica/domain.h"
#include "shm/crc.h"
#include "tests/lib/forked.h"
#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define KEYS 40u
#define KEY_BYTES 16u
#define VALUE_BYTES 64u
#define BIG (24 * KIB)
#define TRUE_MARK 0x11
#define FALSE_MARK 0x66 /* of a value that nobody ever put under its key */

#define READERS                                                                                                        \
    4u /* more than there are processors, perhaps: one that is held up in the middle of a read is what counts */

/* Shared with the readers, which are processes: in the writer's own process a section holds memory back. */
struct imitation {
    _Atomic bool stop;
    _Atomic uint64_t reads, hits;
};

static void key_of(uint32_t k, char key[KEY_BYTES + 1]) {
    snprintf(key, KEY_BYTES + 1, "imitated%08u", k);
}

/* A value full of nodes: one at every `step` bytes, of one of the keys, as of index `index`. */
static void imitate(struct help_rng *r, uint8_t *value, size_t bytes, size_t step, size_t shift, uint64_t index) {
    struct node {
        struct table_node head;
        char key[KEY_BYTES];
        uint8_t value[VALUE_BYTES];
    } n;
    char key[KEY_BYTES + 1];
    memset(value, 0, bytes);
    for (size_t at = shift; at + sizeof(n) <= bytes; at += step) {
        memset((void *)&n, 0, sizeof(n));
        key_of((uint32_t)help_below(r, KEYS), key);
        memcpy(n.key, key, KEY_BYTES);
        memset(n.value, FALSE_MARK, VALUE_BYTES);
        atomic_store(&n.head.index, 1 + help_below(r, index));
        atomic_store(&n.head.key_len, KEY_BYTES);
        atomic_store(&n.head.value_len, VALUE_BYTES);
        atomic_store(&n.head.crc, crc32c(0, n.key, KEY_BYTES + VALUE_BYTES));
        memcpy(value + at, (const void *)&n, sizeof(n));
    }
}

static void check(const char *key, const uint8_t *value, size_t size) {
    bool whole = size == VALUE_BYTES && value[0] == TRUE_MARK && memcmp(value + 1, key, KEY_BYTES) == 0;
    for (size_t i = 1 + KEY_BYTES; whole && i < size; i++) {
        whole = value[i] == TRUE_MARK;
    }
    CHILD(whole);
}

static int scanned(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size, uint64_t version) {
    (void)ctx;
    (void)version;
    if (key_len == KEY_BYTES && memcmp(key, "imitated", 8) == 0) {
        check(key, value, value_size);
    }
    return 0;
}

/* Gets, sections and scans in turns: each has its own way to a node. */
static void read_all(struct imitation *m, uint64_t seed) {
    struct tide *d = NULL;
    struct tide_reader *reader = NULL;
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    CHILD(tide_open(&d, name, NULL) == 0 && tide_reader_open(d, &opts, &reader) == 0);
    struct help_rng r = { seed };
    char key[KEY_BYTES + 1];
    uint8_t buf[VALUE_BYTES];
    for (uint64_t n = 0; !atomic_load(&m->stop); n++) {
        struct tide_answer a = TIDE_ANSWER_INIT;
        key_of((uint32_t)help_below(&r, KEYS), key);
        if (n % 500 == 0 && tide_section_begin(reader, NULL, NULL) == 0) {
            tide_section_scan(reader, scanned, NULL);
            tide_section_end(reader);
        }
        bool section = n % 4 == 3 && tide_section_begin(reader, NULL, NULL) == 0;
        size_t size = 0;
        uint64_t version;
        int error;
        if (section) {
            error = TIDE_ERR_LOST;
            for (int i = 0; i < 8; i++) {
                key_of((uint32_t)help_below(&r, KEYS), key);
                error = tide_section_get(reader, key, KEY_BYTES, buf, sizeof(buf), &size, &version);
                if (error == 0) {
                    check(key, buf, size);
                }
                CHILD(error == 0 || error == TIDE_ERR_NOT_FOUND || error == TIDE_ERR_LOST);
            }
            tide_section_end(reader);
        } else {
            error = tide_get(reader, key, KEY_BYTES, NULL, buf, sizeof(buf), &a);
            size = a.value_size;
        }
        if (error == 0) {
            check(key, buf, size);
            atomic_fetch_add(&m->hits, 1);
        }
        atomic_fetch_add(&m->reads, 1);
    }
    tide_reader_close(reader);
    tide_close(d);
    _exit(0);
}

static uint64_t reused(struct tide *d) {
    return atomic_load(&atomic_load(&d->running[0])->writer.t.seg->reused);
}

static void put_true(struct tide *d, uint32_t k) {
    char key[KEY_BYTES + 1];
    uint8_t value[VALUE_BYTES];
    key_of(k, key);
    memset(value, TRUE_MARK, sizeof(value));
    memcpy(value + 1, key, KEY_BYTES);
    assert_int_equal(tide_put(d, NULL, key, KEY_BYTES, value, sizeof(value), NULL), 0);
}

/* One round: keys that are read are put, with much beside them so that pages are full of such nodes; then all goes but a few, and the
 * pages become the insides of large values. */
static void change_use(struct tide *d, struct help_rng *r, uint8_t *value) {
    char key[32];
    for (uint32_t i = 0; i < KEYS; i++) {
        for (int beside = 0; beside < 3; beside++) {
            int len = snprintf(key, sizeof(key), "beside%03u.%u", i, (unsigned)beside);
            assert_int_equal(tide_put(d, NULL, key, (size_t)len, value, VALUE_BYTES + 2, NULL), 0);
        }
        put_true(d, i);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        for (int beside = 0; beside < 3; beside++) {
            int len = snprintf(key, sizeof(key), "beside%03u.%u", i, (unsigned)beside);
            assert_int_equal(tide_delete(d, NULL, key, (size_t)len, NULL), 0);
        }
        key_of(i, key);
        assert_int_equal(tide_delete(d, NULL, key, KEY_BYTES, NULL), 0);
    }
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    for (uint32_t i = 0; i < 7; i++) {
        int len = snprintf(key, sizeof(key), "large%u", i);
        /* The value begins behind header and key; nodes lie at multiples of 16 bytes, and those of this size 112 apart. */
        size_t shift = (16 - (NODE_HEADER_BYTES + (size_t)len) % 16) % 16 + 16 * help_below(r, 7);
        imitate(r, value, BIG, 112, shift, info.commit_index);
        int error = tide_put(d, NULL, key, (size_t)len, value, BIG - help_below(r, 64) * 64, NULL);
        assert_true(error == 0 || error == TIDE_ERR_FULL);
    }
    for (uint32_t i = 0; i < 7; i++) {
        int len = snprintf(key, sizeof(key), "large%u", i);
        assert_int_equal(tide_delete(d, NULL, key, (size_t)len, NULL), 0);
    }
}

static void readers_elsewhere__values_that_imitate_nodes__never_given_one(void **state) {
    (void)state;
    struct imitation *m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(m != MAP_FAILED);
    struct tide_opts o = TIDE_OPTS_INIT;
    o.ring_bytes = 128 * KIB;
    o.table_bytes = 256 * KIB;
    o.slow_follower_ns = UINT64_C(60) * 1000000000;
    struct help_rng r = { help_seed() };
    struct tide *d = NULL;
    pid_t readers[READERS];
    for (uint32_t i = 0; i < READERS; i++) {
        readers[i] = fork();
        assert_true(readers[i] >= 0);
        if (readers[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (tide_open(&d, name, NULL) != 0) {
                usleep(1000);
            }
            tide_close(d);
            read_all(m, help_random(&r) + i);
        }
    }
    assert_int_equal(tide_open(&d, name, &o), 0);
    help_leader(d);
    uint8_t *value = malloc(BIG);
    assert_non_null(value);
    memset(value, 1, BIG);
    uint64_t before = reused(d), rounds = 0;
    for (; rounds < help_scaled(1500) || atomic_load(&m->reads) < 2000; rounds++) {
        change_use(d, &r, value);
    }
    uint64_t changes = reused(d) - before;
    atomic_store(&m->stop, true);
    for (uint32_t i = 0; i < READERS; i++) {
        int status;
        assert_int_equal(waitpid(readers[i], &status, 0), readers[i]);
        assert_int_equal(status, 0);
    }
    printf("# %llu rounds, %llu changes of use, %llu reads, %llu of them hits\n", (unsigned long long)rounds,
           (unsigned long long)changes, (unsigned long long)atomic_load(&m->reads),
           (unsigned long long)atomic_load(&m->hits));
    assert_true(changes > rounds);
    free(value);
    assert_int_equal(tide_close(d), 0);
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        NAMED_CASE(readers_elsewhere__values_that_imitate_nodes__never_given_one),
    };
    return cmocka_run_group_tests_name("imitate", tests, NULL, NULL);
}
