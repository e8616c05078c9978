/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/peers/settings.h"

#include <string.h>

static const char after[] =
    "A peer that is not installed, or has no room in memory, is left out and named on stderr.\n"
    "Exit codes: 0 measured; 1 the engine, a peer or a file failed; 2 bad arguments; 3 see --check; 130 interrupted.\n";

void peer_settings_default(struct peer_settings *s, const struct peer *const list[PEERS]) {
    *s = (struct peer_settings){
        .name = "peers",
        .peers = list,
        .about = "Measures Tidemark beside what one would use instead: the same keys in the same order, one thread, "
                 "slices in\n"
                 "turn; then two reader threads, and readers with a writer beside them. Keys have 16 bytes.\n",
        .keys = { { 10000, 1000000, 10000000 }, 3 },
        .value_sizes = { { 64, 1024 }, 2 },
        .dists = 1u << BENCH_UNIFORM | 1u << BENCH_ZIPFIAN,
        .parts = PART_GETS | PART_PUTS | PART_PAIRS | PART_BESIDE,
        .repetitions = 5,
        .rounds = 8,
        .slice_ns = UINT64_C(8000000),
        .chosen = (1u << PEERS) - 1,
        .huge_pages = 1,
    };
}

enum { ARG_KEYS, ARG_SIZES, ARG_REPETITIONS }; /* those that --quick changes where they are not given */

int peer_settings_parse(struct peer_settings *s, int argc, char **argv) {
    static const char *const parts[] = { "gets", "puts", "pairs", "beside", NULL };
    static const char *const pages[] = { "small", "huge", NULL };
    const char *names[PEERS + 1] = { NULL };
    for (unsigned k = 0; k < PEERS && s->peers[k] != NULL; k++) {
        names[k] = s->peers[k]->name;
    }
    const struct bench_arg args[] = {
        [ARG_KEYS] = BENCH_ARG(COUNTS, "keys", "LIST", &s->keys, "key counts. Default 10k,1M,10M; getcost: 10k,1M",
                               .wants = "up to 8 counts such as 10k,1M, up to 100M", .least = 1, .most = 100000000),
        [ARG_SIZES] = BENCH_ARG(COUNTS, "value-size", "LIST", &s->value_sizes,
                                "bytes of a value, 8 to 4,096. Default 64,1Ki; getcost: 64. More than\n"
                                "2 GiB of values are left out",
                                .wants = "sizes such as 64,1Ki, from 8 to 4,096", .least = 8, .most = PEER_VALUE_MAX),
        [ARG_REPETITIONS] =
            BENCH_ARG(COUNT32, "repetitions", "N", &s->repetitions, "Default 5", .least = 1, .most = PEER_REPETITIONS),
        BENCH_ARG(WORDS, "dist", "LIST", &s->dists,
                  "of uniform, zipfian (0.99). Default both (getcost: uniform); puts and all\n"
                  "value sizes but the first are measured with the first of them alone",
                  .wants = "uniform, zipfian or both", .words = bench_dists),
        BENCH_ARG(WORDS, "peers", "LIST", &s->chosen,
                  "of tide, other, plain, lfht, ckht, lmdb, redis. Default all. `other` is\n"
                  "Tidemark read from another process; the loop alone is always there",
                  .wants = "some of loop, plain, tide, other, lfht, ckht, lmdb, redis", .words = names),
        BENCH_ARG(WORDS, "parts", "LIST", &s->parts,
                  "of gets, puts, pairs (two readers), beside (a writer at 100,000 puts/s).\n"
                  "Default all (getcost: gets). All but gets are measured up to 1 M keys,\n"
                  "with values of 64 bytes",
                  .wants = "some of gets, puts, pairs, beside", .words = parts),
        BENCH_ARG(WORD, "pages", "WHICH", &s->huge_pages,
                  "huge: for all memory of peers in this process, as far as the kernel has\n"
                  "them, as Tidemark asks for; small: for Tidemark and the plain table alone.\n"
                  "Default huge",
                  .words = pages),
        BENCH_ARG(FLAG, "quick", NULL, &s->quick,
                  "10k,1M keys of 64 bytes, 3 repetitions, shorter slices: to see whether\nit works"),
        BENCH_ARG(FLAG, "check", NULL, &s->check,
                  "exit with 3 where a get of 10 k keys misses its bar against the plain table"),
        BENCH_ARG(TEXT, "json", "FILE", &s->json_path,
                  "write the result as JSON (docs/bench.md); - is stdout, without the tables",
                  .wants = "a file name, or -"),
    };
    struct bench_command c = { .name = s->name,
                               .usage = "[options]",
                               .about = s->about,
                               .after = after,
                               .args = args,
                               .args_n = sizeof(args) / sizeof(args[0]) };
    int code = bench_args_take(&c, argc, argv);
    if (s->quick) {
        s->keys = c.given >> ARG_KEYS & 1 ? s->keys : (struct bench_counts){ { 10000, 1000000 }, 2 };
        s->value_sizes = c.given >> ARG_SIZES & 1 ? s->value_sizes : (struct bench_counts){ { 64 }, 1 };
        s->repetitions = c.given >> ARG_REPETITIONS & 1 ? s->repetitions : 3;
        s->rounds = 4;
        s->slice_ns = UINT64_C(3000000);
    }
    s->chosen |= 1u; /* the loop alone */
    return code;
}
