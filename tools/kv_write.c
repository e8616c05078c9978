/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide put`, `tide del`, `tide cas`. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/args.h"
#include "tools/kv.h"
#include "tools/read_all.h"
#include "tools/tools.h"
#include "shm/fd.h"

#define TIMEOUT_MAX_NS (3600ull * 1000000000)

#define COMMON_HELP                                                                                                    \
    KV_BYTES_HELP                                                                                                      \
    "  --timeout TIME        how long to wait for a leader and its answer (default 1s)\n"                              \
    "  --json                {index, token}, or {error, text, exit_code}\n"                                            \
    "  --help                this text\n\n"                                                                            \
    "An argument that begins with '-' goes behind '--'.\n"
#define VALUE_HELP "  --file FILE           the value is what FILE holds\n"
#define CODES_HELP                                                                                                     \
    "Exit codes: 0 done; 2 usage; 3 no such domain; 4 nobody leads, or not in time: certainly not done;\n"             \
    "5 it may or may not have been done; "

static const char PUT_HELP[] =
    "Usage: tide put NAME KEY VALUE|- [OPTION]...\n"
    "       tide put NAME KEY --file FILE [OPTION]...\n"
    "Set KEY to VALUE, or to what standard input holds ('-'). Prints the token of the write, a fence for later reads:\n"
    "'tide get --token'.\n\n" VALUE_HELP COMMON_HELP CODES_HELP "7 anything else (the table is full, say).\n";

static const char DEL_HELP[] =
    "Usage: tide del NAME KEY [OPTION]...\n"
    "Delete KEY. That it was not there is no error: it is gone. Prints the token of the write.\n\n" COMMON_HELP
        CODES_HELP "7 anything else.\n";

static const char CAS_HELP[] =
    "Usage: tide cas NAME KEY VALUE|- --expect VERSION [OPTION]...\n"
    "       tide cas NAME KEY --file FILE --expect VERSION [OPTION]...\n"
    "Set KEY to VALUE if its version is VERSION, as 'tide get --json' and 'tide scan --json' tell it; 0: KEY must not\n"
    "exist. Prints the token of the write; its index is the new version.\n\n"
    "  --expect VERSION      the version that must be there\n" VALUE_HELP COMMON_HELP CODES_HELP
    "6 another version is there (with --json: found_version); 7 anything else.\n";

enum { OPT_ESCAPED = 256, OPT_TIMEOUT, OPT_FILE, OPT_EXPECT };

struct write {
    struct cli cli;
    const char *help, *file;
    int has_value, is_cas;
    int escaped, expect_given;
    uint64_t timeout_ns, expect;
    char *key;
    size_t key_size;
    uint8_t *value; /* on the heap, or an argument */
    size_t value_size;
    int value_owned;
};

static int set_option(void *ctx, int option, char *arg) {
    struct write *w = ctx;
    const char *tool = w->cli.tool;
    switch (option) {
    case OPT_ESCAPED:
        w->escaped = 1;
        return 0;
    case 'j':
        w->cli.json = 1;
        return 0;
    case OPT_TIMEOUT:
        if (args_duration(arg, &w->timeout_ns) != 0 || w->timeout_ns == 0 || w->timeout_ns > TIMEOUT_MAX_NS)
            return args_error(tool, "--timeout must be a time like 500ms, above 0 and at most 1h: %s", arg);
        return 0;
    case OPT_FILE:
        if (!w->has_value)
            return args_error(tool, "--file: a delete has no value");
        w->file = arg;
        return 0;
    case OPT_EXPECT:
        if (!w->is_cas)
            return args_error(tool, "--expect is for 'tide cas'");
        w->expect_given = 1;
        if (args_u64(arg, 0, UINT64_MAX, &w->expect) != 0)
            return args_error(tool, "--expect must be a version, or 0: %s", arg);
        return 0;
    default:
        return 0;
    }
}

static int read_options(int argc, char **argv, struct write *w) {
    static const struct option LIST[] = {
        { "escaped", no_argument, NULL, OPT_ESCAPED },
        { "timeout", required_argument, NULL, OPT_TIMEOUT },
        { "file", required_argument, NULL, OPT_FILE },
        { "expect", required_argument, NULL, OPT_EXPECT },
        ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { w->help, CLI_FAILED, "h", LIST, set_option };
    int code = args_options(&options, argc, argv, w);
    if (code != 0)
        return code;
    int wanted = 1 + (w->has_value && !w->file);
    code = cli_arguments(&w->cli, argc, argv, wanted, wanted, wanted == 2 ? "KEY or VALUE" : "KEY");
    if (code == 0 && w->is_cas && !w->expect_given)
        code = args_error(argv[0], "--expect VERSION is missing; 'tide get --json' tells it, 0 means: must not exist");
    if (code == 0)
        code = kv_key(argv[0], argv[optind], w->escaped, &w->key_size);
    w->key = argv[optind];
    return code;
}

static int read_value(struct write *w, char *arg) {
    if (w->has_value && !w->file && strcmp(arg, "-") != 0) {
        w->value = (uint8_t *)arg;
        w->value_size = strlen(arg);
        return 0;
    }
    if (!w->has_value)
        return 0;
    w->value_owned = 1;
    const char *from = w->file ? w->file : "standard input";
    int fd = w->file ? fd_open(w->file, O_RDONLY, 0) : STDIN_FILENO;
    int failed = fd < 0 || read_all(fd, &w->value, &w->value_size) != 0;
    int why = errno;
    if (w->file && fd >= 0)
        close(fd);
    return failed ? cli_complain(&w->cli, CLI_FAILED, "input", "%s: %s", from, strerror(why)) : 0;
}

static int write_it(struct write *w) {
    struct tide_token token = { 0, 0 };
    struct json_out j = { 0 };
    char text[CLI_TOKEN_BYTES];
    uint64_t found = 0;
    struct tide *d = w->cli.domain;
    int rc = w->is_cas      ? tide_cas(d, NULL, w->key, w->key_size, w->expect, w->value, w->value_size, &token, &found)
             : w->has_value ? tide_put(d, NULL, w->key, w->key_size, w->value, w->value_size, &token)
                            : tide_delete(d, NULL, w->key, w->key_size, &token);
    json_out_open(&j, NULL, '{');
    if (rc == TIDE_ERR_MISMATCH) {
        json_out_u64(&j, "found_version", found);
        return cli_fail_with(&w->cli, rc, &j, "expected version %llu, found %llu%s", (unsigned long long)w->expect,
                             (unsigned long long)found, found == 0 ? " (no such key)" : "");
    }
    if (rc != 0)
        return cli_fail_with(&w->cli, rc, &j, "%s", w->cli.name);
    cli_token_text(&token, text);
    json_out_u64(&j, "index", token.index);
    json_out_text(&j, "token", text);
    json_out_close(&j, '}');
    if (w->cli.json)
        json_out_print(&j, stdout);
    else
        puts(text);
    json_out_free(&j);
    return CLI_OK;
}

static int run(struct write *w, int argc, char **argv) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    w->cli.tool = argv[0];
    int code = read_options(argc, argv, w);
    code = code == 0 ? read_value(w, argv[optind + w->has_value * (w->file == NULL)]) : code;
    opts.flags = 0;
    opts.write_timeout_ns = w->timeout_ns;
    if (code == 0 && (code = cli_open(&w->cli, &opts)) == 0)
        code = cli_end(&w->cli, write_it(w));
    if (w->value_owned)
        free(w->value);
    return code;
}

int tool_put(int argc, char **argv) {
    struct write w = { .help = PUT_HELP, .has_value = 1 };
    return run(&w, argc, argv);
}

int tool_del(int argc, char **argv) {
    struct write w = { .help = DEL_HELP };
    return run(&w, argc, argv);
}

int tool_cas(int argc, char **argv) {
    struct write w = { .help = CAS_HELP, .has_value = 1, .is_cas = 1 };
    return run(&w, argc, argv);
}
