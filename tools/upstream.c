/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/upstream.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/fd.h"
#include "tools/etcd/client.h"
#include "tools/lib/args.h"
#include "tools/lib/read_all.h"
#include "tools/upstream_copy.h"

#define SOURCE "etcd"
#define MS UINT64_C(1000000)
#define PERIOD_MOST_NS (100 * MS) /* between probes while somebody reads by a bound */
#define PERIOD_LEAST_NS MS
#define WRITE_MS 10000u
#define START_NS (10000 * MS) /* for a member to be reached */
#define LOOK_NS (20 * MS)
#define GROUP_MOST 65536u

struct upstream {
    struct cli *cli;
    struct tide_feed *feed;
    struct etcd_client *client;
    struct upstream_copy *copy;
    struct tide_feed_op *ops;
    size_t ops_room;
    pthread_t thread;
    bool runs;
    char *user, *password;
    char url[160]; /* as it was given, or its beginning */
    uint64_t identity_seed;
    char why[600]; /* what the sink refused with */
    pthread_mutex_t lock;
    bool leads, closing, another, astray;
    char another_why[600];
};

/* ---- options ----------------------------------------------------------------------------------------------------- */

void upstream_option(struct upstream_opts *o, int option, const char *arg) {
    const char **const TO[] = { &o->url, &o->ca, &o->cert, &o->key, &o->user };
    *TO[option - UPSTREAM_OPTION] = arg;
}

int upstream_check(const struct cli *c, const struct upstream_opts *o) {
    struct etcd_address a;
    char why[400];
    if (!o->url) {
        return o->ca || o->cert || o->key || o->user ? args_error(c->tool, "--upstream-... without --upstream") : 0;
    }
    if (etcd_address_read(&a, o->url, why, sizeof(why)) != 0) {
        return args_error(c->tool, "--upstream: %s", why);
    }
    if (!a.tls && (o->ca || o->cert || o->key)) {
        return args_error(c->tool, "--upstream-ca, -cert and -key are for TLS: write etcds:// instead of etcd://");
    }
    const char *const files[] = { o->ca, o->cert, o->key }, *const names[] = { "ca", "cert", "key" };
    for (int i = 0; i < 3; i++) {
        if (files[i] && access(files[i], R_OK) != 0) {
            return args_error(c->tool, "--upstream-%s %s cannot be read: %m", names[i], files[i]);
        }
    }
    if (o->key && !o->cert) {
        return args_error(c->tool, "--upstream-key without --upstream-cert");
    }
    return 0;
}

/* "NAME:PASSWORD" of a file that nobody else can read. */
static int upstream_read_user(struct upstream *u, const char *path) {
    struct stat st;
    uint8_t *text = NULL;
    size_t size = 0;
    int fd = fd_lift(open(path, O_RDONLY | O_CLOEXEC));
    bool ok = fd >= 0 && fstat(fd, &st) == 0;
    if (ok && (st.st_mode & 077) != 0) {
        close(fd);
        return cli_complain(u->cli, TOOL_USAGE, "upstream", "--upstream-user %s: others can read it: chmod 600 %s",
                            path, path);
    }
    ok = ok && st.st_size <= 4096 && read_all(fd, &text, &size) == 0;
    if (fd >= 0) {
        close(fd);
    }
    if (!ok) {
        return cli_complain(u->cli, TOOL_USAGE, "upstream", "--upstream-user %s cannot be read: %m", path);
    }
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) {
        size--;
    }
    const uint8_t *colon = memchr(text, ':', size);
    if (!colon || colon == text || memchr(text, '\n', size) || memchr(text, '\0', size)) {
        free(text);
        return cli_complain(u->cli, TOOL_USAGE, "upstream", "--upstream-user %s is not one line NAME:PASSWORD", path);
    }
    size_t name = (size_t)(colon - text);
    u->user = strndup((char *)text, name);
    u->password = strndup((char *)colon + 1, size - name - 1);
    explicit_bzero(text, size);
    free(text);
    return 0;
}

/* ---- what the client tells --------------------------------------------------------------------------------------- */

static void upstream_say(void *ctx, enum etcd_level level, const char *text) {
    struct upstream *u = ctx;
    (void)level;
    args_sayf(u->cli->tool, "etcd: %s", text);
}

static const char *upstream_refuse(struct upstream *u, int rc, uint64_t revision) {
    snprintf(u->why, sizeof(u->why), "revision %llu: %s", (unsigned long long)revision,
             rc == TIDE_ERR_FULL      ? "the table is full: more --table is needed, or fewer keys"
             : rc == TIDE_ERR_TOO_BIG ? "a value is over a quarter of the ring: more --ring is needed"
                                      : tide_strerror(rc));
    return u->why;
}

static void upstream_become_another(struct upstream *u, const char *why, bool astray) {
    pthread_mutex_lock(&u->lock);
    u->another = true;
    u->astray = astray;
    snprintf(u->another_why, sizeof(u->another_why), "%s", why);
    pthread_mutex_unlock(&u->lock);
}

/* Of the cluster and the prefix. */
static const char *upstream_identify(void *ctx, uint64_t cluster, bool *stranger) {
    struct upstream *u = ctx;
    uint64_t identity = (cluster ^ u->identity_seed) * UINT64_C(0x9e3779b97f4a7c15);
    int rc = tide_feed_identify(u->feed, identity ? identity : 1);
    *stranger = rc == TIDE_ERR_FED;
    return rc == 0 ? NULL : tide_strerror(rc);
}

static const char *upstream_snapshot_begin(void *ctx, uint64_t revision) {
    struct upstream *u = ctx;
    int rc = upstream_copy_begin(u->copy, u->feed, revision);
    return rc == 0 ? NULL : upstream_refuse(u, rc, revision);
}

static const char *upstream_snapshot_keys(void *ctx, const struct etcd_change *keys, size_t n) {
    struct upstream *u = ctx;
    int rc = upstream_copy_keys(u->copy, keys, n);
    if (rc == UPSTREAM_COPY_ANOTHER) {
        upstream_become_another(
            u, "the cluster has keys as they never were: it was restored from a backup, or replaced", false);
        etcd_client_rest(u->client);
        return "the domain begins anew";
    }
    return rc == 0 ? NULL : upstream_refuse(u, rc, upstream_copy_revision(u->copy));
}

static const char *upstream_snapshot_end(void *ctx) {
    struct upstream *u = ctx;
    struct upstream_copy_counts n;
    int rc = upstream_copy_end(u->copy, &n);
    if (rc != 0) {
        return upstream_refuse(u, rc, upstream_copy_revision(u->copy));
    }
    args_sayf(u->cli->tool,
              "etcd: copied at revision %llu: %llu keys, of which %llu were new or others, and %llu removed",
              (unsigned long long)upstream_copy_revision(u->copy), (unsigned long long)n.keys,
              (unsigned long long)n.put, (unsigned long long)n.removed);
    return NULL;
}

/* A part of u->ops; in halves where the log does not take it whole: bound 0 waits until all of it is there. */
static int upstream_append_part(struct upstream *u, uint64_t revision, size_t from, size_t n, uint32_t flags) {
    int rc = n > GROUP_MOST ? TIDE_ERR_TOO_BIG : tide_feed_append(u->feed, revision, u->ops + from, n, flags);
    if (rc != TIDE_ERR_TOO_BIG || n < 2) {
        return rc;
    }
    rc = upstream_append_part(u, revision, from, n / 2, TIDE_FEED_MORE);
    return rc ? rc : upstream_append_part(u, revision, from + n / 2, n - n / 2, flags);
}

static int upstream_append_changes(struct upstream *u, uint64_t revision, const struct etcd_change *changes, size_t n) {
    if (n > u->ops_room) {
        u->ops_room = n * 2;
        free(u->ops);
        u->ops = calloc(u->ops_room, sizeof(*u->ops));
        if (!u->ops) {
            u->ops_room = 0;
            return TIDE_ERR_NOMEM;
        }
    }
    for (size_t i = 0; i < n; i++) {
        u->ops[i] = upstream_op(&changes[i]);
    }
    return upstream_append_part(u, revision, 0, n, 0);
}

static const char *upstream_append(void *ctx, uint64_t revision, const struct etcd_change *changes, size_t n) {
    struct upstream *u = ctx;
    int rc = upstream_append_changes(u, revision, changes, n);
    /* A leader before us had it already. */
    return rc == 0 || (rc == TIDE_ERR_REVISION && n == 0) ? NULL : upstream_refuse(u, rc, revision);
}

static bool upstream_probe(void *ctx, struct etcd_probe *out) {
    struct upstream *u = ctx;
    struct tide_feed_wish wish = TIDE_FEED_WISH_INIT;
    struct tide_feed_probe p = TIDE_FEED_PROBE_INIT;
    if (tide_feed_wish(u->feed, &wish) != 0) {
        return false;
    }
    if (wish.done > 0 && wish.wanted <= wish.done && wish.bound_ns == TIDE_UNBOUNDED) {
        return false;
    }
    if (tide_feed_probe(u->feed, &p) != 0) {
        return false;
    }
    *out = (struct etcd_probe){ p.number, p.time_ns };
    return true;
}

static void upstream_complete(void *ctx, const struct etcd_probe *probe, uint64_t revision) {
    struct upstream *u = ctx;
    struct tide_feed_probe p = TIDE_FEED_PROBE_INIT;
    p.number = probe->number;
    p.time_ns = probe->time_ns;
    (void)tide_feed_complete(u->feed, &p, revision);
}

static void upstream_restored(void *ctx, const char *why, bool stranger) {
    upstream_become_another(ctx, why, stranger);
}

#define MARK_FORMAT "(raft index %llu by revision %llu)"

#define NOTE_BYTES sizeof(((struct tide_info *)0)->source_note)
#define NOTE_URL 48u /* bytes of the address that stay in any case */

/* How it goes, and what is wrong. */
static void upstream_say_state(const struct etcd_state *s, struct buf *to) {
    buf_printf(to, " %s %.60s", s->phase, s->endpoint);
    if (s->probe_ns != 0) {
        buf_printf(to, ", probe %.1f ms", (double)s->probe_ns / 1e6);
    }
    if (s->leaves_out) {
        buf_printf(to, ", keys of 0 or over %u bytes left out", ETCD_KEY_MOST);
    }
    if (s->why[0]) {
        buf_printf(to, "; %s", s->why);
    }
}

/*
 * For `tide stat`: where it stands. And for the leader after us: where the cluster's history was; so that is never cut. What went wrong, of
 * which there may be more than there is room for, takes room from the address.
 */
static void upstream_changed(void *ctx, const struct etcd_state *s) {
    struct upstream *u = ctx;
    struct buf note = { 0 }, state = { 0 };
    char mark[80] = "";
    size_t url = strlen(u->url);
    if (s->mark.index != 0) {
        snprintf(mark, sizeof(mark), " " MARK_FORMAT, (unsigned long long)s->mark.index,
                 (unsigned long long)s->mark.revision);
    }
    upstream_say_state(s, &state);
    size_t room = NOTE_BYTES - 1 - strlen(mark), least = url < NOTE_URL ? url : NOTE_URL;
    size_t says = state.size < room - least ? state.size : room - least;
    bool whole = url <= room - says;
    buf_add(&note, u->url, whole ? url : room - says - 3);
    buf_add_text(&note, whole ? "" : "...");
    buf_add(&note, state.data, says);
    buf_add(&note, mark, strlen(mark) + 1);
    (void)tide_feed_note(u->feed, note.data);
    buf_free(&note);
    buf_free(&state);
}

/* The note is text in shared memory: what is none of ours, or is cut, is no mark. The last one counts, since a member's words stand before it. */
static struct etcd_mark upstream_read_mark(const struct upstream *u) {
    struct tide_info info = TIDE_INFO_INIT;
    unsigned long long index, revision;
    int end = 0;
    const char mark[] = " (raft index ";
    const char *at = NULL, *next = tide_info(u->cli->domain, &info) == 0 ? info.source_note : "";
    while ((next = strstr(next, mark)) != NULL) {
        at = next++;
    }
    bool whole = at && sscanf(at, " " MARK_FORMAT "%n", &index, &revision, &end) == 2 && end > 0;
    return whole ? (struct etcd_mark){ index, revision } : (struct etcd_mark){ 0 };
}

#define WITNESSES                                                                                                      \
    10000u /* keys that are looked at: all of a small domain, and a change of leader waits for no large one */

struct upstream_search {
    struct buf key;
    uint64_t version, hash, seen;
};

static int upstream_look_at(void *ctx, const struct tide_entry *e) {
    struct upstream_search *s = ctx;
    if (e->version > s->version) {
        s->key.size = 0;
        buf_add(&s->key, e->key, e->key_len);
        s->version = e->version;
        s->hash = etcd_hash(e->value, e->value_size);
    }
    return ++s->seen >= WITNESSES;
}

/* By which the client tells whether the cluster still has the history that the domain has. */
static void upstream_remember(struct upstream *u) {
    struct etcd_mark mark = upstream_read_mark(u);
    struct upstream_search s = { 0 };
    (void)tide_feed_visit(u->feed, upstream_look_at, &s);
    etcd_client_remember(u->client, &mark,
                         &(struct etcd_witness){ s.key.size ? s.key.data : NULL, s.key.size, s.version, s.hash });
    buf_free(&s.key);
}

/* ---- what the library asks for ----------------------------------------------------------------------------------- */

static void upstream_ask(struct upstream *u) {
    struct tide_feed_wish wish = TIDE_FEED_WISH_INIT;
    if (tide_feed_wish(u->feed, &wish) != 0) {
        return;
    }
    uint64_t period_ns = wish.bound_ns == TIDE_UNBOUNDED ? 0 : wish.bound_ns / 3;
    if (period_ns != 0 || wish.bound_ns != TIDE_UNBOUNDED) {
        period_ns = period_ns < PERIOD_LEAST_NS  ? PERIOD_LEAST_NS
                    : period_ns > PERIOD_MOST_NS ? PERIOD_MOST_NS
                                                 : period_ns;
    }
    etcd_client_ask(u->client, wish.wanted > wish.begun || wish.done == 0, period_ns);
}

static void upstream_on_lead(void *ctx, uint32_t term) {
    struct upstream *u = ctx;
    uint64_t revision = 0;
    uint32_t whole = 0;
    (void)term;
    if (tide_feed_revision(u->feed, &revision, &whole) != 0) {
        return;
    }
    pthread_mutex_lock(&u->lock);
    u->leads = true;
    pthread_mutex_unlock(&u->lock);
    upstream_remember(u);
    etcd_client_follow(u->client, revision, !whole);
    etcd_client_ask(u->client, true, 0);
    upstream_ask(u);
}

static void upstream_on_unlead(void *ctx) {
    struct upstream *u = ctx;
    pthread_mutex_lock(&u->lock);
    u->leads = false;
    pthread_mutex_unlock(&u->lock);
    etcd_client_rest(u->client);
}

static void upstream_on_wish(void *ctx) {
    upstream_ask(ctx);
}

/* ---- writes ------------------------------------------------------------------------------------------------------ */

struct upstream_write {
    struct upstream *u;
    struct tide_feed_request *request;
    size_t n;
    struct etcd_op ops[];
};

static int upstream_code_of(enum etcd_result result) {
    static const int CODES[] = {
        [ETCD_DONE] = 0,
        [ETCD_MISMATCH] = TIDE_ERR_MISMATCH,
        [ETCD_NOT_FOUND] = TIDE_ERR_NOT_FOUND,
        [ETCD_NUMBER] = TIDE_ERR_NUMBER,
        [ETCD_OVERFLOW] = TIDE_ERR_OVERFLOW,
        [ETCD_REFUSED] = TIDE_ERR_REFUSED,
        [ETCD_LATE] = TIDE_ERR_TIMEOUT,
        [ETCD_TOO_BIG] = TIDE_ERR_TOO_BIG,
        [ETCD_TWICE] = TIDE_ERR_INVALID,
        [ETCD_UNKNOWN] = TIDE_ERR_UNKNOWN,
    };
    return CODES[result];
}

static void upstream_on_written(void *ctx, const struct etcd_outcome *o) {
    struct upstream_write *w = ctx;
    struct tide_feed_answer a = TIDE_FEED_ANSWER_INIT;
    int64_t *sums = calloc(w->n, sizeof(*sums));
    a.result = upstream_code_of(o->result);
    a.failed = (uint32_t)o->failed;
    a.revision = o->revision;
    a.found = o->found;
    for (size_t i = 0; sums && i < w->n; i++) {
        sums[i] = w->ops[i].delta;
    }
    a.results = sums;
    if (o->why) {
        args_sayf(w->u->cli->tool, "etcd: a write is %s: %s",
                  o->result == ETCD_UNKNOWN ? "of unknown outcome" : "refused", o->why);
    }
    (void)tide_feed_answer(w->request, &a);
    free(sums);
    free(w);
}

static bool upstream_is_awaited(void *ctx) {
    struct upstream_write *w = ctx;
    return tide_feed_is_awaited(w->request);
}

static struct etcd_op upstream_op_of(const struct tide_write_op *op) {
    static const enum etcd_op_kind KINDS[] = { [TIDE_OP_PUT] = ETCD_PUT,
                                               [TIDE_OP_DELETE] = ETCD_DELETE,
                                               [TIDE_OP_CAS] = ETCD_CAS,
                                               [TIDE_OP_ADD] = ETCD_ADD,
                                               [TIDE_OP_TOUCH] = ETCD_TOUCH };
    const uint64_t second = 1000 * MS;
    uint64_t ttl_ns = op->ttl_ns == TIDE_TTL_NONE ? 0 : op->ttl_ns;
    uint64_t ttl_s = ttl_ns / second + (ttl_ns % second != 0);
    return (struct etcd_op){ .kind = KINDS[op->kind],
                             .key = { op->key, op->key_len },
                             .value = { op->value, op->value_size },
                             .expected = op->expected,
                             .ttl_s = ttl_s > UINT64_C(3153600000) ? 0 : ttl_s,
                             .delta = op->delta };
}

static void upstream_on_write(void *ctx, const struct tide_feed_write *write) {
    struct upstream *u = ctx;
    struct upstream_write *w = calloc(1, sizeof(*w) + write->n * sizeof(w->ops[0]));
    pthread_mutex_lock(&u->lock);
    bool closing = u->closing;
    if (w && !closing) {
        w->u = u;
        w->request = write->request;
        w->n = write->n;
        for (size_t i = 0; i < write->n; i++) {
            const struct tide_write_op *op = (const void *)((const char *)write->ops + i * write->ops[0].size);
            w->ops[i] = upstream_op_of(op);
        }
        etcd_client_write(u->client, w->ops, w->n, WRITE_MS, upstream_is_awaited, upstream_on_written, w);
    }
    pthread_mutex_unlock(&u->lock);
    if (!w || closing) {
        struct tide_feed_answer a = TIDE_FEED_ANSWER_INIT;
        a.result = closing ? TIDE_ERR_NO_LEADER : TIDE_ERR_NOMEM;
        (void)tide_feed_answer(write->request, &a);
        free(w);
    }
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

static int upstream_open_client(struct upstream *u, const struct upstream_opts *o) {
    struct etcd_client_opts opts = { .http = { .ca = o->ca, .cert = o->cert, .key = o->key },
                                     .user = u->user,
                                     .password = u->password };
    char wrong[400];
    const char *why = wrong;
    opts.sink = (struct etcd_sink){ .ctx = u,
                                    .identify = upstream_identify,
                                    .snapshot_begin = upstream_snapshot_begin,
                                    .snapshot_keys = upstream_snapshot_keys,
                                    .snapshot_end = upstream_snapshot_end,
                                    .append = upstream_append,
                                    .probe = upstream_probe,
                                    .complete = upstream_complete,
                                    .restored = upstream_restored,
                                    .say = upstream_say,
                                    .changed = upstream_changed };
    if (etcd_address_read(&opts.address, o->url, wrong, sizeof(wrong)) == 0) {
        u->identity_seed = etcd_hash(opts.address.prefix, opts.address.prefix_len);
        u->client = etcd_client_open(&opts, &why);
    }
    return u->client ? 0 : cli_complain(u->cli, TOOL_FAILED, "upstream", "--upstream: %s", why);
}

static int upstream_open_feed(struct upstream *u) {
    struct tide_feed_opts opts = TIDE_FEED_OPTS_INIT;
    opts.source = SOURCE;
    opts.ctx = u;
    opts.lead = upstream_on_lead;
    opts.unlead = upstream_on_unlead;
    opts.write = upstream_on_write;
    opts.wish = upstream_on_wish;
    int rc = tide_feed_open(u->cli->domain, &opts, &u->feed);
    return rc == 0 ? 0 : cli_fail(u->cli, rc, "cannot feed %s from etcd", u->cli->name);
}

static void *upstream_run(void *arg) {
    struct upstream *u = arg;
    etcd_client_run(u->client);
    return NULL;
}

int upstream_open(struct cli *c, const struct upstream_opts *o, struct upstream **out) {
    struct upstream *u = calloc(1, sizeof(*u));
    if (!u) {
        return cli_fail(c, TIDE_ERR_NOMEM, "%s", c->name);
    }
    u->cli = c;
    c->feeds = SOURCE;
    *out = u;
    pthread_mutex_init(&u->lock, NULL);
    snprintf(u->url, sizeof(u->url), "%.150s", o->url);
    u->copy = upstream_copy_new();
    int code = o->user ? upstream_read_user(u, o->user) : 0;
    code = code == 0 ? upstream_open_client(u, o) : code;
    code = code == 0 ? upstream_open_feed(u) : code;
    if (code == 0) {
        u->runs = pthread_create(&u->thread, NULL, upstream_run, u) == 0;
        code = u->runs ? 0 : cli_fail(c, TIDE_ERR_SYSTEM, "no thread can be started");
    }
    return code;
}

int upstream_is_another(struct upstream *u) {
    pthread_mutex_lock(&u->lock);
    int another = u->another;
    pthread_mutex_unlock(&u->lock);
    return another;
}

int upstream_is_astray(struct upstream *u) {
    pthread_mutex_lock(&u->lock);
    int astray = u->astray;
    pthread_mutex_unlock(&u->lock);
    return astray;
}

int upstream_leave(struct upstream *u) {
    return cli_complain(
        u->cli, TOOL_FAILED, "upstream",
        "--upstream %s: %s: leaving it as it is, and ending; give --upstream as the domain's leader had "
        "it ('tide stat %s' shows it)",
        u->url, upstream_another_why(u), u->cli->name);
}

const char *upstream_another_why(struct upstream *u) {
    return u->another_why; /* written once, before `another` */
}

int upstream_wait(struct upstream *u) {
    uint64_t waited_ns = 0;
    for (;;) {
        struct tide_info info = TIDE_INFO_INIT;
        struct etcd_state state;
        int rc = tide_info(u->cli->domain, &info);
        if (rc != 0) {
            return cli_fail(u->cli, rc, "%s", u->cli->name);
        }
        etcd_client_state(u->client, &state);
        bool complete = info.complete_ns != TIDE_UNBOUNDED;
        if ((complete && state.complete) || upstream_is_another(u)) {
            return 0;
        }
        waited_ns += strcmp(state.phase, "copying") == 0 ? 0 : LOOK_NS;
        if (state.hopeless || waited_ns > START_NS) {
            const char *why = state.why[0] ? state.why : "no member answers";
            if (complete) {
                args_sayf(u->cli->tool, "etcd: %s: going on with what the domain has, and trying", why);
                return 0;
            }
            return cli_complain(u->cli, TOOL_FAILED, "upstream", "--upstream %s: %s", u->url, why);
        }
        if (cli_sleep(LOOK_NS)) {
            return 0;
        }
    }
}

int upstream_end(struct upstream *u, struct cli *c, int code) {
    if (!u) {
        return cli_end(c, code);
    }
    pthread_mutex_lock(&u->lock);
    u->closing = true;
    pthread_mutex_unlock(&u->lock);
    if (u->runs) {
        etcd_client_stop(u->client);
        pthread_join(u->thread, NULL);
    }
    code = cli_end(c, code);
    if (u->feed) {
        (void)tide_feed_close(u->feed);
    }
    if (u->client) {
        etcd_client_close(u->client);
    }
    upstream_copy_free(u->copy);
    pthread_mutex_destroy(&u->lock);
    if (u->password) {
        explicit_bzero(u->password, strlen(u->password));
    }
    free(u->user);
    free(u->password);
    free(u->ops);
    free(u);
    return code;
}
