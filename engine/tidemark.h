/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tidemark: a replicated key-value cache in the shared memory of one host.
 *
 * What can go wrong, first:
 *
 * - A reader handle belongs to the thread that opened it. Any other thread gets TIDE_ERR_THREAD, also after that one has ended.
 *   What a thread leaves open is closed when it ends, after its own keys' destructors, which may still use it.
 * - pthread_cancel() waits until a call that may block has ended: cancellation is off inside, callbacks included. Reads that need not
 *   wait are no cancellation points. PTHREAD_CANCEL_ASYNCHRONOUS is not for threads that use this library.
 * - A shared object that the library is part of stays loaded after its first tide_open(): dlclose() does not unload it.
 * - A section (tide_section_begin) holds memory: while one is open, nothing that was replaced since is reused. A section
 *   that stays open makes the replica's spare memory run out, and then the replica waits for it. Keep sections short.
 * - Tables have a fixed budget. When it is used up, and nothing in them has expired, puts answer TIDE_ERR_FULL (a domain made with
 *   TIDE_EVICT_S3FIFO evicts other keys instead). Deletes still work, and overwrites
 *   that are no larger than what they replace. What was deleted serves any size once no reader can have it any more. A batch of
 *   overwrites needs room for all of its new values at once: in a full table at most a hundred-and-twenty-eighth of the budget.
 * - A domain lives in /dev/shm and ends with the machine's boot. It is a cache, not a store.
 * - Members trust one another as far as one user's processes do: files are 0600. What another process writes into the
 *   segments is checked before it is believed, but a member that scribbles over the log on purpose can destroy the domain.
 * - After fork() use none of the parent's handles in the child: every function that takes one, or a reader, and can answer an
 *   error answers TIDE_ERR_FORKED there, but for closing, which frees the child's memory alone. The child opens its own.
 * - A domain that is unlinked, or replaced by one of the same name, under its members: each notices within about a second
 *   (later while one of its own threads holds a section open). From then on reads, writes, tide_reader_open(),
 *   tide_replica_start(), tide_verify(), tide_ping() and tide_gc() answer TIDE_ERR_GONE; tide_info() and its like tell the
 *   last numbers, stopping and closing work. A section that is open stays whole until it ends. Close and open anew.
 *
 * Errors: every function returns 0 or a negative TIDE_ERR_ code. Out-parameters are untouched on error, but for the
 * answer of a read, whose documentation says what it holds. The library never prints, exits or touches signals; its own
 * threads have them blocked, but for faults and SIGPROF, so that handlers run in threads of the application. They run on the
 * processors that the process had when the library was loaded; an affinity that it gets later they follow only where the kernel
 * enforces it (cpusets, taskset -a).
 *
 * Sizes: structs that begin with `size` grow at their end, and programs need not be compiled anew for that. Set `size` by the
 * initializers. An older program's struct works, and is filled as far as it goes; 0 stands for what it does not have. A newer
 * program's works where it is 0 beyond what the library knows; else TIDE_ERR_INVALID. tide_info() and its like set `size` to what they
 * filled; an answer's `size` stays. Bytes beyond are not touched.
 *
 * Terms (domain, replica, index, commit, applied, staleness, lag, fence, bound, token, term): docs/design.md, *Words*.
 */
#ifndef TIDEMARK_H
#define TIDEMARK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TIDE_VERSION_MAJOR 0
#define TIDE_VERSION_MINOR 1
#define TIDE_VERSION_PATCH 0
#define TIDE_VERSION ((TIDE_VERSION_MAJOR << 16) | (TIDE_VERSION_MINOR << 8) | TIDE_VERSION_PATCH)

#if defined(__GNUC__)
#define TIDE_API __attribute__((visibility("default")))
#else
#define TIDE_API
#endif

/* The version of the linked library, laid out as TIDE_VERSION. Any thread, wait-free. */
TIDE_API uint32_t tide_version(void);

/* Fields, values and their comments are tables from here on. */
/* clang-format off */

enum tide_error {
    TIDE_OK = 0,
    TIDE_ERR_INVALID = -1,      /* an argument is out of its range, or a struct's size is none (Sizes, above) */
    TIDE_ERR_NOMEM = -2,        /* malloc failed */
    TIDE_ERR_SYSTEM = -3,       /* a system call failed; the log callback got errno's text */
    TIDE_ERR_EXISTS = -4,       /* the domain exists already and TIDE_EXCLUSIVE was asked for */
    TIDE_ERR_NO_DOMAIN = -5,    /* no such domain, and TIDE_CREATE was not asked for */
    TIDE_ERR_FOREIGN = -6,      /* the segment is another user's or time namespace's, or no regular file of mode 0600 */
    TIDE_ERR_VERSION = -7,      /* the segment has another layout version or fingerprint: another build made it */
    TIDE_ERR_CORRUPT = -8,      /* the segment's bytes cannot be what Tidemark wrote */
    TIDE_ERR_NO_SPACE = -9,     /* /dev/shm, the memory limit or RLIMIT_FSIZE is too small for a segment: the log callback tells */
    TIDE_ERR_FULL = -10,        /* the smallest table's budget is used up; delete something, or replace all replicas by some with more table_bytes */
    TIDE_ERR_TOO_BIG = -11,     /* key over 65,535 bytes, or the write over a quarter of the ring */
    TIDE_ERR_BUFFER = -12,      /* the buffer is too small; the answer's value_size says what is needed */
    TIDE_ERR_NOT_FOUND = -13,   /* no such key at the index of the read */
    TIDE_ERR_REFUSED = -14,     /* fallback ERROR: no replica keeps the bound; STALE: none could be read; the answer says what could be had */
    TIDE_ERR_TIMEOUT = -15,     /* not within the time given; fallback LEADER: nor did the leader's replica answer within one more second */
    TIDE_ERR_FENCE_AHEAD = -16, /* the fence is beyond the commit index: no such write was acknowledged */
    TIDE_ERR_INCARNATION = -17, /* the token is of another incarnation of the domain */
    TIDE_ERR_NO_LEADER = -18,   /* nobody leads: writes and leader reads wait for a leader to be started */
    TIDE_ERR_NO_REPLICA = -19,  /* no replica that the reader may use is serving */
    TIDE_ERR_MISMATCH = -20,    /* cas: the key is at another index than expected; nothing was written */
    TIDE_ERR_CLOSED = -21,      /* the domain was closed under this reader */
    TIDE_ERR_SLOTS = -22,       /* all slots are taken: 64 replicas, or 512 handles (tide_open) */
    TIDE_ERR_THREAD = -23,      /* the reader was opened by another thread, or a section is open / not open */
    TIDE_ERR_UNKNOWN = -24,     /* the write may or may not have been done: the leader went away before it answered */
    TIDE_ERR_BUSY = -25,        /* there is a leader already, or the replica is still in use */
    TIDE_ERR_DIVERGED = -26,    /* the replica's digest differs from the leader's: it stopped serving */
    TIDE_ERR_GONE = -27,        /* the segment was unlinked or replaced */
    TIDE_ERR_FORKED = -28,      /* the handle was made before fork(): open a new one */
    TIDE_ERR_LOST = -29,        /* section: its index is gone (another process's replica), or a key expired as it began; watch: the ring went round; begin anew */
    TIDE_ERR_NOT_LOCAL = -30,   /* zero copy works on replicas of this process only */
    TIDE_ERR_READ_ONLY = -31,   /* the segments lie on a read-only mount: this handle reads, and nothing else */
    TIDE_ERR_NUMBER = -32,      /* add: the value is no decimal number of 64 bits with a sign; nothing was written */
    TIDE_ERR_OVERFLOW = -33,    /* add: the sum leaves 64 bits; nothing was written */
    TIDE_ERR_FED = -34,         /* a source feeds the domain, and this is its feed's alone; or none does, or another one: the log callback tells */
    TIDE_ERR_REVISION = -35,    /* feed: the log holds this revision already, or a later one; nothing was appended */
};

/* A short text for a code, in English, static storage. Any thread, wait-free. Unknown codes get "unknown error". */
TIDE_API const char *tide_strerror(int code);

/* The rest is 0. Written so that -Wextra has nothing to say, in C or C++. */
#ifdef __cplusplus
} /* templates have no C names */
template <class T> inline T tide_sized() {
    T t = T();
    t.size = static_cast<decltype(t.size)>(sizeof(T));
    return t;
}
extern "C" {
#define TIDE_SIZED(type) tide_sized<struct type>()
#else
#define TIDE_SIZED(type) { .size = sizeof(struct type) }
#endif

#define TIDE_KEY_MAX 65535u
#define TIDE_REPLICAS 64u
#define TIDE_NAME_MAX 48u
#define TIDE_UNBOUNDED UINT64_MAX
#define TIDE_TTL_NONE UINT64_MAX /* never expires, also where the domain has a default */

struct tide;        /* a domain, opened by this process */
struct tide_reader; /* a reader, which is also a session */

/* ---- log callback ------------------------------------------------------------------------------------------------ */

enum tide_log_level { TIDE_LOG_ERROR = 0, TIDE_LOG_WARN = 1, TIDE_LOG_INFO = 2 };

/* Called from any thread that works for the domain, never inside a section; must not call back into the library.
 * `text` is one line without its end and lives for the call. */
typedef void tide_log_fn(void *ctx, enum tide_log_level level, const char *text);

/* ---- domain ------------------------------------------------------------------------------------------------------ */

enum tide_open_flags {
    TIDE_CREATE = 1,    /* create the domain where there is none */
    TIDE_EXCLUSIVE = 2, /* with TIDE_CREATE: fail where there is one */
    /* With TIDE_CREATE, kept with the domain: it ends when the handle that made it is closed; where that handle's process is killed,
     * with the last member. Whoever opens it after all members are dead finds none, or begins anew. */
    TIDE_EPHEMERAL = 4,
    TIDE_DUMPED = 8, /* core dumps of this process contain what this handle maps; without it they do not */
};

/*
 * What the leader does for a put that the tables' budget has no room for.
 *
 * TIDE_EVICT_S3FIFO: other keys go, and the put answers FULL only where it would not fit into a table of the keys that are kept (TIDE_KEEP). A batch
 * with a cas, an add or a touch answers FULL also where it does not fit beside the values that it replaces: its own keys do not go for it. What
 * goes was not read of late: new keys that were not read twice soon, and older ones that nobody reads any more (S3-FIFO). Reads on every replica and in every process
 * count, those of a read-only mount excepted. It takes some 16 bytes a key of each process's own memory for each replica that it runs. An
 * evicted key is gone on every replica at the same index, as after a delete.
 */
enum tide_evict { TIDE_EVICT_NONE = 0 /* FULL */, TIDE_EVICT_S3FIFO = 1 };

/* Options of tide_open. Fill with TIDE_OPTS_INIT, then change. Zero means the default everywhere. */
struct tide_opts {
    size_t size;
    uint32_t flags;            /* enum tide_open_flags; TIDE_CREATE by TIDE_OPTS_INIT */
    uint32_t reserved;         /* 0 */
    uint64_t ring_bytes;       /* creation only; a power of two, 64 KiB to 4 GiB; default 16 MiB, less where it must fit */
    uint64_t table_bytes;      /* budget of each replica's table; default 64 MiB, less where it must fit; up to 60 GiB */
    uint64_t expected_keys;    /* the table starts with buckets for so many; default 0: it grows as it fills */
    uint64_t slow_follower_ns; /* how long a follower may hold the leader up; default 50 ms */
    uint64_t write_timeout_ns; /* how long a write waits for a leader elsewhere; default 1 s */
    tide_log_fn *log;          /* NULL: silent */
    void *log_ctx;
    uint64_t default_ttl_ns;   /* creation only, kept with the domain: the life of a value whose write names none; 0: no end */
    uint32_t evict;            /* creation only, kept with the domain: enum tide_evict, what happens when the tables are full */
    uint32_t reserved2;        /* 0 */
    /* Creation only, kept with the domain: it is fed, by a source of this kind ("etcd"): see *feeding*, below. 1 to 39 printable characters
     * of ASCII; NULL: it is not fed. default_ttl_ns and evict are 0 then: the source decides what is there. */
    const char *source;
};
#define TIDE_OPTS_INIT { sizeof(struct tide_opts), TIDE_CREATE, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0, NULL }

/*
 * Open a domain: attach to the segments of /dev/shm/tidemark.NAME.*, or create them; where $TIDE_SHM_DIR is set, in that directory, which the
 * handle keeps.
 * name: 1 to TIDE_NAME_MAX of A-Z a-z 0-9 _ - (a dot is allowed but not first). opts: NULL for the defaults.
 * Sizes that are 0 become smaller than their defaults where the free space of the file system, the memory limit of the control group or
 * the limit of a file's size would not hold a leader, a follower and a newcomer; the log callback tells which. Sizes that are given
 * are tried as they are. A domain in which nobody lives and nothing was ever written gives way to other sizes.
 * On a read-only mount the handle only looks: reads, tide_info() and its like, tide_verify() work (they count in no segment, and wait by
 * naps); all else answers TIDE_ERR_READ_ONLY.
 * Any thread; blocks on system calls. The handle is shared by all threads; close it with tide_close().
 * Errors: INVALID (also: $TIDE_SHM_DIR is no absolute path, or is set for a program with file capabilities), NOMEM, SYSTEM, EXISTS,
 * NO_DOMAIN, FOREIGN, VERSION, CORRUPT, NO_SPACE, SLOTS.
 */
TIDE_API int tide_open(struct tide **out, const char *name, const struct tide_opts *opts);

/*
 * Close: stop all replicas that this handle runs, leader last, and let go. Readers that are still open answer
 * TIDE_ERR_CLOSED from then on and stay to be closed by their threads. Any thread, once; blocks until its threads ended, and until
 * sections that were open have ended, of whichever domain: TIDE_ERR_THREAD where this thread has one open and the handle runs a replica.
 * Then nothing is closed.
 * A call that is under way in another thread through a reader of its own ends as it should, as the reader keeps the
 * handle's memory. So does a tide_replica_start(): TIDE_ERR_CLOSED. Any other call without a reader (a write with session
 * NULL, tide_info()) is misuse while this one is under way: it would go on in memory that is free.
 */
TIDE_API int tide_close(struct tide *d);

/* Remove the domain's segments by name, from the directory that $TIDE_SHM_DIR has now. Members keep what they have mapped, and find out: TIDE_ERR_GONE, above.
 * Errors: INVALID, NO_DOMAIN, FOREIGN, SYSTEM. */
TIDE_API int tide_unlink(const char *name);

/* A token is a fence that a client can keep, pass on and send back: {domain incarnation, index}. {0, 0} is no fence. */
struct tide_token {
    uint64_t incarnation;
    uint64_t index;
};

/* struct tide_token.incarnation: index is a revision of the domain's source. Such a token works on every host that the source feeds; a domain that
 * is not fed answers INCARNATION. As text: rev:N. */
#define TIDE_REVISION UINT64_MAX

struct tide_info {
    size_t size;
    char name[TIDE_NAME_MAX + 16];
    uint64_t incarnation;
    uint64_t commit_index;
    uint64_t term;
    uint64_t ring_bytes;
    uint64_t ring_used_bytes; /* between the slowest pinned replica and the leader's tail */
    uint64_t table_bytes;
    uint64_t hash_seed;
    uint64_t created_unix_ns;
    int32_t leader; /* replica number, -1 when nobody leads */
    int32_t leader_pid; /* 0 when nobody leads */
    uint32_t led;       /* 1: the kernel certifies that the leader's process lives */
    uint32_t members;   /* slots of processes (handles) that are attached, or were and are not reaped yet */
    uint32_t replicas;
    uint64_t lapped_total; /* followers that were lapped, ever */
    uint64_t expired_total;  /* keys that were removed because their time was over, ever */
    uint64_t evicted_total;  /* keys that were removed because their room was needed, ever */
    uint64_t default_ttl_ns; /* 0: none */
    /* A fed domain's; else 0. */
    char source[40];            /* kind; "": not fed */
    char source_note[256];      /* what its feed says about it */
    uint64_t source_revision;   /* the highest in the log */
    uint64_t complete_revision; /* the log holds everything up to this revision ... */
    uint64_t complete_ns;       /* ... as of so long ago; TIDE_UNBOUNDED: it never did, and no read is served yet */
    uint64_t probes_begun;      /* questions to the source, ever */
    uint64_t probes_done;       /* the newest that was answered */
    uint64_t bound_wanted_ns;   /* the tightest bound that was read by within the last second or two; TIDE_UNBOUNDED: none */
    uint64_t writes_open;       /* handed to the source, and not answered yet */
};
#define TIDE_INFO_INIT TIDE_SIZED(tide_info)

/* Any thread, wait-free; each field by itself is current, together they may be of neighbouring instants. */
TIDE_API int tide_info(struct tide *d, struct tide_info *out);

/* Nanoseconds of the domain's clock, the one that commit timestamps and staleness are measured by: it advances with
 * CLOCK_MONOTONIC; only differences mean something. Any thread, wait-free. */
TIDE_API uint64_t tide_now(struct tide *d);

/* ---- replicas ---------------------------------------------------------------------------------------------------- */

enum tide_role { TIDE_FOLLOWER = 0, TIDE_LEADER = 1 };
enum tide_state {
    TIDE_STATE_FREE = 0,     /* no replica in this slot */
    TIDE_STATE_CLAIMED = 1,  /* being set up */
    TIDE_STATE_JOINING = 2,  /* copies and catches up; pins the ring, serves nothing */
    TIDE_STATE_SERVING = 3,  /* pins the ring, serves */
    TIDE_STATE_LAPPED = 4,   /* the log went on without it; serves nothing, joins anew */
    TIDE_STATE_STOPPED = 5,  /* ended */
    TIDE_STATE_DIVERGED = 6, /* its digest differed from the leader's; serves nothing */
    TIDE_STATE_ORPHAN = 8,   /* its process is gone, and no other copy was left: kept for a warm start */
    TIDE_STATE_FAILED = 7,   /* out of memory or a damaged log; serves nothing; the log callback says why */
};
TIDE_API const char *tide_state_name(enum tide_state s);

struct tide_replica_opts {
    size_t size;
    enum tide_role role;
    int32_t id;              /* slot 0..63, or -1 for the first free one */
    int32_t cpu;             /* pin the apply thread to this CPU, or -1 */
    uint32_t candidate;      /* 1: it may take over when the leader has gone */
    uint64_t apply_delay_ns; /* follower: apply entries only so long after their commit; at most 1 hour */
    uint64_t table_bytes;    /* 0: as the others; less than theirs, or than the domain's: INVALID, the log callback tells */
    const char *label;       /* up to 31 bytes, shown by tools; NULL: "rK" */
    /* Follower: how long it looks for new entries before it sleeps, holding its CPU meanwhile. 0: some microseconds.
     * What comes while it looks is applied at once; what comes while it sleeps, tens of microseconds later, and its
     * writer pays for the wake-up. TIDE_UNBOUNDED: it never sleeps. Only where there is a CPU to spare. */
    uint64_t spin_ns;
};
#define TIDE_REPLICA_OPTS_INIT { sizeof(struct tide_replica_opts), TIDE_FOLLOWER, -1, -1, 0, 0, 0, NULL, 0 }

/*
 * Start a replica in this process. A follower gets a thread of its own, which applies the log; one that joins a domain with
 * data copies a live replica's table first. A leader has no thread: writers run the sequencer. At most one leader.
 * The call returns when the replica serves: one with a delay when what was committed before is old enough (another
 * thread's tide_replica_set_delay(), or closing, cuts that short). *id_out (may be NULL) gets its number.
 * Any thread; blocks on system calls and on joining. Errors: INVALID, NOMEM, SYSTEM, NO_SPACE, FOREIGN, SLOTS, BUSY, NO_REPLICA
 * (the log no longer holds everything and nobody is there to copy from), TIMEOUT (for ten seconds more was written than the ring holds
 * while the newcomer copies, so that it was lapped each time; the log callback tells), FAILED states as CORRUPT or FULL.
 */
TIDE_API int tide_replica_start(struct tide *d, const struct tide_replica_opts *opts, uint32_t *id_out);

/* Stop a replica of this handle, in any order, while others work: readers turn to the others. The data goes with the last
 * replica that serves (one that is still joining has no copy of its own yet). Any thread; waits for the
 * apply thread to end and for sections of the process to end. Errors: INVALID; THREAD: this thread has a section open; BUSY (its
 * tide_replica_start() has not returned yet). */
TIDE_API int tide_replica_stop(struct tide *d, uint32_t id);

/* Change a follower's delay; takes effect at its next entry. Any thread. Errors: INVALID. */
TIDE_API int tide_replica_set_delay(struct tide *d, uint32_t id, uint64_t apply_delay_ns);

/* Does the leader answer? 0; NO_LEADER, TIMEOUT (it holds its place and does not: stopped, or very busy). A leader that
 * waits for a slow follower, or for an open section of its own process, answers. For watchdogs. Any thread, waits up to timeout_ns.
 * Errors: INVALID, CLOSED, GONE, FORKED, READ_ONLY as well. */
TIDE_API int tide_ping(struct tide *d, uint64_t timeout_ns);

/* What tide_verify() found. */
struct tide_verify {
    size_t size;
    uint32_t replicas;  /* serving ones that were looked at */
    uint32_t compared;  /* of those, whose digests could be compared at one index */
    uint32_t differing; /* of those, that differ from the first */
    uint32_t reserved;
    uint64_t index;     /* that index */
    uint64_t digest;
    uint64_t nodes;     /* looked at, in all replicas */
    uint64_t damaged;   /* nodes whose CRC is wrong, or that could not be read */
    uint64_t digests[TIDE_REPLICAS]; /* at `index`, where bit k of has_digest is set */
    uint64_t has_digest;
    uint64_t has_damage; /* bit k: replica k has such nodes */
};
#define TIDE_VERIFY_INIT TIDE_SIZED(tide_verify)

/* Check every node of every serving replica, and compare the replicas' digests at one index: the current one where all are at it
 * (nothing is being written), else the last multiple of 1,024 that they have in common. The log callback gets the first keys whose bytes are damaged:
 * putting or deleting them mends the replica. Any thread, not in a section. Errors: INVALID,
 * CLOSED, THREAD; SYSTEM, NOMEM, FOREIGN: a replica could not be looked at, for want of a descriptor, say. */
TIDE_API int tide_verify(struct tide *d, struct tide_verify *out);

/* Ask the leader, in this process or another, to hand over to a candidate; it takes up again when there is none. Returns at
 * once. Any thread. Errors: INVALID, NO_LEADER, BUSY (the leader here is no candidate). */
TIDE_API int tide_step_down(struct tide *d);

/* Free the slots of dead members: replicas, lanes, readers. *reaped (may be NULL): how many members. Any thread. */
TIDE_API int tide_gc(struct tide *d, uint32_t *reaped);

#define TIDE_SIZES 24u

/* Live keys of one size. */
struct tide_size {
    uint64_t keys;
    uint64_t bytes; /* of these keys and their values */
};

struct tide_replica_info {
    size_t size;
    uint32_t id;
    enum tide_role role;
    enum tide_state state;
    int32_t pid;
    uint64_t applied_index;
    uint64_t lag;          /* entries */
    uint64_t staleness_ns; /* 0 when applied >= commit */
    uint64_t apply_delay_ns;
    uint64_t keys;         /* live keys in the table */
    uint64_t table_bytes;
    uint64_t table_used_bytes;
    uint64_t joins;        /* how often it copied another's table */
    uint64_t lapped;       /* how often it was lapped */
    uint64_t lag_p50_ns;   /* replication lag, commit to applied: rolling 10 s */
    uint64_t lag_p99_ns;
    uint64_t lag_p999_ns;
    uint64_t lag_all_p50_ns; /* since the replica started */
    uint64_t lag_all_p99_ns;
    uint64_t lag_all_p999_ns;
    uint64_t lag_all_max_ns;
    uint64_t lag_count;      /* entries recorded since it started */
    char label[32];
    /* What the budget is used for; the four add up to table_bytes. */
    uint64_t table_live_bytes;     /* keys and values of live keys */
    uint64_t table_free_bytes;     /* what puts may take yet, headers and rounding included */
    uint64_t table_waiting_bytes;  /* replaced or deleted: free once no reader can have it any more */
    uint64_t table_overhead_bytes; /* buckets, headers and rounding of live keys, what is kept for moving nodes */
    uint64_t table_keys_most;      /* so many keys the buckets have room for: then puts of new keys answer FULL, too */
    /* Live keys by size: sizes[k] has those whose key and value together have up to 16 << k bytes, and more than sizes[k - 1]'s; the last has all
     * that are larger. The bytes of all of them are table_live_bytes. */
    struct tide_size sizes[TIDE_SIZES];
};
#define TIDE_REPLICA_INFO_INIT TIDE_SIZED(tide_replica_info)

/* Any thread, wait-free (it walks the lag histograms: some 100 us). Errors: INVALID (id over 63), NOT_FOUND (free slot). */
TIDE_API int tide_replica_info(struct tide *d, uint32_t id, struct tide_replica_info *out);

/* The replica's digest and the index that it is of: replicas at one index have one digest. Only when the replica is not
 * applying is the pair of this instant; while it applies, it is of a recent index. Errors: INVALID, NOT_FOUND. */
TIDE_API int tide_replica_digest(struct tide *d, uint32_t id, uint64_t *index, uint64_t *digest);

/* ---- reads ------------------------------------------------------------------------------------------------------- */

enum tide_fallback {
    TIDE_FALLBACK_LEADER = 0, /* wait up to wait_ns for a replica, then read the leader's: NO_LEADER where nobody leads then */
    TIDE_FALLBACK_WAIT = 1,   /* wait up to wait_ns, then TIDE_ERR_TIMEOUT */
    TIDE_FALLBACK_ERROR = 2,  /* TIDE_ERR_REFUSED at once; answer.staleness_ns is the least that could be had */
    TIDE_FALLBACK_STALE = 3,  /* serve the freshest, flagged: answer.stale = 1; the session's fence may be breached, too; REFUSED
                               * where none can be read, since its process is stopped in the middle of a change, say */
};

/*
 * The contract of one read. TIDE_BOUND_INIT asks for linearizable, falling back to the leader.
 * A read is served by a replica that satisfies all three of max_staleness_ns, max_lag and min, or by the fallback.
 */
struct tide_bound {
    uint32_t size;
    uint32_t fallback;         /* enum tide_fallback */
    uint64_t max_staleness_ns; /* 0: linearizable; TIDE_UNBOUNDED: any */
    uint64_t max_lag;          /* entries behind commit; TIDE_UNBOUNDED: any */
    struct tide_token min;     /* fence, beside the session's own; {0, 0}: none */
    uint64_t wait_ns;          /* see enum tide_fallback */
};
#define TIDE_BOUND_INIT { sizeof(struct tide_bound), TIDE_FALLBACK_LEADER, 0, TIDE_UNBOUNDED, { 0, 0 }, 0 }

enum tide_reason {
    TIDE_REASON_FRESH = 0,
    TIDE_REASON_WITHIN_BOUND = 1,
    TIDE_REASON_WAITED = 2,
    TIDE_REASON_REDIRECTED = 3,          /* redirected_to_leader */
    TIDE_REASON_BEHIND_REDIRECTED = 4,   /* follower_behind_redirected_to_leader: the fence was the cause */
    TIDE_REASON_STALE_BY_CHOICE = 5,
    TIDE_REASON_REFUSED = 6,             /* an error was returned: counted, never in an answer that served */
    TIDE_REASONS = 7,
};
/* The reason's name as protocols and metrics spell it: "fresh", "within_bound", ... Static storage. */
/* Takes an answer's `reason` as it is, and an enum tide_reason. */
TIDE_API const char *tide_reason_name(uint32_t reason);

/*
 * How fresh the answer is. Set `size` with TIDE_ANSWER_INIT. Filled when a read returns 0, TIDE_ERR_NOT_FOUND,
 * TIDE_ERR_BUFFER (all fields), TIDE_ERR_REFUSED or TIDE_ERR_TIMEOUT (staleness_ns: the least that could be had;
 * waited_ns; index of that replica); untouched otherwise.
 */
struct tide_answer {
    uint32_t size;
    uint32_t reason;         /* enum tide_reason */
    uint32_t served_by;      /* replica number */
    uint8_t linearizable;    /* 1: the data held every write that was acknowledged before the call */
    uint8_t stale;           /* 1: the bound was breached, by choice */
    uint8_t from_leader;     /* 1: the leader's replica served */
    uint8_t reserved;
    uint64_t index;          /* the read is the state of exactly this index */
    uint64_t commit_index;   /* as seen by the read; lag = commit_index - index, where that is positive */
    uint64_t staleness_ns;   /* the data was complete at an instant no longer ago than this */
    uint64_t waited_ns;
    uint64_t value_size;     /* bytes of the value, also when the buffer was too small */
    uint64_t version;        /* index of the write that made the value: for cas */
    uint64_t ttl_ns;         /* what is left of its life; TIDE_TTL_NONE: it does not expire. 0 where no value was found, or many were asked for */
};
#define TIDE_ANSWER_INIT TIDE_SIZED(tide_answer)

enum tide_policy {
    TIDE_STICKY = 0,      /* keep to one replica: chosen by the thread's turn, or `home` */
    TIDE_ROUND_ROBIN = 1,
    TIDE_FRESHEST = 2,    /* the highest applied index; of equals, the lowest number */
};

struct tide_reader_opts {
    size_t size;
    enum tide_policy policy;
    int32_t home;       /* sticky: this replica first (the first of `replicas` where it is none of them); -1: readers are spread */
    uint64_t replicas;  /* bit k: replica k may be used; 0 means all. The fallback LEADER may use the leader always. */
};
#define TIDE_READER_OPTS_INIT { sizeof(struct tide_reader_opts), TIDE_STICKY, -1, 0 }

/* Open a reader for the calling thread; it registers the thread with liburcu (memb flavour) if it is not yet. A thread may
 * open many. Readers are sessions: monotonic reads, read-your-writes and writes-follow-reads hold within one, whichever
 * replica serves. Errors: INVALID, NOMEM, CLOSED. */
TIDE_API int tide_reader_open(struct tide *d, const struct tide_reader_opts *opts, struct tide_reader **out);

/* Close, by the thread that opened it, also after tide_close(). An open section is ended. Errors: THREAD. */
TIDE_API int tide_reader_close(struct tide_reader *r);

/* The session's fence: the highest index that it has read at or written. Any time, the owner's thread. */
TIDE_API int tide_reader_token(struct tide_reader *r, struct tide_token *out);

/* Take a fence in: later reads of this session reflect it. Errors: INCARNATION, THREAD. A fence ahead of commit is taken; the
 * reads then answer TIDE_ERR_FENCE_AHEAD. */
TIDE_API int tide_reader_observe(struct tide_reader *r, const struct tide_token *token);

struct tide_read_counts {
    size_t size;
    uint64_t by_reason[TIDE_REASONS];
    uint64_t by_replica[TIDE_REPLICAS];
    uint64_t hits;   /* keys that were looked up and found: of get, mget, and gets and peeks of sections; not of scans */
    uint64_t misses; /* and that were not there */
    uint64_t made;   /* tide_get_or_make(): values that were made, and that were had by waiting for another that made them */
    uint64_t waited;
};
#define TIDE_READ_COUNTS_INIT TIDE_SIZED(tide_read_counts)

/* What this session's reads were served by (the owner's thread), and what all reads of the domain were (any thread). */
TIDE_API int tide_reader_counts(struct tide_reader *r, struct tide_read_counts *out);
TIDE_API int tide_read_counts(struct tide *d, struct tide_read_counts *out);

/*
 * Look a key up under a bound (NULL: TIDE_BOUND_INIT) and copy its value.
 * key: 1 to 65,535 bytes. buf/buf_size: room for the value; NULL/0 to learn version and size only (then TIDE_ERR_BUFFER,
 * unless the value is empty). a: may be NULL.
 * Owner's thread. Wait-free when a replica satisfies the bound: no lock, fence, system call or shared write; with
 * fallbacks LEADER and WAIT it may sleep up to wait_ns (LEADER: then until the leader applied what it committed,
 * microseconds for a live one, at most one more second: then TIMEOUT, the leader is stopped or stuck).
 * Ordering: with bound 0 linearizable; reads of one session never go back in index.
 * Errors: INVALID, THREAD, CLOSED, NOT_FOUND, BUFFER, REFUSED, TIMEOUT, FENCE_AHEAD, INCARNATION, NO_LEADER, NO_REPLICA.
 * Source: docs/design.md, *Reads*.
 */
TIDE_API int tide_get(struct tide_reader *r, const void *key, size_t key_len, const struct tide_bound *bound, void *buf,
                      size_t buf_size, struct tide_answer *a);

/* One key of an mget. key, key_len, buf, buf_size go in; result, value_size, version come out. */
struct tide_mget_item {
    const void *key;
    size_t key_len;
    void *buf;
    size_t buf_size;
    int32_t result; /* 0, NOT_FOUND, BUFFER or INVALID */
    uint32_t reserved;
    uint64_t value_size;
    uint64_t version;
};

/* Look n keys up at one index, their cache misses overlapped. Returns as tide_get for the bound; each item has its own
 * result. a->value_size and a->version are 0. Owner's thread; waits as tide_get. */
TIDE_API int tide_mget(struct tide_reader *r, struct tide_mget_item *items, size_t n, const struct tide_bound *bound,
                       struct tide_answer *a);

/*
 * Sections: many reads of one replica at one index. Between begin and end every get, peek and scan sees the state of exactly
 * answer.index; the replica's writer is not held up, but what it replaces meanwhile is not reused.
 * begin returns as tide_get does for the bound. One section at a time for a reader: else TIDE_ERR_THREAD.
 */
TIDE_API int tide_section_begin(struct tide_reader *r, const struct tide_bound *bound, struct tide_answer *a);
TIDE_API int tide_section_end(struct tide_reader *r);

/* Copy, as tide_get, at the section's index. *value_size and *version (either may be NULL) are set on success and on
 * BUFFER, where they say what is there, and untouched otherwise. Errors: THREAD, INVALID, NOT_FOUND, BUFFER, LOST. */
TIDE_API int tide_section_get(struct tide_reader *r, const void *key, size_t key_len, void *buf, size_t buf_size,
                              size_t *value_size, uint64_t *version);

/* What is left of the key's life at the section's instant; TIDE_TTL_NONE: it does not expire. Counts neither as a hit nor as a miss. Errors: THREAD,
 * INVALID, NOT_FOUND, LOST. */
TIDE_API int tide_section_ttl(struct tide_reader *r, const void *key, size_t key_len, uint64_t *ttl_ns);

/* Zero copy: *value points into the replica's table, valid and unchanging until tide_section_end(); do not write to it.
 * 8-byte alignment is not promised. Errors: THREAD, INVALID, NOT_FOUND, NOT_LOCAL, LOST. */
TIDE_API int tide_section_peek(struct tide_reader *r, const void *key, size_t key_len, const void **value,
                               size_t *value_size, uint64_t *version);

/* Visit every key once, in no order. fn returns 0 to go on; anything else ends the scan and is returned. Pointers are
 * valid until the section ends. */
typedef int tide_scan_fn(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size,
                         uint64_t version);
TIDE_API int tide_section_scan(struct tide_reader *r, tide_scan_fn *fn, void *ctx);

/* A key as a visit shows it. Pointers are valid until the section ends. */
struct tide_entry {
    size_t size;         /* of this struct */
    const void *key;
    size_t key_len;
    const void *value;
    size_t value_size;
    uint64_t version;
    uint64_t ttl_ns;     /* what is left of its life at the section's instant; TIDE_TTL_NONE: it does not expire */
    uint32_t flags;      /* enum tide_write_flags, enum tide_entry_flags */
    uint32_t reserved;
};

/* Beside what the writer asked for. DAMAGED: key and value are not the bytes that were written (their checksum is computed here; a get and a peek
 * do not). */
enum tide_entry_flags { TIDE_DAMAGED = 1u << 16 };

/* As tide_section_scan(), with all that belongs to a key. */
typedef int tide_entry_fn(void *ctx, const struct tide_entry *entry);
TIDE_API int tide_section_visit(struct tide_reader *r, tide_entry_fn *fn, void *ctx);

/* ---- writes ------------------------------------------------------------------------------------------------------ */

/*
 * Writes return 0 when they are committed and in the leader's own replica: any bound-0 read that starts later sees them.
 * session: the reader whose session writes (owner's thread), or NULL. token: where the fence goes, or NULL.
 * Any thread; lock-free: a thread that finds the sequencer taken leaves its write to the one that has it (flat
 * combining). Blocks while the ring is full, at most slow_follower_ns, and while open sections hold all spare memory.
 * When the leader is in another process it goes through a lane and waits up to write_timeout_ns.
 * Errors: INVALID, TOO_BIG, FULL, CLOSED, THREAD; NO_LEADER and TIMEOUT: certainly not done; UNKNOWN: it may be done yet.
 */
TIDE_API int tide_put(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, const void *value,
                      size_t value_size, struct tide_token *token);
/* Deleting a key that is not there is a write too: 0, with an index. */
TIDE_API int tide_delete(struct tide *d, struct tide_reader *session, const void *key, size_t key_len,
                         struct tide_token *token);
/* Put if the key's version is `expected` (answer.version of a read; 0: the key must not exist). Else MISMATCH, and
 * *found (may be NULL) gets the version that was there. */
TIDE_API int tide_cas(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, uint64_t expected,
                      const void *value, size_t value_size, struct tide_token *token, uint64_t *found);

/*
 * Time to live. A value that was put with a ttl expires so long after its commit, by the domain's clock (tide_now()). It is seen while
 * now < expiry, and never after, at every bound, on every replica, also while nobody leads. A read decides by one instant: get, mget and
 * section each have one. An expired key is absent for cas, add, touch, scans and snapshots as well. The leader removes it from the
 * tables soon afterwards, by an entry of the log, and at once where a write needs its room. A key that never expires costs a read nothing.
 * A read that finds a key expired while the leader is just writing to it waits until that is done, some hundred nanoseconds. If the leader's
 * process is stopped at that point, the read ends as its fallback says; a section says LOST.
 *
 * ttl_ns 0: the domain's default (tide_opts.default_ttl_ns). TIDE_TTL_NONE, or more than 100 years: it never expires.
 */
enum tide_write_flags { TIDE_KEEP = 1 /* the key is not evicted */ };
struct tide_put_opts {
    size_t size;
    uint32_t flags;    /* enum tide_write_flags */
    uint32_t reserved; /* 0 */
    uint64_t ttl_ns;
};
#define TIDE_PUT_OPTS_INIT TIDE_SIZED(tide_put_opts)

/* As tide_put() and tide_cas(), with options (NULL: TIDE_PUT_OPTS_INIT). Errors as there. */
TIDE_API int tide_put_with(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, const void *value,
                           size_t value_size, const struct tide_put_opts *opts, struct tide_token *token);
TIDE_API int tide_cas_with(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, uint64_t expected,
                           const void *value, size_t value_size, const struct tide_put_opts *opts, struct tide_token *token,
                           uint64_t *found);

/* Give a key another life, counted from now: a new version with the same value. Errors as tide_put(); NOT_FOUND: the key is not there,
 * or has expired; nothing was written. */
TIDE_API int tide_touch(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, uint64_t ttl_ns,
                        struct tide_token *token);

/*
 * Add to a value that is a decimal number of 64 bits with a sign, as text: an optional '-' and digits, no '+', no blanks. A key that is
 * not there counts as 0. *result (may be NULL) gets the sum, which is the new value. opts: NULL, or a ttl: 0 leaves the expiry of a key
 * that is there as it is. Errors as tide_put(); NUMBER, OVERFLOW: nothing was written. UNKNOWN as there, and where the sum was added by a
 * leader that died before it answered.
 */
TIDE_API int tide_add(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, int64_t delta,
                      const struct tide_put_opts *opts, struct tide_token *token, int64_t *result);

enum tide_op_kind {
    TIDE_OP_PUT = 1,
    TIDE_OP_DELETE = 2,
    TIDE_OP_CAS = 3,
    TIDE_OP_ADD = 4,   /* tide_write() alone, as TOUCH */
    TIDE_OP_TOUCH = 5,
};
struct tide_op {
    enum tide_op_kind kind;
    uint32_t reserved;
    const void *key;
    size_t key_len;
    const void *value;
    size_t value_size;
    uint64_t expected; /* CAS: the version before the batch */
};

/* 1 to 65,536 operations as one: no read sees a part of them, and if one cas does not match, nothing is written
 * (MISMATCH; *failed, may be NULL, gets its position). Together at most a quarter of the ring (TOO_BIG). The token is the
 * last operation's index; the others have the indexes before it, in order. */
TIDE_API int tide_batch(struct tide *d, struct tide_reader *session, const struct tide_op *ops, size_t n,
                        struct tide_token *token, size_t *failed);

/* An operation of tide_write(). Fill with TIDE_WRITE_OP_INIT, then change. */
struct tide_write_op {
    uint32_t size;
    uint32_t kind;     /* enum tide_op_kind */
    uint32_t flags;    /* enum tide_write_flags; of a put, cas or add */
    uint32_t reserved; /* 0 */
    const void *key;
    size_t key_len;
    const void *value; /* PUT, CAS */
    size_t value_size;
    uint64_t expected; /* CAS: the version before the batch */
    uint64_t ttl_ns;   /* see above; not DELETE */
    int64_t delta;     /* ADD */
    int64_t result;    /* out: ADD: the sum */
    uint64_t index;    /* out: of this operation's entry */
};
#define TIDE_WRITE_OP_INIT TIDE_SIZED(tide_write_op)

/*
 * As tide_batch(), with every kind of operation. ADD and TOUCH see what the operations before them in the batch did to their key: adds of
 * one key add up. An operation that cannot be done (MISMATCH, NOT_FOUND of a touch, NUMBER, OVERFLOW) means that nothing is written;
 * *failed tells which. All ops have the size of the first. To a leader in another process at most 4,096 adds go in one batch (TOO_BIG).
 */
TIDE_API int tide_write(struct tide *d, struct tide_reader *session, struct tide_write_op *ops, size_t n, struct tide_token *token,
                        size_t *failed);

/* Wait until n replicas (the leader's counts, those of dead processes do not) have applied token.index; of {0, 0}: until n serve. timeout_ns 0: look
 * once. Any thread, sleeps. Errors: TIMEOUT, INCARNATION, INVALID (n over 64), CLOSED. */
TIDE_API int tide_wait_applied(struct tide *d, const struct tide_token *token, uint32_t n, uint64_t timeout_ns);

/* ---- get or make ------------------------------------------------------------------------------------------------- */

/*
 * Make the value of `key`: write it into buf and its size into *value_size. 0: it is good. Anything else: it could not be made, and
 * tide_get_or_make() returns that as it is (positive numbers are no TIDE_ERR_). A size beyond buf_size: TIDE_ERR_BUFFER.
 * It may use the library, the same reader too. Cancellation is off. A thread that ends in here gives the lease up.
 */
typedef int tide_make_fn(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size);

struct tide_make_opts {
    size_t size;
    uint32_t flags;    /* 0 */
    uint32_t reserved; /* 0 */
    uint64_t ttl_ns;   /* how long the value is fresh: as tide_put_opts.ttl_ns */
    uint64_t wait_ns;  /* how long to wait while another makes it; 0: not at all; TIDE_UNBOUNDED: as long as it lives */
    uint64_t stale_ns; /* how long after ttl_ns the old value may be served while it is made anew; 0: not at all */
};
#define TIDE_MAKE_OPTS_INIT { sizeof(struct tide_make_opts), 0, 0, 0, TIDE_UNBOUNDED, 0 }

/*
 * tide_get(), and where the key is missing: make the value, put it, and answer with it. Of all who miss a key at once, in all processes, one
 * makes it; the others wait and get what it put. A maker that fails passes the task on to one that waits; one whose process dies
 * does, too. So make() runs once, unless it fails, its process dies or the value cannot be put. Where too many keys are being made at once
 * (leases lie in 64 sets of ten), or a process is stopped in the wrong instant, somebody makes a value twice, and nothing else happens.
 *
 * Stale while it is made anew: the value is put with a life of ttl_ns + stale_ns. What has stale_ns or less left (answer.ttl_ns) is
 * stale: the first that finds it so makes it anew, while the others get the old one at once. If that fails, so does the first.
 * Everybody who uses the key should say the same stale_ns.
 *
 * opts: NULL for TIDE_MAKE_OPTS_INIT. The other arguments: as tide_get(). buf is where make() writes.
 * Owner's thread, no section open. A hit costs what tide_get() costs. Blocks while make() runs, or wait_ns.
 * Errors: as tide_get() but for NOT_FOUND; TIMEOUT: another has not made it within wait_ns; BUSY: this reader has the key's lease: make() asks for the key
 * that it makes, or tide_lease_take() took it; what make() returned; as tide_put_with(): the value was made and could not be put: buf has it, answer.value_size bytes, and
 * answer.version is 0.
 */
TIDE_API int tide_get_or_make(struct tide_reader *r, const void *key, size_t key_len, const struct tide_bound *bound,
                              const struct tide_make_opts *opts, tide_make_fn *make, void *ctx, void *buf, size_t buf_size,
                              struct tide_answer *a);

/* Beneath it, for bindings whose language cannot be called back: take the lease of a key, look it up once more, make and put it, give the
 * lease up. A lease is a hint that saves work; nobody is kept from writing the key. */
enum tide_lease_state {
    TIDE_LEASE_TAKEN = 1, /* yours to make */
    TIDE_LEASE_DONE = 2,  /* another had it, and gave it up: look the key up, and take again where it is missing */
    TIDE_LEASE_FULL = 3,  /* no room for one more lease: make the value without */
};
struct tide_lease {
    size_t size;
    uint32_t state; /* enum tide_lease_state */
    uint32_t slot;
};
#define TIDE_LEASE_INIT TIDE_SIZED(tide_lease)

/* Waits up to wait_ns while another has it. A lease ends when it is given up, when the reader is closed or its thread ends, or when its
 * process dies. Owner's thread. Errors: INVALID, THREAD, CLOSED, GONE; TIMEOUT: another still has it; BUSY: this reader has it. */
TIDE_API int tide_lease_take(struct tide_reader *r, const void *key, size_t key_len, uint64_t wait_ns, struct tide_lease *lease);
/* made: 1: the value is there, and all who wait wake up; 0: it is not, and one of them tries. DONE and FULL need not be given
 * up. Owner's thread. Errors: INVALID, THREAD. */
TIDE_API int tide_lease_release(struct tide_reader *r, const struct tide_lease *lease, int made);

/* ---- watching ---------------------------------------------------------------------------------------------------- */

/*
 * A watch tells every change of a domain's keys in the order of the log, each once, across changes of leader. It reads the log as it
 * lies in memory: in any process, by a read-only mapping too. Nobody waits for a watch. One that is slower than the writers by more
 * than the ring holds has lost changes, and is told so: TIDE_ERR_LOST.
 */
struct tide_watch;

enum tide_watch_flags {
    /* First everything that is there, at one index S, as TIDE_EVENT_PUT; then TIDE_EVENT_SYNCED; then every change after S. */
    TIDE_WATCH_INITIAL = 1,
};

struct tide_watch_opts {
    size_t size;
    uint32_t flags;         /* enum tide_watch_flags */
    uint32_t reserved;      /* 0 */
    struct tide_token from; /* changes after this index; {0, 0}: what is committed after the call; with INITIAL {0, 0} */
    const void *prefix;     /* keys that begin with it; prefix_len 0: all. Copied by tide_watch_open() */
    size_t prefix_len;
};
#define TIDE_WATCH_OPTS_INIT { sizeof(struct tide_watch_opts), 0, 0, { 0, 0 }, NULL, 0 }

enum tide_event_kind {
    TIDE_EVENT_PUT = 1,
    TIDE_EVENT_DELETE = 2, /* also of a key that was not there */
    TIDE_EVENT_EXPIRE = 3, /* its time was over */
    TIDE_EVENT_EVICT = 4,  /* its room was needed */
    TIDE_EVENT_SYNCED = 5, /* INITIAL: all that was there has been told */
};

struct tide_event {
    size_t size;
    uint32_t kind;      /* enum tide_event_kind */
    uint32_t more;      /* 1: the next event belongs to the same batch. What INITIAL tells is one batch, which SYNCED ends */
    uint64_t index;     /* of the write; SYNCED: S */
    uint64_t time_ns;   /* when it was committed, on the domain's clock (tide_now()); before and at SYNCED: when S was reached */
    const void *key;    /* NULL with SYNCED. Not aligned */
    size_t key_len;
    const void *value;  /* behind the key in memory. Not aligned */
    size_t value_size;  /* 0 but for PUT */
    uint64_t ttl_ns;    /* what was left of its life at time_ns; TIDE_TTL_NONE: it does not expire */
    uint64_t revision;  /* the source's version of the key; DELETE: the revision that deleted it. 0: there is no source */
};
#define TIDE_EVENT_INIT TIDE_SIZED(tide_event)

/*
 * Open a watch. opts: NULL for TIDE_WATCH_OPTS_INIT. INITIAL copies every key with the prefix into private memory, while writers go on, and
 * returns when that is complete; it takes no part in the log, so with a small ring and fast writers it may be LOST.
 * A watch belongs to no thread: any may use it, one at a time. It holds the handle's memory as a reader does: after tide_close() it
 * answers TIDE_ERR_CLOSED and stays to be closed. In a forked child: TIDE_ERR_FORKED.
 * Any thread, with INITIAL not in a section; no waiting but for the copy. Errors: INVALID, NOMEM, INCARNATION, FENCE_AHEAD, CLOSED, GONE;
 * with INITIAL also NO_REPLICA, CORRUPT, LOST, THREAD, SYSTEM. An index that the ring no longer holds: tide_watch_next() answers LOST.
 */
TIDE_API int tide_watch_open(struct tide *d, const struct tide_watch_opts *opts, struct tide_watch **out);

/*
 * The next event. Its pointers are valid until the next call with this watch, but for tide_watch_token(). Waits up to timeout_ns
 * (0: not at all; UINT64_MAX: for ever): TIMEOUT. A thread that waits sleeps until a leader commits, and is awake some ten microseconds
 * later; on a read-only mount it looks every 50 us to 2 ms.
 * LOST: the log was overwritten where the watch stood; it ends there. tide_watch_oldest() says what is left; begin anew with
 * INITIAL. CORRUPT: what the log holds there cannot be, also seconds later. Others: INVALID, NOMEM, CLOSED, GONE, FORKED.
 */
TIDE_API int tide_watch_next(struct tide_watch *w, struct tide_event *event, uint64_t timeout_ns);

/* Where the watch stands: given as `from`, another watch goes on behind the last event that was told, in the middle of a batch where
 * that was one. BUSY: before SYNCED there is no such place. */
TIDE_API int tide_watch_token(struct tide_watch *w, struct tide_token *out);

/* The token from which a watch could tell most: it begins with the oldest entry that the ring holds. It may be gone a moment later. */
TIDE_API int tide_watch_oldest(struct tide_watch *w, struct tide_token *out);

/* Close. No other thread is in a call with it. Errors: INVALID. */
TIDE_API int tide_watch_close(struct tide_watch *w);

/* ---- feeding ------------------------------------------------------------------------------------------------------- */

/*
 * A domain with a source (tide_opts.source) takes its entries from an engine elsewhere. An application leads it, appends what the source
 * tells, and says up to which revision, and as of which instant, that is everything. Then:
 *
 * - Staleness counts from the source: now - T, where T is the instant before which the revision was asked for that the replica holds.
 * - Bound 0 waits for a probe that is begun after the call, and until the replica holds the revision that it brought. All
 *   readers of all processes that wait share one probe.
 * - Fallbacks: LEADER: wait up to wait_ns for the bound, then up to one more second for such a probe; WAIT: wait_ns for either; then TIMEOUT.
 *   ERROR and STALE never wait: bound 0 is REFUSED, or served and flagged.
 * - Before the first tide_feed_complete() no read is served, whatever its bound: REFUSED or TIMEOUT.
 * - Writes are handed to the feed, which answers them; cas is by the source's version (answer.version is it, too). A write's token is
 *   {TIDE_REVISION, revision}, and so is tide_reader_token().
 * - Only a handle with a feed leads: a leader or candidate without one: TIDE_ERR_FED.
 */
struct tide_feed;
struct tide_feed_request;

/* One local write, from any process of the host: all of its operations or none. Valid until it is answered. */
struct tide_feed_write {
    size_t size;
    const struct tide_write_op *ops; /* PUT, DELETE, CAS (expected: the source's version; 0: the key must not exist), ADD, TOUCH; ttl_ns as the
                                        writer gave it: 0 none, TIDE_TTL_NONE none; op.result and op.index mean nothing */
    size_t n;
    struct tide_feed_request *request; /* to answer it by */
};

/*
 * What the library calls. From one thread of the library, while this handle leads, one call at a time. They must not wait, and may call
 * every tide_feed_ function but tide_feed_close(). A callback that is NULL is not called (write NULL: every write gets FED).
 */
struct tide_feed_opts {
    size_t size;
    uint32_t flags;     /* 0 */
    uint32_t reserved;  /* 0 */
    const char *source; /* kind: must be the domain's, else FED */
    void *ctx;
    void (*lead)(void *ctx, uint32_t term); /* this handle leads from now on: begin behind tide_feed_revision() */
    void (*unlead)(void *ctx);              /* no more. Open requests have been answered UNKNOWN; answer each all the same, to free it */
    void (*write)(void *ctx, const struct tide_feed_write *write); /* `write` itself lives for the call; write->ops and ->request until answered */
    void (*wish)(void *ctx);                /* what tide_feed_wish() tells has changed: somebody waits, or asks for a tighter bound */
};
#define TIDE_FEED_OPTS_INIT TIDE_SIZED(tide_feed_opts)

/* Make this handle able to lead its domain. Before tide_replica_start() with the role leader or as a candidate. One for a handle. The
 * library calls lead() when it comes to lead: at once by tide_replica_start(leader), or later as a candidate.
 * Any thread. Errors: INVALID, NOMEM, FED, BUSY (the handle has one), READ_ONLY, CLOSED, GONE, FORKED. */
TIDE_API int tide_feed_open(struct tide *d, const struct tide_feed_opts *opts, struct tide_feed **out);

/* After the handle's leading replica was stopped, or tide_close(): both wait until unlead() has returned. Requests that were never answered
 * are freed. Errors: INVALID, BUSY (this handle leads, or has a candidate), FORKED. */
TIDE_API int tide_feed_close(struct tide_feed *f);

/* Where to go on: *revision (may be NULL) is the highest revision up to which the log holds every change: append what comes after it. 0: nothing yet.
 * *whole (may be NULL) 0: a difference was begun (TIDE_FEED_MORE) and its leader died: the log holds a part of it, so append a new difference to the
 * source as it is now, not the changes after *revision. Any thread. Errors: INVALID, NO_LEADER (this handle does not lead), CLOSED, GONE. */
TIDE_API int tide_feed_revision(struct tide_feed *f, uint64_t *revision, uint32_t *whole);

/* Which source: a number of the application's (a hash of the cluster's identity and the prefix), not 0. The first call keeps it with the domain;
 * another number later, in any process: FED. Then the domain's entries are another source's: tide_unlink() it and make it anew.
 * (Revisions that went back: the same, the application notices by tide_feed_revision().) Errors: INVALID, FED, NO_LEADER, CLOSED, GONE. */
TIDE_API int tide_feed_identify(struct tide_feed *f, uint64_t identity);

struct tide_feed_op {
    uint32_t size;
    uint32_t kind;     /* TIDE_OP_PUT, TIDE_OP_DELETE */
    uint32_t flags;    /* 0 */
    uint32_t reserved; /* 0 */
    const void *key;
    size_t key_len;
    const void *value; /* PUT */
    size_t value_size;
    uint64_t version;  /* the source's version of the key, which cas compares; 0: the group's revision. etcd: mod_revision */
    uint64_t ttl_ns;   /* PUT: 0 or TIDE_TTL_NONE: it is there until the source deletes it. Else this domain lets it expire by itself */
};
#define TIDE_FEED_OP_INIT TIDE_SIZED(tide_feed_op)

enum tide_feed_flags {
    /* More groups with this revision follow. The log holds the revision once a group without the flag came (n may be 0). For what is
     * larger than one group may be: the first copy, a difference. Until then tide_feed_complete() answers BUSY, and bound 0 waits;
     * reads with looser bounds see each group as it comes (but nothing before the first tide_feed_complete() ever). */
    TIDE_FEED_MORE = 1,
};

/*
 * Append a group of 0 to 65,536 operations that the source did at `revision`: all or nothing, for readers, followers and the next leader. Returns when
 * it is committed and in this process's replica. Revisions only rise: one that the log holds: REVISION. n 0 without MORE: the source is at
 * `revision` and nothing here changed (an entry of the log; worth it once in some thousand revisions, so that a later leader begins there).
 * All ops have the size of the first. One thread at a time, any. Blocks as tide_put() does in the leader's process.
 * Errors: INVALID; TOO_BIG: over a quarter of the ring, or 65,536: split it by TIDE_FEED_MORE; FULL: the tables' budget is used up: nothing of
 * the group was done, try again later (nothing may be skipped); REVISION; NO_LEADER: this handle does not lead (any more); CLOSED, GONE, CORRUPT.
 */
TIDE_API int tide_feed_append(struct tide_feed *f, uint64_t revision, const struct tide_feed_op *ops, size_t n, uint32_t flags);

/* A question to the source: up to which revision is everything? */
struct tide_feed_probe {
    size_t size;
    uint64_t number;
    uint64_t time_ns; /* T, on the domain's clock */
};
#define TIDE_FEED_PROBE_INIT TIDE_SIZED(tide_feed_probe)

/* Begin a probe: call this first, and ask the source afterwards (a full barrier lies in between). Everyone who waits by now is served by it. Several
 * may be under way, and one that failed is simply forgotten. Any thread, does not wait. Errors: INVALID, NO_LEADER, CLOSED, GONE. */
TIDE_API int tide_feed_probe(struct tide_feed *f, struct tide_feed_probe *probe);

/* The source said `revision` (its linearizable read index) to this probe, and every change up to it has been appended. May come in another order than
 * the probes were begun; `revision` may be beyond the last one appended (others' keys) or before it.
 * Any thread; blocks as tide_put(). Errors: INVALID (no such probe of this leader), BUSY (nothing was appended yet, or a group with TIDE_FEED_MORE was the last),
 * NO_LEADER, CLOSED, GONE. */
TIDE_API int tide_feed_complete(struct tide_feed *f, const struct tide_feed_probe *probe, uint64_t revision);

/* What readers want of the feed. */
struct tide_feed_wish {
    size_t size;
    uint64_t wanted;   /* somebody waits for the probe of this number, or a later one: while it is above `begun`, begin one now */
    uint64_t begun;    /* the newest that was begun. If it failed, begin another while wanted > done */
    uint64_t done;     /* the newest that was completed */
    uint64_t bound_ns; /* the tightest bound above 0 that somebody read by within the last second or two; TIDE_UNBOUNDED: nobody did */
};
#define TIDE_FEED_WISH_INIT TIDE_SIZED(tide_feed_wish)

/* Any thread, wait-free. Errors: INVALID, NO_LEADER, CLOSED, GONE. */
TIDE_API int tide_feed_wish(struct tide_feed *f, struct tide_feed_wish *out);

/* How a write ended. */
struct tide_feed_answer {
    size_t size;
    int32_t result;         /* 0: done, at `revision`; else the error that the writer gets: MISMATCH, NOT_FOUND, NUMBER, OVERFLOW, TOO_BIG, REFUSED,
                             * INVALID, TIMEOUT (certainly not done), UNKNOWN (it may have been done), ... */
    uint32_t failed;        /* MISMATCH, NOT_FOUND, NUMBER, OVERFLOW: position of the operation */
    uint64_t revision;      /* 0: the writer returns once this domain's log holds this revision */
    uint64_t found;         /* MISMATCH: the version that is there */
    const int64_t *results; /* n sums, those of ADD are used; NULL: none */
};
#define TIDE_FEED_ANSWER_INIT TIDE_SIZED(tide_feed_answer)

/* Answer a write, once. Any thread, at any time, also before its revision was appended, after its writer gave up or died, and after this handle
 * stopped leading. The request and its operations are freed. Does not wait. Errors: INVALID; NO_LEADER: it was answered UNKNOWN
 * meanwhile (the handle stopped leading, or closed). */
TIDE_API int tide_feed_answer(struct tide_feed_request *request, const struct tide_feed_answer *answer);

/* 1: somebody still waits for the answer. 0: its writer gave up (and was told UNKNOWN) or died: what has not been sent need not be. Any thread. */
TIDE_API int tide_feed_is_awaited(const struct tide_feed_request *request);

/* A line about the source for tide_info() and `tide stat`: endpoints, how it goes. Up to 255 bytes of UTF-8, the rest is cut. Any thread. Errors: INVALID, NO_LEADER, CLOSED, GONE. */
TIDE_API int tide_feed_note(struct tide_feed *f, const char *text);

/* For differences: visit every key of this handle's leading replica, with its version, also before the first tide_feed_complete(). No append while it runs
 * (it holds a section of the replica: TIDE_ERR_THREAD within a section of the same thread). fn as of tide_section_visit(). Errors: INVALID, NO_LEADER, THREAD, what fn returned. */
TIDE_API int tide_feed_visit(struct tide_feed *f, tide_entry_fn *fn, void *ctx);

#ifdef __cplusplus
}
#endif
/* clang-format on */
#endif
