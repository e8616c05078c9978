/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading arguments: durations, sizes, numbers, options; and messages on standard error.
 * All parsers take the whole text or nothing, return 0 or -1, and leave the out-parameter untouched on -1. Any
 * thread.
 */
#ifndef TIDE_TOOLS_ARGS_H
#define TIDE_TOOLS_ARGS_H

#include <getopt.h>
#include <stddef.h>
#include <stdint.h>

/* A duration: a decimal number and a unit of ns, us, ms, s, m, h ("200ms", "1.5s", "18us"); "0" needs no unit.
 * Fractions of a nanosecond are cut off. Up to about 292 years. */
int args_duration(const char *text, uint64_t *out_ns);

/* A size in bytes: a whole number, alone or with K, M, G (also KiB, MiB, GiB; all are powers of 1024). */
int args_size(const char *text, uint64_t *out_bytes);

/* A whole decimal number from min to max, without sign or blanks. */
int args_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* An option's value: a duration from `least` to `most`. 0; else "MUST: TEXT" by args_error(), and its code. */
int args_take_duration(const char *tool, const char *text, uint64_t least, uint64_t most, uint64_t *out_ns,
                       const char *must);

/* Write ns as a duration that args_duration() reads back, with the largest unit that keeps it short ("18ms", "1.5s",
 * "1.234ms"); at most three decimals, rounded up. Returns buf. 32 bytes are always enough. */
const char *args_duration_text(uint64_t ns, char *buf, size_t buf_size);

/* One option of a command: 0 to go on, or the exit code after a message. */
typedef int args_option_fn(void *ctx, int option, char *arg);

struct args_options {
    const char *help;          /* what --help and -h print */
    const char *letters;       /* short options, "h" among them: as for getopt, without a leading ':' */
    const struct option *list; /* ends with ARGS_LAST_OPTIONS */
    args_option_fn *take;      /* all others */
};

#define ARGS_LAST_OPTIONS                                                                                              \
    { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, {                                          \
        NULL, 0, NULL, 0                                                                                               \
    }

/* Read all options; what is left begins at argv[optind]. argv[0] is the command's name for messages. 0, or an exit
 * code after a message. --help ends the process. */
int args_options(const struct args_options *o, int argc, char **argv, void *ctx);

/* Print "TOOL: text" on standard error. Control characters are escaped, because `text` may contain what was typed, read
 * from a file or found in shared memory. */
void args_say(const char *tool, const char *text);
void args_sayf(const char *tool, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Print "TOOL: message" and a pointer to --help on standard error; returns TOOL_USAGE, for `return args_error(...)`.
 * */
int args_error(const char *tool, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
