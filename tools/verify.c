/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide verify`: are all replicas whole, and the same? */
#include <stdio.h>

#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/tools.h"

#define TRIES 20 /* while writes go on, replicas may have no index in common at one moment */
#define NAP_NS 10000000u

static const char HELP[] =
    "Usage: tide verify NAME [OPTION]...\n"
    "Check every node of every serving replica (the CRC of key and value), and compare the replicas' digests at one\n"
    "index. Readers and writers may go on meanwhile.\n\n"
    "  --json                {replicas, compared, differing, failed, index, digest, nodes, damaged, digests,\n"
    "                        damaged_replicas, good}; digests: {replica, digest} each\n"
    "  --help                print this text\n\n"
    "While writes go on, digests are compared at the last multiple of 1024 that all replicas have passed; 'compared'\n"
    "tells how many replicas took part.\n"
    "Exit codes: 0 all good; 1 something differs or is damaged, or a replica has failed; 2 usage; 3 no such domain;\n"
    "4 no replica serves (if all processes are dead, 'tide serve' checks what they left before it goes on from it);\n"
    "7 anything else.\n";

struct verdict {
    struct tide_verify v;
    uint32_t failed; /* replicas that stopped serving because something was wrong */
};

static uint32_t verify_count_failed(struct tide *d) {
    uint32_t failed = 0;
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
        if (tide_replica_info(d, i, &info) == 0) {
            failed += info.state == TIDE_STATE_DIVERGED || info.state == TIDE_STATE_FAILED;
        }
    }
    return failed;
}

static void verify_print_json(const struct verdict *r, int good) {
    struct json_out j = { 0 };
    json_out_open(&j, NULL, '{');
    json_out_u64(&j, "replicas", r->v.replicas);
    json_out_u64(&j, "compared", r->v.compared);
    json_out_u64(&j, "differing", r->v.differing);
    json_out_u64(&j, "failed", r->failed);
    json_out_u64(&j, "index", r->v.index);
    json_out_hex(&j, "digest", r->v.digest);
    json_out_u64(&j, "nodes", r->v.nodes);
    json_out_u64(&j, "damaged", r->v.damaged);
    json_out_open(&j, "digests", '[');
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        if ((r->v.has_digest >> i & 1) == 0) {
            continue;
        }
        json_out_open(&j, NULL, '{');
        json_out_u64(&j, "replica", i);
        json_out_hex(&j, "digest", r->v.digests[i]);
        json_out_close(&j, '}');
    }
    json_out_close(&j, ']');
    json_out_open(&j, "damaged_replicas", '[');
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        if (r->v.has_damage >> i & 1) {
            json_out_u64(&j, NULL, i);
        }
    }
    json_out_close(&j, ']');
    json_out_bool(&j, "good", good);
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

/* Which way out there is: a replica that is whole, or the keys. */
static void verify_advise(const struct verdict *r, const char *name) {
    uint32_t whole = 0;
    if (r->v.damaged == 0) {
        return;
    }
    printf("damaged: replica");
    for (uint32_t i = 0, n = 0; i < TIDE_REPLICAS; i++) {
        if (r->v.has_damage >> i & 1) {
            printf("%s %u", n++ == 0 ? "" : ",", i);
        } else {
            whole += r->v.has_digest >> i & 1 && r->v.digests[i] == r->v.digest;
        }
    }
    putchar('\n');
    if (whole > 0) {
        printf("%u other%s whole: end the processes of those that are damaged and start them again: they copy a whole "
               "one\n",
               whole, whole == 1 ? " is" : "s are");
    }
    printf("Or put or delete the keys that are named above: then all is whole again. 'tide snapshot save %s FILE'\n"
           "saves all that is whole.\n",
           name);
}

static void verify_print_text(const struct verdict *r, int good, const char *name) {
    printf("%u replica%s, %llu nodes checked, %llu damaged\n", r->v.replicas, r->v.replicas == 1 ? "" : "s",
           (unsigned long long)r->v.nodes, (unsigned long long)r->v.damaged);
    printf("digests at index %llu: %u compared, %u differing\n", (unsigned long long)r->v.index, r->v.compared,
           r->v.differing);
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        if (r->v.has_digest >> i & 1) {
            printf("  replica %-2u  %016llx%s\n", i, (unsigned long long)r->v.digests[i],
                   r->v.digests[i] == r->v.digest ? "" : "  DIFFERS");
        }
    }
    if (r->failed > 0) {
        printf("%u replica%s stopped serving (diverged or failed): 'tide stat' shows which; restart %s\n", r->failed,
               r->failed == 1 ? "" : "s", r->failed == 1 ? "it" : "them");
    }
    puts(good ? "good" : "NOT GOOD");
    verify_advise(r, name);
}

static int verify_check(struct cli *c) {
    struct verdict r = { .v = TIDE_VERIFY_INIT };
    int rc = tide_verify(c->domain, &r.v);
    for (int tries = 0; rc == 0 && r.v.compared < r.v.replicas && tries < TRIES; tries++) {
        struct tide_verify again = TIDE_VERIFY_INIT;
        /* A look at many nodes takes long: one is enough. What is damaged was told. */
        if (r.v.damaged != 0 || r.v.nodes > 1000000 || cli_sleep(NAP_NS)) {
            break;
        }
        rc = tide_verify(c->domain, &again);
        r.v = again;
    }
    if (rc != 0) {
        return cli_fail(c, rc, "%s", c->name);
    }
    r.failed = verify_count_failed(c->domain);
    if (r.v.replicas == 0 && r.failed == 0) {
        return cli_fail(c, TIDE_ERR_NO_REPLICA, "nothing to verify in %s", c->name);
    }
    int good = r.v.differing == 0 && r.v.damaged == 0 && r.failed == 0;
    if (c->json) {
        verify_print_json(&r, good);
    } else {
        verify_print_text(&r, good, c->name);
    }
    return good ? TOOL_OK : TOOL_NO;
}

int tool_verify(int argc, char **argv) {
    struct cli c = { .tool = argv[0] };
    struct tide_opts opts = TIDE_OPTS_INIT;
    int code = cli_only_json(&c, argc, argv, HELP);
    opts.flags = 0;
    if (code != 0 || (code = cli_arguments(&c, argc, argv, 0, 0, "")) != 0 || (code = cli_open(&c, &opts)) != 0) {
        return code;
    }
    return cli_end(&c, verify_check(&c));
}
