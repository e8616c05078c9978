/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/frames.h"

#include "shm/bytes.h"
#include "shm/crc.h"

void make_entry(struct made *m, uint64_t index, uint32_t value_most) {
    struct help_rng r = { index };
    m->e = (struct ring_entry){ .key = m->key, .value = m->value, .type = FRAME_PUT };
    m->e.key_len = (uint16_t)(1 + help_below(&r, KEY_MOST));
    m->e.value_len = (uint32_t)help_below(&r, value_most + 1);
    for (uint32_t i = 0; i < m->e.key_len; i++) {
        m->key[i] = (uint8_t)help_random(&r);
    }
    for (uint32_t i = 0; i < m->e.value_len; i++) {
        m->value[i] = (uint8_t)help_random(&r);
    }
    m->e.payload_crc = crc32c(crc32c(0, m->key, m->e.key_len), m->value, m->e.value_len);
}

uint64_t entry_bytes(const struct made *m) {
    return ring_frame_bytes(m->e.key_len, m->e.value_len);
}

enum ring_status read_entry(const struct ring *ring, uint64_t *pos, uint64_t index, uint32_t value_most, bool *same) {
    static _Thread_local uint8_t copy[KEY_MOST + VALUE_MOST];
    static _Thread_local struct made want;
    struct frame f;
    enum ring_status status = ring_header(ring, *pos, index, &f);
    if (status != RING_OK) {
        return status;
    }
    if ((size_t)f.key_len + f.value_len > sizeof(copy)) {
        return ring_intact(ring, *pos) ? RING_CORRUPT : RING_LAPPED;
    }
    bytes_copy_racy(copy, ring_payload(ring, *pos), (size_t)f.key_len + f.value_len);
    if (!ring_intact(ring, *pos)) {
        return RING_LAPPED;
    }
    make_entry(&want, index, value_most);
    *same = f.key_len == want.e.key_len && f.value_len == want.e.value_len && f.type == FRAME_PUT &&
            ring_frame_crc(&f, crc32c(0, copy, (size_t)f.key_len + f.value_len)) == f.crc &&
            memcmp(copy, want.key, f.key_len) == 0 && memcmp(copy + f.key_len, want.value, f.value_len) == 0;
    *pos += f.length;
    return RING_OK;
}

void fill_until(struct ring_writer *w, uint64_t tail) {
    static struct made m;
    while (w->tail < tail) {
        make_entry(&m, w->next_index, 500);
        if (w->tail + entry_bytes(&m) > tail) {
            return;
        }
        ring_append(w, &m.e, w->next_index);
        ring_commit(w);
    }
}
