/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide get`: one key, or some at one index, under a bound. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/lib/args.h"
#include "tools/lib/escape.h"
#include "tools/lib/kv.h"
#include "tools/lib/visit.h"
#include "tools/tools.h"

#define ROOM (64u << 10)
#define TRIES 4 /* of a section whose index is lost: the domain is written fast */

static const char HELP[] =
    "Usage: tide get NAME KEY... [OPTION]...\n"
    "Print the value of KEY as it is, byte for byte. On a terminal control characters, but newline and tab, and bytes\n"
    "that are no UTF-8 are shown as \\xNN, and a newline follows.\n"
    "Several keys are read at one index: a line with key, tab and value for each that is there, in the order given, "
    "both\n"
    "as 'tide scan' shows them.\n\n" KV_BOUND_HELP KV_BYTES_HELP
    "  -n, --newline         a newline behind the value, also if it goes to a file\n"
    "  --json                {key, found, value, encoding, version, ttl_ns, served_by, reason, linearizable, stale,\n"
    "                        from_leader, index, commit_index, staleness_ns, waited_ns, token}; encoding: utf-8 or\n"
    "                        base64; ttl_ns: what is left of its life, null: this domain does not let it expire. Of\n"
    "                        several keys {key, found, value, encoding, version, ttl_ns} each, then {keys, found,\n"
    "                        and served_by, ... token}\n"
    "  --help                print this text\n\n"
    "A KEY that begins with '-' goes behind '--'. TIME: 18us, 200ms, 1.5s.\n"
    "Exit codes: 0 printed; 1 no such key, also if it is one of several; 2 usage; 3 no such domain; 4 the bound\n"
    "cannot be kept, or nobody serves; 7 anything else.\n";

struct get {
    struct cli cli;
    struct kv_read read;
    int escaped, newline;
    uint8_t *value;
    size_t room;
    struct tide_answer answer;
    struct tide_mget_item *items; /* one for each key */
    uint64_t *ttls;               /* with --json: what is left of their lives */
    size_t n;
};

static int get_set_option(void *ctx, int option, char *arg) {
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

static int get_read_options(int argc, char **argv, struct get *g) {
    static const struct option LIST[] = {
        KV_BOUND_OPTIONS,
        { "escaped", no_argument, NULL, KV_OWN },
        { "newline", no_argument, NULL, 'n' },
        ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { HELP, "hn", LIST, get_set_option };
    int code = args_options(&options, argc, argv, g);
    if (code != 0) {
        return code;
    }
    kv_read_settle(&g->read);
    return cli_arguments(&g->cli, argc, argv, 1, INT_MAX, "KEY");
}

/* Room for `room` bytes of values, what is there included. */
static int get_make_room(struct get *g, size_t room) {
    if (room <= g->room) {
        return 0; /* of a try before: on a copy of its own it begins anew */
    }
    uint8_t *more = realloc(g->value, room);
    if (!more) {
        return TIDE_ERR_NOMEM;
    }
    g->value = more;
    g->room = room;
    return 0;
}

/* Room for the largest value that the domain can hold, so that it is looked up, and counted, once. Memory that no value reaches is never touched.
 * Where there is not so much address space (a limit, a strict kernel) room for most values has to do. */
static int get_make_room_for_any(struct get *g) {
    struct tide_info info = TIDE_INFO_INIT;
    int rc = tide_info(g->cli.domain, &info);
    if (rc == 0 && info.ring_bytes > ROOM && info.ring_bytes <= SIZE_MAX &&
        get_make_room(g, (size_t)info.ring_bytes) == 0) {
        return 0;
    }
    return get_make_room(g, ROOM);
}

static int get_look_up_one(struct get *g, struct tide_reader *reader) {
    int rc = get_make_room_for_any(g);
    while (rc == 0) {
        rc = tide_get(reader, g->items[0].key, g->items[0].key_len, &g->read.bound, g->value, g->room, &g->answer);
        if (rc != TIDE_ERR_BUFFER) {
            return rc;
        }
        rc = get_make_room(g, g->answer.value_size);
    }
    return rc;
}

/* What the values of the last try need, and as much again for those that grow. */
static uint64_t get_room_wanted(const struct get *g) {
    uint64_t room = ROOM;
    for (size_t i = 0; i < g->n; i++) {
        room += g->items[i].result == 0 || g->items[i].result == TIDE_ERR_BUFFER ? 2 * g->items[i].value_size : 0;
    }
    return room;
}

/* Share the room out: to each key what its value needed, and an equal part of the rest. */
static void get_share_room(struct get *g) {
    uint64_t needed = 0, at = 0;
    for (size_t i = 0; i < g->n; i++) {
        needed += g->items[i].value_size;
    }
    uint64_t more = (g->room - needed) / g->n;
    for (size_t i = 0; i < g->n; i++) {
        g->items[i].buf = g->value + at;
        g->items[i].buf_size = g->items[i].value_size + more;
        at += g->items[i].buf_size;
    }
}

static int get_has_all(const struct get *g) {
    size_t i = 0;
    while (i < g->n && g->items[i].result != TIDE_ERR_BUFFER) {
        i++;
    }
    return i == g->n;
}

/* One key of a section, its value behind those that are there already. */
static int get_look_up_in_section(struct get *g, struct tide_reader *reader, size_t i, uint64_t *at) {
    struct tide_mget_item *x = &g->items[i];
    size_t size = 0;
    int rc;
    while ((rc = tide_section_get(reader, x->key, x->key_len, g->value + *at, g->room - *at, &size, &x->version)) ==
           TIDE_ERR_BUFFER) {
        rc = get_make_room(g, *at + size + ROOM);
        if (rc != 0) {
            return rc;
        }
    }
    x->value_size = rc == 0 ? size : 0;
    *at += x->value_size;
    x->result = rc;
    rc = rc == 0 ? tide_section_ttl(reader, x->key, x->key_len, &g->ttls[i]) : rc;
    return rc == TIDE_ERR_NOT_FOUND ? 0 : rc;
}

static int get_look_up_section_once(struct get *g, struct tide_reader *reader) {
    uint64_t at = 0;
    int rc = tide_section_begin(reader, &g->read.bound, &g->answer);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < g->n && rc == 0; i++) {
        rc = get_look_up_in_section(g, reader, i, &at);
    }
    tide_section_end(reader);
    at = 0;
    for (size_t i = 0; i < g->n; i++) { /* the room may have moved while it grew */
        g->items[i].buf = g->value + at;
        at += g->items[i].value_size;
    }
    return rc;
}

/* Several keys with their lives, which an mget does not tell. */
static int get_look_up_section(struct get *g, struct tide_reader *reader) {
    int rc = get_make_room_for_any(g);
    if (rc != 0) {
        return rc;
    }
    rc = TIDE_ERR_LOST;
    for (int tries = 0; rc == TIDE_ERR_LOST && tries < TRIES; tries++) {
        rc = get_look_up_section_once(g, reader);
    }
    return rc;
}

static int get_look_up(struct get *g, struct tide_reader *reader) {
    if (g->n == 1) {
        return get_look_up_one(g, reader);
    }
    if (g->cli.json) {
        return get_look_up_section(g, reader);
    }
    for (;;) {
        for (size_t i = 0; i < g->n; i++) { /* one that is gone by the next try needs no room */
            g->items[i].value_size = 0;
        }
        int rc = tide_mget(reader, g->items, g->n, &g->read.bound, &g->answer);
        if (rc != 0 || get_has_all(g)) {
            return rc;
        }
        uint64_t room = get_room_wanted(g);
        rc = room > g->room ? get_make_room(g, room) : 0;
        if (rc != 0) {
            return rc;
        }
        get_share_room(g);
    }
}

/* Close the last object with what belongs to the read as a whole. */
static void get_print_answer(const struct get *g, struct tide_reader *reader, struct json_out *j) {
    struct tide_token token;
    char text[CLI_TOKEN_BYTES];
    kv_answer_json(j, &g->answer);
    if (tide_reader_token(reader, &token) == 0) {
        json_out_text(j, "token", cli_token_text(&token, text));
    }
    json_out_close(j, '}');
    json_out_print(j, stdout);
}

static void get_print_json(const struct get *g, struct tide_reader *reader, int found) {
    struct json_out j = { 0 };
    json_out_open(&j, NULL, '{');
    json_out_bytes(&j, "key", g->items[0].key, g->items[0].key_len, NULL);
    json_out_bool(&j, "found", found);
    if (found) {
        json_out_bytes(&j, "value", g->value, g->answer.value_size, "encoding");
        json_out_u64(&j, "version", g->answer.version);
        kv_ttl_json(&j, g->answer.ttl_ns);
    }
    get_print_answer(g, reader, &j);
}

/* Control characters that another process put into the value do not reach a terminal. */
static void get_print_value(const struct get *g) {
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

static void get_print_item(const struct get *g, size_t i) {
    const struct tide_mget_item *x = &g->items[i];
    struct json_out j = { 0 };
    if (g->cli.json) {
        json_out_open(&j, NULL, '{');
        json_out_bytes(&j, "key", x->key, x->key_len, NULL);
        json_out_bool(&j, "found", x->result == 0);
        if (x->result == 0) {
            json_out_bytes(&j, "value", x->buf, x->value_size, "encoding");
            json_out_u64(&j, "version", x->version);
            kv_ttl_json(&j, g->ttls[i]);
        }
        json_out_close(&j, '}');
        json_out_print(&j, stdout);
    } else if (x->result == 0) {
        kv_print_readable(x->key, x->key_len);
        putchar('\t');
        kv_print_readable(x->buf, x->value_size);
        putchar('\n');
    } else {
        args_sayf(g->cli.tool, "no such key: %.*s", (int)x->key_len, (const char *)x->key);
    }
}

/* How many were found. */
static size_t get_print_items(const struct get *g, struct tide_reader *reader) {
    struct json_out j = { 0 };
    size_t found = 0;
    for (size_t i = 0; i < g->n && !ferror(stdout); i++) {
        found += g->items[i].result == 0;
        get_print_item(g, i);
    }
    if (g->cli.json) {
        json_out_open(&j, NULL, '{');
        json_out_u64(&j, "keys", g->n);
        json_out_u64(&j, "found", found);
        get_print_answer(g, reader, &j);
    }
    return found;
}

static int get_show(struct get *g, struct tide_reader *reader, int rc) {
    if (rc != 0 && rc != TIDE_ERR_NOT_FOUND) {
        return kv_read_failed(&g->cli, rc, &g->answer, g->cli.name);
    }
    kv_tell_stale(&g->cli, &g->answer);
    if (g->n > 1) {
        return get_print_items(g, reader) == g->n ? TOOL_OK : TOOL_NO;
    }
    if (g->cli.json) {
        get_print_json(g, reader, rc == 0);
    } else if (rc == 0) {
        get_print_value(g);
    } else {
        fprintf(stderr, "%s: no such key\n", g->cli.tool);
    }
    return rc == 0 ? TOOL_OK : TOOL_NO;
}

static int get_open_reader(struct get *g, uint64_t replicas, struct tide_reader **out) {
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    opts.policy = TIDE_FRESHEST;
    opts.replicas = replicas;
    return tide_reader_open(g->cli.domain, &opts, out);
}

/* Read a copy of one's own, as 'tide scan' does: of the data that dead processes left, or where the domain is written too fast. */
static int get_joined(struct get *g, struct tide_reader **reader) {
    struct visit visit;
    int rc = visit_begin(g->cli.domain, &visit, &g->read.bound);
    if (rc != 0) {
        return rc;
    }
    tide_reader_close(*reader);
    *reader = NULL;
    rc = get_open_reader(g, 1ull << visit.id, reader);
    rc = rc == 0 ? get_look_up(g, *reader) : rc;
    visit_end(g->cli.domain, &visit);
    return rc;
}

static int get_keys(struct get *g) {
    struct tide_reader *reader = NULL;
    int rc = get_open_reader(g, g->read.replicas, &reader);
    rc = rc == 0 ? get_look_up(g, reader) : rc;
    if (g->read.replicas == 0 && (rc == TIDE_ERR_LOST || visit_would_help(g->cli.domain, rc))) {
        rc = get_joined(g, &reader);
    }
    int code = get_show(g, reader, rc);
    if (reader) {
        tide_reader_close(reader);
    }
    return code;
}

/* 0, or an exit code after a message. */
static int get_read_keys(struct get *g, char **keys, size_t n) {
    g->items = calloc(n, sizeof(*g->items));
    g->ttls = calloc(n, sizeof(*g->ttls));
    if (!g->items || !g->ttls) {
        return cli_fail(&g->cli, TIDE_ERR_NOMEM, "%zu keys", n);
    }
    g->n = n;
    for (size_t i = 0; i < n; i++) {
        int code = kv_key(g->cli.tool, keys[i], g->escaped, &g->items[i].key_len);
        if (code != 0) {
            return code;
        }
        g->items[i].key = keys[i];
    }
    return 0;
}

int tool_get(int argc, char **argv) {
    struct get g = { .cli = { .tool = argv[0] }, .read = KV_READ_INIT, .answer = TIDE_ANSWER_INIT };
    struct tide_opts opts = TIDE_OPTS_INIT;
    int code = get_read_options(argc, argv, &g);
    code = code == 0 ? get_read_keys(&g, argv + optind, (size_t)(argc - optind)) : code;
    opts.flags = 0;
    code = code == 0 ? cli_open(&g.cli, &opts) : code;
    if (code == 0) {
        code = cli_end(&g.cli, get_keys(&g));
    }
    free(g.value);
    free(g.items);
    free(g.ttls);
    return code;
}
