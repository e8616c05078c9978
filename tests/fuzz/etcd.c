/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a member of a cluster answers: messages of a watch that come in pieces, each read as JSON, then its keys, events, errors, ranges of a
 * transaction, names; and addresses of clusters. The first byte says how the input is cut.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tools/etcd/address.h"
#include "tools/etcd/wire.h"

#define RANGES 3u

static void see(const struct wire_bytes *b) {
    FUZZ_EXPECT(b->data != NULL || b->size == 0);
    fuzz_read(b->data, b->size);
}

static void message(struct wire *w, const char *text, size_t size) {
    if (wire_read(w, text, size) != 0) {
        FUZZ_EXPECT(w->text[0] != 0 && memchr(w->text, 0, sizeof(w->text)) != NULL);
        return;
    }
    FUZZ_EXPECT(memchr(w->text, 0, sizeof(w->text)) != NULL);
    for (size_t i = 0; i < w->n; i++) {
        see(&w->kvs[i].key);
        see(&w->kvs[i].value);
    }
    struct wire_kv kv;
    char to[40];
    for (size_t i = 0; i < RANGES; i++) {
        int found = wire_range_answer(w, i, &kv);
        FUZZ_EXPECT(found >= -1 && found <= 1);
        if (found == 1) {
            see(&kv.key);
            see(&kv.value);
            FUZZ_EXPECT(wire_found(w, i) == kv.mod_revision);
        }
    }
    for (size_t i = 0; i < w->n; i++) { /* they are still there */
        see(&w->kvs[i].key);
        see(&w->kvs[i].value);
    }
    static const char *const NAMES[] = { "etcdserver", "token", "error", "ID" };
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (wire_string(w, NAMES[i], to, sizeof(to)) == 0) {
            FUZZ_EXPECT(memchr(to, 0, sizeof(to)) != NULL);
        }
    }
}

/* The end of the first message, found at once and in pieces: the same. */
static size_t end_of(const char *text, size_t size, size_t piece) {
    struct wire_scan whole = { 0 }, parts = { 0 };
    size_t end = wire_message_end(&whole, text, size), got = 0;
    FUZZ_EXPECT(end <= size);
    for (size_t n = piece; got == 0; n += piece) {
        size_t here = n < size ? n : size;
        char *exact = malloc(here + 1); /* so that a sanitizer sees a read beyond what has come */
        memcpy(exact, text, here);
        exact = realloc(exact, here > 0 ? here : 1);
        got = wire_message_end(&parts, exact, here);
        free(exact);
        if (here == size) {
            break;
        }
    }
    FUZZ_EXPECT(got == end);
    return end;
}

static void address(const uint8_t *bytes, size_t size) {
    static struct etcd_address a;
    char text[1500], why[200] = "";
    size_t n = size < sizeof(text) - 1 ? size : sizeof(text) - 1;
    memcpy(text, bytes, n);
    text[n] = 0;
    if (etcd_address_read(&a, text, why, sizeof(why)) == 0) {
        FUZZ_EXPECT(a.n >= 1 && a.n <= ETCD_ENDPOINTS && a.prefix_len <= sizeof(a.prefix));
        fuzz_read(a.prefix, a.prefix_len);
        for (size_t i = 0; i < a.n; i++) {
            FUZZ_EXPECT(memchr(a.endpoints[i], 0, sizeof(a.endpoints[i])) != NULL);
        }
        struct buf key = { 0 }, end = { 0 };
        wire_prefix_range(a.prefix, a.prefix_len, &key, &end);
        FUZZ_EXPECT(key.size > 0 && end.size > 0);
        buf_free(&key);
        buf_free(&end);
    } else {
        FUZZ_EXPECT(why[0] != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct wire w;
    struct fuzz_input in = { bytes, size };
    size_t piece = 1 + (size_t)fuzz_take(&in, 1) + size / 64; /* each piece is looked at with all that came before it */
    const char *text = (const char *)in.at;
    size_t left = in.left;
    if (left > 4 && memcmp(text, "etcd", 4) == 0) {
        address(in.at, left);
        return 0;
    }
    while (left > 0) {
        size_t end = end_of(text, left, piece);
        if (end == 0) {
            message(&w, text, left); /* an answer that is no stream is read as a whole */
            break;
        }
        message(&w, text, end);
        text += end;
        left -= end;
    }
    return 0;
}
