/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide`: one command, a file for each subcommand. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "engine/tidemark.h"
#include "tools/lib/args.h"
#include "tools/lib/nearest.h"
#include "tools/lib/stdio.h"
#include "tools/tools.h"

static int tool_help(int argc, char **argv);
static int tool_version(int argc, char **argv);

struct tool {
    const char *name;
    char *full_name; /* becomes argv[0] of the subcommand */
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct tool TOOLS[] = {
    { "serve", "tide serve", tool_serve, "lead a domain and run followers; creates it if it does not exist" },
    { "follow", "tide follow", tool_follow, "run one follower, which takes over when the leader dies" },
    { "get", "tide get", tool_get, "read a key under a bound on staleness" },
    { "put", "tide put", tool_put, "set a key" },
    { "del", "tide del", tool_del, "delete a key" },
    { "clear", "tide clear", tool_clear, "delete every key, or those with a prefix" },
    { "cas", "tide cas", tool_cas, "set a key if it is at the expected version" },
    { "touch", "tide touch", tool_touch, "give a key another life" },
    { "ttl", "tide ttl", tool_ttl, "show what is left of a key's life" },
    { "incr", "tide incr", tool_incr, "add to a number" },
    { "scan", "tide scan", tool_scan, "list all keys at one index" },
    { "watch", "tide watch", tool_watch, "print every change as it is committed" },
    { "ls", "tide ls", tool_ls, "list the domains of this machine" },
    { "stat", "tide stat", tool_stat, "show leader, replicas, lag, staleness and reads of a domain" },
    { "top", "tide top", tool_top, "show a domain live on the terminal" },
    { "metrics", "tide metrics", tool_metrics, "print metrics for Prometheus, or serve them over HTTP" },
    { "web", "tide web", tool_web, "show a domain in a browser, live" },
    { "verify", "tide verify", tool_verify, "check every node and compare the replicas" },
    { "diff", "tide diff", tool_diff, "compare two replicas, domains or snapshots, key by key" },
    { "snapshot", "tide snapshot", tool_snapshot, "save a domain to a file, or load it from one" },
    { "step-down", "tide step-down", tool_step_down, "make the leader hand over to another candidate" },
    { "gc", "tide gc", tool_gc, "free what dead processes left" },
    { "rm", "tide rm", tool_rm, "remove a domain" },
    { "node", "tide node", tool_node, "answer the JSON-lines protocol on standard input and output" },
    { "dump", "tide dump", tool_dump, "show header, board and log of a domain or a segment file" },
    { "demo", "tide demo", tool_demo, "run replicas with delays and show which of them keeps which bound" },
    { "help", "tide help", tool_help, "print this text" },
    { "version", "tide version", tool_version, "print the version" },
};
#define N_TOOLS (sizeof(TOOLS) / sizeof(TOOLS[0]))

static void print_help(FILE *out) {
    fputs("Usage: tide COMMAND [OPTION]...\n"
          "Tidemark: a replicated key-value cache in the shared memory of one host.\n\nCommands:\n",
          out);
    for (size_t i = 0; i < N_TOOLS; i++) {
        fprintf(out, "  %-9s  %s\n", TOOLS[i].name, TOOLS[i].summary);
    }
    fputs("\nExit codes, the same for all commands:\n" TOOL_CODES_HELP
          "\n'tide COMMAND --help' tells a command's options, and which of the codes it uses.\n",
          out);
}

static const struct tool *find_tool(const char *name) {
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        name = "help";
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        name = "version";
    }
    for (size_t i = 0; i < N_TOOLS; i++) {
        if (strcmp(TOOLS[i].name, name) == 0) {
            return &TOOLS[i];
        }
    }
    return NULL;
}

static int refuse_command(const char *tool, const char *name) {
    struct nearest near = { .word = name };
    char text[200], meant[64] = "";
    for (size_t i = 0; i < N_TOOLS; i++) {
        nearest_try(&near, TOOLS[i].name);
    }
    if (near.best) {
        snprintf(meant, sizeof(meant), "; did you mean 'tide %s'?", near.best);
    }
    snprintf(text, sizeof(text), "there is no command '%.100s'%s", name, meant);
    args_say(tool, text);
    fputs("Try 'tide help'.\n", stderr);
    return TOOL_USAGE;
}

static int tool_help(int argc, char **argv) {
    const struct tool *tool = argc > 1 ? find_tool(argv[1]) : NULL;
    if (argc > 1 && !tool) {
        return refuse_command("tide help", argv[1]);
    }
    if (tool && tool->run != tool_help && tool->run != tool_version) {
        char help[] = "--help";
        char *args[] = { tool->full_name, help, NULL };
        return tool->run(2, args);
    }
    print_help(stdout);
    return stdio_finish("tide", TOOL_OK);
}

static int tool_version(int argc, char **argv) {
    (void)argc;
    (void)argv;
    uint32_t v = tide_version();
    printf("tide %u.%u.%u\n", v >> 16, (v >> 8) & 0xff, v & 0xff);
    return stdio_finish("tide", TOOL_OK);
}

/* These commands are useful even if nobody reads what they print. */
static int runs_silently(const struct tool *t) {
    return t->run == tool_serve || t->run == tool_follow;
}

int main(int argc, char **argv) {
    stdio_fill();
    signal(SIGXFSZ, SIG_IGN); /* a limit of files is an error of the write, and temporary files are removed */
    if (argc < 2) {
        print_help(stderr);
        return TOOL_USAGE;
    }
    const struct tool *tool = find_tool(argv[1]);
    if (!tool) {
        return refuse_command("tide", argv[1]);
    }
    if (stdio_output_was_closed() && !runs_silently(tool)) {
        fprintf(stderr, "%s: standard output is closed: nothing was done\n  To discard the output, write >/dev/null\n",
                tool->full_name);
        return TOOL_FAILED;
    }
    argv[1] = tool->full_name;
    return tool->run(argc - 1, argv + 1);
}
