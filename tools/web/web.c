/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide web`: a domain as a page that lives. */
#include "tools/web/web.h"

#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide web NAME [OPTION]...\n"
    "Show a domain in a browser, live: the way of the data as a picture, replication lag over time and as histograms,\n"
    "what share of the entries each follower has within a bound that you choose, where reads were served and why, hit\n"
    "ratio, use of tables, the log's last entries. Prints 'listening URL' once it answers; runs until SIGINT.\n"
    "It looks from outside, once a second and only while somebody watches: takes no lock and no slot, and writes to "
    "no\n"
    "segment. If the domain is missing, damaged or of another version, the page says so, and goes on when it is "
    "back.\n\n"
    "  --listen ADDR:PORT    where to answer (default: 127.0.0.1 and a port that is free). PORT alone is at "
    "127.0.0.1,\n"
    "                        and port 0 any that is free; also [::1]:8080 and unix:PATH. There is no password: "
    "whoever\n"
    "                        reaches the address sees the figures and the keys that were written last, but no values\n"
    "  --help                print this text\n\n"
    "The page is at /, one look as JSON at /state.json, the stream of them at /events.\n"
    "Exit codes: 0 ended by a signal; 2 usage; 7 anything else, also no libmicrohttpd, and a port that is taken.\n";

struct options {
    struct cli cli;
    const char *listen;
};

static int web_set_option(void *ctx, int option, char *arg) {
    struct options *o = ctx;
    (void)option;
    o->listen = arg;
    return 0;
}

static int web_read_options(int argc, char **argv, struct options *o) {
    static const struct option LIST[] = {
        { "listen", required_argument, NULL, 'l' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    const struct args_options options = { HELP, "h", LIST, web_set_option };
    int code = args_options(&options, argc, argv, o);
    return code != 0 ? code : cli_arguments(&o->cli, argc, argv, 0, 0, "");
}

int tool_web(int argc, char **argv) {
    struct options o = { .cli.tool = argv[0], .listen = "0" };
    int code = web_read_options(argc, argv, &o);
    return code != 0 ? code : web_listen(o.cli.tool, o.cli.name, o.listen);
}
