/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Figures and bars: a file is read back as it was written, a damaged one is refused, and pictures show the right rows. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/lib/bars_plot.h"
#include "bench/lib/figures.h"
#include "bench/lib/options.h"
#include "tests/lib/help.h"

static struct bench_machine machine;
static struct bench_figures figures, back;
static struct bench_machine back_machine;
static char path[64];

static uint32_t add(const char *id, const char *title, const char *unit, double a, double b, double c) {
    uint32_t figure = bench_figures_add(&figures, id, "get", title, unit);
    bench_figures_set(&figures, figure, 0, a);
    bench_figures_set(&figures, figure, 1, b);
    bench_figures_set(&figures, figure, 2, c);
    return figure;
}

static void make_figures(void) {
    memset(&machine, 0, sizeof(machine));
    snprintf(machine.cpu_model, sizeof(machine.cpu_model), "a CPU");
    machine.cpus = 2;
    machine.memory_bytes = UINT64_C(1) << 34;
    bench_figures_init(&figures, "peers", &machine, 4);
    snprintf(figures.note, sizeof(figures.note), "a note");
    uint32_t tide = add("get.tide", "tide_get, it's ours", "ns", 22.0, 20.0, 30.0);
    uint32_t plain = add("get.plain", "plain table", "ns", 10.0, 8.0, 15.0);
    add("get.lmdb", "LMDB", "ns", 180000.0, 170000.0, 190000.0);
    uint32_t hidden = add("", "", "ns", 11.0, 10.0, 10.0);
    bench_figures_bar(&figures, "get", "get over plain", "x", BENCH_AT_MOST, 2.0, BENCH_RATIO, tide, plain, tide);
    bench_figures_bar(&figures, "other", "something else", "x", BENCH_AT_LEAST, 3.0, BENCH_RATIO, BENCH_NO_FIGURE, tide,
                      BENCH_NO_FIGURE);
    bench_figures_bar(&figures, "rate", "puts", "1/s", BENCH_AT_LEAST, 1e8, BENCH_RATE, hidden, BENCH_NO_FIGURE,
                      hidden);
    bench_figures_bar(&figures, "less", "on top", "ns", BENCH_AT_MOST, 12.0, BENCH_LESS, tide, plain, BENCH_NO_FIGURE);
    bench_figures_settle(&figures, 3); /* the fourth was interrupted */
}

static void write_text(const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void figures__written__are_read_back(void **state) {
    (void)state;
    char error[BENCH_ERROR_BYTES];
    make_figures();
    assert_int_equal(bench_figures_write(&figures, path), 0);
    assert_int_equal(bench_figures_read(&back, &back_machine, path, error), 0);
    assert_string_equal(back.bench, "peers");
    assert_string_equal(back.note, "a note");
    assert_int_equal(back.repetitions, 3);
    assert_string_equal(back_machine.cpu_model, "a CPU");
    assert_true(back_machine.memory_bytes == UINT64_C(1) << 34);
    assert_int_equal(back.figures_n, 3);
    assert_string_equal(back.figures[0].title, "tide_get, it's ours");
    assert_true(back.figures[0].spread.median == 22.0 && back.figures[0].spread.min == 20.0);
    assert_int_equal(back.bars_n, 4);
    assert_int_equal(back.bars[0].sense, BENCH_AT_MOST);
    assert_false(back.bars[0].kept);
    assert_true(back.bars[0].spread.median == 2.2 && back.bars[0].spread.max == 2.5); /* of each repetition by itself */
    assert_string_equal(back.bars[0].group, "get");
    assert_true(back.bars[0].at == 20.0);
    assert_int_equal(back.bars[1].spread.n, 0);
    assert_string_equal(back.bars[1].group, "");
    assert_true(back.bars[2].spread.median == 1e8 && back.bars[2].kept && back.bars[2].at == 10.0);
    assert_true(back.bars[3].spread.median == 12.0 && back.bars[3].spread.max == 15.0);
}

static void figures__damaged_or_foreign__are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{\"schema\": \"tidemark.readscale\", \"schema_version\": 1}",
        "{\"schema\": \"tidemark.figures\", \"schema_version\": 2, \"figures\": [], \"bars\": []}",
        "{\"schema\": \"tidemark.figures\", \"schema_version\": 1, \"figures\": {}, \"bars\": []}",
        "{\"schema\": \"tidemark.figures\", \"schema_version\": 1, \"bench\": \"x\", \"figures\": [7], \"bars\": []}",
        "{\"schema\": \"tidemark.figures\", \"schema_version\": 1, \"bench\": \"x\", \"figures\": [], \"bars\": [{}]}",
        "{\"schema\": \"tidemark.figures\", \"schema_version\": 1, \"figures\": [], \"bars\": []}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char error[BENCH_ERROR_BYTES] = "";
        write_text(texts[i]);
        assert_int_equal(bench_figures_read(&back, &back_machine, path, error), -1);
        assert_non_null(strstr(error, path)); /* it says which file */
    }
}

static void figures__more_than_there_is_room_for__are_refused(void **state) {
    (void)state;
    char error[BENCH_ERROR_BYTES] = "";
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("{\"schema\": \"tidemark.figures\", \"schema_version\": 1, \"bench\": \"x\", \"bars\": [], \"figures\": [0",
          f);
    for (unsigned i = 0; i < BENCH_FIGURES_MAX; i++) {
        fputs(", 0", f);
    }
    fputs("]}", f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(bench_figures_read(&back, &back_machine, path, error), -1);
}

/* Everything cut at every length: no crash, and nothing but the whole is taken. */
static void figures__cut_anywhere__are_refused(void **state) {
    (void)state;
    char error[BENCH_ERROR_BYTES];
    static char text[16384];
    make_figures();
    assert_int_equal(bench_figures_write(&figures, path), 0);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    size_t last = strrchr(text, '}') - text;
    assert_true(n < sizeof(text) - 1);
    for (size_t cut = 0; cut <= last; cut += 13) {
        char kept = text[cut];
        text[cut] = 0;
        write_text(text);
        text[cut] = kept;
        assert_int_equal(bench_figures_read(&back, &back_machine, path, error), -1);
    }
}

static char *script_of(uint32_t first, uint32_t last, const char *unit) {
    struct bench_bars_picture p = { &figures, first, last, unit };
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    assert_int_equal(bench_bars_plot(f, &p), 0);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void picture__wide_span__is_logarithmic_and_shows_the_bar(void **state) {
    (void)state;
    make_figures();
    char *text = script_of(0, 3, "ns");
    assert_non_null(strstr(text, "set logscale x"));
    assert_non_null(strstr(text, "'tide_get, it''s ours' -1"));
    assert_non_null(strstr(text, "'get: 20.0 ns'"));
    assert_non_null(strstr(text, "$own << EOD\n2.2e-08 -1 2e-08 3e-08\nEOD")); /* Tidemark's row alone */
    free(text);
    text = script_of(0, 2, "ns");
    assert_null(strstr(text, "set logscale x"));
    free(text);
}

static void picture__no_row_of_ours__has_one_colour(void **state) {
    (void)state;
    make_figures();
    char *text = script_of(1, 3, "ns");
    assert_non_null(strstr(text, "$peers << EOD\nEOD"));
    assert_null(strstr(text, "$peers using")); /* gnuplot refuses to plot nothing */
    free(text);
}

static void picture__other_unit__has_nothing_to_draw(void **state) {
    (void)state;
    make_figures();
    struct bench_bars_picture p = { &figures, 0, 3, "1/s" };
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_int_equal(bench_bars_plot(f, &p), 1);
    fclose(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures__written__are_read_back),
        cmocka_unit_test(figures__damaged_or_foreign__are_refused),
        cmocka_unit_test(figures__more_than_there_is_room_for__are_refused),
        cmocka_unit_test(figures__cut_anywhere__are_refused),
        cmocka_unit_test(picture__wide_span__is_logarithmic_and_shows_the_bar),
        cmocka_unit_test(picture__no_row_of_ours__has_one_colour),
        cmocka_unit_test(picture__other_unit__has_nothing_to_draw),
    };
    help_start(60);
    snprintf(path, sizeof(path), "/tmp/tidemark-figures-%d.json", (int)getpid());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
