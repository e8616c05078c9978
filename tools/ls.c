/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide ls`: the domains of this machine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/lib/escape.h"
#include "tools/dump/peek.h"
#include "tools/lib/sizes.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide ls [OPTION]...\n"
    "List the domains in shared memory. Takes no lock and no slot.\n\n"
    "  --json                an object a line: {name, state, why, leader, leader_pid, led, term, replicas, serving,\n"
    "                        orphans, members, dead_members, pids, commit_index, incarnation, ring_bytes,\n"
    "                        table_bytes, memory_bytes, created_unix_ns}\n"
    "  --help                print this text\n\n"
    "STATE: alive (a process is attached); dead (no process is; 'tide serve' goes on from what is left); damaged; "
    "closed\n"
    "(another user's, or not a file); version (another version of Tidemark made it: save it with that version, remove "
    "it\n"
    "with 'tide rm', load it with this one). LEADER: replica and process. REPLICAS: how many serve, of how many. "
    "COMMIT:\n"
    "index of the last write. MEMORY: log and tables together.\n"
    "Domains lie in $TIDE_SHM_DIR, or in /dev/shm if that is not set.\n"
    "Exit codes: 0 listed (also when there is none); 2 usage; 7 the directory cannot be read.\n";

static const char *state_name(enum peek_state s) {
    static const char *const NAMES[] = { "alive", "dead", "damaged", "closed", "version" };
    return NAMES[s];
}

static void print_json(const struct peek *p) {
    struct json_out j = { 0 };
    int known = p->state == PEEK_ALIVE || p->state == PEEK_DEAD;
    json_out_open(&j, NULL, '{');
    json_out_text(&j, "name", p->name);
    json_out_text(&j, "state", state_name(p->state));
    if (p->why[0]) {
        json_out_text(&j, "why", p->why);
    }
    json_out_bool(&j, "led", p->led);
    if (known) {
        json_out_i64(&j, "leader", p->led ? p->leader : -1);
        json_out_i64(&j, "leader_pid", p->leader_pid);
        json_out_u64(&j, "term", p->term);
        json_out_u64(&j, "replicas", p->replicas);
        json_out_u64(&j, "serving", p->serving);
        json_out_u64(&j, "orphans", p->orphans);
        json_out_u64(&j, "members", p->members);
        json_out_u64(&j, "dead_members", p->dead);
        json_out_open(&j, "pids", '[');
        for (uint32_t i = 0; i < p->members; i++) {
            json_out_i64(&j, NULL, p->pids[i]);
        }
        json_out_close(&j, ']');
        json_out_u64(&j, "commit_index", p->commit);
        json_out_hex(&j, "incarnation", p->incarnation);
        json_out_u64(&j, "ring_bytes", p->ring_bytes);
        json_out_u64(&j, "table_bytes", p->table_bytes);
        json_out_u64(&j, "created_unix_ns", p->created_unix_ns);
    }
    json_out_u64(&j, "memory_bytes", p->memory_bytes);
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

static void print_line(const struct peek *p, int width) {
    char leader[40] = "-", replicas[24], ring[24], table[24], memory[24], why[2 * sizeof(p->why)];
    sizes_text(p->memory_bytes, memory, sizeof(memory));
    if (p->state != PEEK_ALIVE && p->state != PEEK_DEAD) {
        printf("%-*s  %-7s  %-16s  %8s  %7s  %12s  %8s  %8s  %8s  %s\n", width, p->name, state_name(p->state), "-", "-",
               "-", "-", "-", "-", memory, escape_label(p->why, sizeof(p->why), why, sizeof(why)));
        return;
    }
    if (p->led && p->leader >= 0) {
        snprintf(leader, sizeof(leader), "r%d (%d)", (int)p->leader, (int)p->leader_pid);
    }
    snprintf(replicas, sizeof(replicas), "%u/%u", p->serving, p->replicas + p->orphans);
    printf("%-*s  %-7s  %-16s  %8s  %7u  %12llu  %8s  %8s  %8s\n", width, p->name, state_name(p->state), leader,
           replicas, p->members, (unsigned long long)p->commit, sizes_text(p->ring_bytes, ring, sizeof(ring)),
           sizes_text(p->table_bytes, table, sizeof(table)), memory);
}

static int list_all(const struct cli *c) {
    char(*names)[64];
    const char *missing = peek_no_directory();
    if (missing) {
        return cli_complain(c, TOOL_FAILED, "directory", "%s", missing);
    }
    int width = 4, n = peek_list(&names);
    if (n < 0) {
        return cli_complain(c, TOOL_FAILED, "directory", "the directory of the segments: %s", strerror(errno));
    }
    for (int i = 0; i < n; i++) {
        if ((int)strlen(names[i]) > width) {
            width = (int)strlen(names[i]);
        }
    }
    if (!c->json && n > 0) {
        printf("%-*s  %-7s  %-16s  %8s  %7s  %12s  %8s  %8s  %8s\n", width, "NAME", "STATE", "LEADER", "REPLICAS",
               "MEMBERS", "COMMIT", "RING", "TABLE", "MEMORY");
    }
    for (int i = 0; i < n; i++) {
        struct peek p;
        if (peek_domain(names[i], &p) != 0) {
            continue; /* removed meanwhile */
        }
        if (c->json) {
            print_json(&p);
        } else {
            print_line(&p, width);
        }
    }
    free(names);
    return TOOL_OK;
}

int tool_ls(int argc, char **argv) {
    struct cli c = { .tool = argv[0] };
    int code = cli_only_json(&c, argc, argv, HELP);
    if (code != 0) {
        return code;
    }
    if (optind < argc) {
        return args_error(argv[0], "unexpected argument: %s ('tide stat %s' tells of one domain)", argv[optind],
                          argv[optind]);
    }
    return cli_end(&c, list_all(&c));
}
