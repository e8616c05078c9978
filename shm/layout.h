/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that lies in shared memory. Offsets are bytes from the start of the segment; there are no pointers.
 * A struct that changes here changes TIDE_LAYOUT_VERSION or the fingerprint, and with it what may attach.
 * Words with different writers are two cache lines apart, because the prefetcher fetches lines in pairs.
 *
 * Offsets and sizes are asserted below, and docs/layout.md describes them for a reader with a hex dump.
 */
#ifndef TIDE_SHM_LAYOUT_H
#define TIDE_SHM_LAYOUT_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define TIDE_LAYOUT_MAGIC UINT64_C(0x4b52414d45444954) /* "TIDEMARK", little endian */
#define TIDE_LAYOUT_VERSION 6u

#define LAYOUT_LINE 64
#define LAYOUT_PAIR 128 /* two lines: the unit that two writers must not share */
#define LAYOUT_REPLICAS 64u
#define LAYOUT_READERS 256u /* readers whose counts are visible to tools; more work uncounted */
#define LAYOUT_REASONS 8u
#define LAYOUT_TOUCHES 128u
#define LAYOUT_MEMBERS 512u
#define LAYOUT_LANES 64u
#define LAYOUT_LANE_BYTES 32768u /* of a request; a larger one lies in a file of its own: engine/write/lane.h */
#define LAYOUT_MARKS 64u
#define LAYOUT_LEASE_SETS 64u
#define LAYOUT_LEASE_WAYS 10u
#define LAYOUT_NAME 64u
#define LAYOUT_LABEL 32u
#define LAYOUT_SOURCE 40u
#define LAYOUT_SOURCE_NOTE 256u

#define LAYOUT_KEY_MAX 65535u
#define LAYOUT_RING_MIN (UINT64_C(64) << 10)
#define LAYOUT_RING_MAX (UINT64_C(4) << 30)

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "words in shared memory must be lock-free: another process cannot share a hidden lock");

enum segment_kind { SEGMENT_LOG = 1, SEGMENT_TABLE = 2, SEGMENT_SPILL = 3 /* a large request of a lane */ };

enum segment_flags {
    SEGMENT_EPHEMERAL = 1, /* a log: the domain ends with its last member, however that ends */
};

/* Fields and their comments are tables from here on. */
/* clang-format off */

/* The first bytes of every segment. Written once, before the segment gets its name, and never changed. */
struct segment_header {
    uint64_t magic;
    uint32_t version;
    uint32_t kind; /* enum segment_kind */
    uint64_t fingerprint; /* of this file's layout, byte order included: layout_fingerprint() */
    uint64_t size_bytes;
    uint64_t incarnation; /* of the domain: random, never 0 */
    uint64_t segment_id;  /* of this segment: random */
    uint64_t created_unix_ns;
    uint64_t time_ns_inode; /* the creator's time namespace: CLOCK_MONOTONIC is offset inside another */
    uint32_t owner_uid;
    uint32_t replica; /* table segments: the replica's number */
    char name[LAYOUT_NAME]; /* the domain's, ended by a zero */
    uint32_t flags; /* enum segment_flags */
    uint32_t crc; /* CRC-32C of the bytes before it */
};

/* ---- the clock: one linear function of the TSC for all members, so that all stamps agree ------------------------ */

struct clock_line {
    alignas(LAYOUT_LINE) _Atomic uint32_t seq; /* odd while the rest changes */
    _Atomic uint32_t use_tsc;                  /* 0: clock_gettime */
    _Atomic uint64_t base_tsc;
    _Atomic uint64_t base_ns;
    _Atomic uint64_t mult; /* ns = base_ns + ((tsc - base_tsc) * mult >> shift) */
    _Atomic uint32_t shift;
    uint32_t reserved;
    uint64_t anchor_tsc; /* where calibration began: only the leader reads and refines */
    uint64_t anchor_ns;
};

/* ---- frames of the log ring -------------------------------------------------------------------------------------- */

#define FRAME_ALIGN 8u

enum frame_type {
    FRAME_PUT = 1,
    FRAME_DELETE = 2,
    FRAME_TERM = 3,
    FRAME_NOOP = 4,
    FRAME_EXPIRE = 5, /* its time is over: removes the key, as a delete */
    FRAME_EVICT = 6,  /* the leader needed its room: removes the key, as a delete */
};

enum frame_flags {
    FRAME_MORE = 1,   /* the next frame belongs to the same batch: `applied` is never published between them */
    FRAME_EXPIRES = 2, /* 8 bytes follow the value: the instant of expiry, ns of the domain clock */
    FRAME_SOURCED = 4, /* 8 bytes follow those: the entry's version at the source. A put that has it has FRAME_EXPIRES, too */
    FRAME_KEEP = 8,    /* a put whose key is not evicted */
    FRAME_SMALL = 16,  /* an evicted key: it was in the queue for the new ones */
    FRAME_REACHED = 32, /* sourced: with this entry the log holds all that the source did up to the revision that the 8 bytes are */
};

/* Key and value follow. The whole frame is a multiple of FRAME_ALIGN. */
struct frame {
    uint32_t length; /* bytes, header and padding included */
    uint32_t crc;    /* CRC-32C of key, value and what follows the value, continued over the header's bytes from `index` on */
    uint64_t index;
    uint64_t commit_ts; /* ns of the domain clock; never falls from one frame to the next */
    uint64_t lane_seq; /* of a fed domain: the instant as of which the log before this entry was complete, ns of the domain clock */
    uint32_t term;
    uint16_t lane; /* 0: written in the leader's process */
    uint8_t type;  /* enum frame_type */
    uint8_t flags; /* enum frame_flags */
    uint32_t value_len;
    uint16_t key_len;
    uint16_t reserved;
};
#define FRAME_HEADER_BYTES 48u

/* ---- the board: watermarks -------------------------------------------------------------------------------------- */

/* A position where a frame starts, for whoever has to find one: the dump tool. index 0: not there yet. */
struct ring_mark {
    _Atomic uint64_t index;
    _Atomic uint64_t pos;
};

/* Written by the leader alone, but for `parked`. */
struct leader_board {
    /* The word that makes entries exist, and what else is written with each commit. */
    alignas(LAYOUT_PAIR) _Atomic uint64_t commit;
    _Atomic uint64_t tail;   /* end of the last committed frame; for tools, written after commit */
    _Atomic uint64_t groups; /* commits: groups of entries */
    _Atomic uint64_t expired; /* keys removed because their time was over, and because their room was needed; ever */
    _Atomic uint64_t evicted;
    /* Ring bytes before this position may be overwritten at any moment: see shm/ring.h. Followers look at it for each entry, so
     * nothing on its line is written often. */
    alignas(LAYOUT_PAIR) _Atomic uint64_t reclaimed;
    _Atomic uint32_t term;
    _Atomic int32_t leader; /* replica number, -1: nobody leads */
    _Atomic uint64_t wakes;
    _Atomic uint64_t waits; /* times that the ring was full */
    _Atomic uint64_t lapped;
    _Atomic uint64_t refused_full;
    _Atomic uint64_t table_bytes; /* what is admitted fits a table of this budget: newcomers have no less; 0: nobody has led yet */
    /* Followers that sleep until commit moves: shm/park.h. */
    alignas(LAYOUT_PAIR) _Atomic uint32_t wake; /* futex word */
    _Atomic uint32_t parked;
    /* Candidates that wait for the leader's byte sleep on it: shm/vigil.h. The kernel changes it when the leader dies. */
    _Atomic uint32_t vigil;
    /* 1 + the number of the member that made the domain, until that member has decided whether to lead; then 0. Candidates of a domain that
     * nobody has led leave the first turn to it. Also a futex word of theirs. */
    _Atomic uint32_t founder;
    /* The leader decides, since this instant, what a key comes to that is there and will expire; 0: it does not. Reads that find something
     * expired look at it: docs/design.md, *Time to live*. */
    _Atomic uint64_t deciding;
};

enum replica_state { /* as enum tide_state of tidemark.h */
    REPLICA_FREE = 0,
    REPLICA_CLAIMED = 1,
    REPLICA_JOINING = 2,
    REPLICA_SERVING = 3,
    REPLICA_LAPPED = 4,
    REPLICA_STOPPED = 5,
    REPLICA_DIVERGED = 6,
    REPLICA_FAILED = 7,
    REPLICA_ORPHAN = 8,
};

/* The digest at exactly this index, so that replicas which are at different indexes can be compared all the same. */
struct digest_mark {
    _Atomic uint64_t index; /* 0 while the pair changes */
    _Atomic uint64_t digest;
};
#define LAYOUT_DIGEST_MARKS 16u
#define LAYOUT_DIGEST_EVERY 1024u /* entries between marks */

struct replica_board {
    /* Written by the thread that applies, once for a run of entries; `state` also by the leader (LAPPED). */
    alignas(LAYOUT_PAIR) _Atomic uint64_t applied;
    _Atomic uint64_t applied_ts; /* the state holds every write committed at or before this instant */
    _Atomic uint64_t pos;        /* ring position of the next frame to apply: the pin, while JOINING or SERVING */
    _Atomic uint32_t state;      /* enum replica_state */
    _Atomic uint32_t role;       /* 0 follower, 1 leader */
    _Atomic uint64_t segment_id; /* of its table: readers of other processes map that one */
    /* A fed domain's: the state holds the source up to this revision, and is complete as of this instant. */
    _Atomic uint64_t source_revision;
    _Atomic uint64_t source_ts;
    /* Written rarely, by the replica's process. */
    alignas(LAYOUT_PAIR) _Atomic uint64_t apply_delay_ns;
    _Atomic uint32_t member; /* who runs it: number of the member slot */
    _Atomic uint32_t join_laps; /* times in a row that it was lapped while it joined */
    _Atomic uint32_t pid;
    _Atomic uint32_t digest_seq; /* odd while the pair behind it changes */
    _Atomic uint64_t digest_index;
    _Atomic uint64_t digest;
    _Atomic uint64_t entries; /* applied since it started */
    _Atomic uint64_t joins;
    _Atomic uint64_t lapped;
    char label[LAYOUT_LABEL];
    _Atomic uint64_t table_bytes; /* its table's budget */
    /* Readers and wait_applied that sleep until `applied` moves. */
    alignas(LAYOUT_PAIR) _Atomic uint32_t wake; /* futex word */
    _Atomic uint32_t waiters;
    alignas(LAYOUT_PAIR) struct digest_mark digest_marks[LAYOUT_DIGEST_MARKS];
};

/* One reader's counts: written by that reader alone, so that counting is no shared write. */
struct reader_slot {
    alignas(LAYOUT_PAIR) _Atomic uint32_t owner_pid; /* 0: free; its counts stay and are added up all the same */
    _Atomic uint32_t member;
    _Atomic uint64_t misses; /* keys that were looked up and were not there */
    _Atomic uint64_t made;   /* get-or-make: values that this reader made, and that it waited for */
    _Atomic uint64_t waited;
    _Atomic uint64_t extra; /* keys that were looked up, less the reads counted below: of many keys, and in sections; may wrap */
    /* A domain that evicts: the last keys that this reader found, as hashes, and how many it noted ever. The leader looks at them now and
     * then, to know what is read. */
    alignas(LAYOUT_PAIR) _Atomic uint32_t touches;
    uint32_t reserved[15];
    _Atomic uint64_t touched[LAYOUT_TOUCHES];
    alignas(LAYOUT_PAIR) _Atomic uint64_t counts[LAYOUT_REPLICAS][LAYOUT_REASONS];
};

enum member_use { MEMBER_FREE = 0, MEMBER_TAKEN = 1, MEMBER_BURIED = 2 /* dead, and being reaped */ };

/* A process that is attached, or was: its byte of the log segment, locked by the kernel, says which: shm/member.h. */
struct member_slot {
    alignas(LAYOUT_LINE) _Atomic uint32_t used; /* enum member_use */
    _Atomic uint32_t pid;
    _Atomic uint64_t started_unix_ns;
};

/* ---- lanes: writes from other processes -------------------------------------------------------------------------- */

enum lane_phase { LANE_IDLE = 0, LANE_SUBMITTED = 1, LANE_TAKEN = 2, LANE_ANSWERED = 3, LANE_CANCELLED = 4 };

/* Owner of a lane whose borrower went, or gave up, while the leader had its request: free as soon as that is answered. */
#define LANE_ORPHAN UINT32_MAX

enum lane_flags {
    LANE_SPILLED = 1, /* the operations lie in the lane's file */
    LANE_RESULTS = 2, /* some operations have results: with the answer they stand in `request`, 8 bytes each, in order */
};

/* One request at a time: its writer fills it, the leader answers it. See engine/write/lane.h. */
struct lane {
    alignas(LAYOUT_PAIR) _Atomic uint32_t owner; /* 0 free, LANE_ORPHAN, else the number + 1 of the member that has borrowed it */
    _Atomic uint32_t pid;
    _Atomic uint64_t turn; /* sequence number << 3 | enum lane_phase; the number never falls, whoever owns the lane */
    _Atomic uint32_t wake; /* futex word of the writer */
    _Atomic uint32_t asleep;
    /* The request, written before SUBMITTED. */
    uint32_t ops;
    uint32_t flags; /* enum lane_flags */
    uint64_t request_bytes;
    /* The answer, written before ANSWERED, on the line of `turn`: who sees that has the rest as well. */
    int32_t result;
    uint32_t failed;
    uint64_t index;
    uint64_t found;
    alignas(LAYOUT_LINE) uint8_t request[LAYOUT_LANE_BYTES];
};

/* An operation of a request; key and value follow. Each starts at a multiple of 8 bytes from the request's start. */
struct lane_op {
    uint64_t expected; /* cas: the index that the key must be at; 0: absent. add: what is added, two's complement */
    uint64_t ttl_ns;   /* as struct tide_write_op of tidemark.h has it */
    uint32_t value_len;
    uint32_t key_len;
    uint16_t kind;     /* as enum tide_op_kind */
    uint16_t flags;    /* as enum tide_write_flags */
    uint32_t reserved;
};

/* What the log did for a lane last, as a replica knows it: the new leader's answer to a request that was committed. */
struct lane_done {
    _Atomic uint64_t seq;
    _Atomic uint64_t index;
};

struct lanes_board {
    alignas(LAYOUT_PAIR) _Atomic uint64_t ready; /* bit k: lane k has a request that the leader may not have seen */
    alignas(LAYOUT_PAIR) _Atomic uint32_t wake; /* futex word of the leader's lane thread */
    _Atomic uint32_t asleep;
    _Atomic uint32_t step_down; /* the leader is asked to hand over */
    _Atomic uint32_t pinged;    /* questions whether the leader lives, and how far they are answered */
    _Atomic uint32_t answered;  /* futex word of those that ask */
};

enum evict_policy { EVICT_NONE = 0, EVICT_S3FIFO = 1 };

/* ---- leases: who makes a value that many miss ------------------------------------------------------------------------ */

/* See shm/lease.h. */
struct lease {
    _Atomic uint64_t key;     /* its hash; says nothing where holder is 0 */
    _Atomic uint32_t holder;  /* number + 1 of the member that makes the value; 0: free */
    _Atomic uint32_t turn;    /* futex word: changes when the lease is given up */
    _Atomic uint32_t waiters; /* who sleeps, or is about to */
    uint32_t reserved;
};

struct lease_set {
    alignas(LAYOUT_PAIR) _Atomic uint32_t lock; /* number + 1 of the member that looks through the set; 0: free */
    uint32_t reserved[3];
    struct lease ways[LAYOUT_LEASE_WAYS];
};

/* ---- the feed: a domain whose entries come from a source ---------------------------------------------------------------- */

/* See engine/replica/source.h. */
struct feed_board {
    /* Written by the leader. A replica that has applied complete_index holds everything of the source up to complete_revision, as of the
     * instant complete_ts, on the domain's clock; 0: it was never complete. */
    alignas(LAYOUT_PAIR) _Atomic uint64_t complete_ts;
    _Atomic uint64_t complete_revision;
    _Atomic uint64_t complete_index;
    _Atomic uint64_t begun; /* the newest question to the source */
    _Atomic uint64_t done;  /* and the newest that complete_* is the answer of, or of a later one */
    _Atomic uint64_t position; /* the highest revision that the log holds, or is about to */
    _Atomic uint64_t identity; /* which source; 0: nobody has said */
    _Atomic uint64_t writes_open; /* handed to the source, and not answered */
    /* Written by readers that wait for a question that has this number, or a later one. */
    alignas(LAYOUT_PAIR) _Atomic uint64_t wanted;
    _Atomic uint32_t wake; /* futex word: changes when somebody is woken whose question is answered */
    _Atomic uint32_t waiters; /* bit k: somebody waits for a question whose number is k modulo 32 */
    /* The tightest bounds that were read by of late: a second (16 bits), and in microseconds the tightest of the second before and of this
     * one (24 bits each, all ones: none). Readers write it where it would change. */
    alignas(LAYOUT_PAIR) _Atomic uint64_t bound;
    alignas(LAYOUT_PAIR) char note[LAYOUT_SOURCE_NOTE]; /* for people */
};

/* What a replica's table knows of the source, for newcomers that copy it. */
struct source_done {
    alignas(LAYOUT_PAIR) _Atomic uint64_t revision; /* the log up to here holds everything up to it */
    _Atomic uint64_t part; /* 1: and a part of something newer */
};

/* ---- the log segment --------------------------------------------------------------------------------------------- */

struct log_segment {
    struct segment_header header;
    uint64_t ring_off; /* page-aligned */
    uint64_t ring_bytes; /* a power of two */
    uint64_t hash_seed;
    uint64_t slow_follower_ns;
    uint64_t table_bytes;
    uint64_t expected_keys;
    uint64_t default_ttl_ns; /* of a put that names none; 0: it does not expire */
    uint32_t evict;          /* enum evict_policy */
    char source[LAYOUT_SOURCE]; /* kind of the source that the domain is fed by, ended by a zero; empty: it is not */
    uint32_t reserved[3];
    struct clock_line clock;
    alignas(LAYOUT_PAIR) struct leader_board leader;
    alignas(LAYOUT_PAIR) struct ring_mark marks[LAYOUT_MARKS];
    alignas(LAYOUT_PAIR) struct replica_board replicas[LAYOUT_REPLICAS];
    alignas(LAYOUT_PAIR) struct reader_slot readers[LAYOUT_READERS];
    alignas(LAYOUT_PAIR) struct member_slot members[LAYOUT_MEMBERS];
    alignas(LAYOUT_PAIR) struct lanes_board lanes_board;
    alignas(LAYOUT_PAIR) struct lane lanes[LAYOUT_LANES];
    alignas(LAYOUT_PAIR) struct lease_set leases[LAYOUT_LEASE_SETS];
    alignas(LAYOUT_PAIR) struct feed_board feed;
};

/* ---- HDR histograms ---------------------------------------------------------------------------------------------- */

/* One writer; any reader. The bucket layout is HdrHistogram's: see shm/hdr.h. */
struct hdr {
    int64_t lowest;
    int64_t highest;
    int32_t digits;
    int32_t unit_magnitude;
    int32_t sub_bucket_half_magnitude;
    int32_t sub_bucket_count;
    int32_t bucket_count;
    int32_t counts_len;
    _Atomic int64_t total;
    _Atomic int64_t min; /* INT64_MAX while empty */
    _Atomic int64_t max; /* 0 while empty */
    _Atomic int64_t reserved; /* values above highest, counted as highest */
    _Atomic int64_t counts[];
};

#define LAYOUT_LAG_WINDOWS 11u /* ten whole seconds and the one that is running */

/* Replication lag of the last seconds. window_count histograms of hdr_bytes each follow: see shm/lag.h. */
struct lag_windows {
    uint64_t hdr_bytes;
    uint64_t window_count;
    _Atomic uint64_t second[LAYOUT_LAG_WINDOWS]; /* which one a window holds, plus 1; 0: empty, or being cleared */
    uint64_t reserved[3];
};

/* ---- the table segment ------------------------------------------------------------------------------------------- */

#define TABLE_SLOTS 12u
#define TABLE_UNIT 16u /* node offsets are in units of this, so that 32 bits reach 64 GiB */
#define TABLE_BYTES_MAX (UINT64_C(60) << 30)

/* tags[0]: tags of slots 0 to 7. tags[1]: those of slots 8 to 11 in the low half, the overflow bucket's offset / 64 in the
 * high half (0: none). A tag of 0 is an empty slot. */
struct table_bucket {
    alignas(LAYOUT_LINE) _Atomic uint64_t tags[2];
    _Atomic uint32_t slots[TABLE_SLOTS];
};

/* Key and value follow, and where value_len has NODE_EXPIRES 8 bytes more: the instant of expiry, ns of the domain clock, not aligned. With
 * NODE_SOURCED 16: that instant (or UINT64_MAX) and the version at the source. crc is of all of that. Its memory serves nodes of other sizes, too: whoever reads it unregistered looks at its page's word at uses_off. */
struct table_node {
    _Atomic uint64_t index;   /* of the write; 0 while it is being filled */
    _Atomic uint64_t deleted; /* index of the delete; 0: none */
    _Atomic uint32_t prev;    /* the version that this one replaced, offset / TABLE_UNIT; 0: none */
    _Atomic uint32_t crc;     /* CRC-32C of what follows the header */
    _Atomic uint32_t value_len; /* | NODE_EXPIRES or NODE_SOURCED */
    _Atomic uint16_t key_len;
    _Atomic uint8_t heat;  /* a domain that evicts: how often it was seen to be read of late, by this replica's count; no part of the state */
    _Atomic uint8_t flags; /* enum node_flags */
};
#define NODE_EXPIRES UINT32_C(0x40000000) /* no value is so large: a quarter of the largest ring */
#define NODE_SOURCED UINT32_C(0x80000000)
enum node_flags { NODE_KEEP = 1 /* not to be evicted */, NODE_HELD = 2 /* nor while one write is made */ };
#define NODE_HEADER_BYTES 32u
#define EXPIRY_BYTES 8u /* behind the value, of a frame and of a node */
#define SOURCED_BYTES 8u /* behind those */

#define LAYOUT_SIZES 24u

/* Live keys whose key and value together have so many bytes. */
struct size_count {
    _Atomic uint64_t keys, bytes;
};

struct table_segment {
    struct segment_header header;
    uint64_t buckets_off; /* first bucket: page-aligned; the array grows upwards */
    uint64_t nodes_end;   /* of the last page of nodes, and of the segment */
    uint64_t lag_all_off; /* struct hdr: replication lag, ns, since the start */
    uint64_t lag_windows_off; /* struct lag_windows */
    uint64_t hash_seed;
    uint64_t pages_off;  /* nodes lie in pages from here on, and overflow buckets where the place below is full */
    uint64_t uses_off;   /* a 32-bit word for each page: how often it changed its use */
    uint64_t page_bytes; /* a power of two */
    /* Buckets in use: address a hash by it, see table_bucket_of(). */
    alignas(LAYOUT_PAIR) _Atomic uint64_t buckets;
    _Atomic uint64_t reorganised; /* odd while slots are cleared or moved: a foreign reader's miss in between is no miss */
    _Atomic uint32_t reused;      /* changes with every word at uses_off */
    /* Written by the writer, for tools. */
    alignas(LAYOUT_PAIR) _Atomic uint64_t used_bytes; /* buckets, and pages that are not free */
    _Atomic uint64_t live_keys;
    _Atomic uint64_t live_bytes; /* key and value bytes of them */
    _Atomic uint64_t retired_bytes; /* replaced, waiting for a grace period */
    _Atomic uint64_t sum_bytes;     /* what live nodes count for: the sum that decides what is admitted */
    _Atomic uint64_t limit_bytes;   /* up to this */
    _Atomic uint64_t keys_most;     /* so many keys the buckets have room for */
    alignas(LAYOUT_PAIR) struct size_count sizes[LAYOUT_SIZES]; /* live keys by size: up to 16 << k bytes, and the last all that are larger */
    alignas(LAYOUT_PAIR) struct lane_done lanes[LAYOUT_LANES];
    struct source_done source;
};

/* A hash of every offset and size of this file. */
uint64_t layout_fingerprint(void);

#define LAYOUT_AT(type, field, offset) \
    _Static_assert(offsetof(struct type, field) == (offset), #type "." #field " has moved")
#define LAYOUT_SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type " has another size")

LAYOUT_AT(segment_header, magic, 0);
LAYOUT_AT(segment_header, version, 8);
LAYOUT_AT(segment_header, kind, 12);
LAYOUT_AT(segment_header, fingerprint, 16);
LAYOUT_AT(segment_header, size_bytes, 24);
LAYOUT_AT(segment_header, incarnation, 32);
LAYOUT_AT(segment_header, segment_id, 40);
LAYOUT_AT(segment_header, created_unix_ns, 48);
LAYOUT_AT(segment_header, time_ns_inode, 56);
LAYOUT_AT(segment_header, owner_uid, 64);
LAYOUT_AT(segment_header, replica, 68);
LAYOUT_AT(segment_header, name, 72);
LAYOUT_AT(segment_header, flags, 136);
LAYOUT_AT(segment_header, crc, 140);
LAYOUT_SIZE(segment_header, 144);

LAYOUT_AT(clock_line, seq, 0);
LAYOUT_AT(clock_line, use_tsc, 4);
LAYOUT_AT(clock_line, base_tsc, 8);
LAYOUT_AT(clock_line, base_ns, 16);
LAYOUT_AT(clock_line, mult, 24);
LAYOUT_AT(clock_line, shift, 32);
LAYOUT_AT(clock_line, reserved, 36);
LAYOUT_AT(clock_line, anchor_tsc, 40);
LAYOUT_AT(clock_line, anchor_ns, 48);
LAYOUT_SIZE(clock_line, 64);

LAYOUT_AT(frame, length, 0);
LAYOUT_AT(frame, crc, 4);
LAYOUT_AT(frame, index, 8);
LAYOUT_AT(frame, commit_ts, 16);
LAYOUT_AT(frame, lane_seq, 24);
LAYOUT_AT(frame, term, 32);
LAYOUT_AT(frame, lane, 36);
LAYOUT_AT(frame, type, 38);
LAYOUT_AT(frame, flags, 39);
LAYOUT_AT(frame, value_len, 40);
LAYOUT_AT(frame, key_len, 44);
LAYOUT_AT(frame, reserved, 46);
LAYOUT_SIZE(frame, FRAME_HEADER_BYTES);

LAYOUT_AT(ring_mark, index, 0);
LAYOUT_AT(ring_mark, pos, 8);
LAYOUT_SIZE(ring_mark, 16);

LAYOUT_AT(leader_board, commit, 0);
LAYOUT_AT(leader_board, tail, 8);
LAYOUT_AT(leader_board, groups, 16);
LAYOUT_AT(leader_board, expired, 24);
LAYOUT_AT(leader_board, evicted, 32);
LAYOUT_AT(leader_board, reclaimed, 128);
LAYOUT_AT(leader_board, term, 136);
LAYOUT_AT(leader_board, leader, 140);
LAYOUT_AT(leader_board, wakes, 144);
LAYOUT_AT(leader_board, waits, 152);
LAYOUT_AT(leader_board, lapped, 160);
LAYOUT_AT(leader_board, refused_full, 168);
LAYOUT_AT(leader_board, table_bytes, 176);
LAYOUT_AT(leader_board, wake, 256);
LAYOUT_AT(leader_board, parked, 260);
LAYOUT_AT(leader_board, vigil, 264);
LAYOUT_AT(leader_board, founder, 268);
LAYOUT_AT(leader_board, deciding, 272);
LAYOUT_SIZE(leader_board, 384);

LAYOUT_AT(replica_board, applied, 0);
LAYOUT_AT(replica_board, applied_ts, 8);
LAYOUT_AT(replica_board, pos, 16);
LAYOUT_AT(replica_board, state, 24);
LAYOUT_AT(replica_board, role, 28);
LAYOUT_AT(replica_board, segment_id, 32);
LAYOUT_AT(replica_board, source_revision, 40);
LAYOUT_AT(replica_board, source_ts, 48);
LAYOUT_AT(replica_board, apply_delay_ns, 128);
LAYOUT_AT(replica_board, member, 136);
LAYOUT_AT(replica_board, join_laps, 140);
LAYOUT_AT(replica_board, pid, 144);
LAYOUT_AT(replica_board, digest_seq, 148);
LAYOUT_AT(replica_board, digest_index, 152);
LAYOUT_AT(replica_board, digest, 160);
LAYOUT_AT(replica_board, entries, 168);
LAYOUT_AT(replica_board, joins, 176);
LAYOUT_AT(replica_board, lapped, 184);
LAYOUT_AT(replica_board, label, 192);
LAYOUT_AT(replica_board, table_bytes, 224);
LAYOUT_AT(replica_board, wake, 256);
LAYOUT_AT(replica_board, waiters, 260);
LAYOUT_AT(replica_board, digest_marks, 384);
LAYOUT_SIZE(replica_board, 640);

LAYOUT_AT(digest_mark, index, 0);
LAYOUT_AT(digest_mark, digest, 8);
LAYOUT_SIZE(digest_mark, 16);

LAYOUT_AT(reader_slot, owner_pid, 0);
LAYOUT_AT(reader_slot, member, 4);
LAYOUT_AT(reader_slot, misses, 8);
LAYOUT_AT(reader_slot, made, 16);
LAYOUT_AT(reader_slot, waited, 24);
LAYOUT_AT(reader_slot, extra, 32);
LAYOUT_AT(reader_slot, touches, 128);
LAYOUT_AT(reader_slot, reserved, 132);
LAYOUT_AT(reader_slot, touched, 192);
LAYOUT_AT(reader_slot, counts, 1280);
LAYOUT_SIZE(reader_slot, 1280 + 8 * LAYOUT_REPLICAS * LAYOUT_REASONS);

LAYOUT_AT(member_slot, used, 0);
LAYOUT_AT(member_slot, pid, 4);
LAYOUT_AT(member_slot, started_unix_ns, 8);
LAYOUT_SIZE(member_slot, 64);

LAYOUT_AT(lane, owner, 0);
LAYOUT_AT(lane, pid, 4);
LAYOUT_AT(lane, turn, 8);
LAYOUT_AT(lane, wake, 16);
LAYOUT_AT(lane, asleep, 20);
LAYOUT_AT(lane, ops, 24);
LAYOUT_AT(lane, flags, 28);
LAYOUT_AT(lane, request_bytes, 32);
LAYOUT_AT(lane, result, 40);
LAYOUT_AT(lane, failed, 44);
LAYOUT_AT(lane, index, 48);
LAYOUT_AT(lane, found, 56);
LAYOUT_AT(lane, request, 64);
LAYOUT_SIZE(lane, 128 + LAYOUT_LANE_BYTES);

LAYOUT_AT(lane_op, expected, 0);
LAYOUT_AT(lane_op, ttl_ns, 8);
LAYOUT_AT(lane_op, value_len, 16);
LAYOUT_AT(lane_op, key_len, 20);
LAYOUT_AT(lane_op, kind, 24);
LAYOUT_AT(lane_op, flags, 26);
LAYOUT_AT(lane_op, reserved, 28);
LAYOUT_SIZE(lane_op, 32);

LAYOUT_AT(lane_done, seq, 0);
LAYOUT_AT(lane_done, index, 8);
LAYOUT_SIZE(lane_done, 16);

LAYOUT_AT(lanes_board, ready, 0);
LAYOUT_AT(lanes_board, wake, 128);
LAYOUT_AT(lanes_board, asleep, 132);
LAYOUT_AT(lanes_board, step_down, 136);
LAYOUT_AT(lanes_board, pinged, 140);
LAYOUT_AT(lanes_board, answered, 144);
LAYOUT_SIZE(lanes_board, 256);

LAYOUT_AT(lease, key, 0);
LAYOUT_AT(lease, holder, 8);
LAYOUT_AT(lease, turn, 12);
LAYOUT_AT(lease, waiters, 16);
LAYOUT_AT(lease, reserved, 20);
LAYOUT_SIZE(lease, 24);

LAYOUT_AT(lease_set, lock, 0);
LAYOUT_AT(lease_set, reserved, 4);
LAYOUT_AT(lease_set, ways, 16);
LAYOUT_SIZE(lease_set, 256);

LAYOUT_AT(feed_board, complete_ts, 0);
LAYOUT_AT(feed_board, complete_revision, 8);
LAYOUT_AT(feed_board, complete_index, 16);
LAYOUT_AT(feed_board, begun, 24);
LAYOUT_AT(feed_board, done, 32);
LAYOUT_AT(feed_board, position, 40);
LAYOUT_AT(feed_board, identity, 48);
LAYOUT_AT(feed_board, writes_open, 56);
LAYOUT_AT(feed_board, wanted, 128);
LAYOUT_AT(feed_board, wake, 136);
LAYOUT_AT(feed_board, waiters, 140);
LAYOUT_AT(feed_board, bound, 256);
LAYOUT_AT(feed_board, note, 384);
LAYOUT_SIZE(feed_board, 640);

LAYOUT_AT(source_done, revision, 0);
LAYOUT_AT(source_done, part, 8);
LAYOUT_SIZE(source_done, 128);

LAYOUT_AT(log_segment, header, 0);
LAYOUT_AT(log_segment, ring_off, 144);
LAYOUT_AT(log_segment, ring_bytes, 152);
LAYOUT_AT(log_segment, hash_seed, 160);
LAYOUT_AT(log_segment, slow_follower_ns, 168);
LAYOUT_AT(log_segment, table_bytes, 176);
LAYOUT_AT(log_segment, expected_keys, 184);
LAYOUT_AT(log_segment, default_ttl_ns, 192);
LAYOUT_AT(log_segment, evict, 200);
LAYOUT_AT(log_segment, source, 204);
LAYOUT_AT(log_segment, reserved, 244);
LAYOUT_AT(log_segment, clock, 256);
LAYOUT_AT(log_segment, leader, 384);
LAYOUT_AT(log_segment, marks, 768);
LAYOUT_AT(log_segment, replicas, 1792);
LAYOUT_AT(log_segment, readers, 42752);
LAYOUT_AT(log_segment, members, 1419008);
LAYOUT_AT(log_segment, lanes_board, 1451776);
LAYOUT_AT(log_segment, lanes, 1452032);
LAYOUT_AT(log_segment, leases, 3557376);
LAYOUT_AT(log_segment, feed, 3573760);

LAYOUT_AT(hdr, lowest, 0);
LAYOUT_AT(hdr, highest, 8);
LAYOUT_AT(hdr, digits, 16);
LAYOUT_AT(hdr, unit_magnitude, 20);
LAYOUT_AT(hdr, sub_bucket_half_magnitude, 24);
LAYOUT_AT(hdr, sub_bucket_count, 28);
LAYOUT_AT(hdr, bucket_count, 32);
LAYOUT_AT(hdr, counts_len, 36);
LAYOUT_AT(hdr, total, 40);
LAYOUT_AT(hdr, min, 48);
LAYOUT_AT(hdr, max, 56);
LAYOUT_AT(hdr, reserved, 64);
LAYOUT_AT(hdr, counts, 72);

LAYOUT_AT(lag_windows, hdr_bytes, 0);
LAYOUT_AT(lag_windows, window_count, 8);
LAYOUT_AT(lag_windows, second, 16);
LAYOUT_AT(lag_windows, reserved, 104);
LAYOUT_SIZE(lag_windows, LAYOUT_PAIR);

LAYOUT_AT(table_bucket, tags, 0);
LAYOUT_AT(table_bucket, slots, 16);
LAYOUT_SIZE(table_bucket, 64);

LAYOUT_AT(table_node, index, 0);
LAYOUT_AT(table_node, deleted, 8);
LAYOUT_AT(table_node, prev, 16);
LAYOUT_AT(table_node, crc, 20);
LAYOUT_AT(table_node, value_len, 24);
LAYOUT_AT(table_node, key_len, 28);
LAYOUT_AT(table_node, heat, 30);
LAYOUT_AT(table_node, flags, 31);
LAYOUT_SIZE(table_node, NODE_HEADER_BYTES);

LAYOUT_AT(table_segment, header, 0);
LAYOUT_AT(table_segment, buckets_off, 144);
LAYOUT_AT(table_segment, nodes_end, 152);
LAYOUT_AT(table_segment, lag_all_off, 160);
LAYOUT_AT(table_segment, lag_windows_off, 168);
LAYOUT_AT(table_segment, hash_seed, 176);
LAYOUT_AT(table_segment, pages_off, 184);
LAYOUT_AT(table_segment, uses_off, 192);
LAYOUT_AT(table_segment, page_bytes, 200);
LAYOUT_AT(table_segment, buckets, 256);
LAYOUT_AT(table_segment, reorganised, 264);
LAYOUT_AT(table_segment, reused, 272);
LAYOUT_AT(table_segment, used_bytes, 384);
LAYOUT_AT(table_segment, live_keys, 392);
LAYOUT_AT(table_segment, live_bytes, 400);
LAYOUT_AT(table_segment, retired_bytes, 408);
LAYOUT_AT(table_segment, sum_bytes, 416);
LAYOUT_AT(table_segment, limit_bytes, 424);
LAYOUT_AT(table_segment, keys_most, 432);
LAYOUT_AT(table_segment, sizes, 512);
LAYOUT_AT(table_segment, lanes, 896);
LAYOUT_AT(table_segment, source, 896 + 16 * LAYOUT_LANES);
LAYOUT_SIZE(table_segment, 1024 + 16 * LAYOUT_LANES);

LAYOUT_AT(size_count, keys, 0);
LAYOUT_AT(size_count, bytes, 8);
LAYOUT_SIZE(size_count, 16);

/* clang-format on */
#endif
