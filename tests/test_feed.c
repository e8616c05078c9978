/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domains whose entries come from a source: appending, completeness, staleness, read indexes, writes that are handed over, changes of leader. */
#include "engine/replica/domain.h"
#include "engine/replica/source.h"
#include "shm/segment.h"
#include "tests/lib/forked.h"
#include "tests/lib/source.h"
#include "tools/dump/gauges.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MS UINT64_C(1000000)
#define KIB UINT64_C(1024)

/* ---- a feed by hand --------------------------------------------------------------------------------------------------- */

struct hand {
    struct tide *d;
    struct tide_feed *feed;
    uint32_t replica;
    struct tide_feed_request *request;
    struct tide_write_op op; /* the first of the last write */
    uint32_t leads, unleads, writes, wishes;
};

static void hand_lead(void *ctx, uint32_t term) {
    (void)term;
    __atomic_add_fetch(&((struct hand *)ctx)->leads, 1, __ATOMIC_SEQ_CST);
}
static void hand_unlead(void *ctx) {
    __atomic_add_fetch(&((struct hand *)ctx)->unleads, 1, __ATOMIC_SEQ_CST);
}
static void hand_write(void *ctx, const struct tide_feed_write *w) {
    struct hand *h = ctx;
    h->op = w->ops[0];
    h->request = w->request;
    __atomic_add_fetch(&h->writes, 1, __ATOMIC_SEQ_CST);
}
static void hand_wish(void *ctx) {
    __atomic_add_fetch(&((struct hand *)ctx)->wishes, 1, __ATOMIC_SEQ_CST);
}
static void hand_await(const uint32_t *count, uint32_t n) {
    while (__atomic_load_n(count, __ATOMIC_SEQ_CST) < n) {
        sched_yield();
    }
}

static struct tide_feed_opts hand_opts(struct hand *h) {
    struct tide_feed_opts o = TIDE_FEED_OPTS_INIT;
    o.source = SOURCE_KIND;
    o.ctx = h;
    o.lead = hand_lead;
    o.unlead = hand_unlead;
    o.write = hand_write;
    o.wish = hand_wish;
    return o;
}

static void hand_open(struct hand *h, const char *domain, bool leads) {
    memset(h, 0, sizeof(*h));
    h->d = source_open(domain, 0);
    struct tide_feed_opts o = hand_opts(h);
    assert_int_equal(tide_feed_open(h->d, &o, &h->feed), 0);
    struct tide_replica_opts r = TIDE_REPLICA_OPTS_INIT;
    r.role = leads ? TIDE_LEADER : TIDE_FOLLOWER;
    r.candidate = 1;
    assert_int_equal(tide_replica_start(h->d, &r, &h->replica), 0);
    if (leads) {
        hand_await(&h->leads, 1);
    }
}

static void hand_close(struct hand *h) {
    assert_int_equal(tide_close(h->d), 0);
    assert_int_equal(tide_feed_close(h->feed), 0);
}

static struct tide_feed_op put_op(const char *key, const uint64_t *value, uint64_t version) {
    struct tide_feed_op op = TIDE_FEED_OP_INIT;
    op.kind = TIDE_OP_PUT;
    op.key = key;
    op.key_len = strlen(key);
    op.value = value;
    op.value_size = sizeof(*value);
    op.version = version;
    return op;
}

static int append_put(struct hand *h, uint64_t revision, const char *key, uint64_t value) {
    struct tide_feed_op op = put_op(key, &value, 0);
    return tide_feed_append(h->feed, revision, &op, 1, 0);
}

static int complete(struct hand *h, uint64_t revision) {
    struct tide_feed_probe probe = TIDE_FEED_PROBE_INIT;
    int error = tide_feed_probe(h->feed, &probe);
    return error != 0 ? error : tide_feed_complete(h->feed, &probe, revision);
}

static struct tide_bound bound(enum tide_fallback fallback, uint64_t max_staleness_ns, uint64_t wait_ns) {
    struct tide_bound b = TIDE_BOUND_INIT;
    b.fallback = fallback;
    b.max_staleness_ns = max_staleness_ns;
    b.wait_ns = wait_ns;
    return b;
}

struct got {
    int error;
    uint64_t value;
    struct tide_answer a;
};

static struct got get(struct tide_reader *r, const char *key, struct tide_bound b) {
    struct got g = { .value = 4242, .a = TIDE_ANSWER_INIT };
    g.error = tide_get(r, key, strlen(key), &b, &g.value, sizeof(g.value), &g.a);
    return g;
}

static const struct tide_bound any = { sizeof(any), TIDE_FALLBACK_ERROR, TIDE_UNBOUNDED, TIDE_UNBOUNDED, { 0, 0 }, 0 };

/* ---- appending ---------------------------------------------------------------------------------------------------------- */

static void feed__before_the_first_completion__nobody_reads(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    help_follower(h.d, 0);
    struct tide_reader *r = help_reader(h.d, TIDE_STICKY, -1, 0);
    uint64_t revision = 9;
    uint32_t whole = 9;
    assert_int_equal(tide_feed_revision(h.feed, &revision, &whole), 0);
    assert_true(revision == 0 && whole == 1);
    assert_int_equal(complete(&h, 5), TIDE_ERR_BUSY); /* nothing was appended */
    uint64_t one = 1;
    struct tide_feed_op op = put_op("a", &one, 3);
    assert_int_equal(tide_feed_append(h.feed, 7, &op, 1, TIDE_FEED_MORE), 0);
    for (uint32_t fallback = 0; fallback <= TIDE_FALLBACK_STALE; fallback++) {
        struct got g = get(r, "a", bound((enum tide_fallback)fallback, TIDE_UNBOUNDED, 2 * MS));
        bool waits = fallback == TIDE_FALLBACK_WAIT || fallback == TIDE_FALLBACK_LEADER;
        assert_int_equal(g.error, waits ? TIDE_ERR_TIMEOUT : TIDE_ERR_REFUSED);
        assert_true(g.a.staleness_ns == UINT64_MAX);
    }
    assert_int_equal(complete(&h, 7), TIDE_ERR_BUSY); /* more was announced */
    op = put_op("b", &one, 4);
    assert_int_equal(tide_feed_append(h.feed, 7, &op, 1, 0), 0);
    assert_int_equal(get(r, "b", any).error, TIDE_ERR_REFUSED);
    assert_int_equal(complete(&h, 7), 0);
    struct got g = get(r, "b", any);
    assert_int_equal(g.error, 0);
    assert_int_equal(g.value, 1);
    assert_int_equal(g.a.version, 4);
    assert_true(g.a.staleness_ns > 0 && g.a.linearizable == 0 && g.a.ttl_ns == TIDE_TTL_NONE);
    tide_reader_close(r);
    hand_close(&h);
}

static void tide_feed_append__groups__all_or_nothing_and_in_order(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    uint32_t follower = help_follower(h.d, 0);
    uint64_t value = 1;
    struct tide_feed_op ops[3] = { put_op("a", &value, 0), put_op("b", &value, 0), put_op("c", &value, 2) };
    assert_int_equal(tide_feed_append(h.feed, 2, ops, 2, 0), 0);
    assert_int_equal(tide_feed_append(h.feed, 2, ops, 2, 0), TIDE_ERR_REVISION);
    assert_int_equal(tide_feed_append(h.feed, 1, ops, 2, 0), TIDE_ERR_REVISION);
    ops[1].kind = TIDE_OP_CAS;
    assert_int_equal(tide_feed_append(h.feed, 3, ops, 2, 0), TIDE_ERR_INVALID);
    ops[1] = put_op("b", &value, 9);
    assert_int_equal(tide_feed_append(h.feed, 3, ops, 2, 0), TIDE_ERR_INVALID); /* a version beyond the revision */
    assert_int_equal(tide_feed_append(h.feed, 0, ops, 1, 0), TIDE_ERR_INVALID);
    assert_int_equal(tide_feed_append(h.feed, 3, NULL, 1, 0), TIDE_ERR_INVALID);
    assert_int_equal(tide_feed_append(h.feed, 3, ops, 1, 2), TIDE_ERR_INVALID);
    uint8_t *large = calloc(1, 8 << 20);
    ops[1] = put_op("b", &value, 0);
    ops[1].value = large;
    ops[1].value_size = 8 << 20;
    assert_int_equal(tide_feed_append(h.feed, 3, ops, 2, 0), TIDE_ERR_TOO_BIG);
    free(large);
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(h.d, &info);
    assert_int_equal(info.commit_index, 2); /* none of these did a part */
    ops[1] = put_op("b", &value, 0);
    ops[1].kind = TIDE_OP_DELETE;
    value = 5;
    assert_int_equal(tide_feed_append(h.feed, 4, ops, 3, 0), 0); /* the last has version 2: a note is written */
    assert_int_equal(tide_feed_append(h.feed, 6, NULL, 0, 0), 0);
    assert_int_equal(complete(&h, 6), 0);
    struct tide_reader *r = help_reader(h.d, TIDE_STICKY, (int32_t)follower, UINT64_C(1) << follower);
    struct tide_bound b = bound(TIDE_FALLBACK_WAIT, TIDE_UNBOUNDED, 60000 * MS);
    b.min = (struct tide_token){ TIDE_REVISION, 6 };
    struct got g = get(r, "a", b);
    assert_true(g.error == 0 && g.value == 5 && g.a.version == 4);
    assert_int_equal(get(r, "b", b).error, TIDE_ERR_NOT_FOUND);
    g = get(r, "c", b);
    assert_true(g.error == 0 && g.value == 5 && g.a.version == 2);
    tide_info(h.d, &info);
    assert_int_equal(info.source_revision, 6);
    assert_int_equal(info.complete_revision, 6);
    assert_string_equal(info.source, SOURCE_KIND);
    help_assert_equal_digests(h.d);
    tide_reader_close(r);
    hand_close(&h);
}

static int count_entry(void *ctx, const struct tide_entry *e) {
    uint64_t *sum = ctx;
    *sum += e->version;
    return 0;
}

static void tide_feed_visit__before_completion__sees_all_with_versions(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    uint64_t value = 1, sum = 0;
    struct tide_feed_op ops[2] = { put_op("a", &value, 3), put_op("b", &value, 5) };
    assert_int_equal(tide_feed_append(h.feed, 9, ops, 2, TIDE_FEED_MORE), 0);
    assert_int_equal(tide_feed_visit(h.feed, count_entry, &sum), 0);
    assert_int_equal(sum, 8);
    hand_close(&h);
}

/* ---- the leader ---------------------------------------------------------------------------------------------------------- */

static void feed__who_has_none__does_not_lead(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    struct tide *other = source_open(name, 0);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.candidate = 1;
    assert_int_equal(tide_replica_start(other, &o, NULL), TIDE_ERR_FED);
    o.role = TIDE_LEADER;
    assert_int_equal(tide_replica_start(other, &o, NULL), TIDE_ERR_FED);
    help_follower(other, 0);
    struct tide_feed *feed;
    struct tide_feed_opts fo = hand_opts(&h);
    fo.source = "other";
    assert_int_equal(tide_feed_open(other, &fo, &feed), TIDE_ERR_FED);
    fo.source = SOURCE_KIND;
    assert_int_equal(tide_feed_open(h.d, &fo, &feed), TIDE_ERR_BUSY);
    assert_int_equal(tide_feed_close(h.feed), TIDE_ERR_BUSY);
    assert_int_equal(tide_feed_identify(h.feed, 77), 0);
    assert_int_equal(tide_feed_identify(h.feed, 77), 0);
    assert_int_equal(tide_feed_identify(h.feed, 78), TIDE_ERR_FED);
    tide_close(other);
    hand_close(&h);
    struct tide *plain = help_open(0, 0, 0);
    assert_int_equal(tide_feed_open(plain, &fo, &feed), TIDE_ERR_FED);
    tide_close(plain);
    struct tide_opts bad = TIDE_OPTS_INIT;
    struct tide *d;
    bad.source = SOURCE_KIND;
    bad.evict = TIDE_EVICT_S3FIFO;
    assert_int_equal(tide_open(&d, help_name(), &bad), TIDE_ERR_INVALID);
    bad.evict = TIDE_EVICT_NONE;
    bad.default_ttl_ns = MS;
    assert_int_equal(tide_open(&d, help_name(), &bad), TIDE_ERR_INVALID);
    bad.default_ttl_ns = 0;
    const char *kinds[] = { "", "with blank", "0123456789012345678901234567890123456789" };
    for (size_t i = 0; i < 3; i++) {
        bad.source = kinds[i];
        assert_int_equal(tide_open(&d, help_name(), &bad), TIDE_ERR_INVALID);
    }
}

static void feed__leader_changes__the_next_begins_behind_it(void **state) {
    (void)state;
    struct hand a, b;
    hand_open(&a, name, true);
    hand_open(&b, name, false);
    assert_int_equal(append_put(&b, 2, "k", 1), TIDE_ERR_NO_LEADER);
    assert_int_equal(append_put(&a, 2, "k", 1), 0);
    assert_int_equal(append_put(&a, 5, "k", 2), 0);
    assert_int_equal(complete(&a, 5), 0);
    assert_int_equal(tide_replica_stop(a.d, a.replica), 0);
    assert_int_equal(a.unleads, 1);
    hand_await(&b.leads, 1);
    uint64_t revision;
    uint32_t whole;
    assert_int_equal(tide_feed_revision(b.feed, &revision, &whole), 0);
    assert_true(revision == 5 && whole == 1);
    assert_int_equal(append_put(&b, 5, "k", 9), TIDE_ERR_REVISION);
    struct tide_reader *r = help_reader(b.d, TIDE_STICKY, -1, 0);
    struct got g = get(r, "k", any); /* what was complete stays complete */
    assert_true(g.error == 0 && g.value == 2 && g.a.version == 5);
    uint64_t value = 3;
    struct tide_feed_op op = put_op("k", &value, 6);
    assert_int_equal(tide_feed_append(b.feed, 8, &op, 1, TIDE_FEED_MORE), 0);
    tide_reader_close(r);
    /* A leader that dies in the middle of a difference: the next one has to make another. */
    struct hand c;
    hand_open(&c, name, false);
    assert_int_equal(tide_replica_stop(b.d, b.replica), 0);
    hand_await(&c.leads, 1);
    assert_int_equal(tide_feed_revision(c.feed, &revision, &whole), 0);
    assert_true(revision == 5 && whole == 0);
    assert_int_equal(complete(&c, 5), TIDE_ERR_BUSY);
    assert_int_equal(append_put(&c, 8, "k", 4), 0);
    assert_int_equal(complete(&c, 8), 0);
    hand_close(&a);
    hand_close(&b);
    hand_close(&c);
}

static void feed__all_members_end__a_later_one_goes_on(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    assert_int_equal(append_put(&h, 4, "k", 1), 0);
    assert_int_equal(complete(&h, 4), 0);
    hand_close(&h);
    hand_open(&h, name, true);
    uint64_t revision;
    assert_int_equal(tide_feed_revision(h.feed, &revision, NULL), 0);
    assert_int_equal(revision, 4);
    hand_close(&h);
}

/* A newcomer that copied a table, since the ring no longer holds the log's beginning, knows the revision from its donor. */
static void feed__newcomer_copies_and_leads__knows_the_revision(void **state) {
    (void)state;
    struct hand a, b;
    memset(&a, 0, sizeof(a));
    a.d = source_open(name, 64 * KIB);
    struct tide_feed_opts o = hand_opts(&a);
    assert_int_equal(tide_feed_open(a.d, &o, &a.feed), 0);
    a.replica = help_leader(a.d);
    hand_await(&a.leads, 1);
    uint64_t revision = 1;
    for (; revision <= 2000; revision++) {
        assert_int_equal(append_put(&a, revision, "k", revision), 0);
    }
    assert_int_equal(complete(&a, revision - 1), 0);
    hand_open(&b, name, false); /* copies, and applies nothing that tells a revision */
    assert_true(help_info(b.d, b.replica).joins >= 1);
    assert_int_equal(tide_replica_stop(a.d, a.replica), 0);
    hand_await(&b.leads, 1);
    uint64_t found;
    assert_int_equal(tide_feed_revision(b.feed, &found, NULL), 0);
    assert_int_equal(found, 2000);
    struct tide_reader *r = help_reader(b.d, TIDE_STICKY, -1, 0);
    struct got g = get(r, "k", any);
    assert_true(g.error == 0 && g.value == 2000 && g.a.version == 2000);
    tide_reader_close(r);
    hand_close(&a);
    hand_close(&b);
}

static void feed__watch__tells_revisions_and_begins_at_one(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    struct tide_watch *w;
    struct tide_watch_opts o = TIDE_WATCH_OPTS_INIT;
    struct tide_event e = TIDE_EVENT_INIT;
    o.flags = TIDE_WATCH_INITIAL;
    assert_int_equal(tide_watch_open(h.d, &o, &w), TIDE_ERR_REFUSED); /* nobody sees half a domain */
    for (uint64_t r = 2; r <= 9; r++) {
        assert_int_equal(append_put(&h, r, r % 2 == 0 ? "a" : "b", r), 0);
    }
    assert_int_equal(complete(&h, 9), 0);
    assert_int_equal(tide_watch_open(h.d, &o, &w), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tide_watch_next(w, &e, 0), 0);
        assert_int_equal(e.revision, memcmp(e.key, "a", 1) == 0 ? 8 : 9);
    }
    tide_watch_close(w);
    o.flags = 0;
    for (uint64_t from = 0; from <= 9; from++) {
        o.from = (struct tide_token){ TIDE_REVISION, from };
        assert_int_equal(tide_watch_open(h.d, &o, &w), 0);
        for (uint64_t r = from < 2 ? 2 : from + 1; r <= 9; r++) {
            assert_int_equal(tide_watch_next(w, &e, 0), 0);
            assert_int_equal(e.revision, r);
        }
        assert_int_equal(tide_watch_next(w, &e, 0), TIDE_ERR_TIMEOUT);
        tide_watch_close(w);
    }
    o.from.index = 10;
    assert_int_equal(tide_watch_open(h.d, &o, &w), TIDE_ERR_FENCE_AHEAD);
    hand_close(&h);
    /* Where the ring no longer holds that revision, changes are lost, and it is said. */
    struct hand small;
    memset(&small, 0, sizeof(small));
    const char *other = help_name();
    small.d = source_open(other, 64 * KIB);
    struct tide_feed_opts fo = hand_opts(&small);
    assert_int_equal(tide_feed_open(small.d, &fo, &small.feed), 0);
    help_leader(small.d);
    hand_await(&small.leads, 1);
    for (uint64_t r = 1; r <= 2000; r++) {
        assert_int_equal(append_put(&small, r, "k", r), 0);
    }
    o.from.index = 3;
    assert_int_equal(tide_watch_open(small.d, &o, &w), 0);
    assert_int_equal(tide_watch_next(w, &e, 0), TIDE_ERR_LOST);
    tide_watch_close(w);
    o.from.index = 1999;
    assert_int_equal(tide_watch_open(small.d, &o, &w), 0);
    assert_int_equal(tide_watch_next(w, &e, 0), 0);
    assert_int_equal(e.revision, 2000);
    tide_watch_close(w);
    hand_close(&small);
    tide_unlink(other);
}

/* A source may leave expiry to the domain: then it is as everywhere, beside versions. */
static void feed__put_with_a_ttl__expires_here(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    help_follower(h.d, 0);
    uint64_t value = 1;
    struct tide_feed_op ops[2] = { put_op("gone", &value, 0), put_op("stays", &value, 0) };
    ops[0].ttl_ns = 5 * MS;
    assert_int_equal(tide_feed_append(h.feed, 2, ops, 2, 0), 0);
    assert_int_equal(complete(&h, 2), 0);
    struct tide_reader *r = help_reader(h.d, TIDE_ROUND_ROBIN, -1, 0);
    struct tide_info info = TIDE_INFO_INIT;
    do {
        usleep(1000);
        assert_int_equal(tide_info(h.d, &info), 0);
    } while (info.expired_total == 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(get(r, "gone", any).error, TIDE_ERR_NOT_FOUND);
        assert_int_equal(get(r, "stays", any).error, 0);
    }
    assert_int_equal(append_put(&h, 3, "gone", 7), 0);
    uint64_t revision;
    assert_int_equal(tide_feed_revision(h.feed, &revision, NULL), 0);
    assert_int_equal(revision, 3);
    help_assert_equal_digests(h.d);
    tide_reader_close(r);
    hand_close(&h);
}

/* ---- staleness ------------------------------------------------------------------------------------------------------------ */

static void feed__source_stops__staleness_grows_truthfully(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    uint32_t slow = help_follower(h.d, 0);
    struct tide_reader *r = help_reader(h.d, TIDE_STICKY, -1, 0);
    assert_int_equal(append_put(&h, 2, "k", 1), 0);
    struct tide_feed_probe probe = TIDE_FEED_PROBE_INIT;
    assert_int_equal(tide_feed_probe(h.feed, &probe), 0);
    assert_int_equal(tide_feed_complete(h.feed, &probe, 2), 0);
    for (int i = 0; i < 20; i++) {
        uint64_t before = tide_now(h.d);
        struct got g = get(r, "k", any);
        assert_int_equal(g.error, 0);
        assert_true(g.a.staleness_ns >= before - probe.time_ns);
        assert_int_equal(g.a.linearizable, 0);
        assert_int_equal(g.a.reason, TIDE_REASON_WITHIN_BOUND);
        usleep(1000);
    }
    /* At 20 ms, a bound of 1 ms is refused, missed, or breached by choice. */
    assert_int_equal(get(r, "k", bound(TIDE_FALLBACK_ERROR, MS, 0)).error, TIDE_ERR_REFUSED);
    assert_int_equal(get(r, "k", bound(TIDE_FALLBACK_WAIT, MS, 3 * MS)).error, TIDE_ERR_TIMEOUT);
    assert_int_equal(get(r, "k", bound(TIDE_FALLBACK_LEADER, MS, 0)).error, TIDE_ERR_TIMEOUT);
    struct got g = get(r, "k", bound(TIDE_FALLBACK_STALE, MS, 0));
    assert_true(g.error == 0 && g.a.stale == 1 && g.a.reason == TIDE_REASON_STALE_BY_CHOICE && g.a.staleness_ns > MS);
    assert_int_equal(get(r, "k", bound(TIDE_FALLBACK_ERROR, 0, 0)).error, TIDE_ERR_REFUSED);
    g = get(r, "k", bound(TIDE_FALLBACK_STALE, 0, 0));
    assert_true(g.error == 0 && g.a.stale == 1 && g.a.linearizable == 0);
    /* A replica that lags is complete as of the instant before the entry that it lacks, not of a later one. */
    assert_int_equal(tide_replica_set_delay(h.d, slow, UINT64_C(3600) * 1000 * MS), 0);
    uint64_t at = tide_now(h.d);
    assert_int_equal(append_put(&h, 3, "k", 2), 0);
    assert_int_equal(complete(&h, 3), 0);
    struct tide_reader *late = help_reader(h.d, TIDE_STICKY, (int32_t)slow, UINT64_C(1) << slow);
    g = get(late, "k", any);
    if (g.error == 0 && g.value == 1) { /* not where it took the entry just before the delay */
        assert_true(g.a.staleness_ns >= at - probe.time_ns);
    }
    g = get(r, "k", bound(TIDE_FALLBACK_ERROR, 3600 * 1000 * MS, 0));
    assert_int_equal(g.error, 0);
    tide_reader_close(late);
    tide_reader_close(r);
    hand_close(&h);
}

/* ---- the short way of a bounded get ---------------------------------------------------------------------------------------- */

#define SHORT_KEYS 6u

/* Keys of 16 bytes, whose values have 64, 40, 8 and 65 bytes; one expires in an hour, one is deleted. */
static void short_fill(struct hand *h) {
    static uint8_t values[SHORT_KEYS][65];
    const size_t sizes[SHORT_KEYS] = { 64, 40, 8, 65, 64, 64 };
    struct tide_feed_op ops[SHORT_KEYS];
    static char keys[SHORT_KEYS][17];
    for (uint32_t i = 0; i < SHORT_KEYS; i++) {
        memset(values[i], (int)(0x40 + i), sizeof(values[i]));
        snprintf(keys[i], sizeof(keys[i]), "a key of 16 by %u", i);
        ops[i] = put_op(keys[i], NULL, 3 + i);
        ops[i].value = values[i];
        ops[i].value_size = sizes[i];
    }
    ops[4].ttl_ns = UINT64_C(3600) * 1000 * MS;
    assert_int_equal(tide_feed_append(h->feed, 20, ops, SHORT_KEYS, 0), 0);
    struct tide_feed_op gone = TIDE_FEED_OP_INIT;
    gone.kind = TIDE_OP_DELETE;
    gone.key = keys[5];
    gone.key_len = 16;
    assert_int_equal(tide_feed_append(h->feed, 21, &gone, 1, 0), 0);
    assert_int_equal(complete(h, 21), 0);
}

static uint64_t short_count(struct tide_reader *r) {
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    assert_int_equal(tide_reader_counts(r, &counts), 0);
    return counts.by_reason[TIDE_REASON_WITHIN_BOUND];
}

/* What a reader gets of all keys is what one gets that has no short way. */
static void short_compare(struct tide_reader *r, struct tide_reader *other, struct tide_bound b) {
    const uint64_t before = short_count(r);
    for (uint32_t i = 0; i < SHORT_KEYS; i++) {
        char key[17];
        uint8_t had[2][80];
        memset(had, 0xee, sizeof(had));
        struct tide_answer a[2] = { TIDE_ANSWER_INIT, TIDE_ANSWER_INIT };
        snprintf(key, sizeof(key), "a key of 16 by %u", i);
        int error = tide_get(r, key, 16, &b, had[0], sizeof(had[0]), &a[0]);
        assert_int_equal(tide_get(other, key, 16, &b, had[1], sizeof(had[1]), &a[1]), error);
        assert_int_equal(error, i == 5 ? TIDE_ERR_NOT_FOUND : 0);
        assert_memory_equal(had[0], had[1], sizeof(had[0]));
        assert_true(a[0].value_size == a[1].value_size && a[0].version == a[1].version && a[0].index == a[1].index);
        assert_int_equal(a[0].version, i == 5 ? 0 : 3 + i);
        assert_true(i == 4 ? a[0].ttl_ns - 1 < UINT64_C(3600) * 1000 * MS : a[0].ttl_ns == a[1].ttl_ns);
        assert_true(a[0].reason == TIDE_REASON_WITHIN_BOUND && a[0].linearizable == 0 && a[0].stale == 0);
        assert_true(a[0].staleness_ns != 0 && a[0].staleness_ns <= a[1].staleness_ns);
        memset(had[0], 0xee, sizeof(had[0]));
        assert_int_equal(tide_get(r, key, 16, &b, had[0], sizeof(had[0]), NULL), error);
        assert_memory_equal(had[0], had[1], sizeof(had[0]));
    }
    assert_int_equal(short_count(r) - before, 2 * SHORT_KEYS);
}

static void feed__bounded_get__short_way_answers_as_the_long_one(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    short_fill(&h);
    struct tide *outside = source_open(name, 0); /* has no replica */
    struct tide_reader *own = help_reader(h.d, TIDE_STICKY, -1, 0), *far = help_reader(outside, TIDE_STICKY, -1, 0);
    struct tide_reader *other = help_reader(h.d, TIDE_FRESHEST, -1, 0);
    struct tide_bound day = bound(TIDE_FALLBACK_ERROR, UINT64_C(86400) * 1000 * MS, 0);
    for (uint32_t i = 0; i < 3; i++) { /* the first read of a second gives the hint, and goes the long way */
        short_compare(own, other, day);
        short_compare(far, other, day);
        short_compare(own, other, any);
        short_compare(far, other, any);
    }
    /* A tighter bound is told, although a looser one was a moment ago. */
    uint32_t wishes = __atomic_load_n(&h.wishes, __ATOMIC_SEQ_CST);
    struct tide_bound tight = bound(TIDE_FALLBACK_STALE, 70 * MS, 0);
    uint8_t buf[80];
    struct tide_answer a = TIDE_ANSWER_INIT;
    assert_int_equal(tide_get(own, "a key of 16 by 0", 16, &tight, buf, sizeof(buf), &a), 0);
    hand_await(&h.wishes, wishes + 1);
    /* What is older than the bound is refused, and nothing was copied. */
    usleep(3000);
    for (uint32_t i = 0; i < 2; i++) {
        struct tide_bound ms = bound(TIDE_FALLBACK_ERROR, 2 * MS, 0);
        memset(buf, 0xee, sizeof(buf));
        assert_int_equal(tide_get(i == 0 ? own : far, "a key of 16 by 0", 16, &ms, buf, sizeof(buf), &a),
                         TIDE_ERR_REFUSED);
        assert_true(buf[0] == 0xee && a.staleness_ns > 2 * MS);
    }
    /* What the source has, and the replica does not hold yet, is no state to read at a fence. */
    struct tide_bound fence = day;
    fence.min = (struct tide_token){ TIDE_REVISION, 30 };
    assert_int_equal(tide_get(own, "a key of 16 by 0", 16, &fence, buf, sizeof(buf), &a), TIDE_ERR_REFUSED);
    const struct tide_token later = { TIDE_REVISION, 30 };
    assert_int_equal(tide_reader_observe(own, &later), 0);
    assert_int_equal(tide_get(own, "a key of 16 by 0", 16, &day, buf, sizeof(buf), &a), TIDE_ERR_REFUSED);
    tide_reader_close(own);
    tide_reader_close(far);
    tide_reader_close(other);
    assert_int_equal(tide_close(outside), 0);
    hand_close(&h);
}

static void feed__bounds_of_readers__are_told(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    struct tide_reader *r = help_reader(h.d, TIDE_STICKY, -1, 0);
    assert_int_equal(append_put(&h, 2, "k", 1), 0);
    assert_int_equal(complete(&h, 2), 0);
    struct tide_feed_wish wish = TIDE_FEED_WISH_INIT;
    assert_int_equal(tide_feed_wish(h.feed, &wish), 0);
    assert_true(wish.bound_ns == TIDE_UNBOUNDED && wish.wanted == 0 && wish.begun == 1 && wish.done == 1);
    get(r, "k", any);
    assert_int_equal(tide_feed_wish(h.feed, &wish), 0);
    assert_true(wish.bound_ns == TIDE_UNBOUNDED);
    uint32_t wishes = __atomic_load_n(&h.wishes, __ATOMIC_SEQ_CST);
    get(r, "k", bound(TIDE_FALLBACK_STALE, 80 * MS, 0));
    hand_await(&h.wishes, wishes + 1);
    get(r, "k", bound(TIDE_FALLBACK_STALE, 900 * MS, 0)); /* looser */
    assert_int_equal(tide_feed_wish(h.feed, &wish), 0);
    assert_true(wish.bound_ns == TIDE_UNBOUNDED || (wish.bound_ns >= 80 * MS && wish.bound_ns <= 81 * MS) ||
                wish.bound_ns / MS == 900);
    get(r, "k", bound(TIDE_FALLBACK_ERROR, 0, 0)); /* asks nobody */
    assert_int_equal(tide_feed_wish(h.feed, &wish), 0);
    assert_int_equal(wish.wanted, 0);
    assert_int_equal(get(r, "k", bound(TIDE_FALLBACK_WAIT, 0, MS)).error, TIDE_ERR_TIMEOUT);
    assert_int_equal(tide_feed_wish(h.feed, &wish), 0);
    assert_int_equal(wish.wanted, 2);
    tide_reader_close(r);
    hand_close(&h);
}

/* A reader asks, and the feed is told so. */
static void asks_and_is_told(struct hand *h, struct tide_reader *r) {
    uint32_t wishes = __atomic_load_n(&h->wishes, __ATOMIC_SEQ_CST);
    assert_int_equal(get(r, "k", bound(TIDE_FALLBACK_WAIT, 0, MS)).error, TIDE_ERR_TIMEOUT);
    hand_await(&h->wishes, wishes + 1);
}

static void feed__words_that_another_process_changed__questions_go_on(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    struct tide_reader *r = help_reader(h.d, TIDE_STICKY, -1, 0);
    struct feed_board *board = &h.d->log->feed;
    assert_int_equal(append_put(&h, 2, "k", 1), 0);
    assert_int_equal(complete(&h, 2), 0);
    atomic_store(&board->wanted, UINT64_MAX);
    asks_and_is_told(&h, r);
    assert_int_equal(complete(&h, 2), 0);
    asks_and_is_told(&h, r);

    /* The next to lead finds a number that it cannot go on from. */
    atomic_store(&board->begun, UINT64_MAX);
    atomic_store(&board->done, UINT64_MAX - 1);
    assert_int_equal(tide_replica_stop(h.d, h.replica), 0);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = TIDE_LEADER;
    assert_int_equal(tide_replica_start(h.d, &o, &h.replica), 0);
    hand_await(&h.leads, 2);
    assert_int_equal(complete(&h, 2), 0);
    asks_and_is_told(&h, r);
    tide_reader_close(r);
    hand_close(&h);
}

static void tide_feed_append__part_that_was_refused__is_no_part(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    const uint64_t value = 1;
    struct tide_feed_op op = put_op("k", &value, 0);
    assert_int_equal(append_put(&h, 2, "k", 1), 0);
    op.flags = 1;
    assert_int_equal(tide_feed_append(h.feed, 3, &op, 1, TIDE_FEED_MORE), TIDE_ERR_INVALID);
    op.flags = 0;
    op.key_len = 0;
    assert_int_equal(tide_feed_append(h.feed, 3, &op, 1, TIDE_FEED_MORE), TIDE_ERR_INVALID);
    assert_int_equal(tide_feed_append(h.feed, 3, &op, 65537, TIDE_FEED_MORE), TIDE_ERR_TOO_BIG);
    uint32_t whole = 0;
    assert_int_equal(tide_feed_revision(h.feed, NULL, &whole), 0);
    assert_int_equal(whole, 1);
    assert_int_equal(complete(&h, 2), 0);
    hand_close(&h);
}

/* ---- read indexes --------------------------------------------------------------------------------------------------------- */

#define INDEX_THREADS 100u

struct indexer {
    struct source *s;
    struct tide *d;
    uint32_t number;
    uint32_t reads;
    pthread_barrier_t *begin;
};

/* What the source had before the read began is seen by the read. */
static void *read_linearizable(void *arg) {
    struct indexer *x = arg;
    struct tide_reader *r;
    bool opened = help_check(tide_reader_open(x->d, NULL, &r) == 0);
    pthread_barrier_wait(x->begin);
    if (!opened) {
        return NULL;
    }
    char key[4];
    source_key(x->number % SOURCE_KEYS, key);
    for (uint32_t i = 0; i < x->reads; i++) {
        uint64_t written = x->number % 10 == 0 ? source_put(x->s, x->number % SOURCE_KEYS, i) : source_now(x->s);
        struct tide_bound b = TIDE_BOUND_INIT;
        struct tide_answer a = TIDE_ANSWER_INIT;
        uint64_t value;
        b.wait_ns = 60000 * MS;
        b.fallback = i % 2 == 0 ? TIDE_FALLBACK_WAIT : TIDE_FALLBACK_LEADER;
        int error = tide_get(r, key, 3, &b, &value, sizeof(value), &a);
        help_check(error == 0 || error == TIDE_ERR_NOT_FOUND);
        help_check(a.linearizable == 1 && a.staleness_ns == 0);
        if (x->number % 10 == 0) {
            help_check(error == 0 && a.version >= written);
        }
    }
    tide_reader_close(r);
    return NULL;
}

static void feed__bound_0__readers_share_few_questions(void **state) {
    (void)state;
    struct source s;
    struct source_feed f;
    source_start(&s);
    struct tide *d = source_open(name, 0);
    source_feed_begin(&f, &s, d);
    help_leader(d);
    help_follower(d, 0);
    struct tide *other = help_open_again(d); /* to it the replicas are another process's */
    pthread_t threads[INDEX_THREADS];
    struct indexer x[INDEX_THREADS];
    uint32_t reads = (uint32_t)help_scaled(40);
    pthread_barrier_t begin;
    pthread_barrier_init(&begin, NULL, INDEX_THREADS);
    s.far_us = 2000; /* as over a network: all that wait meanwhile share the next question */
    for (uint32_t i = 0; i < INDEX_THREADS; i++) {
        x[i] = (struct indexer){ &s, i % 3 == 0 ? other : d, i, reads, &begin };
        assert_int_equal(pthread_create(&threads[i], NULL, read_linearizable, &x[i]), 0);
    }
    for (uint32_t i = 0; i < INDEX_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    help_assert_threads();
    /* A hundred that wait share each: far fewer than one for each read. */
    assert_true(s.asked < (uint64_t)INDEX_THREADS * reads / 4);
    pthread_barrier_destroy(&begin);
    tide_close(other);
    tide_close(d);
    source_feed_end(&f);
    source_stop(&s);
}

static void feed__bound_0_while_the_source_is_cut_off__times_out(void **state) {
    (void)state;
    struct source s;
    struct source_feed f;
    source_start(&s);
    struct tide *d = source_open(name, 0);
    source_feed_begin(&f, &s, d);
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    source_put(&s, 1, 11);
    struct got g = get(r, "k01", bound(TIDE_FALLBACK_WAIT, 0, 60000 * MS));
    assert_true(g.error == 0 && g.value == 11 && g.a.linearizable == 1 && g.a.reason == TIDE_REASON_WAITED);
    g = get(r, "k01", bound(TIDE_FALLBACK_LEADER, 0, 0));
    assert_true(g.error == 0 && g.a.reason == TIDE_REASON_REDIRECTED);
    source_cut(&f);
    source_put(&s, 1, 12);
    assert_int_equal(get(r, "k01", bound(TIDE_FALLBACK_WAIT, 0, 5 * MS)).error, TIDE_ERR_TIMEOUT);
    assert_int_equal(get(r, "k01", bound(TIDE_FALLBACK_LEADER, 0, 0)).error, TIDE_ERR_TIMEOUT);
    g = get(r, "k01", any);
    assert_true(g.error == 0 && g.value == 11);
    f.cut = false;
    g = get(r, "k01", bound(TIDE_FALLBACK_WAIT, 0, 60000 * MS));
    assert_true(g.error == 0 && g.value == 12);
    tide_reader_close(r);
    tide_close(d);
    source_feed_end(&f);
    source_stop(&s);
}

struct late_read {
    struct tide *d;
    struct tide_bound bound;
    struct got got;
    _Atomic uint32_t done;
};

static void *read_late(void *arg) {
    struct late_read *l = arg;
    struct tide_reader *r = NULL;
    if (help_check(tide_reader_open(l->d, NULL, &r) == 0)) {
        l->got = get(r, "k", l->bound);
        tide_reader_close(r);
    }
    atomic_store(&l->done, 1);
    return NULL;
}

/* Begin a read at bound 0, and wait until it wants a question above `begun`. */
static pthread_t begin_late_read(struct late_read *l, struct tide *d, uint64_t wait_ns, uint64_t begun) {
    pthread_t thread;
    memset(l, 0, sizeof(*l));
    l->d = d;
    l->bound = bound(TIDE_FALLBACK_WAIT, 0, wait_ns);
    assert_int_equal(pthread_create(&thread, NULL, read_late, l), 0);
    while (atomic_load(&d->log->feed.wanted) <= begun) {
        sched_yield();
    }
    return thread;
}

/* An answer wakes those whose question it answers; whoever waits for the next one sleeps on, and is still known to sleep. */
static void feed__answer__wakes_those_who_wait_for_it(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    assert_int_equal(append_put(&h, 2, "k", 1), 0);
    assert_int_equal(complete(&h, 2), 0);
    for (uint64_t i = 0; i < 2 * SOURCE_BITS; i++) { /* so that bits wrap */
        const struct feed_board *board = &h.d->log->feed;
        struct tide_feed_probe first = TIDE_FEED_PROBE_INIT;
        struct late_read l[2];
        pthread_t threads[2];
        threads[0] = begin_late_read(&l[0], h.d, 60000 * MS, atomic_load(&board->begun));
        assert_int_equal(tide_feed_probe(h.feed, &first), 0);
        threads[1] = begin_late_read(&l[1], h.d, 60000 * MS, first.number);
        uint32_t both = source_bit(first.number) | source_bit(first.number + 1);
        while (atomic_load(&board->waiters) != both) {
            sched_yield();
        }
        assert_int_equal(tide_feed_complete(h.feed, &first, 2), 0);
        assert_int_equal(atomic_load(&board->waiters), source_bit(first.number + 1));
        pthread_join(threads[0], NULL);
        assert_int_equal(l[0].got.error, 0);
        assert_int_equal(atomic_load(&l[1].done), 0);
        assert_int_equal(complete(&h, 2), 0);
        pthread_join(threads[1], NULL);
        assert_int_equal(l[1].got.error, 0);
        assert_int_equal(atomic_load(&board->waiters), 0);
    }
    assert_int_equal(source_bits(7, 7), 0);
    assert_int_equal(source_bits(8, 7), 0);
    assert_int_equal(source_bits(0, 1), 2);
    assert_int_equal(source_bits(30, 32), 1u | 1u << 31);
    assert_int_equal(source_bits(4, 35), UINT32_MAX & ~(1u << 4));
    assert_int_equal(source_bits(4, 36), UINT32_MAX);
    assert_int_equal(source_bits(0, UINT64_MAX), UINT32_MAX);
    hand_close(&h);
}

/* Two questions were under way when the read began. Their answers may come in any order, and from a source that can no longer be asked: they
 * say nothing of the writes that were acknowledged before the read. */
static void feed__answers_to_questions_before_the_read__do_not_serve_it(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    assert_int_equal(append_put(&h, 2, "k", 1), 0);
    assert_int_equal(complete(&h, 2), 0);
    for (uint32_t again = 0; again < 2; again++) { /* of this process, and of another */
        struct tide *d = again == 0 ? h.d : help_open_again(h.d);
        struct tide_feed_probe before[2] = { TIDE_FEED_PROBE_INIT, TIDE_FEED_PROBE_INIT };
        assert_int_equal(tide_feed_probe(h.feed, &before[0]), 0);
        assert_int_equal(tide_feed_probe(h.feed, &before[1]), 0);
        struct late_read l;
        pthread_t thread = begin_late_read(&l, d, 100 * MS, before[1].number);
        assert_int_equal(tide_feed_complete(h.feed, &before[1], 2), 0);
        assert_int_equal(tide_feed_complete(h.feed, &before[0], 2), 0);
        pthread_join(thread, NULL);
        assert_int_equal(l.got.error, TIDE_ERR_TIMEOUT);
        thread = begin_late_read(&l, d, 60000 * MS, before[1].number);
        while (atomic_load(&l.done) == 0) { /* one of these is begun after the read */
            assert_int_equal(complete(&h, 2), 0);
            sched_yield();
        }
        pthread_join(thread, NULL);
        assert_true(l.got.error == 0 && l.got.value == 1 && l.got.a.linearizable == 1);
        if (again != 0) {
            tide_close(d);
        }
    }
    help_assert_threads();
    hand_close(&h);
}

/* The next leader counts on from what is on the board: none of its questions has a number that a read before it may be waiting for, and
 * what an earlier leader asked it does not complete. */
static void feed__leader_changes_while_a_read_waits__the_old_answer_does_not_serve_it(void **state) {
    (void)state;
    struct hand h, next;
    hand_open(&h, name, true);
    assert_int_equal(append_put(&h, 2, "k", 1), 0);
    assert_int_equal(complete(&h, 2), 0);
    struct tide_feed_probe old = TIDE_FEED_PROBE_INIT, fresh = TIDE_FEED_PROBE_INIT;
    assert_int_equal(tide_feed_probe(h.feed, &old), 0);
    memset(&next, 0, sizeof(next));
    next.d = help_open_again(h.d);
    struct tide_feed_opts o = hand_opts(&next);
    assert_int_equal(tide_feed_open(next.d, &o, &next.feed), 0);
    struct tide_replica_opts r = TIDE_REPLICA_OPTS_INIT;
    r.role = TIDE_FOLLOWER;
    r.candidate = 1;
    assert_int_equal(tide_replica_start(next.d, &r, &next.replica), 0);
    struct late_read l;
    pthread_t thread = begin_late_read(&l, next.d, 60000 * MS, old.number);
    hand_close(&h);
    hand_await(&next.leads, 1);
    assert_int_equal(tide_feed_complete(next.feed, &old, 2), TIDE_ERR_INVALID);
    assert_int_equal(tide_feed_probe(next.feed, &fresh), 0);
    assert_true(fresh.number > old.number);
    assert_int_equal(append_put(&next, 3, "k", 2), 0); /* acknowledged before it was asked: the read must see it */
    assert_int_equal(tide_feed_complete(next.feed, &fresh, 3), 0);
    pthread_join(thread, NULL);
    assert_true(l.got.error == 0 && l.got.value == 2);
    help_assert_threads();
    hand_close(&next);
}

/* Another process writes over the words that readers believe: the next completion puts them right. */
static void feed__board_scribbled_over__mended_by_the_next_completion(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    assert_int_equal(append_put(&h, 2, "k", 1), 0);
    assert_int_equal(complete(&h, 2), 0);
    char path[SEGMENT_PATH_BYTES];
    assert_int_equal(segment_path(path, NULL, name, SEGMENT_LOG, 0), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct log_segment *log = mmap(NULL, sizeof(*log), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(log != MAP_FAILED);
    const uint64_t words[] = { UINT64_MAX, 0, UINT64_MAX / 2 };
    struct tide_reader *r = help_reader(h.d, TIDE_STICKY, -1, 0);
    for (size_t i = 0; i < 3; i++) {
        atomic_store(&log->feed.complete_ts, words[i]);
        atomic_store(&log->feed.complete_revision, words[i]);
        atomic_store(&log->feed.complete_index, words[i]);
        atomic_store(&log->feed.done, words[i]);
        atomic_store(&log->feed.wanted, words[i]);
        get(r, "k", any);
        get(r, "k", bound(TIDE_FALLBACK_STALE, 0, 0));
        uint64_t before = tide_now(h.d);
        assert_int_equal(complete(&h, 2), 0);
        struct tide_info info = TIDE_INFO_INIT;
        assert_int_equal(tide_info(h.d, &info), 0);
        assert_int_equal(info.complete_revision, 2);
        assert_int_equal(info.probes_done, i + 2);
        assert_true(info.complete_ns <= tide_now(h.d) - before);
        struct got g = get(r, "k", any);
        assert_true(g.error == 0 && g.value == 1);
        assert_int_equal(get(r, "k", bound(TIDE_FALLBACK_WAIT, 0, MS)).error,
                         TIDE_ERR_TIMEOUT); /* nobody answers that */
    }
    tide_reader_close(r);
    munmap(log, sizeof(*log));
    close(fd);
    hand_close(&h);
}

/* ---- processes outside ---------------------------------------------------------------------------------------------- */

static void feed__gauges__tell_of_the_source(void **state) {
    (void)state;
    struct hand h;
    struct gauges *g = calloc(1, sizeof(*g));
    hand_open(&h, name, true);
    gauges_read(g, name);
    assert_true(g->known);
    assert_string_equal(g->source, SOURCE_KIND);
    assert_true(g->complete_ns == UINT64_MAX && g->replicas[0].staleness_ns == UINT64_MAX);
    assert_int_equal(append_put(&h, 7, "k", 1), 0);
    assert_int_equal(tide_feed_note(h.feed, "by hand"), 0);
    uint64_t before = tide_now(h.d);
    assert_int_equal(complete(&h, 9), 0);
    gauges_read(g, name);
    assert_true(g->source_revision == 7 && g->complete_revision == 9 && g->questions == 1 && g->answered == 1);
    assert_string_equal(g->source_note, "by hand");
    assert_true(g->complete_ns <= tide_now(h.d) - before);
    assert_true(g->replicas[0].staleness_ns != 0 && g->replicas[0].staleness_ns != UINT64_MAX);
    free(g);
    hand_close(&h);
}

/* ---- fences --------------------------------------------------------------------------------------------------------------- */

static void feed__revision_tokens__work_across_hosts(void **state) {
    (void)state;
    struct source s;
    struct source_feed f[2];
    struct tide *d[2];
    struct tide_reader *r[2];
    source_start(&s);
    for (int i = 0; i < 2; i++) {
        d[i] = source_open(help_name(), 0);
        source_feed_begin(&f[i], &s, d[i]);
        help_leader(d[i]);
        r[i] = help_reader(d[i], TIDE_STICKY, -1, 0);
    }
    struct tide_token token, seen;
    uint64_t value = 5;
    assert_int_equal(tide_put(d[0], r[0], "k02", 3, &value, 8, &token), 0);
    assert_true(token.incarnation == TIDE_REVISION && token.index == source_now(&s));
    /* The session itself, at any bound. */
    struct got g = get(r[0], "k02", bound(TIDE_FALLBACK_WAIT, TIDE_UNBOUNDED, 60000 * MS));
    assert_true(g.error == 0 && g.value == 5 && g.a.version == token.index);
    assert_int_equal(tide_reader_token(r[0], &seen), 0);
    assert_true(seen.incarnation == TIDE_REVISION && seen.index >= token.index);
    /* Another host, whose link is cut: the fence holds. */
    g = get(r[1], "k02", bound(TIDE_FALLBACK_WAIT, 0, 60000 * MS));
    source_cut(&f[1]);
    value = 6;
    assert_int_equal(tide_put(d[0], r[0], "k02", 3, &value, 8, &token), 0);
    struct tide_bound b = bound(TIDE_FALLBACK_ERROR, TIDE_UNBOUNDED, 5 * MS);
    b.min = token;
    assert_int_equal(get(r[1], "k02", b).error, TIDE_ERR_REFUSED);
    b.fallback = TIDE_FALLBACK_WAIT;
    assert_int_equal(get(r[1], "k02", b).error, TIDE_ERR_TIMEOUT);
    assert_int_equal(tide_wait_applied(d[1], &token, 1, MS), TIDE_ERR_TIMEOUT);
    assert_int_equal(tide_wait_applied(d[0], &token, 1, MS), 0);
    b.fallback = TIDE_FALLBACK_STALE;
    g = get(r[1], "k02", b);
    assert_true(g.error == 0 && g.a.stale == 1 && g.value == 5);
    assert_int_equal(tide_reader_observe(r[1], &token), 0);
    assert_int_equal(get(r[1], "k02", any).error, TIDE_ERR_REFUSED);
    f[1].cut = false;
    g = get(r[1], "k02", bound(TIDE_FALLBACK_WAIT, TIDE_UNBOUNDED, 60000 * MS));
    assert_true(g.error == 0 && g.value == 6);
    assert_int_equal(tide_wait_applied(d[1], &token, 1, 60000 * MS), 0);
    for (int i = 0; i < 2; i++) {
        tide_reader_close(r[i]);
        tide_close(d[i]);
        source_feed_end(&f[i]);
    }
    source_stop(&s);
    /* A domain that is not fed knows no revisions. */
    struct tide *plain = help_open(0, 0, 0);
    help_leader(plain);
    struct tide_reader *p = help_reader(plain, TIDE_STICKY, -1, 0);
    b.min = (struct tide_token){ TIDE_REVISION, 1 };
    assert_int_equal(get(p, "k", b).error, TIDE_ERR_INCARNATION);
    assert_int_equal(tide_reader_observe(p, &b.min), TIDE_ERR_INCARNATION);
    assert_int_equal(tide_wait_applied(plain, &b.min, 1, 0), TIDE_ERR_INCARNATION);
    tide_reader_close(p);
    tide_close(plain);
}

/* ---- writes --------------------------------------------------------------------------------------------------------------- */

static void feed__writes__are_the_sources(void **state) {
    (void)state;
    struct source s;
    struct source_feed f;
    source_start(&s);
    struct tide *d = source_open(name, 0);
    source_feed_begin(&f, &s, d);
    help_leader(d);
    struct tide *other = help_open_again(d);
    struct tide_reader *r = help_reader(other, TIDE_STICKY, -1, 0);
    struct tide_bound b = bound(TIDE_FALLBACK_WAIT, TIDE_UNBOUNDED, 60000 * MS);
    uint64_t value = 1, found = 0;
    struct tide_token first, token;
    assert_int_equal(tide_cas(other, r, "k03", 3, 0, &value, 8, &first, NULL), 0);
    struct got g = get(r, "k03", b);
    assert_true(g.error == 0 && g.a.version == first.index);
    value = 2;
    assert_int_equal(tide_cas(d, NULL, "k03", 3, first.index, &value, 8, &token, NULL), 0);
    value = 3;
    assert_int_equal(tide_cas(other, r, "k03", 3, first.index, &value, 8, NULL, &found), TIDE_ERR_MISMATCH);
    assert_int_equal(found, token.index);
    assert_int_equal(tide_touch(other, r, "k03", 3, 0, NULL), TIDE_ERR_INVALID); /* this source does not */
    assert_int_equal(tide_delete(other, r, "k03", 3, &token), 0);
    assert_int_equal(get(r, "k03", b).error, TIDE_ERR_NOT_FOUND);
    struct tide_op ops[2] = { { TIDE_OP_PUT, 0, "k04", 3, &value, 8, 0 }, { TIDE_OP_PUT, 0, "k05", 3, &value, 8, 0 } };
    assert_int_equal(tide_batch(other, r, ops, 2, &token, NULL), 0);
    g = get(r, "k05", b);
    assert_true(g.error == 0 && g.value == 3 && g.a.version == token.index);
    struct tide_write_op w[2] = { TIDE_WRITE_OP_INIT, TIDE_WRITE_OP_INIT };
    for (int i = 0; i < 2; i++) {
        w[i].kind = TIDE_OP_PUT;
        w[i].key = i == 0 ? "k06" : "k07";
        w[i].key_len = 3;
        w[i].value = &value;
        w[i].value_size = 8;
    }
    assert_int_equal(tide_write(other, r, w, 2, &token, NULL), 0);
    assert_true(w[0].index == token.index && w[1].index == token.index);
    pthread_mutex_lock(&s.lock);
    assert_int_equal(s.count, 3 + 2 + 2); /* what was refused is not there */
    pthread_mutex_unlock(&s.lock);
    tide_reader_close(r);
    tide_close(other);
    tide_close(d);
    source_feed_end(&f);
    source_stop(&s);
}

struct writer {
    struct tide *d;
    int result;
    struct tide_token token;
};

static void *write_one(void *arg) {
    struct writer *w = arg;
    w->result = tide_put(w->d, NULL, "key", 3, "value", 5, &w->token);
    return NULL;
}

static void feed__answer__waits_until_the_log_holds_the_revision(void **state) {
    (void)state;
    struct hand h;
    hand_open(&h, name, true);
    struct writer w = { .d = help_open_again(h.d) };
    pthread_t thread;
    assert_int_equal(append_put(&h, 2, "other", 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_one, &w), 0);
    hand_await(&h.writes, 1);
    assert_int_equal(h.op.kind, TIDE_OP_PUT);
    assert_memory_equal(h.op.key, "key", 3);
    assert_memory_equal(h.op.value, "value", 5);
    assert_int_equal(tide_feed_is_awaited(h.request), 1);
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(h.d, &info);
    assert_int_equal(info.writes_open, 1);
    struct tide_feed_answer a = TIDE_FEED_ANSWER_INIT;
    assert_int_equal(tide_feed_answer(h.request, &a), TIDE_ERR_INVALID); /* done, at no revision */
    a.revision = 7;
    assert_int_equal(tide_feed_answer(h.request, &a), 0);
    assert_int_equal(append_put(&h, 6, "key", 0), 0);
    tide_info(h.d, &info);
    assert_int_equal(info.writes_open, 1);
    assert_int_equal(append_put(&h, 7, "key", 1), 0);
    pthread_join(thread, NULL);
    assert_int_equal(w.result, 0);
    assert_true(w.token.incarnation == TIDE_REVISION && w.token.index == 7);
    tide_info(h.d, &info);
    assert_int_equal(info.writes_open, 0);
    tide_close(w.d);
    hand_close(&h);
}

static void feed__leader_hands_over_with_writes_open__unknown(void **state) {
    (void)state;
    struct hand a, b;
    hand_open(&a, name, true);
    hand_open(&b, name, false);
    struct writer w = { .d = help_open_again(a.d) };
    pthread_t thread;
    assert_int_equal(append_put(&a, 2, "other", 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_one, &w), 0);
    hand_await(&a.writes, 1);
    assert_int_equal(tide_replica_stop(a.d, a.replica), 0);
    pthread_join(thread, NULL);
    assert_int_equal(w.result, TIDE_ERR_UNKNOWN);
    assert_int_equal(tide_feed_is_awaited(a.request), 0);
    struct tide_feed_answer answer = TIDE_FEED_ANSWER_INIT;
    answer.revision = 3;
    assert_int_equal(tide_feed_answer(a.request, &answer), TIDE_ERR_NO_LEADER);
    hand_await(&b.leads, 1);
    /* The lane is free again, and the next leader's. */
    assert_int_equal(pthread_create(&thread, NULL, write_one, &w), 0);
    hand_await(&b.writes, 1);
    assert_int_equal(append_put(&b, 3, "key", 1), 0);
    assert_int_equal(tide_feed_answer(b.request, &answer), 0);
    pthread_join(thread, NULL);
    assert_int_equal(w.result, 0);
    tide_close(w.d);
    hand_close(&a);
    hand_close(&b);
}

static void feed__writer_dies__its_lane_comes_back(void **state) {
    (void)state;
    child_threads_needed();
    struct hand h;
    hand_open(&h, name, true);
    assert_int_equal(append_put(&h, 2, "other", 1), 0);
    for (uint32_t i = 1; i <= 2 * LAYOUT_LANES; i++) { /* more than there are lanes */
        pid_t pid = child_begin();
        if (pid == 0) {
            struct tide_opts o = TIDE_OPTS_INIT;
            struct tide *d;
            o.write_timeout_ns = 60000 * MS;
            CHILD(tide_open(&d, name, &o) == 0);
            tide_put(d, NULL, "key", 3, "value", 5, NULL);
            _exit(0);
        }
        hand_await(&h.writes, i);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        assert_int_equal(tide_gc(h.d, NULL), 0);
        assert_int_equal(tide_feed_is_awaited(h.request), 0);
        struct tide_feed_answer a = TIDE_FEED_ANSWER_INIT;
        a.result = i % 2 == 0 ? TIDE_ERR_UNKNOWN : 0;
        a.revision = 2;
        assert_int_equal(tide_feed_answer(h.request, &a), 0);
    }
    hand_close(&h);
}

static void feed__leader_is_killed_with_writes_open__unknown(void **state) {
    (void)state;
    child_threads_needed();
    int told[2];
    assert_int_equal(pipe(told), 0);
    pid_t pid = child_begin();
    if (pid == 0) {
        struct hand h = { 0 };
        struct tide_opts o = TIDE_OPTS_INIT;
        o.source = SOURCE_KIND;
        struct tide_feed_opts fo = hand_opts(&h);
        struct tide_replica_opts ro = TIDE_REPLICA_OPTS_INIT;
        ro.role = TIDE_LEADER;
        CHILD(tide_open(&h.d, name, &o) == 0 && tide_feed_open(h.d, &fo, &h.feed) == 0);
        CHILD(tide_replica_start(h.d, &ro, NULL) == 0);
        hand_await(&h.leads, 1);
        uint64_t one = 1;
        struct tide_feed_op op = put_op("other", &one, 0);
        CHILD(tide_feed_append(h.feed, 2, &op, 1, 0) == 0);
        child_say(told[1]);
        hand_await(&h.writes, 1);
        child_say(told[1]);
        for (;;) {
            pause();
        }
    }
    child_hear(told[0]);
    struct hand h;
    hand_open(&h, name, false);
    struct tide_opts o = TIDE_OPTS_INIT;
    struct writer w = { 0 };
    o.write_timeout_ns = 600000 * MS; /* not by time */
    assert_int_equal(tide_open(&w.d, name, &o), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_one, &w), 0);
    child_hear(told[0]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    pthread_join(thread, NULL);
    assert_int_equal(w.result, TIDE_ERR_UNKNOWN);
    hand_await(&h.leads, 1);
    assert_int_equal(h.writes, 0);
    uint64_t revision;
    assert_int_equal(tide_feed_revision(h.feed, &revision, NULL), 0);
    assert_int_equal(revision, 2);
    tide_close(w.d);
    hand_close(&h);
    close(told[0]);
    close(told[1]);
}

int main(void) {
    help_start(170);
    const struct CMUnitTest tests[] = {
        NAMED_CASE(feed__before_the_first_completion__nobody_reads),
        NAMED_CASE(tide_feed_append__groups__all_or_nothing_and_in_order),
        NAMED_CASE(tide_feed_visit__before_completion__sees_all_with_versions),
        NAMED_CASE(feed__who_has_none__does_not_lead),
        NAMED_CASE(feed__leader_changes__the_next_begins_behind_it),
        NAMED_CASE(feed__all_members_end__a_later_one_goes_on),
        NAMED_CASE(feed__newcomer_copies_and_leads__knows_the_revision),
        NAMED_CASE(feed__watch__tells_revisions_and_begins_at_one),
        NAMED_CASE(feed__put_with_a_ttl__expires_here),
        NAMED_CASE(feed__source_stops__staleness_grows_truthfully),
        NAMED_CASE(feed__bounded_get__short_way_answers_as_the_long_one),
        NAMED_CASE(feed__bounds_of_readers__are_told),
        NAMED_CASE(feed__words_that_another_process_changed__questions_go_on),
        NAMED_CASE(tide_feed_append__part_that_was_refused__is_no_part),
        NAMED_CASE(feed__bound_0__readers_share_few_questions),
        NAMED_CASE(feed__bound_0_while_the_source_is_cut_off__times_out),
        NAMED_CASE(feed__answer__wakes_those_who_wait_for_it),
        NAMED_CASE(feed__answers_to_questions_before_the_read__do_not_serve_it),
        NAMED_CASE(feed__leader_changes_while_a_read_waits__the_old_answer_does_not_serve_it),
        NAMED_CASE(feed__board_scribbled_over__mended_by_the_next_completion),
        NAMED_CASE(feed__gauges__tell_of_the_source),
        NAMED_CASE(feed__revision_tokens__work_across_hosts),
        NAMED_CASE(feed__writes__are_the_sources),
        NAMED_CASE(feed__answer__waits_until_the_log_holds_the_revision),
        NAMED_CASE(feed__leader_hands_over_with_writes_open__unknown),
        NAMED_CASE(feed__writer_dies__its_lane_comes_back),
        NAMED_CASE(feed__leader_is_killed_with_writes_open__unknown),
    };
    return cmocka_run_group_tests_name("feed", tests, NULL, NULL);
}
