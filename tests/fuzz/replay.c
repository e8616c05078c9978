/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * replay [--changes N] FILE...: give a fuzzer the inputs of its corpus, and N changes of each (200), made from a fixed seed, so that
 * every run is the same. Status 0; or the fuzzer aborts, after the name of the file and the number of the change were printed.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tests/lib/random.h"

#define INPUT_MOST (64u << 10)

static char under_way[600];

/* An abort of the fuzzer, or a signal: say which input it was. Only write() is safe here. */
static void tell(int sig) {
    (void)!write(STDERR_FILENO, under_way, strlen(under_way));
    signal(sig, SIG_DFL);
    raise(sig);
}

static uint64_t below(uint64_t n) {
    return next_random() % n;
}

static size_t change(uint8_t *bytes, size_t size) {
    for (uint64_t n = 1 + below(4); n > 0; n--) {
        size_t at = size > 0 ? (size_t)below(size) : 0;
        switch (below(5)) {
        case 0: /* a bit */
            bytes[at] ^= (uint8_t)(1u << below(8));
            break;
        case 1: /* a byte */
            bytes[at] = (uint8_t)next_random();
            break;
        case 2: /* shorter */
            size = size > 1 ? 1 + (size_t)below(size - 1) : size;
            break;
        case 3: /* a piece comes twice */
            if (size > 0 && size < INPUT_MOST / 2) {
                size_t piece = 1 + (size_t)below(size - at);
                memmove(bytes + at + piece, bytes + at, size - at);
                size += piece;
            }
            break;
        default: /* ones */
            memset(bytes + at, 0xff, size - at < 8 ? size - at : 8);
        }
    }
    return size;
}

static int replay(const char *path, unsigned changes) {
    static uint8_t whole[INPUT_MOST], bytes[INPUT_MOST];
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        return 1;
    }
    size_t size = fread(whole, 1, sizeof(whole) / 2, f);
    fclose(f);
    for (unsigned k = 0; k <= changes; k++) {
        snprintf(under_way, sizeof(under_way), "input: %s, change %u\n", path, k);
        memcpy(bytes, whole, size);
        size_t now = k == 0 ? size : change(bytes, size);
        /* In a block of its own size, so that a sanitizer sees a read beyond its end. */
        uint8_t *exact = malloc(now > 0 ? now : 1);
        memcpy(exact, bytes, now);
        (void)LLVMFuzzerTestOneInput(exact, now);
        free(exact);
    }
    return 0;
}

int main(int argc, char **argv) {
    static const int sigs[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGALRM };
    unsigned changes = 200;
    int first = 1;
    if (argc > 2 && strcmp(argv[1], "--changes") == 0) {
        changes = (unsigned)strtoul(argv[2], NULL, 10);
        first = 3;
    }
    if (first >= argc) {
        fprintf(stderr, "usage: %s [--changes N] FILE...\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
        signal(sigs[i], tell);
    }
    for (int i = first; i < argc; i++) {
        alarm(300);
        if (replay(argv[i], changes) != 0) {
            return 1;
        }
    }
    printf("%d inputs, %u changes of each\n", argc - first, changes);
    return 0;
}
