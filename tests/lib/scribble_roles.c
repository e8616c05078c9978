/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/scribble_roles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/scribble_feed.h"
#include "tests/lib/scribble_tools.h"

#define RING_BYTES (64u << 10)
#define KEYS 600u
#define WRITE_NS 50000000u
#define LIFE_NS UINT64_C(100000000)

const char *scribble_role_name(int role) {
    static const char *const names[ROLES] = { "leader", "follower", "newcomer", "reader", "watcher", "command" };
    return names[role];
}

void scribble_nap(uint64_t ns) {
    struct timespec t = { .tv_sec = 0, .tv_nsec = (long)ns };
    nanosleep(&t, NULL);
}

uint64_t scribble_draw(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static struct scribble_scene *self;
static int self_role;

static bool at(const char *where) {
    atomic_store(&self->shared->roles[self_role].where, where);
    atomic_fetch_add(&self->shared->roles[self_role].steps, 1);
    return atomic_load(&self->shared->stop) == 0;
}

static void say(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx, (void)level;
    if (self->verbose) {
        fprintf(stderr, "    %s: %s\n", scribble_role_name(self_role), text);
    }
}

static struct tide *open_domain(void) {
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = self_role == LEADER ? TIDE_CREATE : 0;
    o.ring_bytes = RING_BYTES;
    o.table_bytes = SCRIBBLE_TABLE_BYTES;
    o.slow_follower_ns = 2000000;
    o.write_timeout_ns = WRITE_NS;
    o.evict = self->evicts ? TIDE_EVICT_S3FIFO : TIDE_EVICT_NONE;
    o.default_ttl_ns = self->evicts ? 20 * LIFE_NS : 0;
    o.source = self->fed && self_role == LEADER ? SCRIBBLE_SOURCE : NULL;
    o.log = say;
    struct tide *d = NULL;
    return tide_open(&d, self->name, &o) == 0 ? d : NULL;
}

static size_t make_key(char key[32], uint64_t n) {
    return (size_t)snprintf(key, 32, "key%08llu", (unsigned long long)(n % KEYS));
}

/* ---- writes --------------------------------------------------------------------------------------------------------- */

/* A batch with an operation of each kind. */
static void write_batch(struct tide *d, uint64_t r, const char *key, size_t len, const char *value, size_t size) {
    char other[32];
    size_t other_len = make_key(other, r >> 20);
    struct tide_write_op ops[4];
    for (int i = 0; i < 4; i++) {
        ops[i] = (struct tide_write_op)TIDE_WRITE_OP_INIT;
        ops[i].key = i % 2 == 0 ? key : other;
        ops[i].key_len = i % 2 == 0 ? len : other_len;
    }
    ops[0].kind = TIDE_OP_PUT;
    ops[0].value = value;
    ops[0].value_size = size;
    ops[0].ttl_ns = LIFE_NS;
    ops[1].kind = TIDE_OP_DELETE;
    ops[2].kind = TIDE_OP_TOUCH;
    ops[2].ttl_ns = TIDE_TTL_NONE;
    ops[3].kind = TIDE_OP_ADD;
    ops[3].delta = 7;
    (void)tide_write(d, NULL, ops, 4, NULL, NULL);
}

static void write_something(struct tide *d, uint64_t *random) {
    static char value[4096];
    char key[32];
    uint64_t r = scribble_draw(random);
    size_t len = make_key(key, r >> 8), size = r % 8 == 0 ? (r >> 40) % 3000 : 40 + (r >> 40) % 30;
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    memset(value, 'a' + (int)(r >> 32) % 26, 64);
    switch (r % 16) {
    case 1:
        (void)tide_delete(d, NULL, key, len, NULL);
        break;
    case 2:
        write_batch(d, r, key, len, value, size);
        break;
    case 3:
    case 4:
    case 5:
        o.ttl_ns = 1 + (r >> 16) % LIFE_NS;
        o.flags = r % 16 == 3 ? TIDE_KEEP : 0;
        (void)tide_put_with(d, NULL, key, len, value, size, &o, NULL);
        break;
    case 6:
        (void)tide_touch(d, NULL, key, len, r >> 63 != 0 ? TIDE_TTL_NONE : LIFE_NS, NULL);
        break;
    case 7:
        (void)tide_add(d, NULL, "count", 5, (int64_t)(r >> 56), NULL, NULL, NULL);
        break;
    default:
        (void)tide_put(d, NULL, key, len, value, size, NULL);
    }
}

/* ---- reads ---------------------------------------------------------------------------------------------------------- */

static int touch(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size, uint64_t version) {
    uint64_t *sum = ctx;
    (void)version;
    *sum += key_len > 0 ? ((const uint8_t *)key)[key_len - 1] : 0;
    *sum += value_size > 0 ? ((const uint8_t *)value)[value_size - 1] : 0;
    return 0;
}

static int make(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size) {
    (void)ctx;
    *value_size = key_len < buf_size ? key_len : buf_size;
    memcpy(buf, key, *value_size);
    return 0;
}

static void make_something(struct tide_reader *r, const struct tide_bound *bound, uint64_t x) {
    static uint8_t buf[4096];
    struct tide_make_opts o = TIDE_MAKE_OPTS_INIT;
    struct tide_lease lease = TIDE_LEASE_INIT;
    struct tide_answer answer = TIDE_ANSWER_INIT;
    char key[32];
    size_t len = make_key(key, x >> 16);
    o.ttl_ns = LIFE_NS / 8;
    o.stale_ns = x % 2 == 0 ? LIFE_NS / 8 : 0;
    o.wait_ns = 1000000;
    at("make");
    (void)tide_get_or_make(r, key, len, bound, &o, make, NULL, buf, sizeof(buf), &answer);
    at("lease");
    len = make_key(key, x >> 32);
    if (tide_lease_take(r, key, len, 1000000, &lease) == 0) {
        (void)tide_lease_release(r, &lease, (int)(x >> 60 & 1));
    }
}

static void read_many(struct tide_reader *r, const struct tide_bound *bound, uint64_t *random) {
    static uint8_t bufs[8][4096];
    struct tide_answer answer = TIDE_ANSWER_INIT;
    char keys[8][32];
    struct tide_mget_item items[8];
    for (int i = 0; i < 8; i++) {
        items[i] = (struct tide_mget_item){
            keys[i], make_key(keys[i], scribble_draw(random)), bufs[i], sizeof(bufs[i]), 0, 0, 0, 0
        };
    }
    (void)tide_mget(r, items, 8, bound, &answer);
}

static void read_section(struct tide_reader *r, const struct tide_bound *bound, uint64_t x) {
    static uint8_t buf[4096];
    struct tide_answer answer = TIDE_ANSWER_INIT;
    char key[32];
    const void *value;
    size_t size;
    uint64_t sum = 0;
    if (tide_section_begin(r, bound, &answer) != 0) {
        return;
    }
    (void)tide_section_get(r, key, make_key(key, x >> 24), buf, sizeof(buf), &size, NULL);
    if (tide_section_peek(r, key, make_key(key, x >> 32), &value, &size, NULL) == 0 && size > 0) {
        sum += ((const uint8_t *)value)[size - 1];
    }
    at("scan");
    (void)tide_section_scan(r, touch, &sum);
    (void)tide_section_end(r);
}

static void read_something(struct tide_reader *r, uint64_t *random) {
    static uint8_t buf[4096];
    struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_answer answer = TIDE_ANSWER_INIT;
    char key[32];
    uint64_t x = scribble_draw(random);
    bound.fallback = (uint32_t)(x % 4);
    bound.max_staleness_ns = x % 3 == 0 ? TIDE_UNBOUNDED : 0;
    bound.wait_ns = 1000000;
    (void)tide_get(r, key, make_key(key, x >> 8), NULL, buf, sizeof(buf), &answer);
    (void)tide_get(r, key, make_key(key, x >> 16), &bound, buf, 64, &answer);
    if (x % 8 == 0) {
        read_many(r, &bound, random);
    }
    if (x % 16 == 2) {
        make_something(r, &bound, scribble_draw(random));
    }
    if (x % 32 == 1) {
        read_section(r, &bound, x);
    }
}

static void ask_something(struct tide *d, uint64_t x) {
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_replica_info replica = TIDE_REPLICA_INFO_INIT;
    struct tide_verify verify = TIDE_VERIFY_INIT;
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    uint64_t index, digest;
    (void)tide_info(d, &info);
    (void)tide_replica_info(d, (uint32_t)(x % 5), &replica);
    (void)tide_replica_digest(d, (uint32_t)(x % 5), &index, &digest);
    (void)tide_read_counts(d, &counts);
    if (x % 4 == 0) {
        at("verify");
        (void)tide_verify(d, &verify);
    }
    if (x % 8 == 1) {
        at("ping");
        (void)tide_ping(d, WRITE_NS);
    }
    if (x % 16 == 2) {
        at("gc");
        (void)tide_gc(d, NULL);
    }
}

/* A member's work: read, write and ask for numbers until `stop`. */
static void work(struct tide *d, uint64_t *random) {
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    struct tide_reader *r = NULL;
    while (at("work")) {
        uint64_t x = scribble_draw(random);
        if (x % 256 == 0 && r != NULL) {
            tide_reader_close(r);
            r = NULL;
        }
        if (r == NULL) {
            at("reader_open");
            opts.policy = (enum tide_policy)(x >> 20) % 3;
            opts.home = x % 2 == 0 ? (int32_t)(x >> 30) % 3 : -1;
            if (tide_reader_open(d, &opts, &r) != 0) {
                r = NULL;
                scribble_nap(1000000);
                continue;
            }
        }
        at("read");
        read_something(r, random);
        if (self_role == LEADER || x % 8 == 0) {
            at("write");
            write_something(d, random);
        }
        if (x % 64 == 3) {
            at("ask");
            ask_something(d, x >> 8);
        }
        if (x % 64 == 4) {
            scribble_nap(1000000);
        }
    }
    if (r != NULL) {
        at("reader_close");
        tide_reader_close(r);
    }
}

static void come_and_go(struct tide *d) {
    while (at("start")) {
        uint32_t id;
        if (tide_replica_start(d, NULL, &id) == 0) {
            at("stay");
            scribble_nap(10000000);
            at("stop");
            tide_replica_stop(d, id);
        } else {
            scribble_nap(5000000);
        }
    }
}

/* Open watches of each kind, one after the other, and take some events: from now on, from a token, with all that is there, with a prefix. */
static void watch(struct tide *d, uint64_t *random) {
    struct tide_token from = { 0, 0 };
    uint64_t sum = 0;
    while (at("watch_open")) {
        struct tide_watch_opts o = TIDE_WATCH_OPTS_INIT;
        struct tide_event e = TIDE_EVENT_INIT;
        struct tide_watch *w;
        uint64_t x = scribble_draw(random);
        o.flags = x % 4 == 0 ? TIDE_WATCH_INITIAL : 0;
        o.from = x % 4 == 1 ? from : (struct tide_token){ 0, 0 };
        o.prefix = x % 8 < 4 ? "key0000" : NULL;
        o.prefix_len = x % 8 < 4 ? 7 : 0;
        if (tide_watch_open(d, &o, &w) != 0) {
            from = (struct tide_token){ 0, 0 };
            scribble_nap(2000000);
            continue;
        }
        for (uint64_t n = x >> 8 & 1023; n > 0 && at("watch_next"); n--) {
            int error = tide_watch_next(w, &e, 1000000);
            if (error != 0 && error != TIDE_ERR_TIMEOUT) {
                break;
            }
            if (error == 0 && e.key != NULL) {
                touch(&sum, e.key, e.key_len, e.value, e.value_size, e.index);
            }
        }
        (void)tide_watch_token(w, &from);
        (void)(x % 16 == 1 ? tide_watch_oldest(w, &from) : 0);
        tide_watch_close(w);
    }
}

/* ---- all of them ------------------------------------------------------------------------------------------------------ */

static void start_replica(struct tide *d) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    bool ok = true;
    o.candidate = 1;
    o.role = self_role == LEADER ? TIDE_LEADER : TIDE_FOLLOWER;
    at("replica_start");
    if (self_role == LEADER || self_role == FOLLOWER) {
        ok = tide_replica_start(d, &o, NULL) == 0;
    }
    atomic_fetch_add(&self->shared->served, ok);
}

bool scribble_run_role(struct scribble_scene *s, int role) {
    self = s;
    self_role = role;
    uint64_t random = s->random + (uint64_t)role * 7919;
    struct tide *d = NULL;
    if (role == TOOLS) {
        atomic_fetch_add(&s->shared->served, 1);
        return scribble_run_tools(s, &random, at);
    }
    while (at("open") && (d = open_domain()) == NULL) {
        scribble_nap(2000000);
    }
    if (d == NULL) {
        return true;
    }
    struct scribble_feed *feed = NULL;
    if (s->fed && (role == LEADER || role == FOLLOWER)) {
        at("feed_begin");
        feed = scribble_feed_begin(d, scribble_draw(&random));
    }
    start_replica(d);
    if (role == LEADER && feed == NULL) { /* the source of a fed domain fills it */
        /* Report each write as a step: a changed word may cost each write its whole time-out, and all time-outs together would look like a hang. */
        for (uint32_t i = 0; i < 2 * KEYS && at("first_write"); i++) {
            write_something(d, &random);
        }
    }
    if (role == NEWCOMER) {
        come_and_go(d);
    } else if (role == WATCHER) {
        watch(d, &random);
    } else {
        work(d, &random);
    }
    if (feed != NULL) {
        at("feed_end");
        scribble_feed_end(feed);
    }
    at("close");
    tide_close(d);
    if (feed != NULL) {
        at("feed_free");
        scribble_feed_free(feed);
    }
    at("closed");
    return true;
}
