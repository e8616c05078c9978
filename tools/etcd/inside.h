/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the client's files share: only they include this. */
#ifndef TIDE_ETCD_INSIDE_H
#define TIDE_ETCD_INSIDE_H

#include <pthread.h>

#include "tools/etcd/client.h"
#include "tools/etcd/lease.h"
#include "tools/lib/json_out.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define PENDING 16u /* completions that wait for the watch */
#define PROBES 4u   /* at once, where the first ones hang */

enum phase { PHASE_REST, PHASE_WAIT, PHASE_HELLO, PHASE_LOGIN, PHASE_CHECK, PHASE_COPY, PHASE_WATCH };

struct endpoint {
    uint32_t failures; /* one after another */
    uint64_t not_before_ns;
    bool hopeless; /* waiting does not help */
    bool ours;     /* it has answered for the cluster that we follow: writes may be sent to it */
    bool foreign;  /* it answers for another one */
    char why[300];
};

/* Where the cluster was when a linearizable read was sent: no answer is behind that. */
struct known {
    uint64_t seen, term;
};

/* The one long conversation: what comes before the watch, and the watch. */
struct stream {
    enum phase phase;
    struct etcd_call *call;
    unsigned at;       /* endpoint */
    bool snapshot;     /* one is needed */
    bool prefix_alone; /* the user may not watch all keys */
    uint64_t denied;   /* a watch was, with this one of login.tokens; counted from 1 */
    bool open;         /* the watch has answered that it is created */
    bool counted;      /* `count` holds */
    uint64_t count;    /* keys under the prefix at `seen`; only where prefix_alone */
    uint64_t seen;     /* everything up to this revision was told to the sink */
    uint64_t told;     /* the highest revision that the sink was given */
    uint64_t copied;   /* PHASE_COPY: the snapshot's revision */
    struct buf after;  /* PHASE_COPY: the last key of the last page */
    uint64_t limit;    /* PHASE_COPY: keys of the next page */
    uint64_t page_ns;  /* PHASE_COPY: when it was asked for */
    struct buf in;     /* PHASE_WATCH: not yet read */
    size_t in_at;
    struct wire_scan scan;
    struct buf held; /* events of a revision that may go on in the next message: of this list */
    struct wire held_wire;
    struct known known; /* when the check was sent */
    bool ended;
    char end_why[200];
    uint64_t begun_ns, heard_ns; /* the watch was asked for; bytes came that are no mere trickle */
    size_t heard_bytes;          /* since then */
    unsigned silences;           /* it told nothing so often, one after another */
    bool too_large;              /* a message */
    bool fragment;               /* messages are to come in parts */
};

struct completion {
    struct etcd_probe probe;
    uint64_t revision;
};

struct probe_call {
    struct etcd_client *client;
    struct etcd_call *call;
    struct etcd_probe probe;
    uint64_t begun_ns;
    struct known known;
    uint64_t count; /* keys, when it was sent: where the user sees the prefix alone */
    unsigned at;
};

struct probing {
    struct probe_call calls[PROBES];
    bool asked;
    uint64_t period_ns, last_ns, not_before_ns;
    struct completion pending[PENDING];
    uint32_t n;
    uint64_t took_ns;
};

/* mark.c; the key is in a buf of its owner's: empty where none is known */
struct witness {
    uint64_t mod_revision, value_hash;
};
struct marking {
    struct etcd_call *call;
    uint64_t index; /* of the last status; 0: it had none */
    uint64_t asked_ns;
    unsigned at; /* endpoint */
    struct known known;
    struct buf key; /* of the witness */
    struct witness witness;
};

struct write; /* write.c */

struct etcd_client {
    struct etcd_client_opts opts;
    struct etcd_http *http;
    struct wire wire;
    struct endpoint endpoints[ETCD_ENDPOINTS];
    unsigned unary_at; /* endpoint of everything that is short */
    struct stream stream;
    struct probing probing;
    struct etcd_mark mark;
    struct marking marking;
    struct lease_table leases;
    struct write *writes; /* under way */
    struct {
        struct etcd_call *call;
        unsigned at;
        struct known known;
    } asking;    /* whether an endpoint is of our cluster, before it gets a write */
    char *token; /* of the user */
    struct {
        struct etcd_call *call;
        unsigned at;
        uint64_t not_before_ns, answered_ns;
        bool not_enabled; /* the cluster knows no users */
        uint64_t tokens;  /* got so far */
    } login;
    uint64_t cluster, term;         /* 0: not known yet */
    uint64_t expected, expected_ns; /* a revision that the watch has to bring, since when */
    uint64_t expected_write;        /* a revision that the sink's log has to have */
    struct buf prefix_key, prefix_end;
    struct etcd_change *changes;
    size_t changes_room;
    uint64_t random;
    bool gone_back;    /* the sink was told so */
    bool complete;     /* a probe was, since stream_follow() */
    uint32_t unfit;    /* keys that cannot be a domain's, told so far */
    uint64_t shown_ns; /* the sink was told last how it goes */
    char said[600];

    pthread_mutex_t lock; /* of what follows */
    bool stopped, rest_wanted, follow_wanted, follow_snapshot, ask_now;
    uint64_t follow_from, ask_period_ns;
    struct etcd_mark follow_mark;
    struct buf follow_key;
    struct witness follow_witness;
    struct write *incoming;
    struct etcd_state state;
};

uint64_t client_now(void);
void client_say(struct etcd_client *c, enum etcd_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A number below `below`. */
uint64_t client_random(struct etcd_client *c, uint64_t below);

/* ---- endpoints.c ---- */
/* It does not work: leave it alone for a while. true: that is news. */
bool endpoint_failed(struct etcd_client *c, unsigned at, bool hopeless, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void endpoint_works(struct etcd_client *c, unsigned at);
/*
 * It answers for another cluster than the one that we follow, or than the one of which the sink's entries are: `words` say which. It is left
 * alone. True: most endpoints say so, so that the cluster was replaced, or all of them are wrong.
 */
bool endpoint_is_foreign(struct etcd_client *c, unsigned at, const char *words);
/* The best one, not `but` where there is another. */
unsigned endpoint_choose(struct etcd_client *c, unsigned but);
/* What went to this one goes to another, but for the watch. */
void endpoint_leave(struct etcd_client *c, unsigned at);
/* Of the last answer, which is one of etcd's errors, or none at all. */
const char *endpoint_error(struct etcd_client *c, const struct etcd_reply *reply, char *text, size_t size);

struct known client_known(const struct etcd_client *c);
/* What the header of a linearizable answer of an endpoint says: false where it is of another cluster, or of one that went back. */
bool client_check(struct etcd_client *c, unsigned at, const struct wire_header *h, struct known then);
/* Is the answer that is in c->wire of the cluster that we follow? */
bool client_is_ours(struct etcd_client *c, unsigned at);
/* The cluster is another one, or was restored: nothing more is told. */
void client_gone_back(struct etcd_client *c, const char *why, const struct wire_header *h);
/* All that we hold is of another cluster: the same. */
void client_stranger(struct etcd_client *c, const char *why);
/* Begin a call to an endpoint. */
struct etcd_call *client_call(struct etcd_client *c, unsigned at, const char *path, const struct buf *body,
                              uint32_t timeout_ms, etcd_done_fn *done, void *ctx);

/* ---- stream.c, watch.c: each step() looks what is due and answers when it wants to be called again at the latest ---- */
uint64_t stream_step(struct etcd_client *c, uint64_t now_ns);
void stream_rest(struct etcd_client *c);
void stream_follow(struct etcd_client *c, uint64_t revision, bool snapshot);
/* It ended, or is not good any more. */
void stream_fail(struct etcd_client *c, bool hopeless, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The sink refused. */
void stream_refused(struct etcd_client *c, const char *why);
void watch_begin(struct etcd_client *c);
uint64_t watch_step(struct etcd_client *c, uint64_t now_ns);
void watch_end(struct etcd_client *c);
/* Into c->changes: what lies under the prefix of n keys. */
size_t watch_changes(struct etcd_client *c, const struct wire_kv *kvs, size_t n);

/* ---- mark.c ---- */
uint64_t mark_step(struct etcd_client *c, uint64_t now_ns);
/* Ask a member for its status. */
struct etcd_call *mark_ask(struct etcd_client *c, unsigned at, etcd_done_fn *done);
/* Its answer, into c->wire: false where it says nothing of its log (etcd 3.3, or a user who may not ask). */
bool mark_read_status(struct etcd_client *c, const struct etcd_reply *reply);
/* And then: false where the history is another one, or the member is of another cluster. */
bool mark_take_status(struct etcd_client *c, unsigned at);
/* And a revision that was asked for after it. */
void mark_take_revision(struct etcd_client *c, uint64_t revision);
void mark_forget(struct etcd_client *c);
/* The sink was told of these: a key of theirs is the witness. */
void mark_take_changes(struct etcd_client *c, const struct etcd_change *changes, size_t n);
/* The body of a request for the witness, as of `revision`; false: there is none. */
bool mark_ask_witness(const struct etcd_client *c, uint64_t revision, struct buf *body);
/* The answer, in c->wire: false where the history is another one. */
bool mark_take_witness(struct etcd_client *c);

/* ---- login.c ---- */
uint64_t login_step(struct etcd_client *c, uint64_t now_ns);
bool login_done(const struct etcd_client *c); /* calls may be made */
/* Is the error in c->wire that our token is not good, or not any more? Then it is dropped, and another one is got before the next call, which has to
 * be made again. */
bool login_drop_refused(struct etcd_client *c);

uint64_t probe_step(struct etcd_client *c, uint64_t now_ns);
/* The watch has brought more. */
void probe_told(struct etcd_client *c);
/* The watch has to bring this revision soon, or it hangs. */
void probe_expect(struct etcd_client *c, uint64_t revision);
/* Forget what waits for the watch. */
void probe_forget(struct etcd_client *c);

uint64_t write_step(struct etcd_client *c, uint64_t now_ns);
void write_take(struct etcd_client *c, struct write *list);
void write_end_all(struct etcd_client *c);
/* Ask no endpoint any more whether it is of our cluster. */
void write_forget_asking(struct etcd_client *c);

#endif
