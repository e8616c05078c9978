/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the scheduler runs in every order. Variables of a scenario are plain: one thread runs at a time. Each scenario keeps its domain from
 * schedule to schedule, so before() brings back what matters.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/log/sequencer.h"
#include "engine/read/reader.h"
#include "engine/replica/domain.h"
#include "engine/replica/replica.h"
#include "engine/table/limbo.h"
#include "shm/board.h"
#include "shm/clock.h"
#include "tests/lib/help.h"
#include "tests/sched/sched.h"

#define REUSES 4 /* writes, by the last of which the memory of what the first replaced is used again */
#define WORDS 5u /* of a value: all of them the same number */
#define KEY "sched-key-1"
#define KEY_LEN (sizeof(KEY) - 1)
#define LONG_KEY "sched-key-of-no-short-way" /* more than 16 bytes: foreign_hit() does not look for it */
#define NUMBERS 64u                          /* the newest, of which more than their order is known */

static struct tide *lead, *other, *third;
static struct tide_reader *readers[SCHED_BODIES];
static uint64_t number;            /* of the last write that was begun */
static uint64_t acked;             /* of the last one that was answered */
static uint64_t versions[NUMBERS]; /* of write n of the key, at n % NUMBERS; 0: not answered yet */

static struct tide *open_domain_of(const char *source, uint64_t table_bytes, uint32_t evict) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    o.flags |= TIDE_EPHEMERAL;
    o.ring_bytes = evict != TIDE_EVICT_NONE
                       ? 1 << 20
                       : 16 << 20; /* marks, laps and room are given up rarely: schedules have the same points */
    o.table_bytes = table_bytes;
    o.evict = evict;
    o.source = source;
    o.write_timeout_ns = UINT64_C(1000000000);
    int error = tide_open(&d, help_name(), &o);
    if (error != 0) {
        fprintf(stderr, "# cannot open a domain: %s\n", tide_strerror(error));
        abort();
    }
    atomic_store(&d->log->clock.use_tsc, 0); /* the scheduler's time */
    return d;
}

static struct tide *open_domain(uint64_t table_bytes, uint32_t evict) {
    return open_domain_of(NULL, table_bytes, evict);
}

/* Memory is used again as soon as it may be. */
static void reuse_at_once(struct tide *d) {
    d->seq.leader->writer.batch = 1;
    d->seq.leader->writer.arena.patience = 0;
}

static void make_value(uint64_t value[WORDS], uint64_t n) {
    for (uint32_t i = 0; i < WORDS; i++) {
        value[i] = n;
    }
}

static int put(struct tide *d, const char *key, size_t key_len, uint64_t n) {
    uint64_t value[WORDS];
    make_value(value, n);
    return tide_put(d, NULL, key, key_len, value, sizeof(value), NULL);
}

static uint64_t whole(const uint64_t *value, size_t size, const char *how) {
    if (size != WORDS * sizeof(*value)) {
        sched_fail("%s: %zu bytes", how, size);
        return 0;
    }
    for (uint32_t i = 1; i < WORDS; i++) {
        if (value[i] != value[0]) {
            sched_fail("%s: torn: %llu and %llu", how, (unsigned long long)value[0], (unsigned long long)value[i]);
        }
    }
    return value[0];
}

/* A read at bound 0: what was acknowledged before it, or what was begun by its end. */
static uint64_t get_fresh(struct tide_reader *r, const char *key, size_t key_len) {
    uint64_t value[WORDS], before = acked;
    struct tide_answer a = TIDE_ANSWER_INIT;
    int error = tide_get(r, key, key_len, NULL, value, sizeof(value), &a);
    if (error != 0) {
        sched_fail("get: %s", tide_strerror(error));
        return 0;
    }
    uint64_t n = whole(value, a.value_size, "get");
    if (n < before || n > number) {
        sched_fail("get: write %llu, and write %llu was acknowledged before; %llu is the newest", (unsigned long long)n,
                   (unsigned long long)before, (unsigned long long)number);
    } else if (versions[n % NUMBERS] != 0 && versions[n % NUMBERS] != a.version) {
        sched_fail("get: write %llu has version %llu, and the answer says %llu", (unsigned long long)n,
                   (unsigned long long)versions[n % NUMBERS], (unsigned long long)a.version);
    }
    return n;
}

static void open_reader_of(struct tide *d, int who) {
    if (tide_reader_open(d, NULL, &readers[who]) != 0) {
        abort();
    }
}

static void close_reader(int who) {
    if (readers[who] != NULL) {
        tide_reader_close(readers[who]);
        readers[who] = NULL;
    }
}

static void close_domains(void) {
    if (third != NULL) {
        tide_close(third);
    }
    if (other != NULL) {
        tide_close(other);
    }
    tide_close(lead);
}

static const char *the_key = KEY;
static size_t the_key_len = KEY_LEN;

static void write_next(struct tide *d) {
    uint64_t n = ++number, value[WORDS];
    struct tide_token token = { 0, 0 };
    make_value(value, n);
    versions[n % NUMBERS] = 0;
    SCHED_EXPECT(tide_put(d, NULL, the_key, the_key_len, value, sizeof(value), &token) == 0);
    versions[n % NUMBERS] = token.index;
    acked = n > acked ? n : acked;
}

/* ---- put against get -------------------------------------------------------------------------------------------------------- */

static void put_get_setup(void) {
    lead = open_domain(16 << 20, TIDE_EVICT_NONE);
    help_leader(lead);
    reuse_at_once(lead);
    write_next(lead);
}

static void put_get_enter(int who) {
    if (who == 1) {
        open_reader_of(lead, who);
    }
}

static void put_get_before(void) {
    write_next(lead);
}

static void put_get_body(int who) {
    if (who == 0) {
        write_next(lead);
        write_next(lead);
    } else {
        uint64_t first = get_fresh(readers[who], KEY, KEY_LEN);
        uint64_t second = get_fresh(readers[who], KEY, KEY_LEN);
        SCHED_EXPECT(second >= first);
    }
}

/* The reader is another process's, as far as the engine can tell: it copies, and looks whether the copy holds. */
static void foreign_setup(void) {
    put_get_setup();
    other = help_open_again(lead);
}

static void foreign_enter(int who) {
    if (who == 1) {
        open_reader_of(other, who);
    }
}

/* The next write takes the lowest node that is free: the one that became free last, and not one of those at hand. */
static void write_where_it_was(struct tide *d) {
    struct table_writer *w = &d->seq.leader->writer;
    arena_put_back(&w->arena, arena_class(&w->arena, the_key_len + WORDS * sizeof(uint64_t)));
    write_next(d);
    limbo_work(w, 1); /* which publications do only now and then */
}

/* The key has one of the lowest nodes, which the writes of a schedule take in turn. */
static void reuse_before(void) {
    for (int i = 0; i < REUSES; i++) {
        write_where_it_was(lead);
    }
}

static void foreign_body(int who) {
    for (int i = 0; i < REUSES && who == 0; i++) {
        write_where_it_was(lead);
    }
    if (who == 1) {
        (void)get_fresh(readers[who], the_key, the_key_len);
    }
}

/* The same by the long way: foreign_find(). */
static void find_foreign_setup(void) {
    the_key = LONG_KEY;
    the_key_len = sizeof(LONG_KEY) - 1;
    foreign_setup();
}

/* Two writers, of which one finds the sequencer taken, and a reader. */
static void writers_body(int who) {
    if (who == 1) {
        (void)get_fresh(readers[who], KEY, KEY_LEN);
    } else {
        char key[32];
        int len = snprintf(key, sizeof(key), "sched-key-of-%d", who);
        SCHED_EXPECT(put(lead, key, (size_t)len, 1) == 0);
        if (who == 0) {
            write_next(lead);
        }
    }
}

/* ---- put against split ------------------------------------------------------------------------------------------------------ */

/* Each schedule adds keys, and the table has room for 181,965 schedules' of them. */
#define SPLITS_MOST 150000
static uint64_t fillers;
static char moved[32]; /* a key of the bucket that is split next */
static size_t moved_len;

/* Longer than the keys of the short way, which looks a second time where it finds nothing. */
static void put_filler(void) {
    char key[32];
    int len = snprintf(key, sizeof(key), "filler-of-%09llu", (unsigned long long)++fillers);
    SCHED_EXPECT(put(lead, key, (size_t)len, 1) == 0);
}

static void split_setup(void) {
    lead = open_domain(64 << 20, TIDE_EVICT_NONE);
    help_leader(lead);
    reuse_at_once(lead);
    number = acked = 1; /* of every filler */
    sched_limit(SPLITS_MOST);
}

static void split_foreign_setup(void) {
    split_setup();
    other = help_open_again(lead);
}

static void split_before(void) {
    struct table_writer *w = &lead->seq.leader->writer;
    while (w->buckets < 8 || (w->buckets & (w->buckets - 1)) == 0) {
        put_filler();
    }
    /* Each new key splits two buckets now, and all that is split has been cleared. */
    uint64_t half = UINT64_C(1) << (63 - __builtin_clzll(w->buckets));
    const struct table_bucket *b = table_bucket_at(&w->t, w->buckets - half);
    moved_len = 0;
    for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
        if ((atomic_load(&b->tags[i / 8]) >> (i % 8 * 8) & 0xff) != 0) {
            const struct table_node *n = table_node_at(&w->t, atomic_load(&b->slots[i]));
            size_t len = atomic_load(&n->key_len);
            bool moves = (table_hash(&w->t, table_node_key(n), len) & (2 * half - 1)) == w->buckets;
            if (len < sizeof(moved) && (moved_len == 0 || moves)) {
                memcpy(moved, table_node_key(n), len);
                moved_len = len;
            }
        }
    }
}

static void split_body(int who) {
    if (who == 0) {
        put_filler();
        put_filler();
    } else if (moved_len != 0) {
        (void)get_fresh(readers[who], moved, moved_len);
        (void)get_fresh(readers[who], moved, moved_len);
    }
}

/* ---- retire against section ------------------------------------------------------------------------------------------------- */

static void retire_body(int who) {
    if (who == 0) {
        for (int i = 0; i < REUSES; i++) {
            write_where_it_was(lead);
        }
        return;
    }
    struct tide_answer a = TIDE_ANSWER_INIT;
    struct tide_bound any = TIDE_BOUND_INIT;
    any.max_staleness_ns = TIDE_UNBOUNDED;
    int error = tide_section_begin(readers[who], &any, &a);
    if (error != 0) {
        sched_fail("section: %s", tide_strerror(error));
        return;
    }
    const void *at;
    size_t size;
    uint64_t value[WORDS], first = 0;
    for (int i = 0; i < 2; i++) {
        error = tide_section_peek(readers[who], KEY, KEY_LEN, &at, &size, NULL);
        if (error != 0) {
            sched_fail("peek: %s", tide_strerror(error));
            break;
        }
        for (uint32_t k = 0; k < WORDS && size == sizeof(value); k++) { /* a point between one word and the next */
            value[k] = atomic_load((const _Atomic uint64_t *)((const uint8_t *)at + 8 * k));
        }
        uint64_t n = whole(value, size, "section");
        SCHED_EXPECT(i == 0 || n == first);
        first = n;
    }
    tide_section_end(readers[who]);
}

/* ---- pin against reclaim ---------------------------------------------------------------------------------------------------- */

#define RING_BYTES 4096u
#define FRAMES 64u

static struct ring ring;
static struct ring_writer writer;
static struct { uint64_t pos, index; } frames[FRAMES]; /* the newest, by index */

static void append_frame(void) {
    uint64_t index = writer.next_index, value[WORDS + 3];
    for (uint32_t i = 0; i < WORDS + 3; i++) {
        value[i] = index;
    }
    struct ring_entry e = {
        .key = "keykeyke", .key_len = 8, .value = value, .value_len = sizeof(value), .type = FRAME_PUT
    };
    e.payload_crc = crc32c(crc32c(0, e.key, e.key_len), e.value, e.value_len);
    (void)ring_reserve(&writer, ring_frame_bytes(e.key_len, e.value_len));
    frames[index % FRAMES].pos = writer.tail;
    frames[index % FRAMES].index = index;
    ring_append(&writer, &e, 1);
    ring_commit(&writer);
}

static void pin_setup(void) {
    ring = help_ring_open(RING_BYTES);
    ring.slow_follower_ns = UINT64_C(3600000000000);
    ring_writer_init(&writer, &ring, 0, 1, 0, 1);
}

/* Until the next frame needs room that has to be given up. */
static void pin_before(void) {
    do {
        append_frame();
    } while (writer.tail + ring_frame_bytes(8, 8 * (WORDS + 3)) <= writer.limit);
}

static void pin_body(int who) {
    if (who == 0) {
        append_frame();
        append_frame();
        return;
    }
    struct replica_board *b = &ring.log->replicas[3];
    uint64_t pos = atomic_load(&ring.log->leader.reclaimed), index = 0;
    for (uint32_t i = 0; i < FRAMES; i++) {
        index = frames[i].index != 0 && frames[i].pos == pos ? frames[i].index : index;
    }
    if (index != 0 && board_pin(ring.log, b, pos)) {
        /* Whole, as long as it is pinned. ring_intact() may deny it for a moment, when the leader raises `reclaimed`, finds the pin and takes it
         * back: a newcomer that meets that begins anew. */
        struct frame f;
        uint64_t value[WORDS + 3];
        enum ring_status status = ring_header(&ring, pos, index, &f);
        if (status != RING_OK) {
            sched_fail("pinned, and entry %llu at %llu is %s", (unsigned long long)index, (unsigned long long)pos,
                       status == RING_LAPPED ? "overwritten" : "damaged");
        }
        bytes_copy_racy(value, ring_payload(&ring, pos) + 8, sizeof(value));
        for (uint32_t i = 0; i < WORDS + 3; i++) {
            SCHED_EXPECT(value[i] == index);
        }
    }
    board_set_state(b, REPLICA_FREE);
}

/* ---- take-over against lane ------------------------------------------------------------------------------------------------- */

static int lane_error;
static int64_t lane_sum, lane_least, lane_most;

static uint32_t start_replica(struct tide *d, enum tide_role role) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    uint32_t id = 0;
    o.role = role;
    o.candidate = 1;
    if (tide_replica_start(d, &o, &id) != 0) {
        abort();
    }
    return id;
}

static void lane_setup(void) {
    lead = open_domain(16 << 20, TIDE_EVICT_NONE);
    start_replica(lead, TIDE_LEADER);
    other = help_open_again(lead);
    start_replica(other, TIDE_FOLLOWER);
    third = help_open_again(lead);
}

static void lane_enter(int who) {
    if (who == 1) {
        open_reader_of(third, who);
    }
}

static int64_t lane_read(void) {
    char text[32] = "";
    struct tide_answer a = TIDE_ANSWER_INIT;
    int error = TIDE_ERR_NO_LEADER;
    for (int i = 0; i < 100 && (error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_TIMEOUT); i++) {
        error = tide_get(readers[2], "sum", 3, NULL, text, sizeof(text) - 1, &a);
        sched_pass_ns(error != 0 ? 10000000 : 0);
    }
    if (error != 0 && error != TIDE_ERR_NOT_FOUND) {
        sched_fail("get of the sum: %s", tide_strerror(error));
    }
    return strtoll(text, NULL, 10);
}

static void lane_before(void) {
    if (readers[2] == NULL) {
        open_reader_of(third, 2);
    }
    for (int i = 0; i < 1000 && !atomic_load(&lead->seq.here); i++) { /* the same leader at the start of each */
        (void)tide_step_down(other);
        (void)lane_read();
    }
    lane_sum = lane_read();
    lane_error = 0;
}

static void lane_body(int who) {
    if (who == 0) {
        if (tide_step_down(lead) != 0) {
            (void)tide_step_down(other);
        }
    } else {
        int64_t result = 0;
        lane_error = tide_add(third, NULL, "sum", 3, 1, NULL, NULL, &result);
        SCHED_EXPECT(lane_error != 0 || result == lane_sum + 1);
    }
}

static void lane_check(void) {
    lane_least = lane_sum + (lane_error == 0);
    lane_most = lane_sum + (lane_error == 0 || lane_error == TIDE_ERR_UNKNOWN);
    int64_t now = lane_read();
    if (now < lane_least || now > lane_most) {
        sched_fail("the sum was %lld, an addition of 1 answered %s, and it is %lld", (long long)lane_sum,
                   tide_strerror(lane_error), (long long)now);
    }
    SCHED_EXPECT(lane_error == 0 || lane_error == TIDE_ERR_UNKNOWN || lane_error == TIDE_ERR_NO_LEADER ||
                 lane_error == TIDE_ERR_TIMEOUT);
}

/* ---- expire against read ---------------------------------------------------------------------------------------------------- */

#define LIFE_NS UINT64_C(100000000)
static int touch_error, absent;

static void expire_setup(void) {
    lead = open_domain(16 << 20, TIDE_EVICT_NONE);
    help_leader(lead);
    reuse_at_once(lead);
}

static void expire_before(void) {
    uint64_t value[WORDS];
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = LIFE_NS;
    make_value(value, ++number);
    acked = number;
    SCHED_EXPECT(tide_put_with(lead, NULL, KEY, KEY_LEN, value, sizeof(value), &o, NULL) == 0);
    sched_pass_ns(LIFE_NS - 2000); /* it is over some hundred points later */
    touch_error = absent = 0;
}

static void expire_body(int who) {
    if (who == 0) {
        touch_error = tide_touch(lead, NULL, KEY, KEY_LEN, TIDE_TTL_NONE, NULL);
        SCHED_EXPECT(touch_error == 0 || touch_error == TIDE_ERR_NOT_FOUND);
        return;
    }
    for (int i = 0; i < 2; i++) {
        uint64_t value[WORDS];
        struct tide_answer a = TIDE_ANSWER_INIT;
        int error = tide_get(readers[who], KEY, KEY_LEN, NULL, value, sizeof(value), &a);
        if (error != 0 && error != TIDE_ERR_NOT_FOUND) {
            sched_fail("get: %s", tide_strerror(error));
        }
        SCHED_EXPECT(!(absent && error == 0)); /* it does not come back */
        absent |= error == TIDE_ERR_NOT_FOUND;
        sched_pass_ns(i == 0 ? 1000 : 0);
    }
}

/* A version that a successful touch found there was never called absent. */
static void expire_check(void) {
    SCHED_EXPECT(!(touch_error == 0 && absent));
}

/* ---- evict against read ----------------------------------------------------------------------------------------------------- */

static void evict_setup(void) {
    lead = open_domain(1 << 20, TIDE_EVICT_S3FIFO);
    help_leader(lead);
    reuse_at_once(lead);
    number = acked = 1;
    struct tide_info info = TIDE_INFO_INIT;
    do {
        put_filler();
    } while (tide_info(lead, &info) == 0 && info.evicted_total == 0 && fillers < 100000);
}

/* A key that will go: the oldest that is there. */
static void evict_before(void) {
    put_filler();
}

static void evict_body(int who) {
    if (who == 0) {
        put_filler();
        put_filler();
        return;
    }
    for (uint64_t i = 0; i < 2; i++) {
        char key[32];
        uint64_t value[WORDS];
        struct tide_answer a = TIDE_ANSWER_INIT;
        int len = snprintf(key, sizeof(key), "filler-of-%09llu", (unsigned long long)(fillers - 3 * i));
        int error = tide_get(readers[who], key, (size_t)len, NULL, value, sizeof(value), &a);
        SCHED_EXPECT(error == 0 || error == TIDE_ERR_NOT_FOUND);
        SCHED_EXPECT(error != 0 || whole(value, a.value_size, "get") == 1);
    }
}

/* ---- feed against read ------------------------------------------------------------------------------------------------------ */

#define FED_FOLLOWER 1u
#define FED_WAIT_NS UINT64_C(50000000)
#define FED_BOUND_NS UINT64_C(3600000000000)
#define FED_STEP_NS UINT64_C(1000000) /* between a change and what follows: longer than a read takes */

static struct tide_feed *feed;
static _Atomic uint64_t source;      /* its newest revision, which is the value of the key there */
static uint64_t source_at[NUMBERS];  /* when revision n came, or a little later; 0: that is not known yet */
static uint64_t fed;                 /* up to here the source's changes were appended */
static uint64_t fed_fresh, fed_late; /* reads at bound 0 that were served, and that nobody answered in time */

static void source_change(void) {
    uint64_t next = atomic_load(&source) + 1;
    source_at[next % NUMBERS] = 0;
    atomic_store(&source, next);
    source_at[next % NUMBERS] = clock_now(&lead->log->clock);
    sched_pass_ns(FED_STEP_NS);
}

/* The source's answer to a question that was sent before; `meanwhile` is what happens there before the answer has arrived. */
static void feed_ask(void (*meanwhile)(void)) {
    struct tide_feed_probe probe = TIDE_FEED_PROBE_INIT;
    SCHED_EXPECT(tide_feed_probe(feed, &probe) == 0);
    uint64_t answer = atomic_load(&source);
    if (meanwhile != NULL) {
        meanwhile();
    }
    while (fed < answer) {
        uint64_t value[WORDS];
        struct tide_feed_op op = TIDE_FEED_OP_INIT;
        make_value(value, ++fed);
        op.kind = TIDE_OP_PUT;
        op.key = KEY;
        op.key_len = KEY_LEN;
        op.value = value;
        op.value_size = sizeof(value);
        SCHED_EXPECT(tide_feed_append(feed, fed, &op, 1, 0) == 0);
    }
    SCHED_EXPECT(tide_feed_complete(feed, &probe, answer) == 0);
}

/* Whose replica the reader uses: the leader's, or a follower's. The follower applies only while everybody else waits: it lacks what was
 * appended last. */
static uint32_t fed_home = FED_FOLLOWER;

static void feed_setup(void) {
    struct tide_feed_opts o = TIDE_FEED_OPTS_INIT;
    o.source = "sched";
    lead = open_domain_of("sched", 16 << 20, TIDE_EVICT_NONE);
    SCHED_EXPECT(tide_feed_open(lead, &o, &feed) == 0);
    help_leader(lead);
    SCHED_EXPECT(help_follower(lead, 0) == FED_FOLLOWER);
}

static void feed_foreign_setup(void) {
    feed_setup();
    other = help_open_again(lead);
}

static void feed_leader_setup(void) {
    fed_home = 0;
    feed_foreign_setup();
}

static void feed_open_reader(struct tide *d, int who) {
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    o.home = (int32_t)fed_home;
    o.replicas = UINT64_C(1) << fed_home;
    if (tide_reader_open(d, &o, &readers[who]) != 0) {
        abort();
    }
}

static void feed_enter(int who) {
    if (who == 1) {
        feed_open_reader(lead, who);
    }
}

static void feed_foreign_enter(int who) {
    if (who == 1) {
        feed_open_reader(other, who);
    }
}

/* The follower has everything that the source has. */
static void feed_before(void) {
    sched_pass_ns(UINT64_C(4) << 30); /* what a reader has told the feed is over: each schedule begins alike */
    source_change();
    feed_ask(NULL);
    struct tide_info info = TIDE_INFO_INIT;
    SCHED_EXPECT(tide_info(lead, &info) == 0);
    struct tide_token all = { info.incarnation, info.commit_index };
    SCHED_EXPECT(tide_wait_applied(lead, &all, 2, UINT64_C(10000000000)) == 0);
}

static void feed_get(struct tide_reader *r, uint64_t bound_ns) {
    uint64_t value[WORDS], newest = atomic_load(&source), began = clock_now(&lead->log->clock);
    struct tide_answer a = TIDE_ANSWER_INIT;
    struct tide_bound bound = TIDE_BOUND_INIT;
    bound.max_staleness_ns = bound_ns;
    bound.fallback = TIDE_FALLBACK_WAIT;
    bound.wait_ns = FED_WAIT_NS;
    int error = tide_get(r, KEY, KEY_LEN, &bound, value, sizeof(value), &a);
    if (error == TIDE_ERR_TIMEOUT && bound_ns == 0) {
        fed_late++; /* the feed asked no more after this read had begun */
        return;
    }
    if (error != 0) {
        sched_fail("get at bound %llu: %s", (unsigned long long)bound_ns, tide_strerror(error));
        return;
    }
    uint64_t now = atomic_load(&source); /* the last point: what is compared below belongs together */
    uint64_t n = whole(value, a.value_size, "get"), after = source_at[(n + 1) % NUMBERS];
    SCHED_EXPECT(n == a.version);
    if (bound_ns == 0) {
        fed_fresh++;
        SCHED_EXPECT(a.staleness_ns == 0 && a.linearizable);
        SCHED_EXPECT(a.waited_ns < FED_WAIT_NS); /* else its answer came, and did not wake it */
        if (n < newest) {
            sched_fail("get at bound 0: revision %llu, and the source had %llu before", (unsigned long long)n,
                       (unsigned long long)newest);
        }
    } else if (n < now && after != 0 && after < began - a.staleness_ns) {
        sched_fail("get: %llu ns stale, it says, and revision %llu came %llu ns before the read began",
                   (unsigned long long)a.staleness_ns, (unsigned long long)n + 1, (unsigned long long)(began - after));
    }
}

static void feed_body(int who) {
    if (who == 0) {
        source_change();
        feed_ask(source_change); /* whose answer lacks what came after it */
        feed_ask(NULL);
    } else {
        feed_get(readers[who], FED_BOUND_NS);
        feed_get(readers[who], FED_BOUND_NS); /* by the short way: the feed knows of this bound now */
        feed_get(readers[who], 0);
    }
}

static void feed_teardown(void) {
    printf("# reads at bound 0: %llu served, %llu not in time\n", (unsigned long long)fed_fresh,
           (unsigned long long)fed_late);
    if (fed_fresh + fed_late >= 1000 && (fed_fresh == 0 || fed_late == 0)) {
        fprintf(stderr, "# of reads at bound 0 there have to be both\n");
        abort();
    }
    if (other != NULL) {
        tide_close(other);
    }
    tide_close(lead);
    tide_feed_close(feed);
}

/* ---- a replica's digest of an index against one who asks for it -------------------------------------------------------------- */

static uint64_t digest_index;

/* The place of the mark has another index's digest. */
static void digest_before(void) {
    digest_index += LAYOUT_DIGEST_EVERY * LAYOUT_DIGEST_MARKS;
}

static void digest_body(int who) {
    struct replica_board *b = &ring.log->replicas[5];
    uint64_t index = digest_index, digest = 0;
    if (who == 0) {
        board_mark_digest(b, index, index * 17);
        return;
    }
    if (board_digest_at(b, index, &digest)) {
        SCHED_EXPECT(digest == index * 17);
    }
}

/* ---- one that waits for what the scheduler does not know --------------------------------------------------------------------- */

static int pipe_fds[2];
static _Atomic uint32_t pipe_steps;

static void away_setup(void) {
    if (pipe(pipe_fds) != 0) {
        abort();
    }
}

static void away_before(void) {}

static void away_body(int who) {
    char byte = 0;
    if (who == 0) {
        atomic_fetch_add(&pipe_steps, 1);
        SCHED_EXPECT(read(pipe_fds[0], &byte, 1) == 1);
        atomic_fetch_add(&pipe_steps, 1);
    } else {
        atomic_fetch_add(&pipe_steps, 1);
        SCHED_EXPECT(write(pipe_fds[1], &byte, 1) == 1);
    }
}

/* ---- a fault of the scenario itself, which one order of many shows ------------------------------------------------------------ */

static _Atomic uint64_t counter;
static uint64_t counter_before;

static void lost_before(void) {
    counter_before = atomic_load(&counter);
}

static void lost_body(int who) {
    (void)who;
    atomic_store(&counter, atomic_load(&counter) + 1);
}

static void lost_check(void) {
    SCHED_EXPECT(atomic_load(&counter) == counter_before + 2);
}

static void nothing(void) {}

const struct scenario sched_scenarios[] = {
    { "put_get", 2, false, 0, put_get_setup, put_get_enter, put_get_before, put_get_body, NULL, close_reader,
      close_domains },
    { "put_get_foreign", 2, false, 2, foreign_setup, foreign_enter, reuse_before, foreign_body, NULL, close_reader,
      close_domains },
    { "writers", 3, false, 0, put_get_setup, put_get_enter, put_get_before, writers_body, NULL, close_reader,
      close_domains },
    { "put_split", 2, false, 0, split_setup, put_get_enter, split_before, split_body, NULL, close_reader,
      close_domains },
    { "put_split_foreign", 2, false, 2, split_foreign_setup, foreign_enter, split_before, split_body, NULL,
      close_reader, close_domains },
    { "retire_section", 2, false, 0, put_get_setup, put_get_enter, reuse_before, retire_body, NULL, close_reader,
      close_domains },
    { "pin_reclaim", 2, false, 0, pin_setup, NULL, pin_before, pin_body, NULL, NULL, NULL },
    { "takeover_lane", 2, true, 0, lane_setup, lane_enter, lane_before, lane_body, lane_check, close_reader, NULL },
    { "expire_read", 2, false, 0, expire_setup, put_get_enter, expire_before, expire_body, expire_check, close_reader,
      close_domains },
    { "evict_read", 2, false, 0, evict_setup, put_get_enter, evict_before, evict_body, NULL, close_reader,
      close_domains },
    { "find_foreign", 2, false, 2, find_foreign_setup, foreign_enter, reuse_before, foreign_body, NULL, close_reader,
      close_domains },
    { "feed_read", 2, false, 0, feed_setup, feed_enter, feed_before, feed_body, NULL, close_reader, feed_teardown },
    { "feed_read_foreign", 2, false, 2, feed_foreign_setup, feed_foreign_enter, feed_before, feed_body, NULL,
      close_reader, feed_teardown },
    { "feed_read_leader", 2, false, 2, feed_leader_setup, feed_foreign_enter, feed_before, feed_body, NULL,
      close_reader, feed_teardown },
    { "digest_read", 2, false, 0, pin_setup, NULL, digest_before, digest_body, NULL, NULL, NULL },
    { "away", 2, false, 0, away_setup, NULL, away_before, away_body, NULL, NULL, NULL },
    { "lost_update", 2, false, 0, nothing, NULL, lost_before, lost_body, lost_check, NULL, NULL },
    { .name = NULL },
};
