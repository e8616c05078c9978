/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/upstream_world.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/help.h"

#define HOSTS ETCD_HOSTS
#define SESSIONS 3u /* threads of each host */
#define SLOTS (HOSTS * SESSIONS)
#define QUOTA 60u /* operations that a session does in a round */
#define BATCH 2u  /* records that one call may make */
#define EVENTS (1u << 20)
#define SERVERS 2u /* of each host: one leads, the other is its candidate */
#define SECOND UINT64_C(1000000000)
#define NAME "d"

struct record {
    struct history_op op;
    uint64_t after; /* the revision that the session's state was known to reflect before the call */
    _Atomic bool answered;
};

struct slot {
    _Atomic uint32_t called, finished;
    _Atomic uint64_t revision; /* of its last write */
    struct record records[QUOTA + BATCH];
};

struct event {
    uint64_t revision, value, round;
    uint32_t key;
    bool put;
};

struct shared {
    _Atomic uint32_t round, ready;
    struct slot slots[SLOTS];
    _Atomic uint32_t events[HOSTS];
    _Atomic uint64_t watched[HOSTS]; /* revision */
    struct event list[HOSTS][EVENTS];
    _Atomic uint32_t lost[HOSTS];
};

struct world {
    struct etcd_world etcd;
    struct shared *shared;
    char dirs[HOSTS][64];
    pid_t servers[HOSTS][SERVERS], clients[HOSTS], watches[HOSTS];
    struct help_rng rng;
    struct upstream_counts *counts;
    unsigned copies[HOSTS]; /* before the round */
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void nap_ms(long ms) {
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

struct session {
    struct shared *shared;
    struct tide *d;
    struct tide_reader *reader;
    uint32_t number, round;
    struct help_rng rng;
    uint64_t holds; /* the highest revision that it has seen or written */
    struct {
        uint64_t version, value;
    } seen[HISTORY_KEYS];
};

static size_t name_of(char *to, uint32_t round, uint32_t key) {
    return (size_t)sprintf(to, "%u-%u", round, key);
}

static struct record *begin(struct session *s, uint32_t n, enum history_kind kind, uint32_t key) {
    struct slot *slot = &s->shared->slots[s->number];
    uint32_t at = slot->called;
    struct record *r = &slot->records[at];
    for (uint32_t i = 0; i < n; i++) {
        r[i].answered = false;
        r[i].after = s->holds;
        r[i].op =
            (struct history_op){ .session = s->number,
                                 .key = (uint16_t)key,
                                 .kind = (uint8_t)kind,
                                 .value = kind == HISTORY_PUT || kind == HISTORY_CAS
                                              ? (uint64_t)s->round << 32 | (uint64_t)s->number << 24 | (at + i + 1)
                                              : 0 };
    }
    return r;
}

static void call(struct session *s, struct record *r, uint32_t n) {
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < n; i++) {
        r[i].op.call_ns = now;
    }
    s->shared->slots[s->number].called += n;
}

static void finish(struct record *r, uint32_t n) {
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < n; i++) {
        r[i].op.ret_ns = r[i].op.outcome == HISTORY_PENDING ? HISTORY_NEVER : now;
        r[i].answered = true;
    }
}

static void do_get(struct session *s, uint32_t key) {
    static const uint64_t STALENESS[] = { 5000000, 20000000, 100000000, 500000000, TIDE_UNBOUNDED };
    struct tide_bound b = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    char name[40];
    uint64_t value = 0, dice = help_below(&s->rng, 10);
    b.fallback = help_below(&s->rng, 2) ? TIDE_FALLBACK_LEADER : TIDE_FALLBACK_WAIT;
    b.wait_ns = 2 * SECOND;
    if (dice >= 5) {
        b.max_staleness_ns = STALENESS[help_below(&s->rng, 5)];
        b.fallback = help_below(&s->rng, 2) ? TIDE_FALLBACK_ERROR : TIDE_FALLBACK_WAIT;
    }
    if (dice >= 8) { /* read behind a fence, perhaps one of the other host */
        uint64_t revision = s->shared->slots[help_below(&s->rng, SLOTS)].revision;
        b.min = (struct tide_token){ revision ? TIDE_REVISION : 0, revision };
        b.fallback = TIDE_FALLBACK_WAIT;
    }
    size_t len = name_of(name, s->round, key);
    struct record *r = begin(s, 1, HISTORY_GET, key);
    r->op.max_staleness_ns = b.max_staleness_ns;
    r->op.min_index = b.min.index;
    r->after = r->after > b.min.index ? r->after : b.min.index;
    call(s, r, 1);
    int rc = tide_get(s->reader, name, len, &b, &value, sizeof(value), &a);
    r->op.outcome = rc == 0 || rc == TIDE_ERR_NOT_FOUND ? HISTORY_DONE : HISTORY_FAILED;
    r->op.error = r->op.outcome == HISTORY_FAILED ? rc : 0;
    r->op.value = rc == 0 ? value : 0;
    r->op.version = rc == 0 ? a.version : 0;
    r->op.staleness_ns = a.staleness_ns;
    r->op.linearizable = a.linearizable;
    finish(r, 1);
    if (r->op.outcome == HISTORY_DONE) {
        s->seen[key].version = r->op.version;
        s->seen[key].value = r->op.value;
        s->holds = s->holds > r->op.version ? s->holds : r->op.version;
        s->holds = s->holds > r->after ? s->holds : r->after; /* a session never goes back */
    }
}

static void wrote(struct session *s, struct record *r, uint32_t n, int rc, const struct tide_token *token) {
    for (uint32_t i = 0; i < n; i++) {
        struct history_op *op = &r[i].op;
        op->outcome = rc == 0                   ? HISTORY_DONE
                      : rc == TIDE_ERR_UNKNOWN  ? HISTORY_PENDING
                      : rc == TIDE_ERR_MISMATCH ? HISTORY_MISMATCH
                                                : HISTORY_FAILED;
        op->error = op->outcome == HISTORY_FAILED ? rc : 0;
        op->index = rc == 0 ? token->index : 0;
    }
    finish(r, n);
    if (rc == 0) {
        help_check(token->incarnation == TIDE_REVISION);
        s->shared->slots[s->number].revision = token->index;
        s->holds = s->holds > token->index ? s->holds : token->index;
        for (uint32_t i = 0; i < n; i++) {
            s->seen[r[i].op.key].version = r[i].op.kind == HISTORY_DELETE ? 0 : token->index;
            s->seen[r[i].op.key].value = r[i].op.value;
        }
    }
}

static void do_write(struct session *s, uint32_t key) {
    static const enum history_kind KINDS[] = { HISTORY_PUT, HISTORY_PUT, HISTORY_PUT, HISTORY_DELETE, HISTORY_CAS };
    enum history_kind kind = KINDS[help_below(&s->rng, 5)];
    struct tide_token token = { 0, 0 };
    char name[40];
    size_t len = name_of(name, s->round, key);
    struct record *r = begin(s, 1, kind, key);
    uint64_t value = r->op.value;
    r->op.expected = kind == HISTORY_CAS ? s->seen[key].version : 0;
    r->op.expected_value = kind == HISTORY_CAS ? s->seen[key].value : 0;
    call(s, r, 1);
    int rc = kind == HISTORY_PUT ? tide_put(s->d, s->reader, name, len, &value, sizeof(value), &token)
             : kind == HISTORY_DELETE
                 ? tide_delete(s->d, s->reader, name, len, &token)
                 : tide_cas(s->d, s->reader, name, len, r->op.expected, &value, sizeof(value), &token, &r->op.found);
    wrote(s, r, 1, rc, &token);
}

static void do_batch(struct session *s, uint32_t key) {
    struct tide_op ops[BATCH];
    struct tide_token token = { 0, 0 };
    char names[BATCH][40];
    uint64_t values[BATCH];
    struct record *r = begin(s, BATCH, HISTORY_PUT, key);
    for (uint32_t i = 0; i < BATCH; i++) {
        r[i].op.key = (uint16_t)((key + i) % HISTORY_KEYS);
        values[i] = r[i].op.value;
        ops[i] = (struct tide_op){ .kind = TIDE_OP_PUT,
                                   .key = names[i],
                                   .key_len = name_of(names[i], s->round, r[i].op.key),
                                   .value = &values[i],
                                   .value_size = sizeof(values[i]) };
    }
    call(s, r, BATCH);
    wrote(s, r, BATCH, tide_batch(s->d, s->reader, ops, BATCH, &token, NULL), &token);
}

static void *session_run(void *arg) {
    struct session *s = arg;
    struct slot *slot = &s->shared->slots[s->number];
    if (tide_reader_open(s->d, NULL, &s->reader) != 0) {
        abort();
    }
    for (;;) {
        uint32_t round = s->shared->round;
        if (round == slot->finished) {
            nap_ms(1);
            continue;
        }
        s->round = round;
        memset(s->seen, 0, sizeof(s->seen));
        while (slot->called < QUOTA) {
            uint32_t key = (uint32_t)help_below(&s->rng, HISTORY_KEYS);
            uint64_t dice = help_below(&s->rng, 20);
            if (dice < 13) {
                do_get(s, key);
            } else if (dice < 19) {
                do_write(s, key);
            } else {
                do_batch(s, key);
            }
        }
        slot->finished = round;
    }
    return NULL;
}

/* Open the domain with or without a leader: the current one may have died. */
static struct tide *open_domain(const char *dir, uint64_t timeout_ns) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    setenv("TIDE_SHM_DIR", dir, 1);
    opts.flags = 0;
    opts.write_timeout_ns = timeout_ns;
    for (int rc, first = 0; (rc = tide_open(&d, NAME, &opts)) != 0; first = rc) {
        if (rc != first) {
            fprintf(stderr, "# opening the domain: %s\n", tide_strerror(rc)); /* perhaps another build made it */
        }
        nap_ms(10);
    }
    return d;
}

static void clients_run(struct world *w, uint32_t host) {
    static struct session sessions[SESSIONS];
    pthread_t threads[SESSIONS];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct tide *d = open_domain(w->dirs[host], 3 * SECOND);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        sessions[i] = (struct session){ .shared = w->shared, .d = d, .number = host * SESSIONS + i };
        sessions[i].rng.state = w->rng.state + sessions[i].number + 1;
        pthread_create(&threads[i], NULL, session_run, &sessions[i]);
    }
    w->shared->ready++;
    pthread_join(threads[0], NULL);
    _exit(1);
}

/* ---- watches ----------------------------------------------------------------------------------------------------- */

static void watch_run(struct world *w, uint32_t host) {
    struct shared *shared = w->shared;
    struct tide_watch *watch = NULL;
    struct tide_event e = TIDE_EVENT_INIT;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct tide *d = open_domain(w->dirs[host], SECOND);
    if (tide_watch_open(d, NULL, &watch) != 0) {
        abort();
    }
    w->shared->ready++;
    for (;;) {
        int rc = tide_watch_next(watch, &e, SECOND / 10);
        if (rc == TIDE_ERR_TIMEOUT) {
            continue;
        }
        uint32_t at = shared->events[host];
        unsigned round = 0, key = 0;
        char name[40];
        if (rc != 0 || at == EVENTS) {
            shared->lost[host] = rc ? (uint32_t)-rc : 99;
            nap_ms(1000000);
        }
        snprintf(name, sizeof(name), "%.*s", (int)e.key_len, (const char *)e.key);
        if (sscanf(name, "%u-%u", &round, &key) == 2) {
            struct event *to = &shared->list[host][at];
            *to = (struct event){ e.revision, 0, round, key, e.kind == TIDE_EVENT_PUT };
            if (to->put && e.value_size == sizeof(to->value)) {
                memcpy(&to->value, e.value, sizeof(to->value));
            }
            shared->events[host] = at + 1;
        }
        shared->watched[host] = e.revision;
    }
}

/* ---- processes --------------------------------------------------------------------------------------------------- */

static pid_t start_server(const struct world *w, uint32_t host, const char *role) {
    char log[100];
    snprintf(log, sizeof(log), "%s%u.log", role, host);
    return etcd_world_tide(&w->etcd, host, w->dirs[host], role, NAME, "h/", log);
}

/* How often the host's servers have printed this so far. */
static unsigned said(const struct world *w, uint32_t host, const char *words) {
    static const char *const ROLES[] = { "serve", "follow" };
    unsigned times = 0;
    for (size_t i = 0; i < 2; i++) {
        char log[100], line[600];
        snprintf(log, sizeof(log), "%s/%s%u.log", w->etcd.dir, ROLES[i], host);
        FILE *in = fopen(log, "r");
        while (in && fgets(line, sizeof(line), in)) {
            times += strstr(line, words) != NULL;
        }
        if (in) {
            fclose(in);
        }
    }
    return times;
}

static void kill_process(pid_t *pid) {
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
        *pid = 0;
    }
}

static pid_t fork_part(struct world *w, void (*run)(struct world *, uint32_t), uint32_t host) {
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        run(w, host);
        _exit(1);
    }
    return pid;
}

static void start(struct world *w, uint64_t seed, unsigned members) {
    w->rng.state = seed;
    w->shared = mmap(NULL, sizeof(*w->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(w->shared, MAP_FAILED);
    etcd_world_start_linked(&w->etcd, members, HOSTS);
    for (uint32_t h = 0; h < HOSTS; h++) {
        snprintf(w->dirs[h], sizeof(w->dirs[h]), "/dev/shm/tide-host-XXXXXX");
        assert_non_null(mkdtemp(w->dirs[h]));
        w->servers[h][0] = start_server(w, h, "serve");
    }
    for (uint32_t h = 0; h < HOSTS; h++) {
        while (said(w, h, "ready ") == 0) {
            nap_ms(20); /* wait for the first copy, which this check of watches leaves out */
        }
    }
    for (uint32_t h = 0; h < HOSTS; h++) {
        w->clients[h] = fork_part(w, clients_run, h);
        w->watches[h] = fork_part(w, watch_run, h);
    }
    while (w->shared->ready < 2 * HOSTS) {
        nap_ms(10);
    }
    for (uint32_t h = 0; h < HOSTS; h++) {
        w->servers[h][1] = start_server(w, h, "follow");
    }
}

static void stop(struct world *w) {
    for (uint32_t h = 0; h < HOSTS; h++) {
        kill_process(&w->clients[h]);
        kill_process(&w->watches[h]);
        for (uint32_t i = 0; i < SERVERS; i++) {
            kill_process(&w->servers[h][i]);
        }
        char command[100];
        snprintf(command, sizeof(command), "rm -rf '%s'", w->dirs[h]);
        assert_int_equal(system(command), 0);
    }
    etcd_world_stop(&w->etcd);
    munmap(w->shared, sizeof(*w->shared));
}

/* ---- trouble ----------------------------------------------------------------------------------------------------- */

static void move_leader(struct world *w) {
    char ids[400];
    (void)etcd_control(&w->etcd, ids, sizeof(ids), "member list | cut -d, -f1");
    char *save = NULL, *id = strtok_r(ids, "\n", &save);
    for (uint64_t i = help_below(&w->rng, w->etcd.n); id && i > 0; i--) {
        id = strtok_r(NULL, "\n", &save);
    }
    (void)etcd_control(&w->etcd, NULL, 0, "move-leader %s", id ? id : "0");
    w->counts->moves++;
}

static void compact(struct world *w) {
    uint64_t revision = w->shared->watched[0];
    if (revision > 2) {
        (void)etcd_control(&w->etcd, NULL, 0, "compaction %" PRIu64, revision - 1);
        w->counts->compactions++;
    }
}

/* One leader of a host dies: its candidate takes over, and another candidate is started. */
static void kill_server(struct world *w) {
    uint32_t h = (uint32_t)help_below(&w->rng, HOSTS), i = (uint32_t)help_below(&w->rng, SERVERS);
    kill_process(&w->servers[h][i]);
    w->servers[h][i] = start_server(w, h, "follow");
    w->counts->kills++;
}

/* Cut a member off from its peers; its hosts still reach it, or do not reach it either. */
static void partition(struct world *w, unsigned member) {
    bool from_hosts = help_below(&w->rng, 2);
    etcd_member_isolate(&w->etcd, member, true);
    for (uint32_t h = 0; h < HOSTS && from_hosts; h++) {
        links_hold(w->etcd.links, w->etcd.host_links[h][member], LINK_UP, true);
        links_hold(w->etcd.links, w->etcd.host_links[h][member], LINK_DOWN, true);
    }
    nap_ms(200 + (long)help_below(&w->rng, 3000));
    links_mend(w->etcd.links);
    w->counts->partitions++;
}

/* A host's links to all members, or to one. */
static void slow(struct world *w, unsigned member) {
    uint32_t h = (uint32_t)help_below(&w->rng, HOSTS), ms = 1 + (uint32_t)help_below(&w->rng, 120);
    bool all = help_below(&w->rng, 2);
    for (unsigned i = 0; i < w->etcd.n; i++) {
        if (all || i == member) {
            links_delay(w->etcd.links, w->etcd.host_links[h][i], ms);
        }
    }
    nap_ms(100 + (long)help_below(&w->rng, 1000));
    links_mend(w->etcd.links);
    w->counts->slow++;
}

/* For a while the network loses what a host sends, or what it should receive, and delivers it late; or the host's connections end. */
static void hold(struct world *w) {
    uint32_t h = (uint32_t)help_below(&w->rng, HOSTS);
    uint64_t how = help_below(&w->rng, 3);
    for (unsigned i = 0; i < w->etcd.n; i++) {
        if (how == 2) {
            links_cut(w->etcd.links, w->etcd.host_links[h][i], true);
        } else {
            links_hold(w->etcd.links, w->etcd.host_links[h][i], how ? LINK_UP : LINK_DOWN, true);
        }
    }
    nap_ms((long)help_below(&w->rng, 700));
    links_mend(w->etcd.links);
    w->counts->cuts++;
}

static void trouble(struct world *w) {
    unsigned member = (unsigned)help_below(&w->rng, w->etcd.n);
    nap_ms((long)help_below(&w->rng, 60));
    switch (help_below(&w->rng, 9)) {
    case 0:
    case 1:
        kill_server(w);
        break;
    case 2: /* kill a member and start it again; if it is the only one, all hosts wait for it */
        etcd_member_kill(&w->etcd, member);
        nap_ms((long)help_below(&w->rng, 300));
        etcd_member_start(&w->etcd, member);
        w->counts->member_kills++;
        break;
    case 3: /* stop a member: its connections stay open and silent */
        etcd_member_signal(&w->etcd, member, SIGSTOP);
        nap_ms(200 + (long)help_below(&w->rng, 2000));
        etcd_member_signal(&w->etcd, member, SIGCONT);
        w->counts->member_stops++;
        break;
    case 4:
        move_leader(w);
        break;
    case 5:
        partition(w, member);
        break;
    case 6:
        slow(w, member);
        break;
    case 7:
        hold(w);
        break;
    default:
        compact(w);
    }
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

struct round {
    struct history h;
    uint64_t *after; /* of each operation */
};

static struct round collect(struct world *w) {
    struct round r = { .h = { .ops = calloc(SLOTS * (QUOTA + BATCH), sizeof(struct history_op)) },
                       .after = calloc(SLOTS * (QUOTA + BATCH), sizeof(uint64_t)) };
    assert_non_null(r.h.ops);
    assert_non_null(r.after);
    for (uint32_t s = 0; s < SLOTS; s++) {
        struct slot *slot = &w->shared->slots[s];
        for (uint32_t i = 0; i < slot->called; i++) {
            r.after[r.h.n] = slot->records[i].after;
            r.h.ops[r.h.n++] = slot->records[i].op;
        }
    }
    return r;
}

static bool fault(const struct round *r, const char *what, size_t a, size_t b) {
    struct history_fault f = { HISTORY_STALE, a, b };
    printf("# %s\n", what);
    history_print(stdout, &r->h, &f);
    return false;
}

static bool is_write(const struct history_op *op) {
    return op->kind != HISTORY_GET;
}

/* Did the read see the key as of some revision that is not below `least`? It did not if a later write of the key is at or below `least`. A read
 * that saw no value needs a delete at or above `least`, or no write of the key up to `least`. */
static bool is_as_of(const struct round *r, const struct history_op *read, uint64_t least, size_t *by) {
    bool deleted_later = false, absent_then = true;
    uint64_t last = 0;
    for (size_t i = 0; i < r->h.n; i++) {
        const struct history_op *o = &r->h.ops[i];
        if (!is_write(o) || o->key != read->key) {
            continue;
        }
        if (o->kind == HISTORY_DELETE &&
            (o->outcome == HISTORY_PENDING || (o->outcome == HISTORY_DONE && o->index > least))) {
            deleted_later = true;
        }
        if (o->outcome != HISTORY_DONE || o->index > least) {
            continue;
        }
        if (read->value != 0 && o->index > read->version) {
            *by = i;
            return false;
        }
        if (o->index > last) {
            last = o->index;
            absent_then = o->kind == HISTORY_DELETE;
            *by = i;
        }
    }
    return read->value != 0 || absent_then || deleted_later;
}

/* The highest revision that the cluster acknowledged to any host before an instant. */
static uint64_t known_before(const struct round *r, uint64_t instant_ns) {
    uint64_t known = 0;
    for (size_t i = 0; i < r->h.n; i++) {
        const struct history_op *o = &r->h.ops[i];
        if (is_write(o) && o->outcome == HISTORY_DONE && o->ret_ns < instant_ns && o->index > known) {
            known = o->index;
        }
    }
    return known;
}

static bool check_reads(struct world *w, const struct round *r) {
    size_t by = 0;
    for (size_t i = 0; i < r->h.n; i++) {
        const struct history_op *o = &r->h.ops[i];
        if (is_write(o) || o->outcome != HISTORY_DONE) {
            continue;
        }
        w->counts->reads++;
        w->counts->fresh += o->max_staleness_ns == 0;
        w->counts->bounded += o->max_staleness_ns != 0;
        w->counts->by_token += o->min_index != 0;
        if (o->max_staleness_ns != TIDE_UNBOUNDED && o->staleness_ns > o->max_staleness_ns) {
            return fault(r, "a read claims more staleness than was allowed", i, i);
        }
        if (o->max_staleness_ns == 0 && !o->linearizable) {
            return fault(r, "bound 0 was served, and is not said to be linearizable", i, i);
        }
        uint64_t instant = o->staleness_ns < o->call_ns ? o->call_ns - o->staleness_ns : 0;
        if (!is_as_of(r, o, known_before(r, instant), &by)) {
            return fault(r, "a read is older than it claims", by, i);
        }
        if (!is_as_of(r, o, r->after[i], &by)) {
            return fault(r, "a read is older than its session or token", by, i);
        }
    }
    return true;
}

static bool check_order(const struct round *r) {
    struct history fresh = { .ops = calloc(r->h.n + 1, sizeof(struct history_op)) };
    struct history_fault f = { 0 };
    assert_non_null(fresh.ops);
    for (size_t i = 0; i < r->h.n; i++) {
        const struct history_op *o = &r->h.ops[i];
        if (o->outcome != HISTORY_FAILED && (is_write(o) || o->staleness_ns == 0)) {
            fresh.ops[fresh.n++] = *o;
        }
    }
    bool fine = history_check_search(&fresh, &f);
    if (!fine) {
        printf("# no order: %s\n", history_fault_name(f.kind));
        history_minimise(&fresh, f.kind);
        history_print(stdout, &fresh, &f);
    }
    free(fresh.ops);
    return fine;
}

/* Each host's watch tells every write of the round once, in the order of revisions. */
static bool check_watches(struct world *w, const struct round *r, uint32_t round) {
    struct shared *s = w->shared;
    for (uint32_t h = 0; h < HOSTS; h++) {
        uint64_t last = 0;
        if (said(w, h, "etcd: copied at") != w->copies[h]) {
            w->counts->differences++;
            continue; /* the cluster compacted its log: a difference leaves steps out and is in no order */
        }
        if (s->lost[h]) {
            printf("# the watch of host %u ended: %u\n", h, s->lost[h]);
            return false;
        }
        for (uint32_t i = 0; i < s->events[h]; i++) {
            if (s->list[h][i].revision < last) {
                printf("# host %u: revision %" PRIu64 " was told behind %" PRIu64 "\n", h, s->list[h][i].revision,
                       last);
                return false;
            }
            last = s->list[h][i].revision;
        }
        for (size_t k = 0; k < r->h.n; k++) {
            const struct history_op *o = &r->h.ops[k];
            uint32_t times = 0;
            if (!is_write(o) || o->outcome == HISTORY_MISMATCH || o->kind == HISTORY_DELETE) {
                continue; /* a delete of an absent key changes nothing */
            }
            for (uint32_t i = 0; i < s->events[h]; i++) {
                const struct event *e = &s->list[h][i];
                times += e->round == round && e->key == o->key && e->put && e->value == o->value;
            }
            if (times > 1 || (times == 0 && o->outcome == HISTORY_DONE) || (times && o->outcome == HISTORY_FAILED)) {
                printf("# host %u: a write was told %u times, at revisions", h, times);
                for (uint32_t i = 0; i < s->events[h]; i++) {
                    const struct event *e = &s->list[h][i];
                    if (e->round == round && e->key == o->key && e->put && e->value == o->value) {
                        printf(" %" PRIu64, e->revision);
                    }
                }
                printf("\n");
                return fault(r, "a watch missed it, or told it twice, or of what was not done", k, k);
            }
            w->counts->watched += times;
        }
        for (uint32_t i = 0; i < s->events[h]; i++) { /* two events of one key and revision: told twice */
            for (uint32_t k = i + 1; k < s->events[h] && s->list[h][k].revision == s->list[h][i].revision; k++) {
                if (s->list[h][k].key == s->list[h][i].key && s->list[h][k].round == s->list[h][i].round) {
                    printf("# host %u: key %u of revision %" PRIu64 " was told twice\n", h, s->list[h][i].key,
                           s->list[h][i].revision);
                    return false;
                }
            }
        }
    }
    return true;
}

static bool check(struct world *w, uint32_t round) {
    struct round r = collect(w);
    for (size_t i = 0; i < r.h.n; i++) {
        w->counts->writes += is_write(&r.h.ops[i]);
        w->counts->pending += r.h.ops[i].outcome == HISTORY_PENDING;
        w->counts->failed += r.h.ops[i].outcome == HISTORY_FAILED;
    }
    bool fine = check_reads(w, &r) && check_order(&r) && check_watches(w, &r, round);
    free(r.h.ops);
    free(r.after);
    return fine;
}

/* ---- rounds ------------------------------------------------------------------------------------------------------ */

static bool is_finished(struct world *w, uint32_t round) {
    for (uint32_t s = 0; s < SLOTS; s++) {
        if (w->shared->slots[s].finished != round) {
            return false;
        }
    }
    return true;
}

/* Write once more behind everything. Both watches must tell it before the round is checked. */
static bool settle(struct world *w, uint32_t round) {
    char key[40];
    uint64_t until = now_ns() + 60 * SECOND;
    for (uint32_t h = 0; h < HOSTS; h++) {
        w->shared->watched[h] = 0;
    }
    for (unsigned i = 0; i < w->etcd.n; i++) {
        etcd_member_wait(&w->etcd, i);
    }
    snprintf(key, sizeof(key), "h/settled-%u", round);
    while (etcd_control(&w->etcd, NULL, 0, "put %s x", key) != 0) {
        nap_ms(50);
    }
    for (uint32_t h = 0; h < HOSTS; h++) {
        while (w->shared->watched[h] == 0 && !w->shared->lost[h]) {
            if (now_ns() > until) {
                printf("# host %u does not come back within a minute\n", h);
                return false;
            }
            nap_ms(2);
        }
    }
    nap_ms(20); /* sessions wait, so this write is the last one; a pending write may still be done a little later */
    return true;
}

bool upstream_world_run(uint64_t seed, unsigned members, uint64_t seconds, bool with_trouble,
                        struct upstream_counts *counts) {
    struct world w = { .counts = counts };
    uint64_t until = now_ns() + seconds * SECOND;
    bool fine = true;
    start(&w, seed, members);
    for (uint32_t round = 1; fine && (round == 1 || now_ns() < until); round++) {
        for (uint32_t s = 0; s < SLOTS; s++) {
            w.shared->slots[s].called = 0;
        }
        for (uint32_t h = 0; h < HOSTS; h++) {
            w.shared->events[h] = 0;
            w.copies[h] = said(&w, h, "etcd: copied at");
        }
        w.shared->round = round;
        while (!is_finished(&w, round)) {
            if (with_trouble && help_below(&w.rng, 3) == 0) {
                trouble(&w);
            }
            nap_ms(5);
        }
        fine = settle(&w, round) && check(&w, round);
        counts->rounds += fine;
    }
    if (!fine) {
        printf("# seed %" PRIu64 "; what the servers said:\n", seed);
        char command[200];
        snprintf(command, sizeof(command), "tail -n 12 %s/serve*.log %s/follow*.log", w.etcd.dir, w.etcd.dir);
        fflush(stdout);
        (void)!system(command);
    }
    stop(&w);
    return fine;
}

void upstream_counts_print(const struct upstream_counts *c) {
    printf("# %" PRIu64 " rounds, %" PRIu64 " reads (%" PRIu64 " at bound 0, %" PRIu64 " bounded, %" PRIu64
           " with a token), %" PRIu64 " writes, %" PRIu64 " pending, %" PRIu64 " operations without effect, %" PRIu64
           " changes watched\n",
           c->rounds, c->reads, c->fresh, c->bounded, c->by_token, c->writes, c->pending, c->failed, c->watched);
    printf("# %" PRIu64 " servers killed, %" PRIu64 " members killed, %" PRIu64 " stopped, %" PRIu64
           " changes of the cluster's leader asked for, %" PRIu64 " compactions, %" PRIu64
           " rounds with a difference\n",
           c->kills, c->member_kills, c->member_stops, c->moves, c->compactions, c->differences);
    printf("# %" PRIu64 " partitions of a member, %" PRIu64 " times slow links, %" PRIu64
           " times links that lost a way or were cut\n",
           c->partitions, c->slow, c->cuts);
}
