/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arguments: durations, sizes, numbers, tokens, escaped keys, bounds, addresses' Accept headers, and whole lists of options. Words are ended by a NUL or a newline. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tidemark.h"
#include "tests/fuzz/fuzz.h"
#include "tools/lib/args.h"
#include "tools/lib/escape.h"
#include "tools/lib/kv.h"
#include "tools/lib/nearest.h"
#include "tools/lib/utf8.h"
#include "tools/metrics/metrics.h"

#define WORDS_MOST 24u

static int take(void *ctx, int option, char *arg) {
    return kv_read_option("fuzz", ctx, option, arg);
}

static void options(int argc, char **argv) {
    static const struct option list[] = { KV_BOUND_OPTIONS, { "json", no_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
    static const struct args_options o = { "", "j", list, take };
    struct kv_read r = KV_READ_INIT;
    optind = 0;
    (void)args_options(&o, argc, argv, &r);
}

/* What was read is written, and read again: the same. */
static void word(const char *text) {
    uint64_t value = 0, again = 0;
    char shown[32];
    if (args_duration(text, &value) == 0 &&
        args_duration(args_duration_text(value, shown, sizeof(shown)), &again) == 0) {
        FUZZ_EXPECT(again >= value);
    }
    (void)args_size(text, &value);
    if (args_u64(text, 5, 1000, &value) == 0) {
        FUZZ_EXPECT(value >= 5 && value <= 1000);
    }
    struct tide_token token, same;
    char token_text[CLI_TOKEN_BYTES];
    if (cli_token(text, &token) == 0) {
        FUZZ_EXPECT(cli_token(cli_token_text(&token, token_text), &same) == 0 &&
                    same.incarnation == token.incarnation && same.index == token.index);
    }
    (void)negotiate_open_metrics(text);
    struct nearest n = { .word = text };
    nearest_try(&n, "max-staleness");
}

/* Any bytes, shown and read back: the same. */
static void escapes(const uint8_t *bytes, size_t size) {
    struct buf shown = { 0 };
    escape_bytes(&shown, bytes, size, UINT64_MAX);
    buf_add_char(&shown, 0);
    long n = escape_undo(shown.data);
    FUZZ_EXPECT(n >= 0 && (size_t)n == size && (size == 0 || memcmp(shown.data, bytes, size) == 0));
    shown.size = 0;
    escape_text(&shown, bytes, size, "\n");
    for (size_t i = 0; i < shown.size; i++) { /* nothing that a terminal obeys */
        FUZZ_EXPECT(shown.data[i] == '\n' || (uint8_t)shown.data[i] >= 0x20);
    }
    FUZZ_EXPECT(!utf8_is_valid(bytes, size) || utf8_is_valid(shown.data, shown.size));
    buf_free(&shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    char *copy = malloc(size + 1), *argv[WORDS_MOST + 2];
    int argc = 0;
    memcpy(copy, bytes, size);
    copy[size] = 0;
    argv[argc++] = (char *)(uintptr_t) "tide fuzz";
    for (size_t at = 0; at < size && argc <= (int)WORDS_MOST;) {
        size_t n = strcspn(copy + at, "\n");
        copy[at + n] = 0;
        argv[argc++] = copy + at;
        word(copy + at);
        at += n + 1;
    }
    argv[argc] = NULL;
    options(argc, argv);
    escapes(bytes, size);
    if (argc > 1) {
        (void)escape_undo(argv[1]);
    }
    free(copy);
    return 0;
}
