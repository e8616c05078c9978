/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Command lines of all benchmarks: a table of arguments, from which they are read and --help is printed. */
#ifndef TIDE_BENCH_ARGS_H
#define TIDE_BENCH_ARGS_H

#include <stdint.h>

#define BENCH_ARG_LIST 64u /* numbers in a list, at most */

enum bench_arg_kind {
    BENCH_ARG_FLAG,    /* int: 1 where it is given */
    BENCH_ARG_NO,      /* int: 0 where it is given */
    BENCH_ARG_COUNT,   /* uint64_t, least .. most: "10k", "1Mi" */
    BENCH_ARG_COUNT32, /* uint32_t, likewise */
    BENCH_ARG_WHOLE,   /* uint64_t, any, without units, decimal or 0x: a seed */
    BENCH_ARG_NUMBER,  /* double, above 0 up to `most`: "1.5" */
    BENCH_ARG_COUNTS,  /* struct bench_counts: a list of them */
    BENCH_ARG_RATE,    /* double, likewise */
    BENCH_ARG_TIME,    /* uint64_t, ns: "150ns", "2s" */
    BENCH_ARG_WORD,    /* int: which of the words */
    BENCH_ARG_WORDS,   /* unsigned: a bit for each word of a list */
    BENCH_ARG_TEXT,    /* const char *, not empty */
    BENCH_ARG_OWN,     /* whatever `set` makes of it */
};

struct bench_counts {
    uint64_t items[BENCH_ARG_LIST];
    uint32_t n;
};

struct bench_arg {
    const char *name;  /* "keys": given as --keys N or --keys=N */
    const char *shown; /* what --help shows for its value: "N"; NULL: a flag */
    enum bench_arg_kind kind;
    void *out;
    const char
        *wants; /* completes "wants ..." where the value is no good; NULL: made of the words, or of least and most */
    const char *help; /* lines are separated by \n */
    uint64_t least, most;
    const char *const *words;                 /* end with NULL */
    int (*set)(void *out, const char *value); /* 0 or -1 */
};

/* One row of a table; what it has beside these follows: .least = 1, .most = 256. */
#define BENCH_ARG(KIND, NAME, SHOWN, OUT, HELP, ...)                                                                   \
    { .name = NAME, .shown = SHOWN, .kind = BENCH_ARG_##KIND, .out = OUT, .help = HELP, __VA_ARGS__ }

/* One program's: the table, and what stands around it in --help. */
struct bench_command {
    const char *name;
    const char *usage; /* after the name: "[options]" */
    const char *about, *after;
    const struct bench_arg *args;
    uint32_t args_n;
    const char **rest; /* words that are no options; NULL: none are taken */
    uint32_t rest_room, rest_n;
    uint64_t given; /* a bit for each argument of the table that was there */
};

enum bench_parsed { BENCH_PARSED_RUN = 0, BENCH_PARSED_HELP = 1, BENCH_PARSED_ERROR = 2 };

/* Read the command line (argv[0] is skipped). On BENCH_PARSED_ERROR, `error` (BENCH_ERROR_BYTES) says in one line
 * what is wrong. Texts point into argv. */
enum bench_parsed bench_args_parse(struct bench_command *c, int argc, char **argv, char *error);

/* Fill `error`. Returns BENCH_PARSED_ERROR. */
__attribute__((format(printf, 2, 3))) enum bench_parsed bench_args_wrong(char *error, const char *format, ...);

/* The help text, on stdout. */
void bench_args_help(const struct bench_command *c);

/* Both: -1: go on; else the exit code, and help or error have been printed. */
int bench_args_take(struct bench_command *c, int argc, char **argv);

#endif
