/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain whose entries come from a file: "key value" on each line. When the file changes, the difference is appended as one revision.
 *
 *     ./feed-file DOMAIN FILE
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <tidemark.h>

#define LINES 10000
#define LOOK_NS 100000000 /* while somebody reads by a bound; others' questions wake this process at once */

/* ---- what the library calls: it tells the loop below ------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int leads, wished;

static void tell(int *what, int value) {
    pthread_mutex_lock(&lock);
    *what = value;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}
static void lead(void *ctx, uint32_t term) {
    (void)ctx;
    printf("leads, term %u\n", term);
    fflush(stdout);
    tell(&leads, 1);
}
static void unlead(void *ctx) {
    (void)ctx;
    tell(&leads, 0);
}
static void wish(void *ctx) {
    (void)ctx;
    tell(&wished, 1);
}

/* Wait until something is to be done, at most LOOK_NS. Does this process lead? */
static int await(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    if (!wished) {
        pthread_cond_timedwait(&changed, &lock, &until);
    }
    wished = 0;
    int now = leads;
    pthread_mutex_unlock(&lock);
    return now;
}

/* ---- the file ------------------------------------------------------------------------------------------------------------- */

struct line {
    char *key, *value;
    int same; /* the domain has it already */
};
static struct line lines[LINES];
static struct tide_feed_op ops[LINES];
static size_t n_lines, n_ops;
static char *text, *gone; /* the file; keys that it does not have any more */
static size_t gone_bytes;

static uint64_t revision_of(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_ctim.tv_sec * 1000000000 + (uint64_t)st.st_ctim.tv_nsec : 0;
}

static void read_file(const char *path) {
    FILE *f = fopen(path, "r");
    size_t room = 1 << 20, size = 0;
    free(text);
    text = malloc(room + 1);
    if (f != NULL && text != NULL) {
        size = fread(text, 1, room, f);
    }
    if (f != NULL) {
        fclose(f);
    }
    n_lines = 0;
    if (text == NULL) {
        return;
    }
    text[size] = 0;
    for (char *at = strtok(text, "\n"); at != NULL && n_lines < LINES; at = strtok(NULL, "\n")) {
        char *blank = strchr(at, ' ');
        if (blank != NULL && blank != at) {
            *blank = 0;
            lines[n_lines++] = (struct line){ at, blank + 1, 0 };
        }
    }
}

/* A key that the domain has: is it in the file, and the same? (A real feed would use a hash table.) */
static int compare(void *ctx, const struct tide_entry *e) {
    (void)ctx;
    for (size_t i = 0; i < n_lines; i++) {
        if (strlen(lines[i].key) == e->key_len && memcmp(lines[i].key, e->key, e->key_len) == 0) {
            lines[i].same =
                strlen(lines[i].value) == e->value_size && memcmp(lines[i].value, e->value, e->value_size) == 0;
            return 0;
        }
    }
    char *more = realloc(gone, gone_bytes + e->key_len);
    if (more == NULL || n_ops == LINES) {
        return -1;
    }
    gone = more;
    memcpy(gone + gone_bytes, e->key, e->key_len);
    ops[n_ops++] = (struct tide_feed_op){ .size = sizeof(*ops), .kind = TIDE_OP_DELETE, .key_len = e->key_len };
    gone_bytes += e->key_len;
    return 0;
}

/* The domain becomes what the file is. */
static int append_difference(struct tide_feed *feed, const char *path, uint64_t revision) {
    read_file(path);
    n_ops = gone_bytes = 0;
    int error = tide_feed_visit(feed, compare, NULL);
    const char *at = gone;
    for (size_t i = 0; i < n_ops; i++) { /* now that they do not move any more */
        ops[i].key = at;
        at += ops[i].key_len;
    }
    for (size_t i = 0; i < n_lines && n_ops < LINES; i++) {
        if (!lines[i].same) {
            ops[n_ops++] = (struct tide_feed_op){ .size = sizeof(*ops),
                                                  .kind = TIDE_OP_PUT,
                                                  .key = lines[i].key,
                                                  .key_len = strlen(lines[i].key),
                                                  .value = lines[i].value,
                                                  .value_size = strlen(lines[i].value) };
        }
    }
    error = error != 0 ? error : tide_feed_append(feed, revision, ops, n_ops, 0);
    if (error == 0) {
        printf("revision %llu: %zu changes\n", (unsigned long long)revision, n_ops);
        fflush(stdout);
    }
    return error;
}

/* ---- the loop --------------------------------------------------------------------------------------------------------------- */

/* Once for each change: a file may come later, and go. */
static void tell_whether_seen(const char *path, int seen) {
    static int before = 1;
    if (seen != before) {
        fprintf(stderr,
                seen
                    ? "feed-file: %s is there\n"
                    : "feed-file: %s cannot be read: the domain keeps what it has, and reads grow stale until it can\n",
                path);
    }
    before = seen;
}

static int look(struct tide_feed *feed, const char *path) {
    struct tide_feed_wish wish_now = TIDE_FEED_WISH_INIT;
    struct tide_feed_probe probe = TIDE_FEED_PROBE_INIT;
    uint64_t had;
    uint32_t whole;
    int error = tide_feed_wish(feed, &wish_now);
    error = error != 0 ? error : tide_feed_revision(feed, &had, &whole);
    if (error != 0) {
        return error;
    }
    int waited_for = wish_now.wanted > wish_now.done || wish_now.bound_ns != TIDE_UNBOUNDED;
    if (had != 0 && !waited_for) {
        return 0; /* nobody reads: the file is not looked at */
    }
    error = tide_feed_probe(feed, &probe); /* first the instant, then the question */
    uint64_t revision = revision_of(path);
    if (error == 0 && revision > had) {
        error = append_difference(feed, path, revision);
    }
    tell_whether_seen(path, revision != 0);
    /* 0: the file cannot be seen, and staleness grows. */
    return error != 0 || revision == 0 ? error : tide_feed_complete(feed, &probe, revision);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: feed-file DOMAIN FILE\n");
        return 2;
    }
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide_feed_opts feed_opts = TIDE_FEED_OPTS_INIT;
    struct tide_replica_opts replica = TIDE_REPLICA_OPTS_INIT;
    struct tide *d;
    struct tide_feed *feed;
    opts.source = feed_opts.source = "file";
    feed_opts.lead = lead;
    feed_opts.unlead = unlead;
    feed_opts.wish = wish;
    int error = tide_open(&d, argv[1], &opts);
    error = error != 0 ? error : tide_feed_open(d, &feed_opts, &feed);
    replica.candidate = 1; /* whoever comes first leads; the others wait */
    replica.role = TIDE_LEADER;
    if (error == 0 && (error = tide_replica_start(d, &replica, NULL)) == TIDE_ERR_BUSY) {
        replica.role = TIDE_FOLLOWER;
        error = tide_replica_start(d, &replica, NULL);
    }
    while (error == 0) {
        if (await()) {
            error = look(feed, argv[2]);
            error = error == TIDE_ERR_NO_LEADER ? 0 : error;
        }
    }
    fprintf(stderr, "feed-file: %s: %s\n", argv[1], tide_strerror(error));
    return 1;
}
