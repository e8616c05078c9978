/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A cluster of etcd as a source: everything under a prefix at one revision, then every change, each once and in order; up to which revision
 * that is everything; transactions. It knows nothing of domains: what it finds it tells its sink, and the caller puts the two
 * together.
 *
 * One thread runs it. It looks for a member that works, over all endpoints, waits longer each time they all fail, and says so. What may be
 * lost on the way is begun anew; what must not be done twice (a transaction) is sent once.
 *
 * A revision is the whole cluster's, also where only a prefix is wanted. So the watch is on all keys, because only then is the last revision
 * that it told comparable with what a probe says. A user who may not see all keys gets a watch on the prefix, and each probe looks
 * through the keys of the prefix, which costs the cluster time that grows with their number.
 */
#ifndef TIDE_ETCD_CLIENT_H
#define TIDE_ETCD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/etcd/address.h"
#include "tools/etcd/http.h"
#include "tools/etcd/wire.h"

struct etcd_client;

#define ETCD_KEY_MOST 65535u /* bytes of a domain's key */

/* A key as the cluster has it, or a change of one. The key is without the prefix. */
struct etcd_change {
    struct wire_bytes key, value;
    uint64_t mod_revision;
    bool deleted;
};

/* A question to the source, as the sink numbers it. */
struct etcd_probe {
    uint64_t number, time_ns;
};

/* Where the cluster's history was: mark.c. index 0: not known. */
struct etcd_mark {
    uint64_t index, revision;
};

/* A key that the sink holds: in the history that we follow, the cluster has it so at the revision up to which the sink was told everything. */
struct etcd_witness {
    const char *key; /* without the prefix; NULL: not known */
    size_t key_size;
    uint64_t mod_revision, value_hash; /* etcd_hash() */
};
uint64_t etcd_hash(const void *bytes, size_t size);

/* How it goes. */
struct etcd_state {
    const char *phase; /* "connecting", "copying", "watching", "waiting", "resting" */
    bool complete;     /* since etcd_client_follow() it has watched, and told everything up to what a probe found */
    bool hopeless; /* every endpoint gave an answer that waiting does not change: a wrong password, another server */
    uint32_t failures; /* since it last watched */
    uint64_t revision; /* told */
    uint64_t cluster;
    struct etcd_mark mark;
    uint64_t probe_ns; /* how long the last one took */
    bool leaves_out;   /* keys that cannot be a domain's: of no byte behind the prefix, or of more than ETCD_KEY_MOST */
    char endpoint[ETCD_HOST_BYTES];
    char why[900]; /* what went wrong last, for each endpoint; "" */
};

enum etcd_level { ETCD_ERROR, ETCD_WARN, ETCD_INFO };

/*
 * Whom the client tells. All from the thread that runs it. What answers with text answers NULL where it went well, else why not: then the
 * client begins again with a snapshot, a little later.
 */
struct etcd_sink {
    void *ctx;
    /* The id of the cluster that a member answers for. *stranger: what the sink holds is of another one. */
    const char *(*identify)(void *ctx, uint64_t cluster, bool *stranger);
    /* All keys at `revision` follow, then end(). They take the place of all that there was. */
    const char *(*snapshot_begin)(void *ctx, uint64_t revision);
    const char *(*snapshot_keys)(void *ctx, const struct etcd_change *keys, size_t n);
    const char *(*snapshot_end)(void *ctx);
    /* What one revision changed; n is 0 where it changed other keys. */
    const char *(*append)(void *ctx, uint64_t revision, const struct etcd_change *changes, size_t n);
    /* A probe begins: false where nobody needs it any more. */
    bool (*probe)(void *ctx, struct etcd_probe *out);
    /* The probe's revision, of which the sink has been told everything. */
    void (*complete)(void *ctx, const struct etcd_probe *probe, uint64_t revision);
    /* The cluster's history is not the one that was told: it is another one, or was restored from an old backup. Nothing more is told.
     * stranger: it never was, by what identify() said. */
    void (*restored)(void *ctx, const char *why, bool stranger);
    void (*say)(void *ctx, enum etcd_level level, const char *text);
    /* How it goes has changed; may be NULL. */
    void (*changed)(void *ctx, const struct etcd_state *state);
};

struct etcd_client_opts {
    struct etcd_address address;
    struct etcd_http_opts http;
    const char *user, *password; /* or NULL */
    uint64_t
        silence_ns; /* 0: a second. The watch is left when it does not tell for so long what exists; then four times as long */
    struct etcd_sink sink;
};

/* NULL, and why in *why. Strings are not copied, but for the address. */
struct etcd_client *etcd_client_open(const struct etcd_client_opts *opts, const char **why);
void etcd_client_close(struct etcd_client *c); /* after etcd_client_run() has returned */

/* Run until etcd_client_stop(). */
void etcd_client_run(struct etcd_client *c);

/* ---- from any thread --------------------------------------------------------------------------------------------- */

void etcd_client_stop(struct etcd_client *c);

/* Go on behind `revision`, which the cluster had once; with a snapshot where that is 0, or where `snapshot` says so; again: from there anew. */
void etcd_client_follow(struct etcd_client *c, uint64_t revision, bool snapshot);
/* And what who followed it before knew of its history: with the next etcd_client_follow() of a revision that is not 0. */
void etcd_client_remember(struct etcd_client *c, const struct etcd_mark *mark, const struct etcd_witness *witness);
/* Tell nothing more. Writes go on. */
void etcd_client_rest(struct etcd_client *c);

/* Begin a probe as soon as none is under way; and one every period_ns (0: none). */
void etcd_client_ask(struct etcd_client *c, bool now, uint64_t period_ns);

/* ---- writes ---- */

enum etcd_op_kind { ETCD_PUT, ETCD_DELETE, ETCD_CAS, ETCD_ADD, ETCD_TOUCH };
struct etcd_op {
    enum etcd_op_kind kind;
    struct wire_bytes key, value;
    uint64_t expected; /* CAS: mod_revision; 0: there is no such key */
    uint64_t ttl_s;    /* 0: none; the lease's. ADD: 0 leaves it as it is */
    int64_t delta;     /* ADD; the sum afterwards */
};

enum etcd_result {
    ETCD_DONE,
    ETCD_MISMATCH,
    ETCD_NOT_FOUND,
    ETCD_NUMBER,
    ETCD_OVERFLOW,
    ETCD_REFUSED, /* certainly not done; `why` */
    ETCD_LATE,    /* as REFUSED: no member was reached in time, or nobody waits any more */
    ETCD_TOO_BIG, /* as REFUSED: over 128 operations, or over 1.5 MiB */
    ETCD_TWICE,   /* as REFUSED: a key stands twice in it */
    ETCD_UNKNOWN, /* it may have been done */
};

struct etcd_outcome {
    enum etcd_result result;
    uint64_t revision; /* DONE */
    size_t failed;     /* MISMATCH, NOT_FOUND, NUMBER, OVERFLOW: the operation's position */
    uint64_t found;    /* MISMATCH: the key's mod_revision, 0: there is none */
    const char *why;
    const struct etcd_op *ops; /* as they were given, sums filled in */
    size_t n;
};

#define ETCD_OPS_MOST 128u
#define ETCD_BYTES_MOST (1536u << 10)

/* Is somebody there yet who waits? What is not sent yet may be left. */
typedef bool etcd_awaited_fn(void *ctx);
typedef void etcd_write_fn(void *ctx, const struct etcd_outcome *outcome);

/*
 * Do all of it or nothing, in one transaction. ops and the bytes stay the caller's, until done() is called, once, from the client's thread.
 * Where the cluster cannot be reached it is tried again for timeout_ms, as long as it has certainly not been sent.
 */
void etcd_client_write(struct etcd_client *c, struct etcd_op *ops, size_t n, uint32_t timeout_ms,
                       etcd_awaited_fn *awaited, etcd_write_fn *done, void *ctx);

/* ---- how it goes ---- */

void etcd_client_state(struct etcd_client *c, struct etcd_state *out);

#endif
