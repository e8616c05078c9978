/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/pair.h"

struct pair open_pair(uint64_t delay_ns) {
    struct pair p = { .d = help_open(0, 0, 0) };
    p.leader = help_leader(p.d);
    p.slow = help_follower(p.d, delay_ns);
    p.r = help_reader(p.d, TIDE_STICKY, (int32_t)p.slow, UINT64_C(1) << p.slow);
    return p;
}

void close_pair(struct pair *p) {
    assert_int_equal(tide_reader_close(p->r), 0);
    assert_int_equal(tide_close(p->d), 0);
}

uint64_t put_number(struct tide *d, const char *key, uint64_t value) {
    struct tide_token token;
    assert_int_equal(help_put(d, key, value, &token), 0);
    return token.index;
}

void catch_up(struct pair *p) {
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(p->d, &info);
    struct tide_token token = { info.incarnation, info.commit_index };
    assert_int_equal(tide_replica_set_delay(p->d, p->slow, 0), 0);
    assert_int_equal(tide_wait_applied(p->d, &token, 2, UINT64_MAX), 0);
    assert_int_equal(tide_replica_set_delay(p->d, p->slow, HOUR), 0);
}

struct tide_bound bound_of(enum tide_fallback fallback, uint64_t max_staleness_ns) {
    struct tide_bound b = TIDE_BOUND_INIT;
    b.fallback = fallback;
    b.max_staleness_ns = max_staleness_ns;
    return b;
}

struct got get(struct tide_reader *r, const char *key, const struct tide_bound *bound) {
    struct got g = { .value = 4242, .a = TIDE_ANSWER_INIT };
    g.error = tide_get(r, key, strlen(key), bound, &g.value, sizeof(g.value), &g.a);
    return g;
}
