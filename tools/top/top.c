/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide top`: a domain, live. */
#include "tools/top/top.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/dump/sample_json.h"
#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/lib/stdio.h"
#include "tools/tools.h"

#define MS UINT64_C(1000000)
#define INTERVAL_LEAST (100 * MS)
#define INTERVAL_MOST (3600 * 1000 * MS)

static const char HELP[] =
    "Usage: tide top NAME [OPTION]...\n"
    "Show a domain live: replicas with state, lag and staleness as lines that move, reads by reason, writes, hit "
    "ratio,\n"
    "the ring with the replicas' positions, and what happens: joins, laps, changes of leader. Keys: ? shows them. "
    "Reads\n"
    "from outside: takes no lock and no slot, and writes to no segment.\n\n"
    "  --interval TIME       look every TIME, from 100ms to 1h (default 1s)\n"
    "  --once                print the domain as text, once, over one interval. What goes to a file or a pipe is "
    "text,\n"
    "                        too, every interval\n"
    "  --count N             text or JSON: look N times\n"
    "  --json                print one JSON object for each look: {name, at_unix_ns, state, ..., rates, ring, "
    "replicas,\n"
    "                        readers, events}; rates are null in the first\n"
    "  --help                print this text\n\n"
    "The screen needs 80 columns and 24 rows, and colours where the terminal has them and $NO_COLOR is not set. "
    "However\n"
    "tide top ends, the terminal is as it was before.\n"
    "Exit codes: 0 ended by q or a signal; 1 the domain is damaged; 2 usage; 3 no such domain, or it was removed or\n"
    "replaced meanwhile; 7 anything else: another version, an unknown terminal, no ncurses (then --once and --json "
    "work).\n";

struct options {
    struct cli cli;
    uint64_t interval_ns, count;
    bool once;
};

static int top_set_option(void *ctx, int option, char *arg) {
    struct options *o = ctx;
    switch (option) {
    case 'i':
        return args_take_duration(o->cli.tool, arg, INTERVAL_LEAST, INTERVAL_MOST, &o->interval_ns,
                                  "--interval must be a time from 100ms to 1h");
    case 'c':
        return args_u64(arg, 1, UINT32_MAX, &o->count) == 0
                   ? 0
                   : args_error(o->cli.tool, "--count must be a number from 1 on: %s", arg);
    case 'o':
        o->once = true;
        return 0;
    default:
        o->cli.json = 1;
        return 0;
    }
}

static int top_read_options(int argc, char **argv, struct options *o) {
    static const struct option LIST[] = {
        { "interval", required_argument, NULL, 'i' },
        { "once", no_argument, NULL, 'o' },
        { "count", required_argument, NULL, 'c' },
        ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { HELP, "h", LIST, top_set_option };
    int code = args_options(&options, argc, argv, o);
    if (code != 0) {
        return code;
    }
    if (o->once && o->count != 0) {
        return args_error(argv[0], "--once is --count 1: give one of them");
    }
    return cli_arguments(&o->cli, argc, argv, 0, 0, "");
}

/* ---- what ends it ------------------------------------------------------------------------------------------------ */

/* The domain cannot be read, or is another one: say so, as the exit code. */
static int top_trouble(const struct options *o, const struct top *t) {
    static const char *const ERRORS[] = { "", "", "damaged", "closed", "version" };
    const struct gauges *g = t->now;
    char why[sizeof(g->peek.why) + 64];
    gauges_why(g, why, sizeof(why));
    if (g->missing && (t->samples > 1 || !peek_no_directory())) {
        return cli_complain(&o->cli, TOOL_NO_DOMAIN, "no_domain", "%s: %s", o->cli.name,
                            t->samples > 1 ? "the domain was removed" : why);
    }
    if (g->missing) {
        return cli_complain(&o->cli, TOOL_FAILED, "directory", "%s: %s", o->cli.name, why);
    }
    if (g->known) {
        return cli_complain(&o->cli, TOOL_NO_DOMAIN, "gone", "%s: the domain was removed, and another has its name now",
                            o->cli.name);
    }
    return cli_complain(&o->cli, g->peek.state == PEEK_DAMAGED ? TOOL_NO : TOOL_FAILED, ERRORS[g->peek.state], "%s: %s",
                        o->cli.name, why);
}

/* ---- without a terminal ------------------------------------------------------------------------------------------ */

static int top_print_json(const struct top *t) {
    struct json_out j = { 0 };
    json_out_open(&j, NULL, '{');
    sample_json(&j, t->now, t->rates);
    sample_events_json(&j, t->fresh, t->n_fresh);
    json_out_close(&j, '}');
    return json_out_print(&j, stdout);
}

static int top_print_text(struct top *t, struct canvas *c) {
    struct buf text = { 0 };
    int height = top_rows(t), rows = 0;
    if (!canvas_reset(c, TOP_WIDTH, height > TOP_HEIGHT ? height : TOP_HEIGHT)) {
        return -1;
    }
    t->chosen = UINT32_MAX; /* nobody can choose here */
    top_draw(t, c, false);
    for (int row = 0; row < c->height; row++) {
        size_t before = text.size;
        canvas_row_text(c, row, &text);
        rows = text.size > before ? row + 1 : rows;
        buf_add_char(&text, '\n');
    }
    /* Without the empty rows at the end. */
    text.size -= (size_t)(c->height - rows);
    stdio_write(text.data, text.size);
    buf_free(&text);
    return 0;
}

static int top_print_all(const struct options *o, struct top *t) {
    struct canvas c = { .unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 };
    uint64_t printed = 0, wanted = o->once ? 1 : o->count ? o->count : UINT64_MAX;
    bool skips_first = o->once || !o->cli.json; /* it has no rates */
    int code = TOOL_OK;
    cli_catch_signals();
    while (code == TOOL_OK) {
        if (!skips_first || t->samples > 1) {
            if (printed++ > 0 && !o->cli.json) {
                stdio_write("\n", 1);
            }
            code = (o->cli.json ? top_print_json(t) : top_print_text(t, &c)) == 0 ? TOOL_OK : TOOL_FAILED;
        }
        if (stdio_flush() != 0 || printed == wanted || cli_sleep(o->interval_ns)) {
            break;
        }
        if (code == TOOL_OK && !top_sample(t, o->cli.name)) {
            code = top_trouble(o, t);
        }
    }
    canvas_free(&c);
    return code;
}

/* ---- on the screen ----------------------------------------------------------------------------------------------- */

static uint64_t top_now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void top_change_interval(struct top *t, bool longer) {
    static const uint64_t STEPS[] = { 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000 };
    size_t n = sizeof(STEPS) / sizeof(STEPS[0]);
    if (longer) {
        for (size_t i = 0; i < n; i++) {
            if (STEPS[i] * MS > t->interval_ns) {
                t->interval_ns = STEPS[i] * MS;
                return;
            }
        }
    } else {
        for (size_t i = n; i-- > 0;) {
            if (STEPS[i] * MS < t->interval_ns) {
                t->interval_ns = STEPS[i] * MS;
                return;
            }
        }
    }
}

static void top_press_letter(struct top *t, int key) {
    switch (key) {
    case 'p':
    case ' ':
        t->paused = !t->paused;
        break;
    case 's':
        t->sort = (enum top_sort)((t->sort + 1) % SORTS);
        break;
    case 'S':
        t->sort = (enum top_sort)((t->sort + SORTS - 1) % SORTS);
        break;
    case 'r':
        t->reverse = !t->reverse;
        break;
    case '?':
    case 'h':
        t->page = t->page == PAGE_HELP ? PAGE_DOMAIN : PAGE_HELP;
        break;
    case 'b':
        t->page = PAGE_DOMAIN;
        break;
    case 'j':
    case 'k':
        top_choose(t, key == 'j' ? 1 : -1);
        break;
    case '+':
    case '-':
        top_change_interval(t, key == '-');
        break;
    default:
        break;
    }
}

/* False: the end. */
static bool top_press(struct top *t, int key) {
    switch (key) {
    case KEY_IS_END:
    case 'q':
    case 'Q':
        return false;
    case KEY_IS_UP:
    case KEY_IS_DOWN:
        top_choose(t, key == KEY_IS_DOWN ? 1 : -1);
        return true;
    case KEY_IS_PAGE_UP:
    case KEY_IS_PAGE_DOWN:
        top_choose(t, key == KEY_IS_PAGE_DOWN ? 8 : -8);
        return true;
    case KEY_IS_FIRST:
    case KEY_IS_LAST:
        top_choose(t, key == KEY_IS_LAST ? (int)PEEK_REPLICAS : -(int)PEEK_REPLICAS);
        return true;
    case KEY_IS_ENTER:
        top_choose(t, 0); /* somebody, where the chosen one has gone */
        t->page = PAGE_REPLICA;
        return true;
    case KEY_IS_BACK:
        t->page = PAGE_DOMAIN;
        return true;
    default:
        top_press_letter(t, key);
        return true;
    }
}

static void top_show(struct top *t, struct canvas *c) {
    int width, height;
    screen_size(&width, &height);
    c->unicode = screen_is_unicode();
    if (!canvas_reset(c, width, height)) {
        return;
    }
    if (width < TOP_WIDTH || height < TOP_HEIGHT) {
        canvas_printf(c, 0, 0, INK_BOLD, "tide top needs 80 x 24");
        canvas_printf(c, 1, 0, INK_PLAIN, "this is %d x %d", width, height);
        canvas_printf(c, 2, 0, INK_PLAIN, "make it larger, or q");
    } else {
        top_draw(t, c, true);
    }
    screen_show(c);
}

struct screen_run {
    const struct options *o;
    struct top *t;
};

static int top_run_screen(void *ctx) {
    struct screen_run *run = ctx;
    struct top *t = run->t;
    struct canvas c = { 0 };
    char why[200];
    int code = TOOL_OK, key = KEY_IS_NONE;
    if (!screen_open(why, sizeof(why))) {
        return cli_complain(&run->o->cli, TOOL_FAILED, "terminal", "%s", why);
    }
    uint64_t next = top_now_ns() + t->interval_ns;
    do {
        top_show(t, &c);
        uint64_t now = top_now_ns();
        key = screen_key(t->paused ? 1000 : next > now ? (int)((next - now + MS - 1) / MS) : 0);
        if (!top_press(t, key)) {
            break;
        }
        now = top_now_ns();
        if (key == '+' || key == '-') {
            next = now + t->interval_ns;
        }
        if (!t->paused && now >= next) {
            next = next + t->interval_ns > now ? next + t->interval_ns : now + t->interval_ns;
            code = top_sample(t, run->o->cli.name) ? TOOL_OK : -1;
        }
    } while (code == TOOL_OK);
    screen_close();
    canvas_free(&c);
    return code == TOOL_OK ? TOOL_OK : top_trouble(run->o, t);
}

static int top_on_screen(const struct options *o, struct top *t) {
    struct screen_run run = { o, t };
    const char *missing = screen_missing();
    if (missing) {
        return cli_complain(&o->cli, TOOL_FAILED, "ncurses", "%s", missing);
    }
    return guard_run(top_run_screen, &run);
}

int tool_top(int argc, char **argv) {
    struct options o = { .cli = { .tool = argv[0] }, .interval_ns = 1000 * MS };
    struct top t;
    int code = top_read_options(argc, argv, &o);
    if (code != 0) {
        return code;
    }
    setlocale(LC_CTYPE, ""); /* does the terminal show UTF-8, and how wide are its characters? */
    if (!top_init(&t)) {
        return cli_complain(&o.cli, TOOL_FAILED, "memory", "out of memory");
    }
    t.interval_ns = o.interval_ns;
    bool text = o.once || o.count != 0 || o.cli.json || !isatty(STDOUT_FILENO);
    code = !top_sample(&t, o.cli.name) ? top_trouble(&o, &t) : text ? top_print_all(&o, &t) : top_on_screen(&o, &t);
    top_free(&t);
    return stdio_finish(o.cli.tool, code);
}
