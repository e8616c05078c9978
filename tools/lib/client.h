/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the subcommands on running domains share: opening, errors, signals, tokens. One
 * thread. `struct cli` is filled by each command: tool and json before anything else is called.
 */
#ifndef TIDE_TOOLS_CLIENT_H
#define TIDE_TOOLS_CLIENT_H

#include <getopt.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/tidemark.h"
#include "tools/lib/codes.h"
#include "tools/lib/json_out.h"

struct cli {
    const char *tool; /* "tide get": begins every message */
    const char *name; /* the domain's */
    int json;
    int chatty;        /* also print the library's messages of level INFO */
    int leads;         /* this command leads its domain, or may come to; else it reads or writes */
    const char *feeds; /* and is the feed of a source of this kind; NULL: of none */
    int writes;        /* what fails from here on is a write */
    int watches;       /* LOST tells of the log, not of a section */
    struct tide *domain;
};

/* ---- arguments ---- */

/* Read options where --json is the only one, besides --help. 0, or an exit code after a message. */
int cli_only_json(struct cli *c, int argc, char **argv, const char *help);

/*
 * Check what is left behind the options: a domain's name into c->name and then min to max further arguments, the first
 * of which is argv[optind] afterwards. `what` names them for the message ("KEY"). 0, or TOOL_USAGE after a message.
 */
int cli_arguments(struct cli *c, int argc, char **argv, int min, int max, const char *what);

/* 1 to 48 of A-Z a-z 0-9 _ - . and not a dot first. */
int cli_name_is_good(const char *name);

/* A comma-separated list. read() gets each piece and its number; it returns 0 to go on. How many, or -1. */
typedef int cli_piece_fn(void *ctx, size_t number, const char *piece);
int cli_list(const char *list, size_t max, cli_piece_fn *read, void *ctx);

/* "INCARNATION:INDEX", sixteen hexadecimal digits and a decimal number, as every write prints it; or "rev:N", where a source feeds the
 * domain. 40 bytes. */
#define CLI_TOKEN_BYTES 40
const char *cli_token_text(const struct tide_token *t, char buf[CLI_TOKEN_BYTES]);
int cli_token(const char *text, struct tide_token *out);

/* ---- domains ---- */

/* Open c->name into c->domain; create only where o says so. 0, or an exit code after a message. */
int cli_open(struct cli *c, const struct tide_opts *o);
/* The same; where there is no such domain it waits so long for one. */
int cli_open_within(struct cli *c, const struct tide_opts *o, uint64_t patience_ns);

/* Close the domain, if it is open, and see that the output came out. The exit code: `code`, or FAILED. */
int cli_end(struct cli *c, int code);

/* Any thread of the library calls it; prints what matters. ctx: the struct cli. */
void cli_log(void *ctx, enum tide_log_level level, const char *text);

/* ---- what went wrong ---- */

/* The exit code that an error of the engine stands for. */
enum tool_code cli_code_of(int error);

/*
 * Report an error of the engine: "TOOL: what: text", and what to do about it; with --json one object {error, text,
 * exit_code} on standard output as well. Returns the exit code, for `return cli_fail(...)`.
 */
int cli_fail(const struct cli *c, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same with fields of the caller's: *j is an open object, which is closed and printed. */
int cli_fail_with(const struct cli *c, int error, struct json_out *j, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Report a failure that is no error of the engine. `name`: for "error" in JSON. Returns code. */
int cli_complain(const struct cli *c, enum tool_code code, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- signals ---- */

/*
 * From now on SIGTERM, SIGINT and SIGHUP set a flag and wake cli_sleep(), except those that were ignored when the process
 * started. Before the first cli_sleep() they end the process at once, with TOOL_OK: a join may take long, and a domain
 * survives the end of any process at any moment.
 */
void cli_catch_signals(void);

/* Sleep; 1 when a signal has asked for the end (at once, then), else 0. */
int cli_sleep(uint64_t ns);

#endif
