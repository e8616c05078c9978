/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide ttl`: what is left of a key's life. */
#include <stdio.h>
#include <string.h>

#include "tools/lib/args.h"
#include "tools/lib/kv.h"
#include "tools/lib/visit.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide ttl NAME KEY [OPTION]...\n"
    "Print how long KEY still lives (1.5s, 10m), or never. Of a domain that etcd feeds: until etcd removes it; a "
    "lease\n"
    "may end it at any time, and only etcd knows when.\n\n" KV_BOUND_HELP KV_BYTES_HELP
    "  --json                {key, found, ttl_ns (null: this domain does not let it expire), removed_by (the kind\n"
    "                        of its source, which may; null: nobody does), version, and how fresh that is}\n"
    "  --help                print this text\n\n"
    "A KEY that begins with '-' goes behind '--'. TIME: 18us, 200ms, 1.5s.\n"
    "Exit codes: 0 printed; 1 no such key; 2 usage; 3 no such domain; 4 the bound cannot be kept, or nobody serves;\n"
    "7 anything else.\n";

struct ttl {
    struct cli cli;
    struct kv_read read;
    int escaped;
};

static int ttl_set_option(void *ctx, int option, char *arg) {
    struct ttl *t = ctx;
    switch (option) {
    case 'j':
        t->cli.json = 1;
        return 0;
    case KV_OWN:
        t->escaped = 1;
        return 0;
    default:
        return kv_read_option(t->cli.tool, &t->read, option, arg);
    }
}

static int ttl_read_options(int argc, char **argv, struct ttl *t) {
    static const struct option LIST[] = {
        KV_BOUND_OPTIONS,
        { "escaped", no_argument, NULL, KV_OWN },
        ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { HELP, "h", LIST, ttl_set_option };
    int code = args_options(&options, argc, argv, t);
    if (code != 0) {
        return code;
    }
    kv_read_settle(&t->read);
    return cli_arguments(&t->cli, argc, argv, 1, 1, "KEY");
}

/* The kind of source that decides how long the key lives; "": none does. */
static void ttl_source(const struct ttl *t, const struct tide_answer *a, char kind[40]) {
    struct tide_info info = TIDE_INFO_INIT;
    kind[0] = '\0';
    if (a->ttl_ns == TIDE_TTL_NONE && tide_info(t->cli.domain, &info) == 0) {
        memcpy(kind, info.source, sizeof(info.source));
    }
}

static void ttl_print_json(const struct tide_answer *a, const char *key, size_t key_size, int found, const char *kind) {
    struct json_out j = { 0 };
    json_out_open(&j, NULL, '{');
    json_out_bytes(&j, "key", key, key_size, NULL);
    json_out_bool(&j, "found", found);
    if (found) {
        kv_ttl_json(&j, a->ttl_ns);
    }
    if (found && kind[0] != '\0') {
        json_out_text(&j, "removed_by", kind);
    } else if (found) {
        json_out_null(&j, "removed_by");
    }
    if (found) {
        json_out_u64(&j, "version", a->version);
    }
    kv_answer_json(&j, a);
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

static int ttl_look_up(const struct ttl *t, uint64_t replicas, const char *key, size_t key_size,
                       struct tide_answer *a) {
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    struct tide_reader *reader = NULL;
    opts.policy = TIDE_FRESHEST;
    opts.replicas = replicas;
    int rc = tide_reader_open(t->cli.domain, &opts, &reader);
    rc = rc == 0 ? tide_get(reader, key, key_size, &t->read.bound, NULL, 0, a) : rc;
    if (reader) {
        tide_reader_close(reader);
    }
    return rc == TIDE_ERR_BUFFER ? 0 : rc;
}

/* Ask a copy of the data that dead processes left, as 'tide get' does. */
static int ttl_look_up_joined(struct ttl *t, const char *key, size_t key_size, struct tide_answer *a) {
    struct visit visit;
    int rc = visit_begin(t->cli.domain, &visit, &t->read.bound);
    if (rc == 0) {
        rc = ttl_look_up(t, 1ull << visit.id, key, key_size, a);
        visit_end(t->cli.domain, &visit);
    }
    return rc;
}

static int ttl_show(struct ttl *t, const char *key, size_t key_size) {
    struct tide_answer a = TIDE_ANSWER_INIT;
    char text[32], kind[40];
    int rc = ttl_look_up(t, t->read.replicas, key, key_size, &a);
    if (t->read.replicas == 0 && visit_would_help(t->cli.domain, rc)) {
        rc = ttl_look_up_joined(t, key, key_size, &a);
    }
    if (rc != 0 && rc != TIDE_ERR_NOT_FOUND) {
        return kv_read_failed(&t->cli, rc, &a, t->cli.name);
    }
    kv_tell_stale(&t->cli, &a);
    ttl_source(t, &a, kind);
    if (t->cli.json) {
        ttl_print_json(&a, key, key_size, rc == 0, kind);
    } else if (rc != 0) {
        fprintf(stderr, "%s: no such key\n", t->cli.tool);
    } else if (kind[0] != '\0') {
        printf("until %s removes it\n", kind);
    } else {
        puts(a.ttl_ns == TIDE_TTL_NONE ? "never" : args_duration_text(a.ttl_ns, text, sizeof(text)));
    }
    return rc == 0 ? TOOL_OK : TOOL_NO;
}

int tool_ttl(int argc, char **argv) {
    struct ttl t = { .cli = { .tool = argv[0] }, .read = KV_READ_INIT };
    struct tide_opts opts = TIDE_OPTS_INIT;
    size_t key_size;
    int code = ttl_read_options(argc, argv, &t);
    char *key = code == 0 ? argv[optind] : NULL;
    code = code == 0 ? kv_key(argv[0], key, t.escaped, &key_size) : code;
    opts.flags = 0;
    if (code != 0 || (code = cli_open(&t.cli, &opts)) != 0) {
        return code;
    }
    return cli_end(&t.cli, ttl_show(&t, key, key_size));
}
