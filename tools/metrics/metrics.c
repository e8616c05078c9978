/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide metrics`: what there is to measure, for Prometheus. */
#include "tools/metrics/metrics.h"

#include <stdio.h>

#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/lib/stdio.h"
#include "tools/lib/textfile.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide metrics [NAME] [OPTION]...\n"
    "Print the metrics of a domain, or of all domains of this machine, for Prometheus: replication lag as a "
    "histogram,\n"
    "staleness, reads by replica and reason, hits, misses, use of ring and tables. Reads from outside: takes no lock "
    "and\n"
    "no slot, and writes to no segment. A domain that is missing, damaged, closed or of another version has tide_up "
    "0.\n\n"
    "  --openmetrics         OpenMetrics 1.0 instead of Prometheus' text format 0.0.4\n"
    "  --textfile FILE       write to FILE, beside it first and then renamed into place: for node_exporter\n"
    "  --listen ADDR:PORT    answer GET /metrics over HTTP until SIGINT, in the format that the client asks for. PORT\n"
    "                        alone is at 127.0.0.1, and port 0 any that is free; also [::1]:9187 and unix:PATH. "
    "Prints\n"
    "                        'listening URL' once it does. Anybody who reaches the address may read the metrics\n"
    "  --help                print this text\n\n"
    "Exit codes: 0 printed; 1 the domain is damaged; 2 usage; 3 no such domain; 7 anything else, also another "
    "version.\n"
    "With 1, 3 and 7 of a domain tide_up 0 is printed all the same.\n";

struct options {
    const char *tool, *name, *textfile, *listen;
    bool open_metrics;
};

static int metrics_set_option(void *ctx, int option, char *arg) {
    struct options *o = ctx;
    if (option == 'o') {
        o->open_metrics = true;
    } else if (option == 't') {
        o->textfile = arg;
    } else {
        o->listen = arg;
    }
    return 0;
}

static int metrics_read_options(int argc, char **argv, struct options *o) {
    static const struct option LIST[] = {
        { "openmetrics", no_argument, NULL, 'o' },
        { "textfile", required_argument, NULL, 't' },
        { "listen", required_argument, NULL, 'l' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    const struct args_options options = { HELP, "h", LIST, metrics_set_option };
    int code = args_options(&options, argc, argv, o);
    if (code != 0) {
        return code;
    }
    if (argc - optind > 1) {
        return args_error(o->tool, "one domain at a time, or none for all: %s", argv[optind + 1]);
    }
    o->name = argc > optind ? argv[optind] : NULL;
    if (o->name && !cli_name_is_good(o->name)) {
        return args_error(o->tool, "not a domain's name: '%s'", o->name);
    }
    if (o->listen && (o->textfile || o->open_metrics)) {
        return args_error(o->tool, "--listen goes with neither --textfile nor --openmetrics: each client chooses");
    }
    if (o->textfile && !*o->textfile) {
        return args_error(o->tool, "--textfile: the name is empty");
    }
    return 0;
}

static int metrics_print_once(const struct options *o) {
    struct prom p = { .open_metrics = o->open_metrics };
    char why[600], trouble[4400];
    int code = collect(&p, o->name, why, sizeof(why));
    if (code != TOOL_OK) {
        args_say(o->tool, why);
    }
    if (!o->textfile) {
        stdio_write(p.text.data, p.text.size);
    } else if (p.text.size > 0 &&
               textfile_write(o->textfile, p.text.data, p.text.size, trouble, sizeof(trouble)) != 0) {
        args_say(o->tool, trouble);
        code = TOOL_FAILED;
    }
    buf_free(&p.text);
    return stdio_finish(o->tool, code);
}

int tool_metrics(int argc, char **argv) {
    struct options o = { .tool = argv[0] };
    int code = metrics_read_options(argc, argv, &o);
    if (code != 0) {
        return code;
    }
    return o.listen ? metrics_listen(o.tool, o.name, o.listen) : metrics_print_once(&o);
}
