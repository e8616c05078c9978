/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/args.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/options.h"

#define LIST_TEXT 256u

static int word_of(const char *value, const char *const *words) {
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(value, words[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static int count_of(const struct bench_arg *a, const char *value, uint64_t *out) {
    uint64_t n = 0;
    int rc = a->kind == BENCH_ARG_TIME ? bench_parse_duration(value, &n) : bench_parse_count(value, &n);
    if (rc != 0 || n < a->least || n > a->most) {
        return -1;
    }
    *out = n;
    return 0;
}

static int set_count(const struct bench_arg *a, const char *value) {
    uint64_t n = 0;
    if (count_of(a, value, &n) != 0) {
        return -1;
    }
    if (a->kind == BENCH_ARG_COUNT32) {
        *(uint32_t *)a->out = (uint32_t)n;
    } else if (a->kind == BENCH_ARG_RATE) {
        *(double *)a->out = (double)n;
    } else {
        *(uint64_t *)a->out = n;
    }
    return 0;
}

/* strtoull() and strtod() take blanks and signs as well. */
static int set_plain(const struct bench_arg *a, const char *value) {
    char *end = NULL;
    if (value[0] < '0' || value[0] > '9') {
        return -1;
    }
    errno = 0;
    if (a->kind == BENCH_ARG_WHOLE) {
        *(uint64_t *)a->out = strtoull(value, &end, 0);
        return errno == 0 && *end == '\0' ? 0 : -1;
    }
    double number = *(double *)a->out = strtod(value, &end);
    return *end == '\0' && number > 0.0 && number <= (double)a->most ? 0 : -1;
}

static int set_list(const struct bench_arg *a, const char *value) {
    char copy[LIST_TEXT], *at = copy, *word;
    struct bench_counts counts = { .n = 0 };
    unsigned bits = 0;
    if (strlen(value) >= sizeof(copy)) {
        return -1;
    }
    strcpy(copy, value);
    while ((word = strsep(&at, ",")) != NULL) {
        if (a->kind == BENCH_ARG_WORDS) {
            int i = word_of(word, a->words);
            if (i < 0) {
                return -1;
            }
            bits |= 1u << i;
        } else if (counts.n == BENCH_ARG_LIST || count_of(a, word, &counts.items[counts.n++]) != 0) {
            return -1;
        }
    }
    if (a->kind == BENCH_ARG_WORDS) {
        *(unsigned *)a->out = bits;
    } else {
        *(struct bench_counts *)a->out = counts;
    }
    return 0;
}

static int set(const struct bench_arg *a, const char *value) {
    int word;
    switch (a->kind) {
    case BENCH_ARG_FLAG:
    case BENCH_ARG_NO:
        *(int *)a->out = a->kind == BENCH_ARG_FLAG;
        return 0;
    case BENCH_ARG_COUNT:
    case BENCH_ARG_COUNT32:
    case BENCH_ARG_RATE:
    case BENCH_ARG_TIME:
        return set_count(a, value);
    case BENCH_ARG_WHOLE:
    case BENCH_ARG_NUMBER:
        return set_plain(a, value);
    case BENCH_ARG_COUNTS:
    case BENCH_ARG_WORDS:
        return set_list(a, value);
    case BENCH_ARG_WORD:
        word = word_of(value, a->words);
        *(int *)a->out = word < 0 ? *(int *)a->out : word;
        return word < 0 ? -1 : 0;
    case BENCH_ARG_TEXT:
        *(const char **)a->out = value;
        return value[0] != '\0' ? 0 : -1;
    case BENCH_ARG_OWN:
        break;
    }
    return a->set(a->out, value);
}

enum bench_parsed bench_args_wrong(char *error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(error, BENCH_ERROR_BYTES, format, args);
    va_end(args);
    return BENCH_PARSED_ERROR;
}

/* What its value may be. */
static const char *wants(const struct bench_arg *a, char out[BENCH_ERROR_BYTES]) {
    if (a->wants != NULL) {
        return a->wants;
    }
    const char *range = a->kind == BENCH_ARG_WHOLE    ? "a whole number"
                        : a->kind == BENCH_ARG_NUMBER ? "a number above %llu, up to %llu"
                                                      : "a number from %llu to %llu";
    int n = snprintf(out, BENCH_ERROR_BYTES, range, (unsigned long long)a->least, (unsigned long long)a->most);
    for (int i = 0; a->words != NULL && a->words[i] != NULL; i++) {
        const char *between = i == 0 ? "" : a->words[i + 1] != NULL ? ", " : " or ";
        n = i == 0 ? 0 : n;
        n += snprintf(out + n, BENCH_ERROR_BYTES - (size_t)n, "%s%.20s", between, a->words[i]);
    }
    return out;
}

static const struct bench_arg *find(const struct bench_command *c, const char *word, size_t length) {
    for (uint32_t i = 0; i < c->args_n && strncmp(word, "--", 2) == 0; i++) {
        const char *name = c->args[i].name;
        if (strlen(name) == length - 2 && memcmp(name, word + 2, length - 2) == 0) {
            return &c->args[i];
        }
    }
    return NULL;
}

/* Is `word` a beginning of the name, or one slip away from it: a letter more, less, other, or two swapped? */
static bool is_near(const char *word, size_t length, const char *name) {
    size_t all = strlen(name), head = 0, tail = 0;
    while (head < length && head < all && word[head] == name[head]) {
        head++;
    }
    while (tail < length - head && tail < all - head && word[length - 1 - tail] == name[all - 1 - tail]) {
        tail++;
    }
    size_t ours = length - head - tail, its = all - head - tail;
    bool swapped = ours == 2 && its == 2 && word[head] == name[head + 1] && word[head + 1] == name[head];
    return (ours <= 1 && its <= 1) || swapped || (head == length && length >= 3);
}

static enum bench_parsed refuse(const struct bench_command *c, const char *word, size_t length, char *error) {
    if (word[0] != '-' && c->rest_n > 0) {
        return bench_args_wrong(error, "no room for '%.100s'", word);
    }
    for (uint32_t i = 0; i < c->args_n && length > 2; i++) {
        if (is_near(word + 2, length - 2, c->args[i].name)) {
            return bench_args_wrong(error, "unknown argument '%.100s', did you mean '--%s'?", word, c->args[i].name);
        }
    }
    return bench_args_wrong(error, "unknown argument '%.100s'", word);
}

enum bench_parsed bench_args_parse(struct bench_command *c, int argc, char **argv, char *error) {
    char text[BENCH_ERROR_BYTES];
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *equals = strchr(word, '=');
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            return BENCH_PARSED_HELP;
        }
        size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);
        const struct bench_arg *a = find(c, word, length);
        if (a == NULL && word[0] != '-' && c->rest_n < c->rest_room) {
            c->rest[c->rest_n++] = word;
            continue;
        }
        if (a == NULL) {
            return refuse(c, word, length, error);
        }
        const char *value = equals != NULL ? equals + 1 : NULL;
        if (a->shown == NULL && value != NULL) {
            return bench_args_wrong(error, "--%s takes no value", a->name);
        }
        if (a->shown != NULL && value == NULL) {
            if (i + 1 == argc) {
                return bench_args_wrong(error, "--%s needs a value: %.160s", a->name, wants(a, text));
            }
            value = argv[++i];
        }
        if (set(a, value) != 0) {
            return bench_args_wrong(error, "--%s %.80s: wants %.120s", a->name, value, wants(a, text));
        }
        c->given |= UINT64_C(1) << (a - c->args);
    }
    return BENCH_PARSED_RUN;
}

static void help_row(const char *name, const char *shown, const char *text) {
    char left[40];
    snprintf(left, sizeof(left), "--%s %s", name, shown != NULL ? shown : "");
    printf("  %-20s ", left);
    for (const char *c = text; *c != '\0'; c++) {
        putchar(*c);
        if (*c == '\n') {
            printf("%23s", "");
        }
    }
    putchar('\n');
}

void bench_args_help(const struct bench_command *c) {
    printf("Usage: %s %s\n\n%s\n", c->name, c->usage, c->about);
    for (uint32_t i = 0; i < c->args_n; i++) {
        help_row(c->args[i].name, c->args[i].shown, c->args[i].help);
    }
    help_row("help", NULL, "this text");
    printf("\nNumbers take k, M, G (1,000s) and Ki, Mi, Gi (1,024s).\n%s", c->after);
}

int bench_args_take(struct bench_command *c, int argc, char **argv) {
    char error[BENCH_ERROR_BYTES];
    switch (bench_args_parse(c, argc, argv, error)) {
    case BENCH_PARSED_RUN:
        break;
    case BENCH_PARSED_HELP:
        bench_args_help(c);
        return BENCH_EXIT_OK;
    case BENCH_PARSED_ERROR:
        fprintf(stderr, "%s: %s; --help lists all arguments\n", c->name, error);
        return BENCH_EXIT_USAGE;
    }
    return -1;
}
