/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide dump`: shows a segment, alive or left behind, without disturbing anyone. */
#include "tools/dump/dump.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/lib/signals.h"
#include "tools/lib/stdio.h"
#include "tools/lib/textfile.h"
#include "tools/dump/print.h"
#include "tools/dump/ring.h"
#include "tools/dump/summary.h"
#include "tools/tools.h"

#define TOOL "tide dump"
#define POLL_NS 10000000L
#define COLUMNS_FIXED 66u /* of a line, but for key and value themselves */

static const char HELP[] =
    "Usage: tide dump [OPTION]... NAME|NAME.rK|NAME.lK|FILE\n"
    "Show a domain's log segment (NAME), the table of its replica K (NAME.rK), the large request of its lane K\n"
    "(NAME.lK), or a segment file (anything with a slash, or a file of that name here). Reads only, takes no lock: a\n"
    "running domain does not notice.\n"
    "\n"
    "  --from INDEX|end  first entry to show (default: the oldest that is there; end: only what is committed from now\n"
    "                    on)\n"
    "  --at INDEX        show the entry of this index alone\n"
    "  --between A..B    show the entries from index A to index B\n"
    "  --limit N         show at most N entries\n"
    "  --key KEY         show only entries of this key; \\xNN is the byte NN, \\\\ a backslash\n"
    "  --follow          go on with new entries as they are committed, until SIGINT or until the domain ends: its "
    "file\n"
    "                    is removed, or the last process that uses it ends\n"
    "  --full            show keys and values whole (default: cut to fit the line, +N bytes)\n"
    "  --no-ring         do not show entries\n"
    "  --summary         show no single entry, but what they have in common: by type and by size, batches, groups,\n"
    "                    keys written most, longest pauses. With a range and --key of those entries\n"
    "  --html FILE       the same as a page with a picture of the ring (what is live, pinned, given up, where commit\n"
    "                    stands): one file, no script. It is written beside FILE and then renamed\n"
    "  --json            one JSON object a line (fields: docs/layout.md)\n"
    "  --help            print this text\n"
    "\n"
    "Bytes of keys and values that are not printable ASCII are shown as \\xNN, a backslash as \\\\.\n"
    "Flags: M the next entry belongs to the same batch; X extended; ? unknown. Ages are since commit.\n"
    "Entries that the leader overwrites while they are read are named, and are no damage.\n"
    "\n"
    "Exit codes: 0 all that was shown checked out; 1 something did not (lines with BAD); 2 usage; 3 there is no such\n"
    "domain or file, or none that can be opened; 7 it cannot be read, another version made it, or the output cannot\n"
    "be written.\n"
    "Segments are looked for in $TIDE_SHM_DIR, or /dev/shm.\n";

struct options {
    const char *what;
    char *key; /* unescaped, on the heap; NULL: any */
    size_t key_len;
    uint64_t from, until, limit; /* until: the last index to show */
    unsigned ranges;             /* how often a range was given */
    const char *html;
    bool from_end, follow, full, no_ring, summary, json,
        of_ring; /* of_ring: an option that only a log knows was given */
};

struct dump_run {
    struct options opt;
    const struct dump_format *format;
    struct dump_view view;
    struct dump_file file;
    struct dump_totals totals;
    struct summary *summary; /* NULL: entries are shown one by one */
    uint32_t problems_shown;
    bool done; /* the last entry that was asked for has been passed */
};

static volatile sig_atomic_t stopped;

static void dump_on_signal(int sig) {
    (void)sig;
    stopped = 1;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

enum {
    OPT_FROM = 256,
    OPT_AT,
    OPT_BETWEEN,
    OPT_LIMIT,
    OPT_KEY,
    OPT_FOLLOW,
    OPT_FULL,
    OPT_NO_RING,
    OPT_SUMMARY,
    OPT_HTML
};

static const struct option LIST[] = {
    { "from", required_argument, NULL, OPT_FROM },
    { "at", required_argument, NULL, OPT_AT },
    { "between", required_argument, NULL, OPT_BETWEEN },
    { "limit", required_argument, NULL, OPT_LIMIT },
    { "key", required_argument, NULL, OPT_KEY },
    { "follow", no_argument, NULL, OPT_FOLLOW },
    { "full", no_argument, NULL, OPT_FULL },
    { "no-ring", no_argument, NULL, OPT_NO_RING },
    { "summary", no_argument, NULL, OPT_SUMMARY },
    { "html", required_argument, NULL, OPT_HTML },
    ARGS_LAST_OPTIONS,
};

static int dump_set_key(struct options *o, const char *text) {
    free(o->key);
    o->key = strdup(text);
    long n = o->key ? escape_undo(o->key) : -1;
    if (n < 0) {
        return args_error(TOOL, "--key: '%s' has a backslash that starts neither \\xNN nor \\\\", text);
    }
    if (n == 0 || n > (long)LAYOUT_KEY_MAX) {
        return args_error(TOOL, "--key: keys have 1 to %u bytes", LAYOUT_KEY_MAX);
    }
    o->key_len = (size_t)n;
    return TOOL_OK;
}

/* "A..B" */
static int dump_set_between(struct options *o, const char *text) {
    char first[24];
    const char *dots = strstr(text, "..");
    size_t length = dots ? (size_t)(dots - text) : sizeof(first);
    if (length < sizeof(first)) {
        snprintf(first, sizeof(first), "%.*s", (int)length, text);
        if (args_u64(first, 1, UINT64_MAX - 1, &o->from) == 0 &&
            args_u64(dots + 2, o->from, UINT64_MAX, &o->until) == 0) {
            return TOOL_OK;
        }
    }
    return args_error(TOOL, "--between: '%s' is no pair of indexes A..B with 1 <= A <= B", text);
}

static int dump_set_option(void *ctx, int c, char *arg) {
    struct options *o = ctx;
    o->ranges += c == OPT_FROM || c == OPT_AT || c == OPT_BETWEEN;
    o->of_ring |= c == OPT_FROM || c == OPT_AT || c == OPT_BETWEEN || c == OPT_LIMIT || c == OPT_KEY ||
                  c == OPT_FOLLOW || c == OPT_SUMMARY || c == OPT_HTML;
    switch (c) {
    case OPT_FROM:
        o->from_end = strcmp(arg, "end") == 0;
        if (!o->from_end && args_u64(arg, 1, UINT64_MAX - 1, &o->from) != 0) {
            return args_error(TOOL, "--from: '%s' is no index (1 or more) and not 'end'", arg);
        }
        return TOOL_OK;
    case OPT_AT:
        if (args_u64(arg, 1, UINT64_MAX - 1, &o->from) != 0) {
            return args_error(TOOL, "--at: '%s' is no index (1 or more)", arg);
        }
        o->until = o->from;
        return TOOL_OK;
    case OPT_BETWEEN:
        return dump_set_between(o, arg);
    case OPT_LIMIT:
        if (args_u64(arg, 1, UINT64_MAX, &o->limit) != 0) {
            return args_error(TOOL, "--limit: '%s' is no number from 1 on", arg);
        }
        return TOOL_OK;
    case OPT_KEY:
        return dump_set_key(o, arg);
    case OPT_FOLLOW:
        o->follow = true;
        return TOOL_OK;
    case OPT_FULL:
        o->full = true;
        return TOOL_OK;
    case OPT_NO_RING:
        o->no_ring = true;
        return TOOL_OK;
    case OPT_HTML:
        o->html = arg;
        return *arg ? TOOL_OK : args_error(TOOL, "--html: the name is empty");
    case OPT_SUMMARY:
        o->summary = true;
        return TOOL_OK;
    default:
        o->json = true;
        return TOOL_OK;
    }
}

/* -1: go on; otherwise the exit code. */
static int dump_read_options(struct options *o, int argc, char **argv) {
    o->limit = o->until = UINT64_MAX;
    const struct args_options options = { HELP, "h", LIST, dump_set_option };
    int code = args_options(&options, argc, argv, o);
    if (code != TOOL_OK) {
        return code;
    }
    if (argc - optind != 1) {
        return args_error(TOOL, argc == optind ? "the name of a domain or a file is missing"
                                               : "one domain or file at a time");
    }
    o->what = argv[optind];
    if (o->what[0] == '\0') {
        return args_error(TOOL, "the name is empty");
    }
    if (o->ranges > 1) {
        return args_error(TOOL, "only one of --from, --at, --between, and once");
    }
    if (o->no_ring && o->of_ring) {
        return args_error(TOOL,
                          "--no-ring goes with none of --from, --at, --between, --limit, --key, --follow, --summary, "
                          "--html");
    }
    if (o->html && (o->json || o->follow)) {
        return args_error(TOOL, "--html goes with neither --json nor --follow");
    }
    return -1;
}

/* ---- showing ----------------------------------------------------------------------------------------------------- */

static void dump_set_view(struct dump_run *run) {
    struct winsize size;
    uint32_t columns = 120;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        columns = size.ws_col < 100 ? 100 : size.ws_col;
    }
    run->view.out = stdout;
    run->view.full = run->opt.full;
    run->view.key_room = run->opt.json ? 256 : (columns - COLUMNS_FIXED) / 3;
    run->view.value_room = run->opt.json ? 256 : columns - COLUMNS_FIXED - run->view.key_room;
    run->format = run->opt.json ? &dump_json : &dump_text;
}

static void dump_show_problems(struct dump_run *run, const struct dump_problems *p) {
    for (; run->problems_shown < p->count && run->problems_shown < DUMP_PROBLEMS; run->problems_shown++) {
        run->format->problem(&run->view, p->text[run->problems_shown]);
    }
    run->totals.problems = p->count;
}

static bool dump_wanted(const struct options *o, const struct dump_frame *frame) {
    return !o->key || (frame->f.key_len == o->key_len && memcmp(frame->key, o->key, o->key_len) == 0);
}

static bool dump_enough(const struct dump_run *run) {
    return stopped || run->done || run->totals.frames >= run->opt.limit || ferror(stdout);
}

static void dump_show_gap(struct dump_run *run, const struct dump_gap *gap) {
    if (run->summary) {
        summary_add_gap(run->summary, gap);
    } else {
        run->format->gap(&run->view, gap);
    }
}

static void dump_show_frame(struct dump_run *run, const struct dump_frame *frame) {
    if (run->summary) {
        summary_add(run->summary, frame);
    } else {
        run->format->frame(&run->view, frame);
    }
}

static bool dump_write_html(struct dump_run *run, const struct dump_log *log) {
    struct buf page = { 0 };
    summary_html(run->summary, log, &page);
    int rc = textfile_write(run->opt.html, page.data, page.size, run->file.fault, sizeof(run->file.fault));
    buf_free(&page);
    run->file.code = TOOL_FAILED;
    return rc == 0;
}

/* What all the entries have in common. False: see the file's fault. */
static bool dump_show_summary(struct dump_run *run, const struct dump_log *log) {
    summary_end(run->summary);
    if (run->opt.html) {
        return dump_write_html(run, log);
    }
    if (run->opt.json) {
        summary_print_json(run->summary, &run->view, log->seg);
    } else {
        summary_print_text(run->summary, &run->view, log->seg);
    }
    return true;
}

/* Everything up to the commit of the last update. False: the file cannot be read. */
static bool dump_show_frames(struct dump_run *run, struct dump_ring *ring) {
    while (!dump_enough(run)) {
        struct dump_frame frame;
        struct dump_gap gap;
        enum dump_step step = dump_ring_next(ring, &frame, &gap);
        dump_show_problems(run, ring->problems);
        if (step == STEP_END || step == STEP_FAILED) {
            return step == STEP_END;
        }
        if (step == STEP_GAP) {
            run->done = gap.last >= run->opt.until;
            gap.last = run->done ? run->opt.until : gap.last;
            if (gap.first <= gap.last) {
                dump_show_gap(run, &gap);
            }
            continue;
        }
        run->done = frame.f.index >= run->opt.until;
        if (frame.f.index > run->opt.until) {
            continue;
        }
        bool bad = !frame.crc_good || frame.problem;
        run->totals.bad += bad;
        if (dump_wanted(&run->opt, &frame)) {
            dump_show_frame(run, &frame);
            run->totals.frames++;
        }
    }
    return true;
}

/* The next round, a moment later. False: that was all. */
static bool dump_wait_for_more(struct dump_run *run, bool ended) {
    stdio_flush();
    if (ended || dump_enough(run)) {
        return false;
    }
    nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
    /* The leader refines the clock; ages are of what it is now. A failure shows at the update. */
    dump_file_read(&run->file, offsetof(struct log_segment, clock), &run->view.clock, sizeof(run->view.clock));
    return true;
}

static bool dump_show_ring(struct dump_run *run, struct dump_log *log) {
    struct dump_ring ring;
    uint64_t from = run->opt.from_end ? log->seg->leader.commit + 1 : run->opt.from;
    bool read = true, ended;
    if (run->opt.summary || run->opt.html) {
        run->summary = summary_new(log->seg->ring_bytes);
        if (!run->summary) {
            snprintf(run->file.fault, sizeof(run->file.fault), "out of memory");
            run->file.code = TOOL_FAILED;
            return false;
        }
    } else {
        run->format->ring(&run->view, log->seg);
    }
    dump_ring_init(&ring, &run->file, log->seg, from, &log->problems);
    do {
        /* Ask before reading the frames, so that the last ones are not missed. */
        ended = !run->opt.follow || dump_file_ended(&run->file);
        read = dump_ring_update(&ring) && dump_show_frames(run, &ring);
    } while (read && dump_wait_for_more(run, ended));
    dump_show_problems(run, &log->problems);
    dump_ring_free(&ring);
    if (run->summary) {
        read = read && dump_show_summary(run, log);
        summary_free(run->summary);
    }
    return read;
}

/* All of a log but the ring. */
static void dump_show_parts(struct dump_run *run, const struct dump_log *log) {
    const struct log_segment *seg = log->seg;
    const struct dump_format *f = run->format;
    struct dump_view *v = &run->view;
    f->leader(v, log);
    if (seg->source[0] != 0) {
        f->source(v, seg);
    }
    f->members(v, log);
    for (uint32_t id = 0; id < LAYOUT_REPLICAS; id++) {
        if (seg->replicas[id].state != REPLICA_FREE) {
            f->replica(v, seg, id);
        }
    }
    f->lanes(v, seg);
    f->reads(v, seg);
}

static bool dump_show_log(struct dump_run *run) {
    struct dump_log log;
    bool read = dump_log_read(&log, &run->file);
    if (read || log.understood) {
        run->view.ages = log.understood && dump_clock_known(&log.seg->header);
        memcpy((void *)&run->view.clock, (const void *)&log.seg->clock, sizeof(run->view.clock));
        run->format->header(&run->view, &run->file, &log.seg->header, log.understood);
    }
    if (read && log.understood && !run->opt.summary && !run->opt.html) {
        dump_show_parts(run, &log);
    }
    dump_show_problems(run, &log.problems);
    if (read && log.ring_there && !run->opt.no_ring) {
        read = dump_show_ring(run, &log);
    }
    dump_log_free(&log);
    return read;
}

static bool dump_show_table(struct dump_run *run) {
    struct dump_table table;
    bool read = dump_table_read(&table, &run->file);
    if (read || table.understood) {
        run->view.ages = table.understood && dump_clock_known(&table.seg.header);
        run->format->header(&run->view, &run->file, &table.seg.header, table.understood);
    }
    if (read && table.understood) {
        run->format->table(&run->view, &table);
    }
    dump_show_problems(run, &table.problems);
    dump_table_free(&table);
    return read;
}

/* Of a large request only the header: the writer wrote the rest, and the leader checks it. */
static bool dump_show_spill(struct dump_run *run) {
    struct segment_header h;
    struct dump_problems problems = { 0 };
    if (!dump_file_read(&run->file, 0, &h, sizeof(h))) {
        return false;
    }
    bool understood = dump_header_check(&h, &run->file, &problems);
    run->view.ages = understood && dump_clock_known(&h);
    run->format->header(&run->view, &run->file, &h, understood);
    if (understood && h.replica >= LAYOUT_LANES) {
        dump_problem(&problems, "there is no lane %u", h.replica);
    }
    if (understood) {
        run->format->spill(&run->view, &h);
    }
    dump_show_problems(run, &problems);
    return true;
}

/* Another version of Tidemark made it: its header can be shown, and that is all that this one knows of it. */
static bool dump_show_other_version(struct dump_run *run, const struct segment_header *h) {
    struct dump_problems problems = { 0 };
    run->view.other_version = run->totals.other_version = true;
    run->format->header(&run->view, &run->file, h, dump_header_check(h, &run->file, &problems));
    dump_show_problems(run, &problems);
    return true;
}

/* The kind that the header names. A file of no known kind is shown, with its faults, as a log. */
static enum segment_kind dump_kind_of(const struct segment_header *h) {
    bool other = h->magic == TIDE_LAYOUT_MAGIC && (h->kind == SEGMENT_TABLE || h->kind == SEGMENT_SPILL);
    return other ? (enum segment_kind)h->kind : SEGMENT_LOG;
}

static const char *dump_shown(const struct dump_run *run) {
    return run->file.path[0] ? run->file.path : run->opt.what;
}

static void dump_say_fault(const struct dump_run *run) {
    char text[sizeof(run->file.path) + DUMP_FAULT_BYTES + 2];
    snprintf(text, sizeof(text), "%s: %s", dump_shown(run), run->file.fault);
    args_say(TOOL, text);
}

static int dump_finish(struct dump_run *run, bool read) {
    struct dump_totals *t = &run->totals;
    t->code = t->other_version ? TOOL_FAILED : t->bad > 0 || t->problems > 0 ? TOOL_NO : TOOL_OK;
    if (!read) {
        t->problems++;
        if (t->code < run->file.code) {
            t->code = run->file.code;
        }
        run->format->problem(&run->view, run->file.fault);
    }
    run->format->end(&run->view, t);
    if (stdio_finish(TOOL, TOOL_OK) != TOOL_OK) {
        return TOOL_FAILED;
    }
    if (!read) {
        dump_say_fault(run);
    }
    if (t->other_version) {
        args_say(TOOL, "another version of Tidemark made it, and only that one can show it: use the tide that did");
    }
    return (int)t->code;
}

static int dump(struct dump_run *run) {
    if (!dump_file_open(&run->file, run->opt.what)) {
        const struct cli c = { .tool = TOOL, .json = run->opt.json };
        const char *name = run->file.code == TOOL_NO_DOMAIN ? "no_domain" : "failed";
        return cli_complain(&c, run->file.code, name, "%s: %s", dump_shown(run), run->file.fault);
    }
    int code;
    struct segment_header h = { 0 };
    bool headed = dump_file_read(&run->file, 0, &h, sizeof(h));
    enum segment_kind kind = dump_kind_of(&h);
    dump_set_view(run);
    if (kind != SEGMENT_LOG && run->opt.of_ring) {
        code = args_error(
            TOOL, "only a log has entries to go through: --from, --at, --between, --limit, --key, --follow, --summary, "
                  "--html are for it");
    } else {
        code = dump_finish(run, headed && dump_is_other_version(&h) ? dump_show_other_version(run, &h)
                                : kind == SEGMENT_TABLE             ? dump_show_table(run)
                                : kind == SEGMENT_SPILL             ? dump_show_spill(run)
                                                                    : dump_show_log(run));
    }
    dump_file_close(&run->file);
    return code;
}

int tool_dump(int argc, char **argv) {
    struct dump_run *run = calloc(1, sizeof(*run));
    if (!run) {
        fprintf(stderr, TOOL ": out of memory\n");
        return TOOL_FAILED;
    }
    stopped = 0;
    int code = dump_read_options(&run->opt, argc, argv);
    /* A signal ends --follow cleanly: with the summary and an exit code. */
    if (code < 0 && run->opt.follow) {
        signals_catch(dump_on_signal, 0);
    }
    code = code < 0 ? dump(run) : code;
    json_out_free(&run->view.json);
    free(run->opt.key);
    free(run);
    return code;
}
