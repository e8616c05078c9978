/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A process's private structs of a domain: the handle, its replicas, its mappings. */
#ifndef TIDE_REPLICA_DOMAIN_H
#define TIDE_REPLICA_DOMAIN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine/table/table.h"
#include "engine/tidemark.h"
#include "shm/board.h"
#include "shm/clock.h"
#include "shm/lag.h"
#include "shm/lease.h"
#include "shm/member.h"
#include "shm/ring.h"
#include "shm/segment.h"

struct seq_request;
struct apply_part;

/* What reads need of a replica, whether this process runs it or maps the table of another process. Functions:
 * engine/replica/view.h. */
struct view {
    struct replica_board *board;
    struct table table;
    uint32_t id;
    bool
        foreign; /* another process runs it: the table is mapped read-only, and reads validate (engine/replica/foreign.h) */
    _Atomic uint64_t segment_id; /* of the mapped table; 0: another process's table that must not be read any more */
    uint64_t buckets_most;       /* see view_buckets_most() */
    struct segment segment;
    struct hdr *lag_all;
    struct lag_windows *lag_windows;
};

#define REPLICA_SCRATCH_BYTES (TIDE_KEY_MAX + 16u)

/* A replica that this process runs. */
struct replica {
    struct view view;

    /* Used by its one applying thread. */
    alignas(LAYOUT_PAIR) struct tide *domain;
    struct table_writer writer;
    uint64_t applied; /* the table is the log up to this index, published or not */
    uint64_t pos;     /* ring position of the next frame */
    uint64_t last_ts; /* stamp of the last entry applied */
    uint64_t published;
    bool exact; /* the table holds nothing newer than `applied`: false while a newcomer copies */
    struct lane_done
        done[LAYOUT_LANES];    /* engine/log/lane_notes.h: these are believed; the segment has copies for newcomers */
    _Atomic uint64_t delay_ns; /* this word is believed; the board's is for others to see */
    uint8_t *scratch;          /* REPLICA_SCRATCH_BYTES: a delete's key, and what follows it, copied out */
    /* A fed domain's, as of `applied`: engine/replica/source.h. */
    struct {
        uint64_t revision; /* everything up to it */
        uint64_t part;     /* 1: and a part of something newer */
        uint64_t ts;       /* complete as of this instant */
    } source;
    uint64_t joined_at;       /* the index at which it last joined anew */
    struct apply_part *parts; /* the entries of a batch, with their nodes */
    size_t parts_room;

    uint64_t table_bytes;
    uint64_t doubted; /* bit k: while joining, copying from replica k failed once */
    uint64_t refused; /* bit k: it failed twice, or replica k is surely damaged: do not copy from it */
    int trouble;      /* why another replica could not be mapped to be copied: it was told */
    bool doubted_log; /* the log does not begin at its first entry, although a word says so */
    int32_t cpu;
    uint64_t spin_ns; /* as in struct tide_replica_opts */
    pthread_t thread;
    _Atomic bool stop;
    _Atomic uint32_t nudge; /* futex word: the thread's sleep ends */
    _Atomic bool leads;     /* it is the leader's replica: writers apply for it, not a thread */
    bool candidate;         /* may take over when the leader has gone */
    bool threaded;
    bool starting;            /* tide_replica_start() waits for it without holding the lock */
    _Atomic uint32_t started; /* futex word: 0 until the thread serves or has failed */
    int start_error;
    _Atomic bool damaged; /* its table is damaged, and the callback was told: replica_stop_serving() */
    uint32_t mends;       /* its thread's: joins because of damage since mends_ns, also before it led */
    uint64_t mends_ns;
};

/* One sequencer for each process; it writes while a leader's replica is here. */
struct sequencer {
    alignas(LAYOUT_PAIR) _Atomic bool here; /* this process leads: a hint before queueing; `leader` decides */
    _Atomic size_t put_short; /* tide_put() itself puts values below this size; 0 where this process does not lead */
    /* The leader's buckets, as they were a moment ago: what a writer prefetches before it has the turn. NULL: nobody leads here. */
    _Atomic(uint8_t *) ask_at;
    _Atomic uint64_t ask_count;
    alignas(LAYOUT_PAIR) _Atomic bool taken;
    _Atomic(struct seq_request *) queue; /* newest first */
    /* For the thread that has the turn: */
    alignas(LAYOUT_PAIR) struct replica *leader;
    struct ring_writer ring;
    struct clock_own clock;
    uint64_t refine_ts; /* refine the clock from this stamp on */
    uint64_t deciding;  /* as on the board */
    /* The lane thread sleeps until this instant. Whoever adds what expires before rouses it and sets this to 0. 0: no need. */
    _Atomic uint64_t alarm;
    bool waits_told; /* that writes wait for a section, this time */
    /* A fed domain's: what is in the log is complete as of this instant. Any thread of the feed stores it. */
    _Atomic uint64_t complete_ts;
};

struct lane_server;
struct tide_feed;

/* The words of a log segment that never change. Shared memory is input: another process may change the segment's words
 * later. So they are copied once, the copy is checked, and only the copy is used. */
struct domain_words {
    struct segment_header header;
    uint64_t ring_off;
    uint64_t ring_bytes;
    uint64_t hash_seed;
    uint64_t slow_follower_ns;
    uint64_t table_bytes;
    uint64_t expected_keys;
    uint64_t default_ttl_ns;
    uint32_t evict;
    char source[LAYOUT_SOURCE];
    uint32_t reserved[3];
};
_Static_assert(sizeof(struct domain_words) == offsetof(struct log_segment, clock) &&
                   offsetof(struct domain_words, reserved) == offsetof(struct log_segment, reserved),
               "the start of struct log_segment, word for word");

struct tide {
    /* Used by reads. */
    struct log_segment *log;
    uint64_t hash_seed;
    struct ring ring;
    _Atomic(struct view *) views[LAYOUT_REPLICAS];
    _Atomic uint32_t closed; /* 0, or why this handle is unusable: an error number, positive */
    bool fed;                /* its entries come from a source: engine/replica/source.h */

    struct sequencer seq;

    alignas(LAYOUT_PAIR) pthread_mutex_t control; /* starting and stopping */
    pthread_mutex_t reaping;                      /* engine/life/reap.c */
    _Atomic(struct replica *)
        running[LAYOUT_REPLICAS]; /* replicas of this handle; views[] has those that readers may use */
    uint32_t starting;            /* number of replicas that are starting */
    struct domain_words words;
    pthread_mutex_t foreign_lock; /* held while another process's table is mapped */
    uint32_t member;              /* our slot: shm/member.h */
    uint64_t write_timeout_ns;
    size_t put_most;            /* seq.put_short while this process leads */
    struct lane_server *server; /* serves other processes' lanes while we lead */
    struct tide_feed *feed;     /* engine/write/feed.h; NULL: this handle cannot lead a fed domain */
    pthread_t steward;          /* waits for the leader's byte: engine/life/takeover.h */
    bool steward_runs;
    _Atomic bool told_descriptor; /* that it was closed: lead_look_at_descriptor() */
    uint32_t steward_tries;       /* failed tries to lead, in a row */
    bool steward_owes;            /* a replica has no thread: none could be started */
    _Atomic bool steward_stop;
    _Atomic uint32_t steward_ended; /* futex word */
    _Atomic uint32_t steward_word;  /* futex word */
    _Atomic bool step_down;
    struct tide *next_open; /* list of this process's handles, for fork() */
    _Atomic uint32_t holds; /* the handle's own, and one for each reader */
    void (*destroy)(struct tide *d);
    uint32_t (*reap)(struct tide *d); /* frees what dead members left: engine/life/reap.h */
    _Atomic uint32_t next_home;       /* spreads readers */
    struct lease_stuck lease_stuck;
    struct segment segment;
    char name[LAYOUT_NAME];
    char dir[SEGMENT_PATH_BYTES]; /* $TIDE_SHM_DIR as it was when the handle was opened */
    _Atomic int
        troubled; /* why a read could not map another process's replica; the log callback was told. 0: none could not since one could */
    bool ephemeral; /* this handle made the domain, which ends with it */
    bool created;   /* made by this handle */
    bool stillborn; /* this handle made the domain, and then an option did not fit */
    bool read_only; /* the segments are mapped for reading: no word of them is written */
    bool dumped;    /* core dumps contain what this handle maps */
    tide_log_fn *log_fn;
    void *log_ctx;
};

void tide_logf(struct tide *d, enum tide_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* If an error has a text (shm/fault.h), hand it to the log callback. */
void tide_log_fault(struct tide *d, int error);

/* Is this handle a forked child's copy? Then nothing of it may be used, not even its locks. */
static inline bool tide_forked(const struct tide *d) {
    return atomic_load(&d->closed) == (uint32_t)-TIDE_ERR_FORKED;
}

/* Give a file of this domain its name, in the place of the file that has it. GONE: making it took a while, and another domain may have the name by
 * now, and files of these names. */
static inline int tide_publish(const struct tide *d, struct segment *s, enum segment_kind kind, uint32_t number,
                               uint64_t segment_id) {
    return segment_is_current(&d->segment) == 0
               ? TIDE_ERR_GONE
               : segment_publish_replace(s, d->name, kind, number, d->words.header.incarnation, segment_id);
}

/* The last tide_drop() frees the handle. */
static inline void tide_hold(struct tide *d) {
    atomic_fetch_add(&d->holds, 1);
}

static inline void tide_drop(struct tide *d) {
    if (atomic_fetch_sub(&d->holds, 1) == 1) {
        d->destroy(d);
    }
}

/* The codes of shm/error.h equal ours. */
_Static_assert((int)SHM_ERR_NO_SPACE == (int)TIDE_ERR_NO_SPACE && (int)SHM_ERR_GONE == (int)TIDE_ERR_GONE &&
                   (int)SHM_ERR_CORRUPT == (int)TIDE_ERR_CORRUPT && (int)SHM_ERR_INVALID == (int)TIDE_ERR_INVALID,
               "the error codes of shm and of the engine are one list");

#endif
