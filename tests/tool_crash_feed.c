/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The leader of a fed domain dies at each kill point that is named, in the middle of appending, completing, handing writes over. Another
 * process takes over and goes on. A watch sees every revision once, in order and whole; readers never see a revision fall, nor
 * anything before the first completion; writers hear of every write within its time.
 *
 * The source is a rule: at revision r the key "a" + r % 7 gets the value r; each fifth revision is a group of three keys; each fiftieth is
 * a difference in four groups. So a new leader needs nothing but the revision that its log tells.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/tidemark.h"

#define LAST UINT64_C(400)
#define MS UINT64_C(1000000)

#define NEED(ok)                                                                                                       \
    do {                                                                                                               \
        if (!(ok)) {                                                                                                   \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #ok);                                           \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static const char *domain;

static void nap(uint64_t ns) {
    struct timespec t = { 0, (long)ns };
    nanosleep(&t, NULL);
}

static struct tide *open_domain(void) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d;
    o.source = "rule";
    o.write_timeout_ns = 2000 * MS;
    NEED(tide_open(&d, domain, &o) == 0);
    return d;
}

/* ---- the source ------------------------------------------------------------------------------------------------------ */

static bool is_difference(uint64_t r) {
    return r % 50 == 0;
}

static uint32_t ops_of(uint64_t r) {
    return is_difference(r) ? 4 : r % 5 == 0 ? 3 : 1;
}

/* Operation i of a revision. */
static void make_op(uint64_t r, uint32_t i, char key[3], uint64_t *value, struct tide_feed_op *op) {
    key[0] = (char)('a' + i);
    key[1] = (char)('0' + r % 7);
    key[2] = 0;
    *value = r;
    *op = (struct tide_feed_op)TIDE_FEED_OP_INIT;
    op->kind = TIDE_OP_PUT;
    op->key = key;
    op->key_len = 2;
    op->value = value;
    op->value_size = sizeof(*value);
}

/* ---- the feeder ------------------------------------------------------------------------------------------------------- */

struct feeder {
    struct tide_feed *feed;
    int leads;
    struct tide_feed_request *volatile open; /* a write that waits for its answer */
};

static void lead(void *ctx, uint32_t term) {
    (void)term;
    __atomic_store_n(&((struct feeder *)ctx)->leads, 1, __ATOMIC_SEQ_CST);
}

static void take_write(void *ctx, const struct tide_feed_write *w) {
    struct feeder *f = ctx;
    struct tide_feed_answer a = TIDE_FEED_ANSWER_INIT;
    if (f->open == NULL && w->n == 1) { /* kept for a while: some are open when this process dies */
        f->open = w->request;
        return;
    }
    NEED(tide_feed_revision(f->feed, &a.revision, NULL) == 0);
    a.revision += a.revision == 0;
    tide_feed_answer(w->request, &a);
}

static void answer_open(struct feeder *f, uint64_t revision) {
    struct tide_feed_request *q = __atomic_exchange_n(&f->open, NULL, __ATOMIC_SEQ_CST);
    struct tide_feed_answer a = TIDE_FEED_ANSWER_INIT;
    a.revision = revision;
    if (q != NULL) {
        NEED(tide_feed_answer(q, &a) == 0);
    }
}

static void append(struct feeder *f, uint64_t r) {
    struct tide_feed_op ops[4];
    char keys[4][3];
    uint64_t values[4];
    uint32_t n = ops_of(r);
    for (uint32_t i = 0; i < n; i++) {
        make_op(r, i, keys[i], &values[i], &ops[i]);
    }
    if (!is_difference(r)) {
        NEED(tide_feed_append(f->feed, r, ops, n, 0) == 0);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        NEED(tide_feed_append(f->feed, r, &ops[i], 1, i + 1 < n ? TIDE_FEED_MORE : 0) == 0);
    }
}

static void role_feeder(bool leads) {
    struct feeder f = { 0 };
    struct tide *d = open_domain();
    struct tide_feed_opts o = TIDE_FEED_OPTS_INIT;
    struct tide_replica_opts ro = TIDE_REPLICA_OPTS_INIT;
    o.source = "rule";
    o.ctx = &f;
    o.lead = lead;
    o.write = take_write;
    NEED(tide_feed_open(d, &o, &f.feed) == 0);
    ro.role = leads ? TIDE_LEADER : TIDE_FOLLOWER;
    ro.candidate = 1;
    NEED(tide_replica_start(d, &ro, NULL) == 0);
    while (!__atomic_load_n(&f.leads, __ATOMIC_SEQ_CST)) {
        nap(MS / 10);
    }
    uint64_t revision;
    NEED(tide_feed_revision(f.feed, &revision, NULL) == 0);
    while (revision < LAST) {
        struct tide_feed_probe p = TIDE_FEED_PROBE_INIT;
        NEED(tide_feed_probe(f.feed, &p) == 0);
        append(&f, ++revision);
        NEED(tide_feed_append(f.feed, revision, NULL, 0, 0) == TIDE_ERR_REVISION); /* nothing twice */
        if (revision % 3 == 0) {
            NEED(tide_feed_complete(f.feed, &p, revision) == 0);
        }
        answer_open(&f, revision);
        nap(MS / 10);
    }
    struct tide_feed_probe p = TIDE_FEED_PROBE_INIT;
    NEED(tide_feed_probe(f.feed, &p) == 0 && tide_feed_complete(f.feed, &p, LAST) == 0);
    for (;;) {
        answer_open(&f, LAST);
        nap(MS);
    }
}

/* ---- writers and readers --------------------------------------------------------------------------------------------- */

static void role_writer(void) {
    struct tide *d = open_domain();
    for (;;) {
        int error = tide_put(d, NULL, "w", 1, "w", 1, NULL);
        NEED(error == 0 || error == TIDE_ERR_UNKNOWN || error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_TIMEOUT);
        nap(MS / 5);
    }
}

static void role_reader(void) {
    struct tide *d = open_domain();
    struct tide_reader *r;
    NEED(tide_reader_open(d, NULL, &r) == 0);
    uint64_t seen[7] = { 0 }, any = 0;
    for (uint64_t i = 0;; i++) {
        struct tide_bound b = TIDE_BOUND_INIT;
        struct tide_answer a = TIDE_ANSWER_INIT;
        char key[3] = { 'a', (char)('0' + i % 7), 0 };
        uint64_t value = 0;
        b.max_staleness_ns = TIDE_UNBOUNDED;
        b.fallback = TIDE_FALLBACK_ERROR;
        int error = tide_get(r, key, 2, &b, &value, sizeof(value), &a);
        if (error == TIDE_ERR_REFUSED || error == TIDE_ERR_NO_REPLICA) {
            NEED(error != TIDE_ERR_REFUSED || any == 0); /* once it was complete, it stays so */
            nap(MS / 10);
            continue;
        }
        NEED(error == 0 || error == TIDE_ERR_NOT_FOUND);
        NEED(error != 0 || (a.version == value && value % 7 == i % 7 && value >= seen[i % 7]));
        any |= value;
        seen[i % 7] = error == 0 ? value : seen[i % 7];
    }
}

static pid_t spawn(void role(void), const char *kill_at) {
    fflush(NULL);
    pid_t pid = fork();
    NEED(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (kill_at != NULL) {
            setenv("TIDE_KILL", kill_at, 1);
        }
        role();
        exit(2);
    }
    return pid;
}

static void role_first(void) {
    role_feeder(true);
}
static void role_second(void) {
    role_feeder(false);
}

/* ---- the checker ------------------------------------------------------------------------------------------------------- */

/* Every event of the revisions, each once; of a difference that was broken off, a part may come before it comes whole. */
static void check_events(struct tide_watch *w) {
    uint64_t revision = 0;
    uint32_t at = 0;
    while (revision < LAST || at < ops_of(LAST)) {
        struct tide_event e = TIDE_EVENT_INIT;
        char key[3];
        uint64_t value;
        struct tide_feed_op op;
        NEED(tide_watch_next(w, &e, 60000 * MS) == 0);
        if (at == (revision == 0 ? 0 : ops_of(revision))) {
            revision++;
            at = 0;
        }
        make_op(revision, at, key, &value, &op);
        if (is_difference(revision) && at > 0 && memcmp(e.key, "a", 1) == 0) {
            at = 0; /* another leader's */
            make_op(revision, at, key, &value, &op);
        }
        NEED(e.kind == TIDE_EVENT_PUT && e.revision == revision && e.key_len == 2 && memcmp(e.key, key, 2) == 0);
        NEED(e.value_size == sizeof(value) && memcmp(e.value, &value, sizeof(value)) == 0);
        at++;
        NEED(is_difference(revision) || e.more == (at < ops_of(revision)));
    }
}

static void one_point(const char *point) {
    char name[64];
    snprintf(name, sizeof(name), "crash_feed_%d", (int)getpid());
    domain = name;
    tide_unlink(name);
    struct tide *d = open_domain();
    struct tide_watch *w;
    struct tide_watch_opts wo = TIDE_WATCH_OPTS_INIT;
    NEED(tide_watch_open(d, &wo, &w) == 0);
    pid_t first = spawn(role_first, point);
    struct tide_info info = TIDE_INFO_INIT;
    do { /* or the second might lead first */
        NEED(tide_info(d, &info) == 0);
        nap(MS / 10);
    } while (info.term == 0);
    pid_t writer = spawn(role_writer, NULL), reader = spawn(role_reader, NULL), second = spawn(role_second, NULL);
    check_events(w);
    int status;
    NEED(waitpid(first, &status, 0) == first);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        fprintf(stderr, "%s: nobody died there\n", point);
        exit(1);
    }
    struct tide_verify v = TIDE_VERIFY_INIT;
    NEED(tide_verify(d, &v) == 0 && v.damaged == 0 && v.differing == 0);
    pid_t rest[] = { writer, reader, second };
    for (size_t i = 0; i < 3; i++) {
        NEED(waitpid(rest[i], &status, WNOHANG) == 0); /* they found nothing wrong */
        kill(rest[i], SIGKILL);
        waitpid(rest[i], &status, 0);
    }
    tide_watch_close(w);
    tide_close(d);
    tide_unlink(name);
}

int main(int argc, char **argv) {
    alarm(500);
    for (int i = 1; i < argc; i++) {
        char later[80];
        snprintf(later, sizeof(later), "%s:37", argv[i]); /* not at once */
        bool often = strcmp(argv[i], "feed.handed") != 0;
        one_point(often ? later : argv[i]);
        printf("%s: another leader went on\n", argv[i]);
    }
    return 0;
}
