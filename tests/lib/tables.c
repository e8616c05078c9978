/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/tables.h"

#include <sched.h>
#include <stdlib.h>

#include "engine/table/grace.h"
#include "engine/table/rcu.h"
#include "shm/crc.h"

struct fixture open_table(uint64_t table_bytes, uint64_t expected_keys) {
    struct fixture f = { 0 };
    uint64_t size = table_segment_bytes(table_bytes);
    f.base = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    assert_non_null(f.base);
    memset(f.base, 0, size);
    assert_int_equal(table_create(&f.w, f.base, size, table_bytes, 42, expected_keys), 0);
    return f;
}

void close_table(struct fixture *f) {
    table_drain(&f->w);
    table_drain(&f->w);
    table_destroy(&f->w);
    free(f->base);
}

uint64_t hash_of(const struct fixture *f, const void *key, size_t key_len) {
    return table_hash(&f->w.t, key, key_len);
}

int put_at(struct fixture *f, const void *key, size_t key_len, const void *value, size_t value_len, uint64_t index) {
    uint32_t node;
    enum arena_status status;
    while ((status = table_node_new(&f->w, key_len, value_len, &node)) == ARENA_WAIT) {
        if (!f->in_batch) {
            table_published(&f->w);
        }
        if (!table_drain(&f->w)) {
            return -2;
        }
    }
    if (status != ARENA_OK) {
        return -2;
    }
    uint8_t *to = table_node_key(table_node_at(&f->w.t, node));
    memcpy(to, key, key_len);
    if (value_len != 0) {
        memcpy(to + key_len, value, value_len);
    }
    return table_publish(&f->w, node, table_hash(&f->w.t, key, key_len), index, crc32c(0, to, key_len + value_len));
}

size_t key_of(uint64_t k, uint8_t out[32]) {
    size_t len = 8 + k % 17;
    memset(out, (int)('a' + k % 26), len);
    memcpy(out, &k, sizeof(k));
    return len;
}

int put(struct fixture *f, uint64_t k) {
    uint8_t key[32], value[24];
    size_t len = key_of(k, key);
    f->index++;
    memset(value, (int)(f->index & 0xff), sizeof(value));
    memcpy(value, &f->index, sizeof(f->index));
    return put_at(f, key, len, value, 8 + k % 17, f->index);
}

void del(struct fixture *f, uint64_t k) {
    uint8_t key[32];
    size_t len = key_of(k, key);
    table_delete(&f->w, table_hash(&f->w.t, key, len), key, len, ++f->index);
}

uint64_t find_at(const struct fixture *f, uint64_t k, uint64_t at) {
    uint8_t key[32];
    size_t len = key_of(k, key);
    const struct table_node *n = table_find(&f->w.t, table_hash(&f->w.t, key, len), key, len, at);
    if (n == NULL) {
        return 0;
    }
    uint64_t says;
    memcpy(&says, table_node_key(n) + len, sizeof(says));
    uint64_t index = atomic_load(&n->index);
    return says == index ? index : UINT64_MAX; /* a value that its node's index did not make */
}

void assert_verifies(const struct fixture *f, uint64_t keys) {
    uint64_t k, digest, bad;
    assert_int_equal(table_verify(&f->w, &k, &digest, &bad), 0);
    assert_int_equal(bad, 0);
    assert_int_equal(k, keys);
    assert_int_equal(digest, f->w.digest);
}

static void *hold(void *arg) {
    struct holder *h = arg;
    help_check(rcu_register_self() == 0);
    for (;;) {
        int want = atomic_load(&h->want);
        int have = atomic_load(&h->have);
        if (want == have) {
            sched_yield();
            continue;
        }
        if (have == 1) {
            rcu_exit();
        }
        if (want == 1) {
            rcu_enter();
        }
        atomic_store(&h->have, want);
        if (want < 0) {
            return NULL;
        }
    }
}

void holder_set(struct holder *h, int want) {
    atomic_store(&h->want, want);
    while (atomic_load(&h->have) != want) {
        sched_yield();
    }
}

void holder_open(struct holder *h) {
    assert_int_equal(pthread_create(&h->thread, NULL, hold, h), 0);
    holder_set(h, 1);
}

void holder_close(struct holder *h) {
    holder_set(h, -1);
    pthread_join(h->thread, NULL);
    help_assert_threads();
}

int hold_grace(void **state) {
    (void)state;
    return rcu_register_self() != 0 || grace_hold(NULL) != 0 ? -1 : 0;
}

int drop_grace(void **state) {
    (void)state;
    grace_drop();
    return 0;
}
