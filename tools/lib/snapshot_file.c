/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/snapshot_file.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tools/lib/read_all.h"

#define KEY_MAX 65535u
#define CHUNK (1u << 20)

static const char MAGIC[8] = { 'T', 'I', 'D', 'E', 'S', 'N', 'A', 'P' };
static const char END_MAGIC[8] = { 'T', 'I', 'D', 'E', 'D', 'O', 'N', 'E' };

static void snapshot_put_number(uint8_t *to, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t snapshot_get_number(const uint8_t *from, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value |= (uint64_t)from[i] << (8 * i);
    }
    return value;
}

/* ---- writing ---- */

struct sink {
    int fd;
    int failed;
    size_t size;
    XXH3_state_t hash;
    uint8_t chunk[CHUNK];
};

static void snapshot_flush_sink(struct sink *s) {
    if (!s->failed && s->size > 0) {
        s->failed = write_all(s->fd, s->chunk, s->size) != 0;
    }
    s->size = 0;
}

static void snapshot_add(struct sink *s, const void *bytes, size_t size) {
    XXH3_64bits_update(&s->hash, bytes, size);
    for (size_t done = 0; done < size && !s->failed;) {
        size_t n = size - done < CHUNK - s->size ? size - done : CHUNK - s->size;
        memcpy(s->chunk + s->size, (const uint8_t *)bytes + done, n);
        s->size += n;
        done += n;
        if (s->size == CHUNK) {
            snapshot_flush_sink(s);
        }
    }
}

static void snapshot_add_header(struct sink *s, const struct snapshot_head *head, const struct records *records) {
    uint8_t h[SNAPSHOT_HEADER_BYTES] = { 0 };
    uint64_t bytes = 0;
    for (size_t i = 0; i < records->n; i++) {
        bytes += SNAPSHOT_RECORD_BYTES + (uint64_t)records->list[i].key_size + records->list[i].value_size;
    }
    memcpy(h, MAGIC, sizeof(MAGIC));
    snapshot_put_number(h + 8, SNAPSHOT_VERSION, 4);
    snapshot_put_number(h + 12, SNAPSHOT_HEADER_BYTES, 4);
    snapshot_put_number(h + 16, records->n, 8);
    snapshot_put_number(h + 24, bytes, 8);
    snapshot_put_number(h + 32, head->index, 8);
    snapshot_put_number(h + 40, head->incarnation, 8);
    snapshot_put_number(h + 48, head->created_unix_ns, 8);
    memcpy(h + 64, head->name, strnlen(head->name, SNAPSHOT_NAME_BYTES - 1));
    snapshot_add(s, h, sizeof(h));
}

static void snapshot_add_record(struct sink *s, const struct records *r, const struct record *x) {
    uint8_t h[SNAPSHOT_RECORD_BYTES];
    snapshot_put_number(h, x->key_size, 4);
    snapshot_put_number(h + 4, x->value_size, 4);
    snapshot_put_number(h + 8, x->version, 8);
    snapshot_put_number(h + 16, x->expires_unix_ns, 8);
    snapshot_put_number(h + 24, x->flags, 4);
    snapshot_put_number(h + 28, 0, 4);
    snapshot_add(s, h, sizeof(h));
    snapshot_add(s, records_key(r, x), x->key_size);
    snapshot_add(s, records_value(r, x), x->value_size);
}

int snapshot_write(int fd, const struct snapshot_head *head, const struct records *records) {
    static struct sink sink; /* too large for the stack */
    uint8_t trailer[SNAPSHOT_TRAILER_BYTES];
    sink.fd = fd;
    sink.failed = 0;
    sink.size = 0;
    XXH3_64bits_reset(&sink.hash);
    snapshot_add_header(&sink, head, records);
    for (size_t i = 0; i < records->n && !sink.failed; i++) {
        snapshot_add_record(&sink, records, &records->list[i]);
    }
    snapshot_put_number(trailer, XXH3_64bits_digest(&sink.hash), 8);
    memcpy(trailer + 8, END_MAGIC, sizeof(END_MAGIC));
    snapshot_add(&sink, trailer, sizeof(trailer));
    snapshot_flush_sink(&sink);
    return sink.failed ? -1 : 0;
}

/* ---- reading ---- */

/* What can be said of the file as a whole, its checksum included. NULL: good. */
static const char *snapshot_check_file(const uint8_t *b, size_t size) {
    if (size < sizeof(MAGIC) || memcmp(b, MAGIC, sizeof(MAGIC)) != 0) {
        return "no snapshot: it does not begin with TIDESNAP";
    }
    if (size < SNAPSHOT_HEADER_BYTES + SNAPSHOT_TRAILER_BYTES) {
        return "truncated: it ends inside the header";
    }
    if (snapshot_get_number(b + 8, 4) == 0 || snapshot_get_number(b + 8, 4) > SNAPSHOT_VERSION) {
        return "another version of the format than this tool knows (1 and 2)";
    }
    if (snapshot_get_number(b + 12, 4) != SNAPSHOT_HEADER_BYTES) {
        return "damaged: the header has an impossible size";
    }
    uint64_t records = snapshot_get_number(b + 24, 8);
    uint64_t room = size - SNAPSHOT_HEADER_BYTES - SNAPSHOT_TRAILER_BYTES;
    if (records > room) {
        return "truncated: it ends before the last record";
    }
    if (records < room) {
        return "damaged: it is longer than its header says";
    }
    if (memcmp(b + size - 8, END_MAGIC, sizeof(END_MAGIC)) != 0) {
        return "damaged: it does not end with TIDEDONE";
    }
    if (snapshot_get_number(b + size - 16, 8) != XXH3_64bits(b, size - SNAPSHOT_TRAILER_BYTES)) {
        return "damaged: its checksum is wrong";
    }
    return NULL;
}

static const char *snapshot_take_records(const uint8_t *b, uint64_t bytes, const struct snapshot_head *h,
                                         struct records *out) {
    uint64_t record_bytes = h->version == 1 ? SNAPSHOT_RECORD_BYTES_1 : SNAPSHOT_RECORD_BYTES;
    uint64_t at = 0;
    const struct record *last = NULL;
    for (uint64_t i = 0; i < h->count; i++) {
        if (bytes - at < record_bytes) {
            return "damaged: fewer records than its header says";
        }
        uint64_t key_size = snapshot_get_number(b + at, 4), value_size = snapshot_get_number(b + at + 4, 4);
        uint64_t version = snapshot_get_number(b + at + 8, 8), expires = 0, flags = 0;
        if (h->version > 1) {
            expires = snapshot_get_number(b + at + 16, 8);
            flags = snapshot_get_number(b + at + 24, 8);
        }
        at += record_bytes;
        if (key_size == 0 || key_size > KEY_MAX || key_size > bytes - at || value_size > bytes - at - key_size) {
            return "damaged: a record has an impossible length";
        }
        if (records_add(out, b + at, key_size, b + at + key_size, value_size, version) != 0) {
            return "not enough memory for it";
        }
        if ((flags & ~(uint64_t)SNAPSHOT_KEEP) != 0) {
            return "damaged: a record has flags that this tool does not know";
        }
        out->list[out->n - 1].expires_unix_ns = expires;
        out->list[out->n - 1].flags = (uint32_t)flags;
        at += key_size + value_size;
        last = &out->list[out->n - 1];
        if (i > 0 && records_compare(out, last - 1, last) >= 0) {
            return "damaged: its keys are not in order";
        }
    }
    return at == bytes ? NULL : "damaged: more bytes than records";
}

const char *snapshot_parse(const uint8_t *bytes, size_t size, struct snapshot_head *head, struct records *records) {
    struct snapshot_head h = { 0 };
    struct records found = { 0 };
    const char *wrong = snapshot_check_file(bytes, size);
    if (wrong) {
        return wrong;
    }
    h.version = (uint32_t)snapshot_get_number(bytes + 8, 4);
    h.count = snapshot_get_number(bytes + 16, 8);
    h.index = snapshot_get_number(bytes + 32, 8);
    h.incarnation = snapshot_get_number(bytes + 40, 8);
    h.created_unix_ns = snapshot_get_number(bytes + 48, 8);
    memcpy(h.name, bytes + 64, SNAPSHOT_NAME_BYTES - 1);
    wrong = snapshot_take_records(bytes + SNAPSHOT_HEADER_BYTES, snapshot_get_number(bytes + 24, 8), &h, &found);
    if (wrong) {
        records_free(&found);
        return wrong;
    }
    records_free(records);
    *records = found;
    *head = h;
    return NULL;
}
