/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the crash tests share: a world of processes that are killed, and a journal outside of the domain that says what was
 * acknowledged to whom.
 *
 * The journal is anonymous shared memory, so it survives any of its writers. A writer notes what it is about to write, writes it, and
 * notes the answer; at whatever instant it dies, the journal says: acknowledged, not done for certain, or unknown. A key whose fate
 * is unknown is left and its next generation used, so that every key has one expected value, or two.
 */
#ifndef TIDE_TESTS_CRASH_WORLD_H
#define TIDE_TESTS_CRASH_WORLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/tidemark.h"
#include "tests/lib/help.h"

#define CRASH_WRITERS 8u
#define CRASH_KEYS 24u /* of each writer; the last one is a pair of keys, written as a batch */
#define CRASH_PAIR (CRASH_KEYS - 1)
#define CRASH_GENERATIONS 192u
#define CRASH_NUMBERS (1u << 21) /* writes of one writer, at most */
#define CRASH_SLOTS 12u
#define CRASH_BIG_BYTES 40000u /* does not fit into a lane */

/* One key of one writer in one generation. Numbers of writes count from 1. */
struct crash_key {
    _Atomic uint64_t pending; /* number << 1 | is it a delete; 0: none. Stays when its fate is unknown */
    _Atomic uint64_t acked;   /* the same, of the last acknowledged write */
    _Atomic uint64_t index;   /* where the log has that */
};

struct crash_writer {
    _Atomic uint64_t next; /* number of the last write that was begun */
    _Atomic uint64_t acks;
    _Atomic uint64_t unknown;
    _Atomic uint64_t counted;         /* acknowledged increments of the shared counter */
    _Atomic uint64_t counted_unknown; /* that may have been done */
    _Atomic uint32_t counting;
    _Atomic uint64_t added, added_unknown; /* the same of what was added to the shared sum */
    _Atomic uint64_t adding;
    _Atomic uint64_t lived; /* values with a life that were seen in it, and after it */
    _Atomic uint32_t generation[CRASH_KEYS];
    struct crash_key keys[CRASH_KEYS][CRASH_GENERATIONS];
    _Atomic uint8_t refused[CRASH_NUMBERS / 8]; /* numbers that were certainly not written */
};

/* A slot for a process of the world: its processes come and go, and all do the same work. */
struct crash_slot {
    _Atomic uint32_t writes; /* 1 while it is writing; 0: paused */
    _Atomic uint32_t leave;  /* asked to end by itself */
    _Atomic uint64_t beats;  /* reads, or writes */
    pid_t pid;               /* 0: nobody; for the driver */
};

struct crash_world {
    char name[TIDE_NAME_MAX + 1];
    uint64_t ring_bytes, table_bytes;
    _Atomic uint32_t pause;    /* writers wait */
    _Atomic uint32_t failures; /* what must not be was seen */
    _Atomic uint64_t reads, breaches, lost;
    /* So that the auditor sees every entry: bytes that writers have begun to write, and those of them that it has seen. Writers wait
     * while more than a quarter of the ring is between the two. */
    _Atomic uint64_t begun, audited;
    _Atomic uint32_t evicts; /* the domain evicts, and others write into it; what the journal tells of is kept */
    _Atomic uint64_t evicted, expired; /* entries of the log, as the auditor saw them */
    _Atomic uint32_t paced;            /* there is an auditor that reads on all the time */
    struct crash_slot slots[CRASH_SLOTS];
    struct crash_writer writers[CRASH_WRITERS];
};

/* Fresh and empty, for a domain of this name; zeroed again by crash_world_reset(). */
struct crash_world *crash_world_new(uint64_t ring_bytes, uint64_t table_bytes);
void crash_world_reset(struct crash_world *w, const char *name);

/* Something that must not be. Prints, and counts in the world. Any process. */
void crash_fail(struct crash_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- in the processes ---------------------------------------------------------------------------------------------- */

/* Open the domain, created where it is not; tries again while it comes and goes. Ends the process when it cannot be had. */
struct tide *crash_open(struct crash_world *w);

/* One write of writer `me`: a put, a delete, a pair, an increment of the counter, a large value. True when it was acknowledged. */
bool crash_write(struct crash_world *w, struct tide *d, struct tide_reader *session, uint32_t me, struct help_rng *rng);

/* The auditor is too far behind: wait before the next write. */
bool crash_is_ahead(const struct crash_world *w);
/* So many values of this size are about to be written. */
void crash_begin_bytes(struct crash_world *w, size_t values, size_t size);

/* What this writer's last life left unanswered is unknown for good. Before the first write of a process. */
void crash_writer_begin(struct crash_world *w, uint32_t me);

/* One read of any kind, checked against the journal. */
void crash_read(struct crash_world *w, struct tide_reader *r, struct help_rng *rng);

/* Look at every key of the journal, at the counter, and at all replicas' digests. Waits until somebody leads. */
void crash_check_all(struct crash_world *w, struct tide *d);

/* A key's name; part 0 or 1 of a pair. Returns its length. */
size_t crash_key_name(char out[48], uint32_t writer, uint32_t key, uint32_t generation, uint32_t part);

/* The number of the write that made these bytes, or 0: they are torn, or another key's. */
uint64_t crash_value_number(const uint8_t *value, size_t size, uint32_t writer, uint32_t key, uint32_t generation);

/* ---- in the driver, which never opens the domain -------------------------------------------------------------------- */

typedef void crash_role(struct crash_world *w, uint32_t slot, uint64_t seed);

/* Run a role in a process of its own, which dies with the driver. kill_at: TIDE_KILL for it, or NULL. */
void crash_spawn(struct crash_world *w, uint32_t slot, crash_role *role, uint64_t seed, const char *kill_at);
bool crash_ended(struct crash_world *w, uint32_t slot, int *status); /* it is gone: the slot is free again */
void crash_signal(struct crash_world *w, uint32_t slot, int signal_number);
/* Kill and wait. */
void crash_kill(struct crash_world *w, uint32_t slot);
void crash_kill_all(struct crash_world *w);
/* Wait for its end; what is not over within 30 s hangs, which is a failure. Returns the wait status, or -1. */
int crash_wait(struct crash_world *w, uint32_t slot);
uint64_t crash_acks(const struct crash_world *w);
/* No process writes from here on (true), or one hangs. */
bool crash_pause(struct crash_world *w);
void crash_resume(struct crash_world *w);
/* What the driver does while it waits, beside sleeping: NULL, or a function that lets an auditor read on. */
extern void (*crash_meanwhile)(struct crash_world *w);
/* Sleep for a moment, and do that. */
void crash_rest(struct crash_world *w);
uint64_t crash_now_ns(void);
void crash_nap_us(uint64_t us);
/* Files of the domain that are there. */
unsigned crash_files(const char *name);

/* ---- the auditor: reads the log itself -------------------------------------------------------------------------------- */

struct crash_audit;
struct crash_audit *crash_audit_open(struct crash_world *w); /* NULL: there is no domain yet */
/* Read on. Each write stands in the log once at most, whole, in order; what was certainly not done is not there. */
void crash_audit_step(struct crash_audit *a);
uint64_t crash_audit_entries(const struct crash_audit *a);
uint64_t crash_audit_bytes(const struct crash_audit *a); /* up to where it has read */
/* While nobody writes: entries of the log that it has not seen. A write that is in the log twice could hide there. */
uint64_t crash_audit_missed(struct crash_audit *a);
/* Its log is not the domain's any more, or not its only one: the process that made it died before any other could use it. */
bool crash_audit_stale(const struct crash_audit *a);
/* The pid of the replica that leads according to the board, 0 where nobody does; its term and the commit index. */
pid_t crash_audit_leader(const struct crash_audit *a, uint32_t *term, uint64_t *commit);
/* Every slot of the log segment belongs to a process that lives, at the latest after some seconds. To be asked after a tide_gc(). */
void crash_audit_slots(struct crash_audit *a);
/* And every refused number is missing. Frees. */
void crash_audit_close(struct crash_audit *a);
/* Frees alone. */
void crash_audit_drop(struct crash_audit *a);

#endif
