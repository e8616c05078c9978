/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide get`: one key under a bound. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/lib/args.h"
#include "tools/lib/escape.h"
#include "tools/lib/kv.h"
#include "tools/lib/visit.h"
#include "tools/tools.h"

#define ROOM (64u << 10)

static const char HELP[] =
    "Usage: tide get NAME KEY [OPTION]...\n"
    "Print the value of KEY as it is, byte for byte. On a terminal control characters, but newline and tab, and bytes\n"
    "that are no UTF-8 are shown as \\xNN, and a newline follows.\n\n" KV_BOUND_HELP KV_BYTES_HELP
    "  -n, --newline         a newline behind the value, also if it goes to a file\n"
    "  --json                {found, value, encoding, version, served_by, reason, linearizable, stale, from_leader,\n"
    "                        index, commit_index, staleness_ns, waited_ns, token}; encoding: utf-8 or base64\n"
    "  --help                print this text\n\n"
    "A KEY that begins with '-' goes behind '--'. TIME: 18us, 200ms, 1.5s.\n"
    "Exit codes: 0 printed; 1 no such key; 2 usage; 3 no such domain; 4 the bound cannot be kept, or nobody serves;\n"
    "7 anything else.\n";

struct get {
    struct cli cli;
    struct kv_read read;
    int escaped, newline;
    uint8_t *value;
    size_t room;
    struct tide_answer answer;
};

static int set_option(void *ctx, int option, char *arg) {
    struct get *g = ctx;
    switch (option) {
    case 'j':
        g->cli.json = 1;
        return 0;
    case 'n':
        g->newline = 1;
        return 0;
    case KV_OWN:
        g->escaped = 1;
        return 0;
    default:
        return kv_read_option(g->cli.tool, &g->read, option, arg);
    }
}

static int read_options(int argc, char **argv, struct get *g) {
    static const struct option LIST[] = {
        KV_BOUND_OPTIONS,
        { "escaped", no_argument, NULL, KV_OWN },
        { "newline", no_argument, NULL, 'n' },
        ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { HELP, "hn", LIST, set_option };
    int code = args_options(&options, argc, argv, g);
    if (code != 0) {
        return code;
    }
    kv_read_settle(&g->read);
    return cli_arguments(&g->cli, argc, argv, 1, 1, "KEY");
}

/* A value may grow between two tries; each makes room for what the last one saw. */
static int look_up(struct get *g, struct tide_reader *reader, const char *key, size_t key_size) {
    for (;;) {
        int rc = tide_get(reader, key, key_size, &g->read.bound, g->value, g->room, &g->answer);
        if (rc != TIDE_ERR_BUFFER) {
            return rc;
        }
        size_t room = g->answer.value_size > ROOM ? g->answer.value_size : ROOM;
        uint8_t *more = room > g->room ? realloc(g->value, room) : NULL;
        if (!more) {
            return TIDE_ERR_NOMEM;
        }
        g->value = more;
        g->room = room;
    }
}

static void print_json(const struct get *g, struct tide_reader *reader, const char *key, size_t key_size, int found) {
    struct json_out j = { 0 };
    struct tide_token token;
    char text[CLI_TOKEN_BYTES];
    json_out_open(&j, NULL, '{');
    json_out_bytes(&j, "key", key, key_size, NULL);
    json_out_bool(&j, "found", found);
    if (found) {
        json_out_bytes(&j, "value", g->value, g->answer.value_size, "encoding");
        json_out_u64(&j, "version", g->answer.version);
    }
    kv_answer_json(&j, &g->answer);
    if (tide_reader_token(reader, &token) == 0) {
        json_out_text(&j, "token", cli_token_text(&token, text));
    }
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

/* Control characters that another process put into the value do not reach a terminal. */
static void print_value(const struct get *g) {
    int to_terminal = isatty(STDOUT_FILENO);
    if (to_terminal) {
        escape_text_print(stdout, g->value, g->answer.value_size, "\n\t");
    } else if (g->answer.value_size > 0) {
        fwrite(g->value, 1, g->answer.value_size, stdout);
    }
    if (g->newline || to_terminal) {
        putchar('\n');
    }
}

static int show(struct get *g, struct tide_reader *reader, const char *key, size_t key_size, int rc) {
    if (rc != 0 && rc != TIDE_ERR_NOT_FOUND) {
        return kv_read_failed(&g->cli, rc, &g->answer, g->cli.name);
    }
    kv_tell_stale(&g->cli, &g->answer);
    if (g->cli.json) {
        print_json(g, reader, key, key_size, rc == 0);
    } else if (rc == 0) {
        print_value(g);
    } else {
        fprintf(stderr, "%s: no such key\n", g->cli.tool);
    }
    return rc == 0 ? TOOL_OK : TOOL_NO;
}

static int open_reader(struct get *g, uint64_t replicas, struct tide_reader **out) {
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    opts.policy = TIDE_FRESHEST;
    opts.replicas = replicas;
    return tide_reader_open(g->cli.domain, &opts, out);
}

/* Read a copy of the data that dead processes left, as 'tide scan' does. */
static int get_joined(struct get *g, const char *key, size_t key_size, struct tide_reader **reader) {
    struct visit visit;
    int rc = visit_begin(g->cli.domain, &visit, &g->read.bound);
    if (rc != 0) {
        return rc;
    }
    tide_reader_close(*reader);
    *reader = NULL;
    rc = open_reader(g, 1ull << visit.id, reader);
    rc = rc == 0 ? look_up(g, *reader, key, key_size) : rc;
    visit_end(g->cli.domain, &visit);
    return rc;
}

static int get_key(struct get *g, const char *key, size_t key_size) {
    struct tide_reader *reader = NULL;
    int rc = open_reader(g, g->read.replicas, &reader);
    rc = rc == 0 ? look_up(g, reader, key, key_size) : rc;
    if (g->read.replicas == 0 && visit_would_help(g->cli.domain, rc)) {
        rc = get_joined(g, key, key_size, &reader);
    }
    int code = show(g, reader, key, key_size, rc);
    if (reader) {
        tide_reader_close(reader);
    }
    return code;
}

int tool_get(int argc, char **argv) {
    struct get g = { .cli = { .tool = argv[0] }, .read = KV_READ_INIT, .answer = TIDE_ANSWER_INIT };
    struct tide_opts opts = TIDE_OPTS_INIT;
    size_t key_size;
    int code = read_options(argc, argv, &g);
    char *key = code == 0 ? argv[optind] : NULL;
    code = code == 0 ? kv_key(argv[0], key, g.escaped, &key_size) : code;
    opts.flags = 0;
    if (code != 0 || (code = cli_open(&g.cli, &opts)) != 0) {
        return code;
    }
    code = get_key(&g, key, key_size);
    free(g.value);
    return cli_end(&g.cli, code);
}
