/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process that mirrors the keys with one prefix: everything that is there first, then every change. Here it keeps the number of keys and
 * bytes and prints them whenever the mirror is at one state of the domain; a search index or a file would go in their place.
 *
 *     tide serve shop &
 *     ./mirror shop page/
 */
#include <stdio.h>
#include <string.h>

#include <tidemark.h>

/* What the mirror does. A real one would know the size of what a key had before. */
struct mirror {
    unsigned long long puts, removals, bytes;
};

static void mirror_begin_anew(struct mirror *m) {
    memset(m, 0, sizeof(*m));
}

static void mirror_take(struct mirror *m, const struct tide_event *e) {
    if (e->kind == TIDE_EVENT_PUT) {
        m->puts++;
        m->bytes += e->value_size;
    } else if (e->kind != TIDE_EVENT_SYNCED) { /* deleted, expired or evicted: gone in any case */
        m->removals++;
    }
}

/* One life of the watch. TIDE_ERR_LOST: this process was away for longer than the log's ring holds. */
static int follow(struct tide *d, const char *prefix, struct mirror *m) {
    struct tide_watch_opts o = TIDE_WATCH_OPTS_INIT;
    struct tide_watch *w;
    o.flags = TIDE_WATCH_INITIAL;
    o.prefix = prefix;
    o.prefix_len = strlen(prefix);
    int error = tide_watch_open(d, &o, &w);
    if (error != 0) {
        return error;
    }
    struct tide_event e = TIDE_EVENT_INIT;
    while ((error = tide_watch_next(w, &e, UINT64_MAX)) == 0) {
        mirror_take(m, &e);
        if (e.more == 0) { /* between batches: the mirror is the state of one index */
            printf("index %llu: %llu puts of %llu bytes, %llu removals\n", (unsigned long long)e.index, m->puts, m->bytes,
                   m->removals);
            fflush(stdout);
        }
    }
    tide_watch_close(w);
    return error;
}

int main(int argc, char **argv) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide *d;
    if (argc != 3) {
        fprintf(stderr, "usage: mirror DOMAIN PREFIX\n");
        return 2;
    }
    opts.flags = 0; /* it must be there */
    int error = tide_open(&d, argv[1], &opts);
    if (error == 0) {
        struct mirror m;
        do {
            mirror_begin_anew(&m);
            error = follow(d, argv[2], &m);
        } while (error == TIDE_ERR_LOST);
        tide_close(d);
    }
    fprintf(stderr, "mirror: %s: %s\n", argv[1], tide_strerror(error));
    return 1;
}
