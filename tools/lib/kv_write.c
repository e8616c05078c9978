/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/kv_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/fd.h"
#include "tools/lib/args.h"
#include "tools/lib/clear.h"
#include "tools/lib/read_all.h"

#define TIMEOUT_MAX_NS (3600ull * 1000000000)

enum { OPT_ESCAPED = 256, OPT_TIMEOUT, OPT_FILE, OPT_EXPECT, OPT_TTL, OPT_KEEP, OPT_PREFIX };

int kv_ttl(const char *tool, const char *what, const char *arg, uint64_t *ttl_ns) {
    if (strcmp(arg, "never") == 0) {
        *ttl_ns = TIDE_TTL_NONE;
        return 0;
    }
    if (args_duration(arg, ttl_ns) != 0 || *ttl_ns == 0) {
        return args_error(tool, "%s must be a time like 1.5s or 10m, above 0 and at most 2562047h, or never: %s", what,
                          arg);
    }
    return 0;
}

static int kv_set_option(void *ctx, int option, char *arg) {
    struct kv_write *w = ctx;
    const char *tool = w->cli.tool;
    switch (option) {
    case OPT_ESCAPED:
        w->escaped = 1;
        return 0;
    case 'j':
        w->cli.json = 1;
        return 0;
    case OPT_TIMEOUT:
        return args_take_duration(tool, arg, 1, TIMEOUT_MAX_NS, &w->timeout_ns,
                                  "--timeout must be a time like 500ms, above 0 and at most 1h");
    case OPT_FILE:
        if (!w->has_value) {
            return args_error(tool, "--file: a delete has no value");
        }
        w->file = arg;
        return 0;
    case OPT_EXPECT:
        if (!w->is_cas) {
            return args_error(tool, "--expect is for 'tide cas'");
        }
        w->expect_given = 1;
        if (args_u64(arg, 0, UINT64_MAX, &w->expect) != 0) {
            return args_error(tool, "--expect must be a version, or 0: %s", arg);
        }
        return 0;
    case OPT_TTL:
        if (!w->may_expire) {
            return args_error(
                tool,
                "--ttl is for 'tide put', 'tide cas' and 'tide incr'; 'tide touch NAME KEY TTL' has it behind the key");
        }
        return kv_ttl(tool, "--ttl", arg, &w->ttl_ns);
    case OPT_KEEP:
        if (!w->may_expire) {
            return args_error(tool, "--keep is for 'tide put', 'tide cas' and 'tide incr'");
        }
        w->flags |= TIDE_KEEP;
        return 0;
    case OPT_PREFIX:
        if (!w->may_clear) {
            return args_error(tool, "--prefix is for 'tide del' and 'tide clear'");
        }
        if (arg[0] == '\0') { /* a variable of a script that is not set, perhaps */
            return args_error(tool, "an empty --prefix would delete every key, as 'tide clear NAME' does");
        }
        w->prefix = arg;
        return 0;
    default:
        return 0;
    }
}

static int kv_read_options(int argc, char **argv, struct kv_write *w) {
    static const struct option LIST[] = {
        { "escaped", no_argument, NULL, OPT_ESCAPED },     { "timeout", required_argument, NULL, OPT_TIMEOUT },
        { "file", required_argument, NULL, OPT_FILE },     { "expect", required_argument, NULL, OPT_EXPECT },
        { "ttl", required_argument, NULL, OPT_TTL },       { "keep", no_argument, NULL, OPT_KEEP },
        { "prefix", required_argument, NULL, OPT_PREFIX }, ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { w->help, "h", LIST, kv_set_option };
    int code = args_options(&options, argc, argv, w);
    if (code != 0) {
        return code;
    }
    if (w->prefix || w->no_key) {
        code = cli_arguments(&w->cli, argc, argv, 0, 0, "");
        return code == 0 && w->prefix ? kv_key(argv[0], w->prefix, w->escaped, &w->prefix_size) : code;
    }
    int wanted = 1 + (w->has_value && !w->file), most = wanted + (w->extra != NULL);
    char what[40];
    snprintf(what, sizeof(what), "KEY%s%s", most == 2 ? " or " : "", most == 1 ? "" : w->extra ? w->extra : "VALUE");
    code = cli_arguments(&w->cli, argc, argv, most - w->extra_optional, most, what);
    if (code == 0 && w->extra && argv[optind + 1]) {
        code = w->take_extra(w, argv[optind + 1]);
    }
    if (code == 0 && w->is_cas && !w->expect_given) {
        code = args_error(argv[0], "--expect VERSION is missing; 'tide get --json' tells it, 0 means: must not exist");
    }
    if (code == 0) {
        code = kv_key(argv[0], argv[optind], w->escaped, &w->key_size);
    }
    w->key = argv[optind];
    return code;
}

static int kv_read_value(struct kv_write *w, char *arg) {
    if (w->has_value && !w->file && strcmp(arg, "-") != 0) {
        w->value = (uint8_t *)arg;
        w->value_size = strlen(arg);
        return 0;
    }
    if (!w->has_value) {
        return 0;
    }
    w->value_owned = 1;
    const char *from = w->file ? w->file : "standard input";
    int fd = w->file ? fd_open(w->file, O_RDONLY, 0) : STDIN_FILENO;
    int failed = fd < 0 || read_all(fd, &w->value, &w->value_size) != 0;
    int why = errno;
    if (w->file && fd >= 0) {
        close(fd);
    }
    return failed ? cli_complain(&w->cli, TOOL_FAILED, "input", "%s: %s", from, strerror(why)) : 0;
}

static int kv_write_it(struct kv_write *w, kv_write_fn *do_it) {
    struct tide_token token = { 0, 0 };
    struct json_out j = { 0 };
    char text[CLI_TOKEN_BYTES];
    uint64_t found = 0;
    w->cli.writes = 1;
    int rc = do_it(w, &token, &found);
    json_out_open(&j, NULL, '{');
    if (rc == TIDE_ERR_MISMATCH) {
        json_out_u64(&j, "found_version", found);
        return cli_fail_with(&w->cli, rc, &j, "expected version %llu, found %llu%s", (unsigned long long)w->expect,
                             (unsigned long long)found, found == 0 ? " (no such key)" : "");
    }
    if (rc != 0) {
        return cli_fail_with(&w->cli, rc, &j, "%s", w->cli.name);
    }
    cli_token_text(&token, text);
    if (w->has_result) {
        json_out_i64(&j, "value", w->result);
    }
    json_out_u64(&j, "index", token.index);
    json_out_text(&j, "token", text);
    json_out_close(&j, '}');
    if (w->cli.json) {
        json_out_print(&j, stdout);
    } else if (w->has_result) {
        printf("%lld\n", (long long)w->result);
    } else {
        puts(text);
    }
    json_out_free(&j);
    return TOOL_OK;
}

int kv_write_run(struct kv_write *w, kv_write_fn *do_it, int argc, char **argv) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    w->cli.tool = argv[0];
    int code = kv_read_options(argc, argv, w);
    code = code == 0 ? kv_read_value(w, argv[optind + w->has_value * (w->file == NULL)]) : code;
    opts.flags = 0;
    opts.write_timeout_ns = w->timeout_ns;
    if (code == 0 && (code = cli_open(&w->cli, &opts)) == 0) {
        int clears = w->prefix || w->no_key;
        code = cli_end(&w->cli, clears ? clear_keys(&w->cli, w->prefix, w->prefix_size) : kv_write_it(w, do_it));
    }
    if (w->value_owned) {
        free(w->value);
    }
    return code;
}
