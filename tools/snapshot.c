/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide snapshot save|load`: a domain's keys and values in a file. */
#include <stdio.h>
#include <string.h>

#include "tools/lib/args.h"
#include "tools/snapshot.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide snapshot save NAME FILE|- [OPTION]...\n"
    "       tide snapshot load NAME FILE|- [OPTION]...\n"
    "save writes every key and value, all at one index, to FILE or (-) to standard output. FILE appears under its "
    "name\n"
    "only when it is complete. save also reads the whole data of a domain whose processes are all dead.\n"
    "load puts the keys of a snapshot into the domain NAME, which a process must lead ('tide serve'). It reads and "
    "checks\n"
    "the whole file before it writes anything, and refuses a truncated or damaged one. It overwrites keys that exist "
    "and\n"
    "leaves other keys alone. It writes in batches: readers see each batch whole or not at all, but may see one batch\n"
    "without the next.\n\n"
    "save:\n" KV_BOUND_HELP "load:\n"
    "  --replace             delete the keys that are not in the snapshot\n"
    "  --timeout TIME        how long to wait for a leader and its answer, for each batch (default 5s)\n"
    "both:\n"
    "  --json                save: {keys, bytes, index, incarnation, joined, damaged}; load: {keys, written, deleted,\n"
    "                        expired, batches, index, token}\n"
    "  --help                print this text\n\n"
    "The file's format: docs/operations.md.\n"
    "Exit codes: 0 done; 1 save: done, but for keys that are damaged in every replica that serves; 2 usage; 3 no such\n"
    "domain; 4 the bound cannot be kept, nobody serves or leads, or not in time; 5 load: the last batch may or may "
    "not\n"
    "have been done (load again: it is safe); 7 the file cannot be read, written or believed, or anything else. load\n"
    "says how much was written before it failed.\n";

#define HOUR_NS (3600ull * 1000000000)
#define TIMEOUT_NS (5ull * 1000000000)

enum { OPT_REPLACE = KV_OWN, OPT_TIMEOUT };

/* What the command line asks for, and which of save and load it goes with. */
struct given {
    struct snapshot *s;
    int of_save, of_load;
};

static int snapshot_set_option(void *ctx, int option, char *arg) {
    struct given *given = ctx;
    struct snapshot *s = given->s;
    switch (option) {
    case 'j':
        s->cli.json = 1;
        return 0;
    case OPT_REPLACE:
        s->replace = given->of_load = 1;
        return 0;
    case OPT_TIMEOUT:
        given->of_load = 1;
        return args_take_duration(s->cli.tool, arg, 1, HOUR_NS, &s->timeout_ns,
                                  "--timeout must be a time like 5s, above 0 and at most 1h");
    default:
        given->of_save = 1;
        return kv_read_option(s->cli.tool, &s->read, option, arg);
    }
}

static int snapshot_read_options(int argc, char **argv, struct snapshot *s, int *loads) {
    static const struct option LIST[] = {
        KV_BOUND_OPTIONS,
        { "replace", no_argument, NULL, OPT_REPLACE },
        { "timeout", required_argument, NULL, OPT_TIMEOUT },
        ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { HELP, "h", LIST, snapshot_set_option };
    struct given given = { .s = s };
    int code = args_options(&options, argc, argv, &given);
    if (code != 0) {
        return code;
    }
    const char *what = optind < argc ? argv[optind++] : "";
    *loads = strcmp(what, "load") == 0;
    if (!*loads && strcmp(what, "save") != 0) {
        return args_error(argv[0], "the first argument must be save or load: '%s'", what);
    }
    if (*loads ? given.of_save : given.of_load) {
        return args_error(argv[0], "an option of %s does not go with %s", *loads ? "save" : "load", what);
    }
    kv_read_settle(&s->read);
    code = cli_arguments(&s->cli, argc, argv, 1, 1, "FILE");
    s->file = code == 0 ? argv[optind] : NULL;
    return code;
}

int tool_snapshot(int argc, char **argv) {
    struct snapshot s = { .cli = { .tool = argv[0] }, .read = KV_READ_INIT, .timeout_ns = TIMEOUT_NS };
    struct tide_opts opts = TIDE_OPTS_INIT;
    int loads, code = snapshot_read_options(argc, argv, &s, &loads);
    opts.flags = 0;
    opts.write_timeout_ns = s.timeout_ns;
    if (code == 0 && loads) {
        code = snapshot_read(&s); /* before the domain is touched */
    }
    if (code == 0 && (code = cli_open(&s.cli, &opts)) == 0) {
        code = cli_end(&s.cli, loads ? snapshot_load(&s) : snapshot_save(&s));
    }
    records_free(&s.records);
    return code;
}
