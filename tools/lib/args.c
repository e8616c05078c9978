/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/args.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/lib/codes.h"
#include "tools/lib/escape.h"
#include "tools/lib/nearest.h"
#include "tools/lib/stdio.h"

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit TIME_UNITS[] = {
    { "ns", 1 },
    { "us", 1000 },
    { "ms", 1000000 },
    { "s", 1000000000 },
    { "m", 60ull * 1000000000 },
    { "h", 3600ull * 1000000000 },
    { NULL, 0 },
};

static const struct unit SIZE_UNITS[] = {
    { "", 1 },           { "K", 1ull << 10 },   { "KiB", 1ull << 10 }, { "M", 1ull << 20 }, { "MiB", 1ull << 20 },
    { "G", 1ull << 30 }, { "GiB", 1ull << 30 }, { NULL, 0 },
};

static uint64_t args_unit_factor(const struct unit *units, const char *name) {
    for (; units->name; units++) {
        if (strcmp(units->name, name) == 0) {
            return units->factor;
        }
    }
    return 0;
}

/* Digits into *out; NULL where there are none or they do not fit. strtoull would take signs and blanks as well. */
static const char *args_read_digits(const char *text, uint64_t *out) {
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value)) {
            return NULL;
        }
    }
    if (at == text) {
        return NULL;
    }
    *out = value;
    return at;
}

int args_duration(const char *text, uint64_t *out_ns) {
    uint64_t whole, total;
    const char *at = args_read_digits(text, &whole);
    if (!at) {
        return -1;
    }
    const char *fraction = NULL;
    if (*at == '.') {
        fraction = ++at;
        while (*at >= '0' && *at <= '9') {
            at++;
        }
        if (at == fraction) {
            return -1;
        }
    }
    uint64_t factor = args_unit_factor(TIME_UNITS, at);
    if (factor == 0 && *at == '\0' && whole == 0 && !fraction) {
        factor = 1;
    }
    if (factor == 0 || __builtin_mul_overflow(whole, factor, &total)) {
        return -1;
    }
    uint64_t digits = 0, scale = 1;
    /* Fifteen decimals of an hour are less than a nanosecond: further digits cannot change the result. */
    for (int i = 0; fraction && fraction[i] >= '0' && fraction[i] <= '9' && i < 15; i++, scale *= 10) {
        digits = digits * 10 + (uint64_t)(fraction[i] - '0');
    }
    uint64_t part_ns = (uint64_t)((unsigned __int128)digits * factor / scale);
    if (__builtin_add_overflow(total, part_ns, &total) || total > INT64_MAX) {
        return -1;
    }
    *out_ns = total;
    return 0;
}

int args_size(const char *text, uint64_t *out_bytes) {
    uint64_t value;
    const char *at = args_read_digits(text, &value);
    if (!at) {
        return -1;
    }
    uint64_t factor = args_unit_factor(SIZE_UNITS, at);
    if (factor == 0 || __builtin_mul_overflow(value, factor, &value)) {
        return -1;
    }
    *out_bytes = value;
    return 0;
}

int args_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out) {
    uint64_t value;
    const char *at = args_read_digits(text, &value);
    if (!at || *at != '\0' || value < min || value > max) {
        return -1;
    }
    *out = value;
    return 0;
}

const char *args_duration_text(uint64_t ns, char *buf, size_t buf_size) {
    int i = ns >= 1000000000 ? 3 : ns >= 1000000 ? 2 : ns >= 1000 ? 1 : 0;
    uint64_t factor = TIME_UNITS[i].factor;
    uint64_t step = factor >= 1000 ? factor / 1000 : 1;
    uint64_t thousandths = factor >= 1000 ? ns / step + (ns % step != 0) : ns * 1000;
    int len = snprintf(buf, buf_size, "%llu.%03llu", (unsigned long long)(thousandths / 1000),
                       (unsigned long long)(thousandths % 1000));
    if (len < 0 || (size_t)len >= buf_size) {
        return buf;
    }
    while (buf[len - 1] == '0') {
        len--;
    }
    if (buf[len - 1] == '.') {
        len--;
    }
    snprintf(buf + len, buf_size - (size_t)len, "%s", TIME_UNITS[i].name);
    return buf;
}

/* "--name" of an argument "--name=value". */
static const char *args_long_name(const char *word, char *buf, size_t buf_size) {
    snprintf(buf, buf_size, "%.*s", (int)strcspn(word, "="), word);
    return buf;
}

static int args_is_ambiguous(const struct option *list, const char *name) {
    int n = 0;
    for (; list->name; list++) {
        n += strncmp(list->name, name, strlen(name)) == 0;
    }
    return n > 1;
}

/* Say what is wrong with an option. getopt's own messages do not tell which option was meant. */
static int args_refuse_option(const struct args_options *o, const char *tool, const char *word) {
    char name[64];
    if (strncmp(word, "--", 2) != 0) {
        return args_error(tool, "unrecognized option '-%c'", optopt);
    }
    args_long_name(word, name, sizeof(name));
    if (optopt != 0) { /* getopt knows it, but it was given a value */
        return args_error(tool, "option '%s' takes no value", name);
    }
    if (args_is_ambiguous(o->list, name + 2)) {
        return args_error(tool, "option '%s' is ambiguous: write more of it", name);
    }
    struct nearest near = { .word = name + 2 };
    for (const struct option *x = o->list; x->name; x++) {
        nearest_try(&near, x->name);
    }
    return near.best ? args_error(tool, "unrecognized option '%s'; did you mean '--%s'?", name, near.best)
                     : args_error(tool, "unrecognized option '%s'", name);
}

int args_options(const struct args_options *o, int argc, char **argv, void *ctx) {
    char letters[16], name[64];
    int option, code = 0;
    snprintf(letters, sizeof(letters), ":%s", o->letters);
    optind = 0; /* glibc: start anew, also when called twice in one process */
    opterr = 0;
    while (code == 0 && (option = getopt_long(argc, argv, letters, o->list, NULL)) != -1) {
        const char *word = argv[optind - 1];
        if (option == 'h') {
            fputs(o->help, stdout);
            exit(stdio_finish(argv[0], TOOL_OK));
        }
        code = option == '?' ? args_refuse_option(o, argv[0], word)
               : option == ':'
                   ? args_error(argv[0], "option '%s' needs a value", args_long_name(word, name, sizeof(name)))
                   : o->take(ctx, option, optarg);
    }
    return code;
}

void args_say(const char *tool, const char *text) {
    struct buf line = { 0 };
    buf_add_text(&line, tool);
    buf_add(&line, ": ", 2);
    escape_text(&line, text, strlen(text), "");
    buf_add_char(&line, '\n');
    fwrite(line.data, 1, line.size, stderr); /* at once: lines of several threads do not mix */
    buf_free(&line);
}

void args_sayf(const char *tool, const char *format, ...) {
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    args_say(tool, text);
}

int args_error(const char *tool, const char *format, ...) {
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    args_say(tool, text);
    fprintf(stderr, "Try '%s --help'.\n", tool);
    return TOOL_USAGE;
}

int args_take_duration(const char *tool, const char *text, uint64_t least, uint64_t most, uint64_t *out_ns,
                       const char *must) {
    uint64_t ns;
    if (args_duration(text, &ns) != 0 || ns < least || ns > most) {
        return args_error(tool, "%s: %s", must, text);
    }
    *out_ns = ns;
    return TOOL_OK;
}
