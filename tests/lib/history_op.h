/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A history: what some sessions asked a domain and were told, with the times of call and return; and what can be wrong with
 * one. A recorder fills it (history_world.c), or a test by hand; checkers read it and know nothing of the engine.
 *
 * Every write has a value of its own, a number that is never 0; 0 stands for "no such key". A touch makes a new version of a value that
 * is there. An add has a delta that no sum of others is: its sums are values of its own, too.
 *
 * A value with a life expires so long after its commit, and that is between call and answer. From then on it may be gone at any instant, and
 * must not be read any more; before, it is there, unless it was deleted, or evicted where the domain evicts.
 */
#ifndef TIDE_TESTS_HISTORY_OP_H
#define TIDE_TESTS_HISTORY_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HISTORY_KEYS 8u
#define HISTORY_NEVER UINT64_MAX /* ret_ns of what was never answered */
#define HISTORY_TORN UINT64_MAX  /* value of a read whose bytes no write wrote */

enum history_kind {
    HISTORY_GET = 0,
    HISTORY_PUT = 1,
    HISTORY_DELETE = 2,
    HISTORY_CAS = 3,
    HISTORY_TOUCH = 4,
    HISTORY_ADD = 5
};

enum history_outcome {
    HISTORY_DONE = 0,
    HISTORY_PENDING = 1,  /* its process died, or was told UNKNOWN: done at any time after the call, or never */
    HISTORY_MISMATCH = 2, /* cas: another version was there; touch: no value was */
    HISTORY_FAILED = 3,   /* certainly without effect */
};

struct history_op {
    uint64_t call_ns, ret_ns; /* CLOCK_MONOTONIC; ret_ns HISTORY_NEVER where nothing was answered */
    uint32_t session;
    uint16_t key;
    uint8_t kind;               /* enum history_kind */
    uint8_t outcome;            /* enum history_outcome */
    int32_t error;              /* FAILED: the code */
    uint16_t batch_at, batch_n; /* place in a batch of so many, whose operations follow each other; n 0: none */
    uint64_t value;             /* written, or read */
    uint64_t index;             /* DONE: of the write, or of the state that was read */

    /* Reads. */
    uint64_t version;                              /* index of the write that was read; 0: no such key */
    uint64_t commit;                               /* as the answer had it */
    uint64_t staleness_ns;                         /* as claimed */
    uint64_t max_staleness_ns, max_lag, min_index; /* as asked for */
    bool linearizable, stale, may_be_stale;        /* the answer's flags; fallback STALE was asked for */
    uint8_t reason, served_by;

    /* cas: the version and the value that were expected; MISMATCH: the version that was there. */
    uint64_t expected, expected_value, found;
    bool found_known; /* the checker found out which value `found` is of */
    uint64_t found_value;

    uint64_t ttl_ns;  /* writes: the life of the value; 0: none, but an add leaves that of the value before */
    uint64_t delta;   /* add; its `expected_value` is the sum without it */
    bool keep;        /* writes: the key is not evicted */
    uint64_t left_ns; /* reads: what is left of its life, as told; 0: not told */
    /* Found out by the checker: the value expires no earlier and no later. 0: it has no life. */
    uint64_t early_ns, late_ns;
};

struct history {
    struct history_op *ops;
    size_t n;
    bool evicts; /* keys that are not kept may be gone at any instant */
};

enum history_fault_kind {
    HISTORY_FINE = 0,
    HISTORY_UNWRITTEN,        /* a value was read that nobody wrote to that key, or that a failed write had */
    HISTORY_TWO_VERSIONS,     /* one write was seen at two indexes: done twice */
    HISTORY_SAME_INDEX,       /* two writes have one index */
    HISTORY_LOST,             /* by the indexes an older value was read than the one that was there */
    HISTORY_RESURRECTED,      /* a deleted value came back */
    HISTORY_WRONG_CAS,        /* a cas was done that did not match what stood before it */
    HISTORY_ORDER,            /* an index that is not beyond one that was known before the write was called */
    HISTORY_FROM_FUTURE,      /* a read has an index of a write that was called after the read had returned */
    HISTORY_STALE,            /* staleness 0 was claimed, and a later index was known before the call */
    HISTORY_CLAIM,            /* the data was older than the claimed staleness */
    HISTORY_BOUND,            /* the claim breaks the bound, or contradicts itself */
    HISTORY_SESSION,          /* the session had seen or written more, or was promised more */
    HISTORY_EARLY,            /* a value was gone before its life was over */
    HISTORY_LATE,             /* a value was read, or a write relied on it, after its life was over */
    HISTORY_LIFE,             /* what was left, as told, is not what it can be */
    HISTORY_TORN_BATCH,       /* a state in the middle of a batch was read */
    HISTORY_ERROR,            /* an error that must not occur */
    HISTORY_NOT_LINEARIZABLE, /* no order of the operations of one key explains what was seen */
    HISTORY_UNDECIDED,        /* the search for an order was given up */
};

struct history_fault {
    enum history_fault_kind kind;
    size_t a, b; /* operations that contradict each other; the same where there is one */
};

const char *history_fault_name(enum history_fault_kind kind);

/* Everything below. False: *f has what is wrong. Aborts where memory ends. One thread for one history. */
bool history_check(const struct history *h, struct history_fault *f);

/*
 * The order that the indexes claim, against values, real time, sessions and claims. Exact and fast, n log n: the commit index is
 * the order, so nothing has to be searched. *h is changed: a pending write whose value was seen gets its index, a cas that did
 * not match the value that it found.
 */
bool history_check_order(struct history *h, struct history_fault *f);

/*
 * The operations of each key that claim staleness 0, as of one register, by values and times alone: indexes are not believed.
 * Search for an order with memoisation. Sources: J. Wing, C. Gong, "Testing and verifying concurrent objects" (1993);
 * G. Lowe, "Testing for linearizability" (2017).
 */
bool history_check_search(const struct history *h, struct history_fault *f);

/* Leave out whatever is not needed for a fault of this kind: *h becomes smaller. */
void history_minimise(struct history *h, enum history_fault_kind kind);

/* One line for each operation, in order of the calls, times in us from the first. */
void history_print(FILE *to, const struct history *h, const struct history_fault *f);

#endif
