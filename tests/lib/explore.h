/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random programs over the whole public interface: processes that open, lead, follow, write, read, watch, make, take sections, hand over and
 * close, and the commands of `tide`, on a small domain; they are killed and stopped at any instant. Every call may answer the errors that its
 * documentation names and no others, ends in its time, and answers with what was written. tests/lib/explore.c drives, explore_player.c is what
 * a process does, explore_ops.c the calls of its threads, explore_truth.c what must hold.
 */
#ifndef TIDE_TESTS_EXPLORE_H
#define TIDE_TESTS_EXPLORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/tidemark.h"

#define EXPLORE_ANCHORS 2u /* the first of them leads at first, and is never killed or stopped */
#define EXPLORE_SLOTS 7u   /* processes; the last runs commands */
#define EXPLORE_THREADS 4u /* of a process that call at once: its main thread is 0 */
#define EXPLORE_WRITERS (EXPLORE_SLOTS * EXPLORE_THREADS)
#define EXPLORE_LOOSE 400u /* keys to which anything happens */
#define EXPLORE_KEPT 6u    /* keys that are only ever put: they are there, once they were */
#define EXPLORE_PAIRS 3u   /* two keys each, always written as one batch */
#define EXPLORE_SUMS 4u    /* numbers, only added to */
#define EXPLORE_KEYS (EXPLORE_LOOSE + EXPLORE_KEPT + 2 * EXPLORE_PAIRS + EXPLORE_SUMS)
#define EXPLORE_KEY_MOST 65535u
#define EXPLORE_VALUE_MOST 70000u
#define EXPLORE_TICKS 8192u /* of a millisecond: which index was acknowledged by then */

/* What a round is like. */
struct explore_setup {
    uint64_t ring_bytes, table_bytes, slow_follower_ns, write_timeout_ns, default_ttl_ns;
    uint32_t evict, ephemeral;
    uint32_t sure;  /* no follower is given up for slowness: nothing that was acknowledged is ever lost */
    uint32_t loads; /* snapshots are loaded: sums and pairs mean nothing */
    uint32_t wild; /* the domain is unlinked now and then, and nobody is spared: no promise about acknowledged writes */
};

/* One thread of one process: which call it is in, and how long that may take. */
struct explore_call {
    _Atomic(const char *) what; /* the same address in all: they are children of one process. NULL: in none */
    _Atomic uint64_t began_ns, most_ns;
    _Atomic uint64_t calls;
    _Atomic uint64_t seq; /* of the values that it wrote */
};

struct explore_world {
    char name[TIDE_NAME_MAX + 1], dir[64];
    struct explore_setup s;
    uint64_t seed;
    _Atomic uint32_t failures, ending, served;
    struct explore_call calls[EXPLORE_SLOTS][EXPLORE_THREADS];
    _Atomic uint64_t
        ticks[EXPLORE_TICKS]; /* low 32 bits: the highest index acknowledged in that millisecond; high: which one */
    _Atomic uint64_t acked[EXPLORE_KEYS];  /* the highest index of a key's acknowledged writes */
    _Atomic int64_t added[EXPLORE_SUMS];   /* by calls that answered 0 */
    _Atomic int64_t doubted[EXPLORE_SUMS]; /* by calls that answered UNKNOWN, or whose process was killed in them */
    _Atomic uint64_t kills, stops, writes, reads, events, tools, errors[40];
};

extern struct explore_world *explore; /* mapped by all */

/* ---- what must hold: explore_truth.c ---- */

void explore_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t explore_key(uint32_t k, uint8_t *out);       /* its length */
int32_t explore_which(const void *key, uint64_t len); /* the k of a key, -1: a command's, -2: none */
/* A value for the key: its size; and does a value belong to the key? */
uint64_t explore_value(uint32_t k, uint32_t writer, uint64_t size, uint8_t *out);
bool explore_is_of(const void *key, uint64_t key_len, const void *value, uint64_t size);
/* A write of the key was acknowledged with this index, just now. */
void explore_acked(uint32_t k, uint64_t index);
uint64_t explore_acked_before(uint64_t ns); /* the highest index that was acknowledged by then, as far as it is known */
uint64_t explore_now(void);

/* ---- calls: explore_ops.c ---- */

#define EXPLORE_E(error) (UINT64_C(1) << -TIDE_ERR_##error)

/* A thread of a process, with a session. */
struct explore_thread {
    struct tide *d;
    struct tide_reader *r;
    struct explore_call *call;
    uint32_t writer; /* its number among all threads of the world */
    uint64_t rng, fence;
    struct tide_token token; /* the last one that it got */
    _Atomic bool *closing;   /* the handle is being closed */
    pthread_mutex_t
        *opens; /* held while `closing` is set, and in calls without a reader, which must not meet a close */
    uint8_t *value, *other; /* EXPLORE_VALUE_MOST bytes each */
};

/* The call begins, and may last `most_ns` and a while more for a busy machine. */
void explore_begin(struct explore_thread *t, const char *what, uint64_t most_ns);
/* It ended: 0, or one of the errors of `may`; or CLOSED and GONE where the handle is being closed or the domain unlinked. */
void explore_end(struct explore_thread *t, int error, uint64_t may);

/* One random call of a session. */
void explore_step(struct explore_thread *t);
/* Every key that must be there is, and sums are right: the leader lives and nobody else writes. */
void explore_settled(struct explore_thread *t);

/* ---- processes: explore_player.c ---- */

void explore_play(uint32_t slot, uint64_t seed); /* does not return */

/* ---- explore.c ---- */

struct explore_options {
    uint64_t seed;
    double seconds, round;
    int verbose;
};
int explore_run(const struct explore_options *o);

#endif
