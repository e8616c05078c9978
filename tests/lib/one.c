/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/one.h"

struct one open_one(uint64_t ring_bytes, uint64_t table_bytes) {
    struct one o = { .d = help_open(ring_bytes, table_bytes, 0) };
    help_leader(o.d);
    o.r = help_reader(o.d, TIDE_STICKY, -1, 0);
    return o;
}

void close_one(struct one *o) {
    assert_int_equal(tide_reader_close(o->r), 0);
    assert_int_equal(tide_close(o->d), 0);
}

uint64_t commit_index(struct tide *d) {
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    return info.commit_index;
}

uint64_t version_of(struct tide_reader *r, const void *key, size_t key_len, uint64_t *value) {
    struct tide_answer a = TIDE_ANSWER_INIT;
    uint64_t v = 0;
    int error = tide_get(r, key, key_len, NULL, &v, sizeof(v), &a);
    assert_true(error == 0 || error == TIDE_ERR_NOT_FOUND);
    if (value != NULL) {
        *value = v;
    }
    return error == 0 ? a.version : 0;
}
