/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/dump/nodes.h"

#include <stdlib.h>
#include <string.h>

#include "shm/crc.h"
#include "shm/segment.h"
#include "tools/dump/dump.h"
#include "tools/dump/peek.h"

#define BUCKETS_AT_ONCE 4096u
#define CHAIN_MOST 4096u /* as the engine has it: a longer chain is a loop */

struct walk {
    struct dump_file f;
    const struct table_segment *seg;
    struct nodes *n;
    struct records *out;
    uint8_t *bytes; /* of a node */
    size_t room;
    bool ages; /* the clock is known */
    struct clock_line clock;
    uint64_t newest;
    uint64_t links_left, bytes_left; /* a table in which each bucket and each node stands once needs no more */
    bool no_memory;
};

static bool nodes_has_expired(const struct walk *w, uint64_t expiry) {
    uint64_t age = w->ages ? dump_age_ns(&w->clock, expiry) : DUMP_AGE_UNKNOWN;
    return age != DUMP_AGE_UNKNOWN && age > 0;
}

static bool nodes_read_payload(struct walk *w, uint64_t off, size_t size) {
    if (size > w->room) {
        uint8_t *more = realloc(w->bytes, size);
        if (!more) {
            w->no_memory = true;
            return false;
        }
        w->bytes = more;
        w->room = size;
    }
    return dump_file_read(&w->f, off, w->bytes, size);
}

/* Read the node that a slot leads to. False: the slot is impossible. */
static bool nodes_take_node(struct walk *w, uint32_t slot) {
    struct table_node node;
    uint64_t off = (uint64_t)slot * TABLE_UNIT, end = w->seg->nodes_end;
    if (off < w->seg->pages_off || off > end - sizeof(node) || !dump_file_read(&w->f, off, &node, sizeof(node))) {
        return false;
    }
    uint32_t value_len = node.value_len & ~(NODE_EXPIRES | NODE_SOURCED), extra = 0;
    extra += node.value_len & NODE_EXPIRES ? EXPIRY_BYTES : 0;
    extra += node.value_len & NODE_SOURCED ? EXPIRY_BYTES + SOURCED_BYTES : 0;
    uint64_t size = (uint64_t)node.key_len + value_len + extra, expiry = 0;
    if (node.index == 0 || node.key_len == 0 || size > end - off - sizeof(node) || size > w->bytes_left) {
        return false;
    }
    w->bytes_left -= size;
    if (!nodes_read_payload(w, off + sizeof(node), (size_t)size) || crc32c(0, w->bytes, (size_t)size) != node.crc) {
        return false;
    }
    const uint8_t *behind = w->bytes + node.key_len + value_len;
    uint64_t version = node.index; /* or the source's */
    memcpy(&expiry, behind, extra != 0 ? EXPIRY_BYTES : 0);
    memcpy(&version, behind + EXPIRY_BYTES, extra > EXPIRY_BYTES ? SOURCED_BYTES : 0);
    w->newest = node.index > w->newest ? node.index : w->newest;
    if (node.deleted != 0 || (extra != 0 && nodes_has_expired(w, expiry))) {
        return true;
    }
    if (records_add(w->out, w->bytes, node.key_len, w->bytes + node.key_len, value_len, version) != 0) {
        w->no_memory = true;
        return false;
    }
    w->out->list[w->out->n - 1].flags = node.flags & NODE_KEEP;
    return true;
}

/* A bucket and the chain behind it. */
static void nodes_take_chain(struct walk *w, const struct table_bucket *first) {
    struct table_bucket bucket = *first;
    for (uint32_t links = 0; !w->no_memory; links++) {
        for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
            uint8_t tag = (uint8_t)(bucket.tags[i / 8] >> (i % 8 * 8));
            if (tag != 0 && !nodes_take_node(w, bucket.slots[i])) {
                w->n->damaged++;
            }
        }
        uint64_t off = (bucket.tags[1] >> 32) * sizeof(bucket);
        if (off == 0) {
            return;
        }
        bool can_be = links < CHAIN_MOST && w->links_left > 0 && off >= w->seg->buckets_off &&
                      off <= w->seg->nodes_end - sizeof(bucket); /* it may lie in a page of nodes */
        if (!can_be || !dump_file_read(&w->f, off, &bucket, sizeof(bucket))) {
            w->n->damaged++;
            return;
        }
        w->links_left--;
    }
}

static bool nodes_walk_buckets(struct walk *w) {
    struct table_bucket *some = aligned_alloc(LAYOUT_LINE, BUCKETS_AT_ONCE * sizeof(*some));
    bool read = some != NULL;
    w->no_memory = !some;
    for (uint64_t at = 0; read && at < w->seg->buckets && !w->no_memory; at += BUCKETS_AT_ONCE) {
        uint64_t n = w->seg->buckets - at < BUCKETS_AT_ONCE ? w->seg->buckets - at : BUCKETS_AT_ONCE;
        read = dump_file_read(&w->f, w->seg->buckets_off + at * sizeof(*some), some, (size_t)n * sizeof(*some));
        for (uint64_t i = 0; read && i < n && !w->no_memory; i++) {
            nodes_take_chain(w, &some[i]);
        }
    }
    free(some);
    return read && !w->no_memory;
}

/* Take from the log how far the replica is, and the domain's clock. */
static void nodes_look_at_log(void *ctx, struct dump_file *f, const struct dump_log *log) {
    struct walk *w = ctx;
    (void)f;
    if (log->seg->header.incarnation == w->n->incarnation && w->n->replica < LAYOUT_REPLICAS) {
        w->n->applied = log->seg->replicas[w->n->replica].applied;
        w->ages = dump_clock_known(&log->seg->header);
        memcpy((void *)&w->clock, (const void *)&log->seg->clock, sizeof(w->clock));
    }
}

static enum tool_code nodes_read_open(struct walk *w, struct dump_table *t, char *why, size_t why_size) {
    struct peek peek;
    struct nodes *n = w->n;
    if (!dump_table_read(t, &w->f)) {
        snprintf(why, why_size, "%s", w->f.fault);
        return w->f.code;
    }
    if (dump_is_other_version(&t->seg.header) || !t->understood || t->problems.count > 0) {
        snprintf(why, why_size, "%s", t->problems.count > 0 ? t->problems.text[0] : "it is no table of a replica");
        return dump_is_other_version(&t->seg.header) || !t->understood ? TOOL_FAILED : TOOL_NO;
    }
    w->seg = &t->seg;
    w->links_left = (t->seg.nodes_end - t->seg.buckets_off) / sizeof(struct table_bucket);
    w->bytes_left = t->seg.nodes_end - t->seg.pages_off;
    n->incarnation = t->seg.header.incarnation;
    n->replica = t->seg.header.replica;
    memcpy(n->name, t->seg.header.name, sizeof(n->name));
    n->name[sizeof(n->name) - 1] = '\0';
    peek_domain_more(n->name, &peek, nodes_look_at_log, w);
    if (!nodes_walk_buckets(w)) {
        snprintf(why, why_size, "%s", w->no_memory ? "out of memory" : w->f.fault);
        return w->no_memory ? TOOL_FAILED : w->f.code;
    }
    n->applied = n->applied == 0 ? w->newest : n->applied;
    return TOOL_OK;
}

enum tool_code nodes_read(const char *what, struct nodes *n, struct records *out, char *why, size_t why_size) {
    struct walk *w = calloc(1, sizeof(*w));
    struct dump_table *t = NULL;
    enum tool_code code = TOOL_FAILED;
    *n = (struct nodes){ 0 };
    /* A table's first part is aligned to two lines. */
    if (!w || posix_memalign((void **)&t, LAYOUT_PAIR, sizeof(*t)) != 0) {
        snprintf(why, why_size, "out of memory");
        free(w);
        return TOOL_FAILED;
    }
    memset((void *)t, 0, sizeof(*t));
    w->n = n;
    w->out = out;
    if (!dump_file_open(&w->f, what)) {
        snprintf(why, why_size, "%s", w->f.fault);
        code = w->f.code;
    } else {
        code = nodes_read_open(w, t, why, why_size);
        dump_file_close(&w->f);
    }
    if (code == TOOL_OK) {
        records_sort(out);
    }
    dump_table_free(t);
    free(w->bytes);
    free(t);
    free(w);
    return code;
}
