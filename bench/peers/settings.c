/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/peers/settings.h"

#include <stdio.h>
#include <string.h>

static void help(void) {
    printf(
        "Usage: peers [options]\n\n"
        "Measures Tidemark beside what one would use instead: the same keys in the same order, one thread, slices in\n"
        "turn; then two reader threads, and readers with a writer beside them. Keys have 16 bytes.\n\n"
        "  --keys LIST         key counts. Default 10k,1M,10M\n"
        "  --value-size LIST   bytes of a value, 8 to 4,096. Default 64,1Ki. More than 2 GiB of values are left out\n"
        "  --dist LIST         of uniform, zipfian (0.99). Default both; puts and all value sizes but the first are\n"
        "                      measured with the first of them alone\n"
        "  --peers LIST        of tide, other, plain, lfht, ckht, lmdb, redis. Default all. `other` is Tidemark read\n"
        "                      from another process; the loop alone is always there\n"
        "  --parts LIST        of gets, puts, pairs (two readers), beside (a writer at 100,000 puts/s). Default all.\n"
        "                      All but gets are measured up to 1 M keys, with values of 64 bytes\n"
        "  --repetitions N     1 to %u. Default 5\n"
        "  --pages WHICH       huge: for all memory of peers in this process, as far as the kernel has them, as\n"
        "                      Tidemark asks for; small: for Tidemark and the plain table alone. Default huge\n"
        "  --quick             10k,1M keys of 64 bytes, 3 repetitions, shorter slices: to see whether it works\n"
        "  --json FILE         write the result as JSON (docs/bench.md); - is stdout, without the tables\n"
        "  --help              this text\n\n"
        "A peer that is not installed, or has no room in memory, is left out and named on stderr.\n"
        "Exit codes: 0 measured; 1 the engine, a peer or a file failed; 2 bad arguments; 130 interrupted.\n",
        PEER_REPETITIONS);
}

/* The next word of a list, cut off at its comma; NULL at the end. */
static char *next_word(char **at) {
    return strsep(at, ",");
}

static int parse_counts(const char *text, uint64_t least, uint64_t most, uint64_t *out, uint32_t *n) {
    char copy[256];
    char *at = copy, *word;
    if (strlen(text) >= sizeof(copy)) {
        return -1;
    }
    strcpy(copy, text);
    *n = 0;
    while ((word = next_word(&at)) != NULL) {
        if (*n == PEER_COUNTS || bench_parse_count(word, &out[*n]) != 0 || out[*n] < least || out[*n] > most) {
            return -1;
        }
        ++*n;
    }
    return 0;
}

/* Bit k for names[k]; 0: a word that is none of them, or none at all. */
static unsigned parse_words(const char *text, const char *const *names, uint32_t names_n) {
    char copy[256];
    char *at = copy, *word;
    unsigned bits = 0;
    if (strlen(text) >= sizeof(copy)) {
        return 0;
    }
    strcpy(copy, text);
    while ((word = next_word(&at)) != NULL) {
        uint32_t i = 0;
        while (i < names_n && strcmp(word, names[i]) != 0) {
            i++;
        }
        if (i == names_n) {
            return 0;
        }
        bits |= 1u << i;
    }
    return bits;
}

static int set_dists(struct peer_settings *s, const char *value) {
    static const char *const names[] = { "uniform", "zipfian" };
    unsigned bits = parse_words(value, names, 2);
    s->dists_n = 0;
    for (unsigned k = 0; k < 2; k++) {
        if (bits & (1u << k)) {
            s->dists[s->dists_n++] = k == 0 ? BENCH_UNIFORM : BENCH_ZIPFIAN;
        }
    }
    return bits != 0 ? 0 : -1;
}

static int set_peers(struct peer_settings *s, const char *value) {
    const char *names[PEERS];
    for (unsigned k = 0; k < PEERS; k++) {
        names[k] = peers[k]->name;
    }
    unsigned bits = parse_words(value, names, PEERS);
    s->chosen = bits | 1u; /* the loop alone */
    return bits != 0 ? 0 : -1;
}

static int set_parts(struct peer_settings *s, const char *value) {
    static const char *const names[] = { "gets", "puts", "pairs", "beside" };
    s->parts = parse_words(value, names, 4);
    return s->parts != 0 ? 0 : -1;
}

static int set_pages(struct peer_settings *s, const char *value) {
    static const char *const names[] = { "small", "huge" };
    unsigned bit = parse_words(value, names, 2);
    s->huge_pages = bit == 2;
    return bit == 1 || bit == 2 ? 0 : -1;
}

static int set_keys(struct peer_settings *s, const char *value) {
    return parse_counts(value, 1, 100000000, s->keys, &s->keys_n);
}

static int set_value_sizes(struct peer_settings *s, const char *value) {
    return parse_counts(value, 8, PEER_VALUE_MAX, s->value_sizes, &s->value_sizes_n);
}

static int set_repetitions(struct peer_settings *s, const char *value) {
    uint64_t n = 0;
    if (bench_parse_count(value, &n) != 0 || n < 1 || n > PEER_REPETITIONS) {
        return -1;
    }
    s->repetitions = (uint32_t)n;
    return 0;
}

static int set_json(struct peer_settings *s, const char *value) {
    s->json_path = value;
    return value[0] != '\0' ? 0 : -1;
}

static const struct {
    const char *name;
    int (*set)(struct peer_settings *s, const char *value);
    const char *wants;
} options[] = {
    { "--keys", set_keys, "up to 8 counts such as 10k,1M, up to 100M" },
    { "--value-size", set_value_sizes, "sizes such as 64,1Ki, from 8 to 4,096" },
    { "--dist", set_dists, "uniform, zipfian or both" },
    { "--peers", set_peers, "some of tide, other, plain, lfht, ckht, lmdb, redis" },
    { "--parts", set_parts, "some of gets, puts, pairs, beside" },
    { "--repetitions", set_repetitions, "a number from 1 to 100" },
    { "--pages", set_pages, "small or huge" },
    { "--json", set_json, "a file name, or -" },
};

static void be_quick(struct peer_settings *s) {
    set_keys(s, "10k,1M");
    set_value_sizes(s, "64");
    s->repetitions = 3;
    s->rounds = 4;
    s->slice_ns = UINT64_C(3000000);
}

static int usage(const char *text, const char *arg) {
    fprintf(stderr, "peers: %s '%.100s'; --help lists all arguments\n", text, arg);
    return BENCH_EXIT_USAGE;
}

static int parse_one(struct peer_settings *s, const char *arg, const char *value) {
    for (unsigned k = 0; k < sizeof(options) / sizeof(options[0]); k++) {
        if (strcmp(arg, options[k].name) != 0) {
            continue;
        }
        if (value == NULL) {
            return usage("a value is missing after", arg);
        }
        if (options[k].set(s, value) != 0) {
            char text[128];
            snprintf(text, sizeof(text), "%s wants %s, not", options[k].name, options[k].wants);
            return usage(text, value);
        }
        return 0;
    }
    return usage("unknown argument", arg);
}

int peer_settings_parse(struct peer_settings *s, int argc, char **argv) {
    memset(s, 0, sizeof(*s));
    set_keys(s, "10k,1M,10M");
    set_value_sizes(s, "64,1Ki");
    set_dists(s, "uniform,zipfian");
    set_parts(s, "gets,puts,pairs,beside");
    s->repetitions = 5;
    s->rounds = 8;
    s->slice_ns = UINT64_C(8000000);
    s->chosen = (1u << PEERS) - 1;
    s->huge_pages = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help();
            return -1;
        }
        if (strcmp(argv[i], "--quick") == 0) {
            be_quick(s);
            continue;
        }
        int rc = parse_one(s, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        if (rc != 0) {
            return rc;
        }
        i++;
    }
    return 0;
}
