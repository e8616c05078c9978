/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What two samples of a domain tell: rates, lag of the time between, events. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/help.h"
#include "tests/lib/pair.h"
#include "tools/dump/rates.h"

/* Two samples that a test makes up, a second apart. */
struct two {
    struct gauges *before, *now;
    struct rates *r;
    struct event events[EVENTS_MOST];
};

static struct two two_of(uint32_t replicas) {
    struct two t = { calloc(1, sizeof(*t.before)), calloc(1, sizeof(*t.now)), calloc(1, sizeof(*t.r)), { { 0 } } };
    assert_true(t.before && t.now && t.r);
    struct gauges *g = t.before;
    g->known = true;
    g->now_ns = 1000000000;
    g->peek.incarnation = 7;
    g->peek.led = 1;
    g->peek.term = 1;
    for (g->n = 0; g->n < replicas; g->n++) {
        g->replicas[g->n] =
            (struct gauges_replica){ .id = 2 * g->n, .state = TIDE_STATE_SERVING, .lives = true, .pid = 100 };
        g->replicas[g->n].replication.known = true;
    }
    *t.now = *t.before;
    t.now->now_ns = 3000000000;
    return t;
}

static void end(struct two *t) {
    free(t->before);
    free(t->now);
    free(t->r);
}

static const char *only_event(struct two *t, enum event_kind kind) {
    size_t n = events_between(t->events, EVENTS_MOST, t->before, t->now);
    assert_int_equal(n, 1);
    assert_int_equal(t->events[0].kind, kind);
    return t->events[0].text;
}

static void rates_between__two_samples__per_second(void **state) {
    (void)state;
    struct two t = two_of(2);
    t.before->peek.commit = UINT64_MAX - 9;
    t.now->peek.commit = UINT64_MAX - 5;
    t.now->by_reason[TIDE_REASON_FRESH] = 6;
    t.now->by_reason[TIDE_REASON_REFUSED] = 2;
    t.now->hits = 3;
    t.now->misses = 1;
    t.now->evicted = 10;
    t.now->replicas[1].by_reason[TIDE_REASON_FRESH] = 6;
    t.now->replicas[1].entries = 4;
    rates_between(t.r, t.before, t.now);
    assert_true(t.r->seconds == 2 && t.r->writes_s == 2 && t.r->reads_s == 3 && t.r->refused_s == 1);
    assert_true(t.r->hit_ratio == 0.75 && t.r->fallback_ratio == 0.25 && t.r->evicted_s == 5);
    const struct rates_replica *one = &t.r->replicas[2]; /* by its id */
    assert_true(one->known && one->reads_s == 3 && one->applied_s == 2);
    assert_true(t.r->replicas[0].known && t.r->replicas[0].reads_s == 0);
    end(&t);
}

static void rates_between__counts_that_fell_or_another_domain__nothing(void **state) {
    (void)state;
    struct two t = two_of(1);
    t.before->hits = 5;
    t.before->peek.commit = 9;
    t.now->peek.commit = 3;
    rates_between(t.r, t.before, t.now);
    assert_true(t.r->writes_s == 0 && t.r->hits_s == 0 && t.r->hit_ratio < 0 && t.r->fallback_ratio < 0);
    t.now->peek.incarnation = 8;
    rates_between(t.r, t.before, t.now);
    assert_true(t.r->seconds == 0);
    rates_between(t.r, NULL, t.now);
    assert_true(t.r->seconds == 0 && t.r->hit_ratio < 0);
    t.before->peek.incarnation = 8;
    t.now->now_ns = t.before->now_ns; /* never by 0 */
    rates_between(t.r, t.before, t.now);
    assert_true(t.r->seconds == 0);
    end(&t);
}

static void rates_between__lag__of_the_entries_in_between(void **state) {
    (void)state;
    struct two t = two_of(1);
    struct gauges_histogram *a = &t.before->replicas[0].replication.all, *b = &t.now->replicas[0].replication.all;
    a->count = b->count = 1000; /* all of them fast */
    for (uint32_t i = 0; i < GAUGES_BUCKETS; i++) {
        a->up_to[i] = 1000;
        b->up_to[i] = 1000 + (i >= 20 ? 90 : 0) + (i >= 40 ? 10 : 0);
    }
    b->count = 1100;
    t.now->replicas[0].entries = 1100;
    rates_between(t.r, t.before, t.now);
    const struct rates_replica *r = &t.r->replicas[0];
    assert_int_equal(r->lag.count, 100);
    assert_int_equal(r->lag_p50_ns, gauges_bucket_end_ns(20));
    assert_int_equal(r->lag_p99_ns, gauges_bucket_end_ns(40));
    end(&t);
}

static void gauges_share_within__a_bound__interpolated(void **state) {
    (void)state;
    struct gauges_histogram h = { .count = 0 };
    assert_true(gauges_share_within(&h, 1000) < 0);
    h.count = 10;
    for (uint32_t i = 0; i < GAUGES_BUCKETS; i++) {
        h.up_to[i] = i >= 4 ? 8 : 0; /* between 447 and 511; and two above the last end */
    }
    assert_true(gauges_share_within(&h, 0) == 0);
    assert_true(fabs(gauges_share_within(&h, 479) - 0.4) < 0.01);
    assert_true(gauges_share_within(&h, 511) == 0.8);
    assert_true(gauges_share_within(&h, UINT64_MAX) == 0.8);
}

static void gauges_bucket_end__all__grow_by_quarters_of_a_doubling(void **state) {
    (void)state;
    static const uint64_t FIRST[] = { 255, 319, 383, 447, 511, 639 };
    for (uint32_t i = 0; i < GAUGES_BUCKETS; i++) {
        assert_true(i >= 6 || gauges_bucket_end_ns(i) == FIRST[i]);
        assert_true(i == 0 || gauges_bucket_end_ns(i) > gauges_bucket_end_ns(i - 1));
    }
    assert_int_equal(gauges_bucket_end_ns(GAUGES_BUCKETS - 1), (UINT64_C(1) << 36) - 1);
}

/* ---- events ---- */

static void events_between__nothing_happened__none(void **state) {
    (void)state;
    struct two t = two_of(3);
    assert_int_equal(events_between(t.events, EVENTS_MOST, t.before, t.now), 0);
    end(&t);
}

static void events_between__a_replica__each_thing_is_told(void **state) {
    (void)state;
    struct two t = two_of(2);
    struct gauges_replica *r = &t.now->replicas[1], was = *r;
    strcpy(r->label, "a\033[2Jb");
    r->lapped = 1;
    assert_string_equal(only_event(&t, EVENT_LAPPED), "r2 (a\\x1b[2Jb) was lapped: the log overtook it");
    *r = was;
    r->joins = 1;
    assert_string_equal(only_event(&t, EVENT_JOINED), "r2 copied another replica");
    *r = was;
    r->lives = false;
    assert_string_equal(only_event(&t, EVENT_DIED), "r2: its process 100 is gone");
    assert_true(event_is_bad(&t.events[0]));
    *r = was;
    r->state = TIDE_STATE_JOINING;
    assert_string_equal(only_event(&t, EVENT_STATE), "r2, process 100: joining, was serving");
    *r = was;
    t.now->n = 1;
    assert_string_equal(only_event(&t, EVENT_LEFT), "r2 is gone");
    t.before->n = 1;
    t.now->n = 2;
    assert_string_equal(only_event(&t, EVENT_NEW), "r2 is new, process 100: serving");
    end(&t);
}

static void events_between__the_domain__each_thing_is_told(void **state) {
    (void)state;
    struct two t = two_of(2);
    t.now->peek.led = 0;
    assert_string_equal(only_event(&t, EVENT_LEADERLESS), "nobody leads: writes wait");
    t.now->peek.led = 1;
    t.now->peek.leader = 2;
    t.now->peek.term = 2;
    assert_string_equal(only_event(&t, EVENT_LED), "r2 leads, term 2");
    t.now->peek.leader = 0;
    assert_string_equal(only_event(&t, EVENT_LED), "r0 leads, term 2"); /* the same one again */
    t.now->peek.term = 1;
    t.now->ring_waits = 3;
    assert_string_equal(only_event(&t, EVENT_RING_WAIT), "the ring was full: the leader waited 3 times");
    t.now->ring_waits = 0;
    t.now->refused_full = 2;
    assert_string_equal(only_event(&t, EVENT_REFUSED), "the table was full: 2 writes were refused");
    t.now->refused_full = 0;
    t.now->peek.incarnation = 8;
    (void)only_event(&t, EVENT_MADE);
    t.now->known = false;
    t.now->peek.state = PEEK_DAMAGED;
    strcpy(t.now->peek.why, "the ring\033 is not");
    assert_string_equal(only_event(&t, EVENT_DAMAGED), "damaged: the ring\\x1b is not");
    t.now->missing = true;
    assert_string_equal(only_event(&t, EVENT_GONE), "the domain was removed");
    end(&t);
}

static void events_between__little_room__no_more_than_that(void **state) {
    (void)state;
    struct two t = two_of(40);
    t.now->n = 0;
    assert_int_equal(events_between(t.events, 5, t.before, t.now), 5);
    end(&t);
}

/* ---- of a domain ---- */

static void gauges_read__a_domain__pins_readers_and_reasons(void **state) {
    (void)state;
    struct pair p = open_pair(0);
    struct two t = two_of(0);
    struct tide_info info = TIDE_INFO_INIT;
    put_number(p.d, "k", 1);
    catch_up(&p); /* applies nothing for an hour from now on */
    assert_int_equal(tide_info(p.d, &info), 0);
    gauges_read(t.before, info.name);
    put_number(p.d, "k", 2);
    (void)get(p.r, "k", NULL);
    gauges_read(t.now, info.name);
    rates_between(t.r, t.before, t.now);
    const struct gauges_replica *slow = gauges_find(t.now, p.slow), *leader = gauges_find(t.now, p.leader);
    assert_non_null(slow);
    assert_non_null(leader);
    assert_null(gauges_find(t.now, 63));
    assert_true(slow->pins && slow->pos < t.now->ring_tail && leader->pos == t.now->ring_tail);
    assert_true(t.now->ring_reclaimed <= slow->pos);
    assert_int_equal(t.now->ring_tail - slow->pos, t.now->ring_used_bytes);
    assert_string_equal(gauges_state(slow), "serving");
    assert_false(t.now->evicts);
    assert_true(t.now->n_readers >= 1 && t.now->readers[0].reads >= 1);
    assert_true(t.r->writes_s > 0 && t.r->reads_s > 0);
    assert_int_equal(leader->by_reason[TIDE_REASON_REDIRECTED] + leader->by_reason[TIDE_REASON_BEHIND_REDIRECTED], 1);
    assert_int_equal(slow->by_reason[TIDE_REASON_REDIRECTED] + slow->by_reason[TIDE_REASON_BEHIND_REDIRECTED], 0);
    assert_int_equal(slow->replication.all.count, 1);
    assert_int_equal(slow->replication.recent.count, 1);
    assert_int_equal(slow->replication.recent.up_to[GAUGES_BUCKETS - 1], 1);
    assert_true(gauges_share_within(&slow->replication.all, UINT64_MAX) == 1);
    end(&t);
    close_pair(&p);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_between__two_samples__per_second),
        cmocka_unit_test(rates_between__counts_that_fell_or_another_domain__nothing),
        cmocka_unit_test(rates_between__lag__of_the_entries_in_between),
        cmocka_unit_test(gauges_share_within__a_bound__interpolated),
        cmocka_unit_test(gauges_bucket_end__all__grow_by_quarters_of_a_doubling),
        cmocka_unit_test(events_between__nothing_happened__none),
        cmocka_unit_test(events_between__a_replica__each_thing_is_told),
        cmocka_unit_test(events_between__the_domain__each_thing_is_told),
        cmocka_unit_test(events_between__little_room__no_more_than_that),
        cmocka_unit_test(gauges_read__a_domain__pins_readers_and_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
