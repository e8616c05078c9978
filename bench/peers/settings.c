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
    static const char *const dists[] = { "uniform", "zipfian", NULL };
    static const char *const parts[] = { "gets", "puts", "pairs", "beside", NULL };
    static const char *const pages[] = { "small", "huge", NULL };
    const char *names[PEERS + 1] = { NULL };
    for (unsigned k = 0; k < PEERS && s->peers[k] != NULL; k++) {
        names[k] = s->peers[k]->name;
    }
    const struct bench_arg args[] = {
        [ARG_KEYS] = { "keys", "LIST", BENCH_ARG_COUNTS, &s->keys, "up to 8 counts such as 10k,1M, up to 100M",
                       "key counts. Default 10k,1M,10M; getcost: 10k,1M", 1, 100000000, NULL, NULL },
        [ARG_SIZES] = { "value-size", "LIST", BENCH_ARG_COUNTS, &s->value_sizes,
                        "sizes such as 64,1Ki, from 8 to 4,096",
                        "bytes of a value, 8 to 4,096. Default 64,1Ki; getcost: 64. More than\n"
                        "2 GiB of values are left out",
                        8, PEER_VALUE_MAX, NULL, NULL },
        [ARG_REPETITIONS] = { "repetitions", "N", BENCH_ARG_COUNT32, &s->repetitions, "a number from 1 to 100",
                              "Default 5", 1, PEER_REPETITIONS, NULL, NULL },
        { "dist", "LIST", BENCH_ARG_WORDS, &s->dists, "uniform, zipfian or both",
          "of uniform, zipfian (0.99). Default both (getcost: uniform); puts and all\n"
          "value sizes but the first are measured with the first of them alone",
          0, 0, dists, NULL },
        { "peers", "LIST", BENCH_ARG_WORDS, &s->chosen, "some of loop, plain, tide, other, lfht, ckht, lmdb, redis",
          "of tide, other, plain, lfht, ckht, lmdb, redis. Default all. `other` is\n"
          "Tidemark read from another process; the loop alone is always there",
          0, 0, names, NULL },
        { "parts", "LIST", BENCH_ARG_WORDS, &s->parts, "some of gets, puts, pairs, beside",
          "of gets, puts, pairs (two readers), beside (a writer at 100,000 puts/s).\n"
          "Default all (getcost: gets). All but gets are measured up to 1 M keys,\n"
          "with values of 64 bytes",
          0, 0, parts, NULL },
        { "pages", "WHICH", BENCH_ARG_WORD, &s->huge_pages, "small or huge",
          "huge: for all memory of peers in this process, as far as the kernel has\n"
          "them, as Tidemark asks for; small: for Tidemark and the plain table alone.\n"
          "Default huge",
          0, 0, pages, NULL },
        { "quick", NULL, BENCH_ARG_FLAG, &s->quick, "",
          "10k,1M keys of 64 bytes, 3 repetitions, shorter slices: to see whether\n"
          "it works",
          0, 0, NULL, NULL },
        { "check", NULL, BENCH_ARG_FLAG, &s->check, "",
          "exit with 3 where a get of 10 k keys misses its bar against the plain table", 0, 0, NULL, NULL },
        { "json", "FILE", BENCH_ARG_TEXT, &s->json_path, "a file name, or -",
          "write the result as JSON (docs/bench.md); - is stdout, without the tables", 0, 0, NULL, NULL },
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
