/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide top` draws samples that a test makes up on a canvas; and the figures of narrow columns. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/help.h"
#include "tools/lib/figures.h"
#include "tools/top/top.h"

struct shown {
    struct top t;
    struct canvas c;
    struct buf text;
};

static void fill(struct gauges *g, uint32_t replicas, uint64_t second) {
    g->known = true;
    g->now_ns = second * 1000000000;
    strcpy(g->peek.name, "d");
    g->peek.incarnation = 7;
    g->peek.led = 1;
    g->peek.leader_pid = 100;
    g->peek.term = 3;
    g->peek.ring_bytes = 1 << 20;
    g->peek.commit = 1000 * second;
    g->ring_tail = 4 << 20;
    g->ring_used_bytes = 1 << 19;
    for (g->n = 0; g->n < replicas; g->n++) {
        struct gauges_replica *r = &g->replicas[g->n];
        *r = (struct gauges_replica){ .id = g->n, .state = TIDE_STATE_SERVING, .lives = true, .pid = 100 };
        r->leads = g->n == 0;
        r->pins = true;
        r->pos = g->ring_tail - (g->n == 1 ? 1 << 19 : 0);
        r->entries = 500 * second;
        r->lag = g->n;
        snprintf(r->label, sizeof(r->label), "l%u", 99 - g->n);
    }
}

/* Two samples, a second apart, of a domain with so many replicas. */
static struct shown *shown_of(uint32_t replicas) {
    struct shown *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    assert_true(top_init(&s->t));
    fill(s->t.before, replicas, 1);
    fill(s->t.now, replicas, 2);
    s->t.interval_ns = 1000000000;
    s->t.samples = 2;
    rates_between(s->t.rates, s->t.before, s->t.now);
    return s;
}

static const char *draw(struct shown *s, int width, int height) {
    s->text.size = 0;
    assert_true(canvas_reset(&s->c, width, height));
    top_draw(&s->t, &s->c, true);
    for (int row = 0; row < height; row++) {
        size_t start = s->text.size;
        canvas_row_text(&s->c, row, &s->text);
        assert_true(s->text.size - start <= 4 * (size_t)width);
        buf_add_char(&s->text, '\n');
    }
    buf_add_char(&s->text, '\0');
    return s->text.data;
}

static void end(struct shown *s) {
    top_free(&s->t);
    canvas_free(&s->c);
    buf_free(&s->text);
    free(s);
}

static void assert_has(const char *text, const char *wanted) {
    if (!strstr(text, wanted)) {
        fprintf(stderr, "no '%s' in:\n%s", wanted, text);
    }
    assert_non_null(strstr(text, wanted));
}

static void top_draw__a_domain__all_parts(void **state) {
    (void)state;
    struct shown *s = shown_of(3);
    const char *text = draw(s, 80, 24);
    assert_has(text, " d  alive, r0 leads, process 100, term 3");
    assert_has(text, "commit 2000  writes/s 1.00k");
    assert_has(text, "50.0 % of 1.0M, 3 pins");
    assert_has(text, "r1 is 512.0K behind");
    assert_has(text, "r0  l99       leads         0");
    assert_has(text, "r2  l97       serving       2");
    assert_has(text, "EVENTS: none since this began");
    assert_has(text, " q quit");
    end(s);
}

static void top_draw__any_size__stays_inside(void **state) {
    (void)state;
    struct shown *s = shown_of(64);
    for (int page = PAGE_DOMAIN; page <= PAGE_HELP; page++) {
        s->t.page = (enum top_page)page;
        for (int width = 80; width < 400; width += 37) {
            (void)draw(s, width, 24 + width / 3);
        }
    }
    end(s);
}

/* The help says all that it has to say in 80 columns and 24 rows: no line is cut. */
static void top_draw__help__fits(void **state) {
    (void)state;
    struct shown *s = shown_of(1);
    s->t.page = PAGE_HELP;
    char *narrow = strdup(draw(s, 80, 24)), *at = narrow;
    const char *wide = draw(s, 200, 24);
    for (int row = 0; row < 23; row++) { /* the first has a clock at its right, the last is the keys' */
        size_t n = strcspn(at, "\n"), m = strcspn(wide, "\n");
        assert_true(row == 0 || (n == m && memcmp(at, wide, n) == 0));
        at += n + 1;
        wide += m + 1;
    }
    free(narrow);
    end(s);
}

static void top_draw__labels_of_others__do_not_command(void **state) {
    (void)state;
    struct shown *s = shown_of(2);
    strcpy(s->t.now->replicas[1].label, "\033]0;x\007");
    strcpy(s->t.now->replicas[0].label, "\xe2\x80\xae\xff"); /* from right to left; and no UTF-8 */
    for (int unicode = 0; unicode < 2; unicode++) {
        s->c.unicode = unicode;
        const char *text = draw(s, 80, 24);
        assert_has(text, "r1  \\x1b]0;x");
        assert_has(text, "r0  ?\\xff");
        for (; *text; text++) {
            assert_true((unsigned char)*text >= 0x20 || *text == '\n');
        }
    }
    end(s);
}

static void top_draw__many_replicas__the_chosen_one_is_there(void **state) {
    (void)state;
    struct shown *s = shown_of(64);
    assert_has(draw(s, 80, 24), "r0  l99");
    for (uint32_t i = 0; i < 63; i++) {
        top_choose(&s->t, 1);
        char wanted[16];
        snprintf(wanted, sizeof(wanted), "\nr%-2u l%u", i + 1, 98 - i);
        assert_has(draw(s, 80, 24), wanted);
    }
    top_choose(&s->t, 1); /* there is none behind it */
    assert_int_equal(s->t.chosen, 63);
    assert_has(draw(s, 80, 24), " of 64");
    top_choose(&s->t, -1000);
    assert_int_equal(s->t.chosen, 0);
    end(s);
}

static void top_draw__a_replica__its_histogram(void **state) {
    (void)state;
    struct shown *s = shown_of(2);
    struct gauges_replica *r = &s->t.now->replicas[1];
    r->replication.known = true;
    r->replication.all.count = 10;
    r->replication.recent.count = 4;
    for (uint32_t i = 0; i < GAUGES_BUCKETS; i++) {
        r->replication.all.up_to[i] = i >= 100 ? 10 : i >= 8 ? 5 : 0;
        r->replication.recent.up_to[i] = i >= 8 ? 4 : 0;
    }
    r->replication.quantile_ns[GAUGES_P99] = 1000000;
    s->t.page = PAGE_REPLICA;
    s->t.chosen = 1;
    const char *text = draw(s, 80, 24);
    assert_has(text, "r1 l98  serving, process 100");
    assert_has(text, "pins the ring 512.0K behind its end");
    assert_has(text, "lag of the last 10 s: p50 0, p99 1.00ms");
    assert_has(text, "LAST 10 S: 4 entries");
    assert_has(text, "100 % #####");
    assert_has(text, "50.0 % #####");
    r->replication.all.up_to[GAUGES_BUCKETS - 1] = 9; /* one was longer than the last end */
    (void)draw(s, 80, 24);
    s->t.chosen = 17; /* it has gone: the domain's page */
    assert_has(draw(s, 80, 24), "EVENTS");
    end(s);
}

static void top_order__each_key__sorts(void **state) {
    (void)state;
    struct shown *s = shown_of(4);
    uint32_t order[PEEK_REPLICAS];
    static const uint32_t FIRST[SORTS] = { 0, 3, 2, 3, 1, 2, 3, 1 };
    s->t.now->replicas[2].lives = false;
    s->t.now->replicas[1].staleness_ns = 5;
    s->t.now->replicas[2].replication.quantile_ns[GAUGES_P99] = 5;
    s->t.rates->replicas[3].reads_s = 5;
    s->t.rates->replicas[1].applied_s = 5000;
    for (int sort = 0; sort < SORTS; sort++) {
        s->t.sort = (enum top_sort)sort;
        s->t.reverse = false;
        assert_int_equal(top_order(&s->t, order), 4);
        assert_int_equal(order[0], FIRST[sort]);
        s->t.reverse = true;
        assert_int_equal(top_order(&s->t, order), 4);
        assert_int_equal(order[3], FIRST[sort]);
    }
    end(s);
}

static void top_level__times__by_tens(void **state) {
    (void)state;
    assert_int_equal(top_level(0), 0);
    assert_int_equal(top_level(1), 1);
    assert_int_equal(top_level(999), 1);
    assert_int_equal(top_level(1000), 2);
    assert_int_equal(top_level(1000000), 5);
    assert_int_equal(top_level(999999999), 7);
    assert_int_equal(top_level(1000000000), 8);
    assert_int_equal(top_level(UINT64_MAX), 8);
}

static void canvas_put__outside__nothing(void **state) {
    (void)state;
    struct canvas c = { .unicode = true };
    struct buf text = { 0 };
    assert_true(canvas_reset(&c, 4, 2));
    canvas_put(&c, -1, 0, 0, "x");
    canvas_put(&c, 2, 0, 0, "x");
    canvas_put(&c, 0, -2, 0, "abc");
    canvas_put(&c, 0, 3, 0, "xyz");
    canvas_put(&c, 1, 0, 0, "a\xe6\xbc\xa2\xe6\xbc\xa2"); /* two columns each: the second does not fit */
    canvas_bar(&c, 9, 0, 10, 2, 0);
    canvas_ink(&c, 1, -3, 99, INK_BAD);
    canvas_row_text(&c, 0, &text);
    buf_add_char(&text, '|');
    canvas_row_text(&c, 1, &text);
    buf_add_char(&text, '\0');
    assert_string_equal(text.data, "c  x|a\xe6\xbc\xa2");
    buf_free(&text);
    canvas_free(&c);
}

static void figures__all_sizes__at_most_seven_characters(void **state) {
    (void)state;
    char text[FIGURES_BYTES];
    static const struct {
        double n;
        const char *text;
    } COUNTS[] = { { 0, "0" },         { 0.25, "0.25" },  { 9.996, "10.0" }, { 17, "17" },     { 999.4, "999" },
                   { 999.6, "1.00k" }, { 1234, "1.23k" }, { 99960, "100k" }, { 1e6, "1.00M" }, { -1, "-" } };
    static const struct {
        uint64_t ns;
        const char *text;
    } TIMES[] = { { 0, "0" },
                  { 1, "1ns" },
                  { 999, "999ns" },
                  { 1000, "1.00us" },
                  { 12345678, "12.3ms" },
                  { 999600000, "1.00s" },
                  { 119000000000, "119s" },
                  { 120000000000, "2.00m" },
                  { UINT64_MAX, "never" } };
    static const struct {
        double share;
        const char *text;
    } SHARES[] = {
        { 0, "0 %" },      { 1, "100 %" }, { 0.99999, "99.9 %" }, { 0.00001, "<0.01 %" }, { 0.0123, "1.23 %" },
        { 0.5, "50.0 %" }, { -1, "-" }
    };
    for (size_t i = 0; i < sizeof(COUNTS) / sizeof(COUNTS[0]); i++) {
        assert_string_equal(figures_count(COUNTS[i].n, text), COUNTS[i].text);
    }
    for (size_t i = 0; i < sizeof(TIMES) / sizeof(TIMES[0]); i++) {
        assert_string_equal(figures_time(TIMES[i].ns, text), TIMES[i].text);
    }
    for (size_t i = 0; i < sizeof(SHARES) / sizeof(SHARES[0]); i++) {
        assert_string_equal(figures_share(SHARES[i].share, text), SHARES[i].text);
    }
    for (int shift = 0; shift < 64; shift++) {
        for (uint64_t n = UINT64_C(1) << shift, i = 0; i < 8; i++, n += n / 7) {
            assert_true(strlen(figures_count((double)n, text)) <= 5);
            assert_true(strlen(figures_time(n, text)) <= 7);
        }
    }
}

int main(void) {
    help_start(60);
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(top_draw__a_domain__all_parts),
        cmocka_unit_test(top_draw__any_size__stays_inside),
        cmocka_unit_test(top_draw__help__fits),
        cmocka_unit_test(top_draw__labels_of_others__do_not_command),
        cmocka_unit_test(top_draw__many_replicas__the_chosen_one_is_there),
        cmocka_unit_test(top_draw__a_replica__its_histogram),
        cmocka_unit_test(top_order__each_key__sorts),
        cmocka_unit_test(top_level__times__by_tens),
        cmocka_unit_test(canvas_put__outside__nothing),
        cmocka_unit_test(figures__all_sizes__at_most_seven_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
