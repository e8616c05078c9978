/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide diff`: which keys do two copies not have in common? */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/fd.h"
#include "tools/dump/nodes.h"
#include "tools/dump/peek.h"
#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/lib/escape.h"
#include "tools/lib/gather.h"
#include "tools/lib/kv.h"
#include "tools/lib/read_all.h"
#include "tools/lib/snapshot_file.h"
#include "tools/lib/stdio.h"
#include "tools/tools.h"

#define TRIES 20 /* while writes go on, two replicas may be at one index at no moment */
#define NAP_NS 10000000u
#define SHOWN 100u
#define KEY_ROOM 50u /* characters of a key, as text */

static const char HELP[] =
    "Usage: tide diff A B [OPTION]...\n"
    "Compare two copies of a domain, key by key. A and B are each a domain (NAME), one of its replicas (NAME.rK), "
    "also\n"
    "one that the dead left behind, or a file: a snapshot of 'tide snapshot save', or a table that nobody writes.\n\n"
    "  --limit N             show at most N keys (default 100); all are counted. 0: show none\n"
    "  --json                an object for each key: {kind, key, version_a, version_b, value_bytes_a, value_bytes_b},\n"
    "                        kind only_a, only_b or differs; then one of kind summary: {only_a, only_b, differing, "
    "same,\n"
    "                        shown, damaged, a, b}, a and b {what, index, keys, incarnation}\n"
    "  --help                print this text\n\n"
    "In the text - is a key of A alone, + a key of B alone, ~ one that differs: its value or, in two copies of the "
    "same\n"
    "domain, its version (the index of the write). When a key expires is not compared; what has expired is not there.\n"
    "Two living replicas are compared at one index where that can be had: while many writes go on, it says at which "
    "two\n"
    "indexes they were read, and the writes in between differ.\n"
    "Exit codes: 0 the same; 1 something differs, or is damaged; 2 usage; 3 no such domain, replica or file; 4 no "
    "replica\n"
    "serves; 7 anything else: a file that is neither snapshot nor table, or of another version.\n";

/* One of the two. */
struct side {
    char name[64]; /* of the domain that lives */
    const char *what;
    struct cli cli; /* domain: of a living one */
    uint64_t replicas;
    bool lives;
    struct records records;
    uint64_t index, incarnation, damaged;
};

struct diff {
    struct side a, b;
    bool json, same_domain;
    uint64_t limit, shown, only_a, only_b, differing, same;
};

static int diff_set_option(void *ctx, int option, char *arg) {
    struct diff *d = ctx;
    if (option == 'l') {
        return args_u64(arg, 0, UINT64_MAX, &d->limit) == 0
                   ? 0
                   : args_error(d->a.cli.tool, "--limit must be a number: %s", arg);
    }
    d->json = true;
    return 0;
}

/* ---- what is compared -------------------------------------------------------------------------------------------- */

/* "NAME.rK". The name's length, or 0. */
static size_t diff_replica_of(const char *what, uint64_t *replica) {
    const char *dot = strrchr(what, '.');
    return dot && dot > what && dot[1] == 'r' && args_u64(dot + 2, 0, PEEK_REPLICAS - 1, replica) == 0
               ? (size_t)(dot - what)
               : 0;
}

/* Is there a domain that lives, and in it this replica? */
static bool diff_lives(const char *name, uint64_t replica) {
    struct peek p;
    return cli_name_is_good(name) && peek_domain(name, &p) == 0 && p.state == PEEK_ALIVE &&
           (p.living >> replica & 1) != 0;
}

static int diff_read_snapshot(struct side *s) {
    struct snapshot_head head;
    uint8_t *bytes;
    size_t size;
    int fd = fd_open(s->what, O_RDONLY, 0);
    int error = fd < 0 || read_all(fd, &bytes, &size) != 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    if (error != 0) {
        return cli_complain(&s->cli, error == ENOENT ? TOOL_NO_DOMAIN : TOOL_FAILED, "input", "%s: %s", s->what,
                            strerror(error));
    }
    const char *wrong = snapshot_parse(bytes, size, &head, &s->records);
    free(bytes);
    if (wrong) {
        return cli_complain(&s->cli, TOOL_FAILED, "snapshot", "%s: %s", s->what, wrong);
    }
    s->index = head.index;
    s->incarnation = head.incarnation;
    return TOOL_OK;
}

static int diff_read_table(struct side *s) {
    struct nodes n;
    char why[300];
    enum tool_code code = nodes_read(s->what, &n, &s->records, why, sizeof(why));
    if (code != TOOL_OK) {
        return cli_complain(&s->cli, code, code == TOOL_NO_DOMAIN ? "no_domain" : "table", "%s: %s", s->what, why);
    }
    s->index = n.applied;
    s->incarnation = n.incarnation;
    s->damaged = n.damaged;
    return TOOL_OK;
}

static bool diff_is_snapshot(const char *what) {
    char magic[8];
    int fd = fd_open(what, O_RDONLY | O_NONBLOCK, 0);
    bool is = fd >= 0 && read(fd, magic, sizeof(magic)) == (ssize_t)sizeof(magic) && memcmp(magic, "TIDESNAP", 8) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return is;
}

static int diff_read_living(struct side *s) {
    struct gather g = { .bound = TIDE_BOUND_INIT, .replicas = s->replicas };
    struct tide_answer answer = TIDE_ANSWER_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    if (s->replicas != 0) { /* as it is, however far behind */
        g.bound.max_staleness_ns = TIDE_UNBOUNDED;
        g.bound.fallback = TIDE_FALLBACK_STALE;
    }
    records_clear(&s->records);
    int rc = gather_scan(s->cli.domain, &g, &s->records, &answer);
    rc = rc == 0 ? tide_info(s->cli.domain, &info) : rc;
    if (rc != 0) {
        return kv_read_failed(&s->cli, rc, &answer, s->what);
    }
    s->index = answer.index;
    s->incarnation = info.incarnation;
    return TOOL_OK;
}

static int diff_open_living(struct side *s, const char *name) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags = 0;
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->cli.name = s->name;
    s->lives = true;
    int code = cli_open(&s->cli, &opts);
    return code != 0 ? code : diff_read_living(s);
}

/* The words that `tide dump` takes mean the same here: a path where there is a slash, else a domain, a replica, a file. */
static int diff_read_side(struct side *s) {
    bool is_path = strchr(s->what, '/') != NULL;
    uint64_t replica = 0;
    size_t length = diff_replica_of(s->what, &replica);
    struct peek p;
    char name[64];
    if (!is_path && cli_name_is_good(s->what) && peek_domain(s->what, &p) == 0) {
        return diff_open_living(s, s->what);
    }
    if (!is_path && length > 0 && length < sizeof(name)) {
        snprintf(name, sizeof(name), "%.*s", (int)length, s->what);
        if (diff_lives(name, replica)) {
            s->replicas = UINT64_C(1) << replica;
            return diff_open_living(s, name);
        }
    }
    return diff_is_snapshot(s->what) ? diff_read_snapshot(s) : diff_read_table(s);
}

/* Both at one index, where they are of one domain and both live. */
static int diff_read_both(struct diff *d) {
    int code = diff_read_side(&d->a);
    code = code == TOOL_OK ? diff_read_side(&d->b) : code;
    bool again = d->a.lives && d->b.lives && d->a.incarnation == d->b.incarnation;
    for (int tries = 0; code == TOOL_OK && again && d->a.index != d->b.index && tries < TRIES; tries++) {
        if (d->a.records.n > 1000000 || cli_sleep(NAP_NS)) {
            break;
        }
        struct side *behind = d->a.index < d->b.index ? &d->a : &d->b;
        code = diff_read_living(behind);
    }
    return code;
}

/* ---- the comparison ---------------------------------------------------------------------------------------------- */

static void diff_key_json(const char *kind, const uint8_t *key, size_t size, const struct record *a,
                          const struct record *b) {
    struct json_out j = { 0 };
    json_out_open(&j, NULL, '{');
    json_out_text(&j, "kind", kind);
    json_out_bytes(&j, "key", key, size, NULL);
    if (a) {
        json_out_u64(&j, "version_a", a->version);
        json_out_u64(&j, "value_bytes_a", a->value_size);
    }
    if (b) {
        json_out_u64(&j, "version_b", b->version);
        json_out_u64(&j, "value_bytes_b", b->value_size);
    }
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

static void diff_key_text(char sign, const uint8_t *key, size_t size, const struct record *a, const struct record *b) {
    printf("%c ", sign);
    size_t shown = escape_print(stdout, key, size, KEY_ROOM);
    if (shown < size) {
        printf(" +%zu bytes", size - shown);
    }
    if (a && b && a->version != b->version) {
        printf("  version %llu, %llu", (unsigned long long)a->version, (unsigned long long)b->version);
    } else {
        printf("  version %llu", (unsigned long long)(a ? a->version : b->version));
    }
    if (a && b && a->value_size != b->value_size) {
        printf("; %u, %u bytes\n", a->value_size, b->value_size);
    } else {
        printf("; %u bytes\n", a ? a->value_size : b->value_size);
    }
}

/* One of the two may be NULL. */
static void diff_show(struct diff *d, const struct record *a, const struct record *b) {
    const uint8_t *key = a ? records_key(&d->a.records, a) : records_key(&d->b.records, b);
    size_t size = a ? a->key_size : b->key_size;
    if (d->shown >= d->limit) {
        return;
    }
    d->shown++;
    if (d->json) {
        diff_key_json(!b ? "only_a" : !a ? "only_b" : "differs", key, size, a, b);
    } else {
        diff_key_text(!b ? '-' : !a ? '+' : '~', key, size, a, b);
    }
}

static int diff_order_of(const struct diff *d, const struct record *a, const struct record *b) {
    size_t n = a->key_size < b->key_size ? a->key_size : b->key_size;
    int order = memcmp(records_key(&d->a.records, a), records_key(&d->b.records, b), n);
    return order != 0 ? order : a->key_size < b->key_size ? -1 : a->key_size > b->key_size;
}

static bool diff_is_same(const struct diff *d, const struct record *a, const struct record *b) {
    return a->value_size == b->value_size && (!d->same_domain || a->version == b->version) &&
           memcmp(records_value(&d->a.records, a), records_value(&d->b.records, b), a->value_size) == 0;
}

static void diff_compare(struct diff *d) {
    const struct records *a = &d->a.records, *b = &d->b.records;
    d->same_domain = d->a.incarnation == d->b.incarnation;
    for (size_t i = 0, k = 0; i < a->n || k < b->n;) {
        int order = i == a->n ? 1 : k == b->n ? -1 : diff_order_of(d, &a->list[i], &b->list[k]);
        if (order < 0) {
            d->only_a++;
            diff_show(d, &a->list[i++], NULL);
        } else if (order > 0) {
            d->only_b++;
            diff_show(d, NULL, &b->list[k++]);
        } else {
            if (diff_is_same(d, &a->list[i], &b->list[k])) {
                d->same++;
            } else {
                d->differing++;
                diff_show(d, &a->list[i], &b->list[k]);
            }
            i++;
            k++;
        }
    }
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void diff_side_json(struct json_out *j, const char *name, const struct side *s) {
    json_out_open(j, name, '{');
    json_out_text(j, "what", s->what);
    json_out_u64(j, "index", s->index);
    json_out_u64(j, "keys", s->records.n);
    json_out_hex(j, "incarnation", s->incarnation);
    json_out_close(j, '}');
}

static void diff_print_summary_json(const struct diff *d) {
    struct json_out j = { 0 };
    json_out_open(&j, NULL, '{');
    json_out_text(&j, "kind", "summary");
    json_out_u64(&j, "only_a", d->only_a);
    json_out_u64(&j, "only_b", d->only_b);
    json_out_u64(&j, "differing", d->differing);
    json_out_u64(&j, "same", d->same);
    json_out_u64(&j, "shown", d->shown);
    json_out_u64(&j, "damaged", d->a.damaged + d->b.damaged);
    diff_side_json(&j, "a", &d->a);
    diff_side_json(&j, "b", &d->b);
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

static void diff_print_side(char name, const struct side *s) {
    struct buf text = { 0 };
    escape_text(&text, s->what, strlen(s->what), "");
    printf("%c  %.*s: %zu keys at index %llu", name, (int)text.size, text.data, s->records.n,
           (unsigned long long)s->index);
    printf(s->damaged > 0 ? ", %llu nodes are DAMAGED and left out\n" : "\n", (unsigned long long)s->damaged);
    buf_free(&text);
}

static void diff_print_summary(const struct diff *d) {
    uint64_t all = d->only_a + d->only_b + d->differing;
    if (d->shown < all && d->limit > 0) {
        printf("... and %llu more\n", (unsigned long long)(all - d->shown));
    }
    diff_print_side('A', &d->a);
    diff_print_side('B', &d->b);
    if (d->same_domain && d->a.index != d->b.index) {
        printf("they are at different indexes: what was written in between differs\n");
    } else if (!d->same_domain) {
        printf("they are of two domains: values were compared, versions not\n");
    }
    printf("%llu the same, %llu differ, %llu in A alone, %llu in B alone\n", (unsigned long long)d->same,
           (unsigned long long)d->differing, (unsigned long long)d->only_a, (unsigned long long)d->only_b);
}

static int diff_run(struct diff *d) {
    int code = diff_read_both(d);
    if (code != TOOL_OK) {
        return code;
    }
    diff_compare(d);
    if (d->json) {
        diff_print_summary_json(d);
    } else {
        diff_print_summary(d);
    }
    return d->only_a + d->only_b + d->differing + d->a.damaged + d->b.damaged > 0 ? TOOL_NO : TOOL_OK;
}

static void diff_end_side(struct side *s) {
    if (s->cli.domain) {
        tide_close(s->cli.domain);
    }
    records_free(&s->records);
}

int tool_diff(int argc, char **argv) {
    static const struct option LIST[] = { { "limit", required_argument, NULL, 'l' }, ARGS_LAST_OPTIONS };
    const struct args_options options = { HELP, "h", LIST, diff_set_option };
    struct diff d = { .limit = SHOWN };
    d.a.cli.tool = d.b.cli.tool = argv[0];
    int code = args_options(&options, argc, argv, &d);
    if (code != 0) {
        return code;
    }
    if (argc - optind != 2) {
        return args_error(argv[0], "give two: domains, replicas, or files");
    }
    d.a.what = argv[optind];
    d.b.what = argv[optind + 1];
    if (!*d.a.what || !*d.b.what) {
        return args_error(argv[0], "a name is empty");
    }
    d.a.cli.json = d.b.cli.json = d.json;
    code = diff_run(&d);
    diff_end_side(&d.a);
    diff_end_side(&d.b);
    return stdio_finish(argv[0], code);
}
