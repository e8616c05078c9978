/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs that were compiled with an older header, or with a newer one: every size that a struct was ever released with works,
 * and nothing beyond the caller's struct is read or written. Each struct ends where a page begins that cannot be touched.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/replica/sized.h"
#include "tests/lib/one.h"

static uint8_t *edge; /* bytes before it may be touched */

/* Room for a struct of so many bytes, which ends at the edge. */
static void *at_edge(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (edge == NULL) {
        uint8_t *pages = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(pages != MAP_FAILED);
        assert_int_equal(mprotect(pages + 3 * page, page, PROT_NONE), 0);
        edge = pages + 3 * page;
    }
    memset(edge - 3 * page, 0xa5, 3 * page);
    return edge - (size + 7) / 8 * 8; /* as aligned as a program's structs are */
}

/* A copy of options as a program has them whose struct is of this size. */
static void *of_size(const void *options, size_t known, size_t size, bool wide) {
    uint8_t *p = at_edge(size);
    memset(p, 0, size);
    memcpy(p, options, size < known ? size : known);
    if (wide) {
        *(size_t *)(void *)p = size;
    } else {
        *(uint32_t *)(void *)p = (uint32_t)size;
    }
    return p;
}

/* ---- what callers fill --------------------------------------------------------------------------------------------- */

struct asked {
    struct one one;
    const void *options;
    size_t known; /* the library's size */
    bool wide;    /* size is a size_t */
    int (*use)(struct asked *a, const void *p);
    size_t released[4]; /* sizes, 0: no more */
};

static int use_opts(struct asked *a, const void *p) {
    (void)a;
    struct tide *d;
    int error = tide_open(&d, help_name(), p);
    return error != 0 ? error : tide_close(d);
}

static int use_replica_opts(struct asked *a, const void *p) {
    uint32_t id;
    int error = tide_replica_start(a->one.d, p, &id);
    return error != 0 ? error : tide_replica_stop(a->one.d, id);
}

static int use_reader_opts(struct asked *a, const void *p) {
    struct tide_reader *r;
    int error = tide_reader_open(a->one.d, p, &r);
    return error != 0 ? error : tide_reader_close(r);
}

static int use_watch_opts(struct asked *a, const void *p) {
    struct tide_watch *w;
    int error = tide_watch_open(a->one.d, p, &w);
    return error != 0 ? error : tide_watch_close(w);
}

static int never_made(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size) {
    (void)ctx, (void)key, (void)key_len, (void)buf, (void)buf_size, (void)value_size;
    return 1;
}

static int use_make_opts(struct asked *a, const void *p) {
    char value[64];
    return tide_get_or_make(a->one.r, "twelve bytes", 12, NULL, p, never_made, NULL, value, sizeof(value), NULL);
}

/* The common get, and one that is not (engine/read/get.c). */
static int use_bound(struct asked *a, const void *p) {
    char value[64];
    const char *const keys[] = { "a key of some bytes", "twelve bytes" };
    int results[5] = { 0 };
    for (int i = 0; i < 2; i++) {
        results[i] = tide_get(a->one.r, keys[i], strlen(keys[i]), p, value, sizeof(value), NULL);
    }
    struct tide_mget_item item = {
        .key = keys[0], .key_len = strlen(keys[0]), .buf = value, .buf_size = sizeof(value)
    };
    results[2] = tide_mget(a->one.r, &item, 1, p, NULL);
    results[3] = tide_section_begin(a->one.r, p, NULL);
    results[4] = results[3] == 0 ? tide_section_end(a->one.r) : results[3];
    for (int i = 1; i < 5; i++) {
        assert_int_equal(results[i], results[0]);
    }
    return results[0];
}

static void check_asked(struct asked *a) {
    size_t first = a->released[0];
    for (int i = 0; i < 4 && a->released[i] != 0; i++) {
        assert_int_equal(a->use(a, of_size(a->options, a->known, a->released[i], a->wide)), 0);
    }
    assert_int_equal(a->use(a, of_size(a->options, a->known, a->known, a->wide)), 0);
    /* a newer header's fields that were not set, and set */
    assert_int_equal(a->use(a, of_size(a->options, a->known, a->known + 8, a->wide)), 0);
    assert_int_equal(a->use(a, of_size(a->options, a->known, SIZED_MOST, a->wide)), 0);
    for (size_t at = 0; at < 16; at++) {
        uint8_t *p = of_size(a->options, a->known, a->known + 16, a->wide);
        p[a->known + at] = 1;
        assert_int_equal(a->use(a, p), TIDE_ERR_INVALID);
    }
    assert_int_equal(a->use(a, of_size(a->options, a->known, SIZED_MOST + 1, a->wide)), TIDE_ERR_INVALID);
    for (size_t size = a->wide ? sizeof(size_t) : sizeof(uint32_t); size < first; size++) {
        assert_int_equal(a->use(a, of_size(a->options, a->known, size, a->wide)), TIDE_ERR_INVALID);
    }
    /* the caller set the size alone: nothing else of the struct may be read */
    uint8_t *p = of_size(a->options, a->known, a->known, a->wide);
    memset(p, 0xff, a->wide ? sizeof(size_t) : sizeof(uint32_t));
    assert_int_equal(a->use(a, p), TIDE_ERR_INVALID);
    memset(p, 0, a->wide ? sizeof(size_t) : sizeof(uint32_t));
    assert_int_equal(a->use(a, p), TIDE_ERR_INVALID);
}

static void options__every_released_size__taken_and_newer_ones_where_the_rest_is_0(void **state) {
    (void)state;
    struct one one = open_one(64 * KIB, MIB);
    assert_int_equal(tide_put(one.d, one.r, "a key of some bytes", 19, "v", 1, NULL), 0);
    char value[64] = { 0 };
    assert_int_equal(tide_put(one.d, one.r, "twelve bytes", 12, value, sizeof(value), NULL), 0);

    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags |= TIDE_EPHEMERAL;
    opts.ring_bytes = 64 * KIB;
    opts.table_bytes = MIB;
    struct tide_replica_opts replica = TIDE_REPLICA_OPTS_INIT;
    struct tide_reader_opts reader = TIDE_READER_OPTS_INIT;
    struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_watch_opts watch = TIDE_WATCH_OPTS_INIT;
    struct tide_make_opts make = TIDE_MAKE_OPTS_INIT;
    struct asked all[] = {
        { one, &opts, sizeof(opts), true, use_opts, { 72 } },
        { one, &replica, sizeof(replica), true, use_replica_opts, { 48, 56 } },
        { one, &reader, sizeof(reader), true, use_reader_opts, { 24 } },
        { one, &bound, sizeof(bound), false, use_bound, { 48 } },
        { one, &watch, sizeof(watch), true, use_watch_opts, { 48 } },
        { one, &make, sizeof(make), true, use_make_opts, { 40 } },
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        check_asked(&all[i]);
    }
    close_one(&one);
}

/* ---- what the library fills ---------------------------------------------------------------------------------------- */

struct filled {
    struct one one;
    size_t known;
    int (*fill)(struct filled *f, void *p);
    size_t released[4];
};

static int fill_info(struct filled *f, void *p) {
    return tide_info(f->one.d, p);
}

static int fill_replica_info(struct filled *f, void *p) {
    return tide_replica_info(f->one.d, 0, p);
}

static int fill_verify(struct filled *f, void *p) {
    return tide_verify(f->one.d, p);
}

static int fill_counts(struct filled *f, void *p) {
    return tide_read_counts(f->one.d, p);
}

static int fill_reader_counts(struct filled *f, void *p) {
    return tide_reader_counts(f->one.r, p);
}

static void check_filled(struct filled *f) {
    static uint8_t whole[SIZED_MOST];
    size_t sizes[16], n = 0;
    for (int i = 0; i < 4 && f->released[i] != 0; i++) {
        sizes[n++] = f->released[i];
    }
    sizes[n++] = f->known;
    sizes[n++] = f->known + 8;
    sizes[n++] = SIZED_MOST;
    memset(whole, 0, sizeof(whole));
    memcpy(whole, &f->known, sizeof(size_t));
    assert_int_equal(f->fill(f, whole), 0);
    for (size_t i = 0; i < n; i++) {
        size_t both = sizes[i] < f->known ? sizes[i] : f->known;
        uint8_t *p = at_edge(sizes[i]);
        memcpy(p, &sizes[i], sizeof(size_t));
        assert_int_equal(f->fill(f, p), 0);
        assert_memory_equal(p, &both, sizeof(size_t));
        assert_memory_equal(p + sizeof(size_t), whole + sizeof(size_t), both - sizeof(size_t));
        for (size_t at = both; at < sizes[i]; at++) {
            assert_int_equal(p[at], 0xa5); /* a newer program's own: what its initializer left there */
        }
        assert_int_equal(p[-1], 0xa5);
    }
    for (size_t size = 0; size < f->released[0]; size++) {
        uint8_t *p = at_edge(size < sizeof(size_t) ? sizeof(size_t) : size);
        memcpy(p, &size, sizeof(size_t));
        assert_int_equal(f->fill(f, p), TIDE_ERR_INVALID);
        assert_memory_equal(p, &size, sizeof(size_t)); /* untouched on error */
    }
}

static void filled_structs__every_released_size__filled_that_far(void **state) {
    (void)state;
    struct one one = open_one(64 * KIB, MIB);
    assert_int_equal(tide_put(one.d, one.r, "key", 3, "v", 1, NULL), 0);
    struct filled all[] = {
        { one, sizeof(struct tide_info), fill_info, { 168 } },
        { one, sizeof(struct tide_replica_info), fill_replica_info, { 192 } },
        { one, sizeof(struct tide_verify), fill_verify, { 576 } },
        { one, sizeof(struct tide_read_counts), fill_counts, { 576 } },
        { one, sizeof(struct tide_read_counts), fill_reader_counts, { 576 } },
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        check_filled(&all[i]);
    }
    close_one(&one);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

#define ANSWER_FIRST 64u /* its size in the first release */

/* Each way to an answer, engine/read/get.c's and the others, fills the answer, also with an error. */
static int answer_by(const struct one *o, int way, struct tide_answer *a) {
    char value[64];
    struct tide_mget_item item = { .key = "twelve bytes", .key_len = 12, .buf = value, .buf_size = sizeof(value) };
    int error;
    switch (way) {
    case 0:
        return tide_get(o->r, "twelve bytes", 12, NULL, value, sizeof(value), a);
    case 1:
        return tide_get(o->r, "k", 1, NULL, value, sizeof(value), a);
    case 2:
        error = tide_get(o->r, "not there at all", 16, NULL, value, sizeof(value), a);
        return error == TIDE_ERR_NOT_FOUND ? 0 : error;
    case 3:
        error = tide_get(o->r, "twelve bytes", 12, NULL, value, 8, a);
        return error == TIDE_ERR_BUFFER ? 0 : error;
    case 4:
        return tide_mget(o->r, &item, 1, NULL, a);
    default:
        error = tide_section_begin(o->r, NULL, a);
        return error != 0 ? error : tide_section_end(o->r);
    }
}
#define ANSWER_WAYS 6

static void answers__every_released_size__filled_that_far_and_size_kept(void **state) {
    (void)state;
    struct one one = open_one(64 * KIB, MIB);
    char value[64] = { 0 };
    assert_int_equal(tide_put(one.d, one.r, "twelve bytes", 12, value, sizeof(value), NULL), 0);
    assert_int_equal(tide_put(one.d, one.r, "k", 1, "v", 1, NULL), 0);
    const uint32_t sizes[] = { ANSWER_FIRST, sizeof(struct tide_answer), sizeof(struct tide_answer) + 8, 1024 };
    for (int way = 0; way < ANSWER_WAYS; way++) {
        struct tide_answer whole = TIDE_ANSWER_INIT;
        assert_int_equal(answer_by(&one, way, &whole), 0);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            uint8_t *p = at_edge(sizes[i]);
            size_t both = sizes[i] < sizeof(whole) ? sizes[i] : sizeof(whole);
            memcpy(p, &sizes[i], sizeof(uint32_t));
            assert_int_equal(answer_by(&one, way, (struct tide_answer *)(void *)p), 0);
            assert_memory_equal(p, &sizes[i], sizeof(uint32_t));
            assert_memory_equal(p + sizeof(uint32_t), (uint8_t *)&whole + sizeof(uint32_t), both - sizeof(uint32_t));
            for (size_t at = both; at < sizes[i]; at++) {
                assert_int_equal(p[at], 0xa5);
            }
        }
        for (uint32_t size = 0; size < ANSWER_FIRST; size++) {
            uint8_t *p = at_edge(size < sizeof(uint32_t) ? sizeof(uint32_t) : size);
            memcpy(p, &size, sizeof(uint32_t));
            assert_int_equal(answer_by(&one, way, (struct tide_answer *)(void *)p), TIDE_ERR_INVALID);
        }
    }
    close_one(&one);
}

/* ---- and on the way ------------------------------------------------------------------------------------------------ */

static void *mget_of_another(void *reader) {
    struct tide_mget_item item = { .key = "k", .key_len = 1 };
    assert_int_equal(tide_mget(reader, &item, 1, NULL, NULL), TIDE_ERR_THREAD);
    return NULL;
}

static void tide_mget__no_reader_or_anothers__error(void **state) {
    (void)state;
    struct tide_mget_item item = { .key = "k", .key_len = 1 };
    assert_int_equal(tide_mget(NULL, &item, 1, NULL, NULL), TIDE_ERR_INVALID);
    struct one one = open_one(64 * KIB, MIB);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, mget_of_another, one.r), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close_one(&one);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options__every_released_size__taken_and_newer_ones_where_the_rest_is_0),
        cmocka_unit_test(filled_structs__every_released_size__filled_that_far),
        cmocka_unit_test(answers__every_released_size__filled_that_far_and_size_kept),
        cmocka_unit_test(tide_mget__no_reader_or_anothers__error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
