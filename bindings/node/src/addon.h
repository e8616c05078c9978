/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the addon share. It is internal to index.js, which checks arguments, makes errors and knows no shared memory.
 *
 * JavaScript and this addon talk through an array of numbers, `io`: a typed array is read and written in about a nanosecond, where an
 * argument, a result or a property through Node-API costs ten or more. A call leaves its result in io[IO_STATUS]: 0 or more, or an error
 * of the library. Values are copied into a slab, a Buffer that index.js cuts into pieces.
 *
 * An environment is a JavaScript thread: the main one, or one of worker_threads. All that is here belongs to one environment, and is
 * used by its thread alone, but for what a lock guards.
 */
#ifndef TIDE_NODE_ADDON_H
#define TIDE_NODE_ADDON_H

#define NAPI_VERSION 8
#include <node_api.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <tidemark.h>

#define NS_PER_S UINT64_C(1000000000)
#define TEXT_ROOM 4096 /* values of so many bytes become strings without a Buffer */

/* Beside the library's errors. */
#define ADDON_NO_KEY (-1001)   /* the key is neither a string nor bytes */
#define ADDON_KEY_SIZE (-1002) /* the key has no byte, or more than 65,535 */
#define ADDON_KEY_TEXT (-1003) /* the key is a string that has no UTF-8: half of a surrogate pair */
#define ADDON_THREW (-1004)    /* JavaScript that was called threw: an exception is pending */

/* The places of io[]. index.js has the same list. */
enum io {
    IO_STATUS,
    IO_DOMAIN,
    IO_AT,    /* in: where in the slab the value goes */
    IO_SIZE,  /* out: with BUFFER, the size of the value */
    IO_BOUND, /* in: 1: the next six are the bound of this read. Out: 0 */
    IO_MAX_STALENESS,
    IO_MAX_LAG,
    IO_WAIT,
    IO_FALLBACK,
    IO_TOKEN, /* in, out: incarnation, high and low half; index */
    IO_TOKEN_LOW,
    IO_TOKEN_INDEX,
    IO_VERSION, /* out, where IO_BOUND was 1, the answer from here on */
    IO_REASON,
    IO_SERVED_BY,
    IO_INDEX,
    IO_COMMIT_INDEX,
    IO_STALENESS,
    IO_WAITED,
    IO_TTL,
    IO_FLAGS, /* 1: linearizable, 2: stale, 4: from the leader */
    IO_STATE, /* out: of a lease */
    IO_SLOT,
    IO_PLACES = 32,
};

#define HANDLE_SLOTS 4194304.0        /* 2^22 */
#define HANDLE_IDS 9007199254740992.0 /* 2^53: so many ids a double tells apart */

/* Things that index.js knows by a number. A number is not used again while its slot's count of uses does not wrap at 2^31. */
struct handle {
    double id;
    void *thing;
    uint32_t uses;
};
struct handles {
    struct handle *at;
    uint32_t n, free;
};

struct addon {
    napi_env env;
    double *io; /* index.js keeps it */
    char *slab;
    size_t slab_size;
    char text[TEXT_ROOM];
    struct handles domains, sections, watches;
    napi_ref io_ref, slab_ref; /* so that neither is collected */
    /* Watches' threads call through it, under the lock, until the environment has gone. */
    napi_threadsafe_function ready;
    pthread_mutex_t lock;
    bool gone;
    uint32_t inside; /* sections that are open */
    int awaited;     /* watches that a thread waits for: while there is one, the process goes on */
    atomic_int refs; /* the environment's, and its watches' threads' */
};

struct key {
    const char *p;
    size_t n;
    char *made; /* to be freed, or NULL */
};

/* ---- addon.c --------------------------------------------------------------------------------------------------------- */

#define KEY_ROOM 256 /* keys of so many bytes need no malloc() */

void addon_release(struct addon *a);
/* The addon, and up to n arguments; those that are not given are undefined. */
static inline struct addon *addon_args(napi_env env, napi_callback_info info, size_t n, napi_value *argv) {
    void *data = NULL;
    napi_get_cb_info(env, info, &n, argv, NULL, &data);
    return data;
}
static inline napi_value addon_done(struct addon *a, double status) {
    a->io[IO_STATUS] = status;
    return NULL;
}
double handle_new(struct handles *h, void *thing); /* -1: no memory */
/* Every call asks for a handle, so this is inline. An id is a whole number below 2^53, or -1; anything else finds nothing. */
static inline struct handle *handle_find(const struct handles *h, double id) {
    if (!(id >= 0 && id < HANDLE_IDS)) {
        return NULL;
    }
    uint64_t i = (uint64_t)(int64_t)id % (uint64_t)HANDLE_SLOTS;
    return i < h->n && h->at[i].id == id && h->at[i].thing != NULL ? &h->at[i] : NULL;
}
static inline void *handle_get(const struct handles *h, double id) {
    struct handle *found = handle_find(h, id);
    return found != NULL ? found->thing : NULL;
}
void handle_end(struct handles *h, double id);

double arg_number(napi_env env, napi_value v);
uint64_t arg_u64(double v); /* 2^64 and more: UINT64_MAX */
int64_t arg_i64(napi_env env, napi_value bigint);
napi_value value_number(napi_env env, double v);
uint64_t now_ns(void);

/* `room`: KEY_ROOM bytes. 0, or ADDON_*. Free k->made. */
int key_get_slow(napi_env env, napi_value v, char *room, struct key *k);
/* A string, as UTF-8, or bytes. Free v->made. */
int value_get(napi_env env, napi_value v, struct key *out);
int bytes_get(napi_env env, napi_value v, struct key *out);
/* Before JavaScript runs again: it could transfer the buffer that the bytes lie in, and they would be freed. */
int key_own(struct key *k);
void io_token(struct addon *a, const struct tide_token *t);
struct tide_token io_token_get(const struct addon *a);

/* Up to 256 characters, all of them ASCII: the common key, without a call for its size. */
static inline int key_get(napi_env env, napi_value v, char *room, struct key *k) {
    char16_t text[257];
    size_t n = 0;
    k->made = NULL;
    if (__builtin_expect(napi_get_value_string_utf16(env, v, text, 257, &n) == napi_ok && n - 1 < 255, 1)) {
        uint16_t all = 0;
        for (size_t i = 0; i < n; i++) {
            all |= text[i];
            room[i] = (char)text[i];
        }
        if (__builtin_expect(all < 128, 1)) {
            k->p = room;
            k->n = n;
            return 0;
        }
    }
    return key_get_slow(env, v, room, k);
}

/* ---- domain.c -------------------------------------------------------------------------------------------------------- */

struct domain {
    struct addon *a;
    double id;
    struct tide *d;
    struct tide_reader *r; /* of the environment's thread */
    struct tide_bound bound;
    uint64_t write_timeout_ns;
    bool lead;
    struct section *sections; /* that are open */
    atomic_int refs;          /* the environment's, its work's and its watches' */
    pthread_mutex_t lock;     /* guards the rest */
    pthread_cond_t changed;
    char line[400];           /* what the library said last */
    struct job *queue, **end; /* to be done, in this order */
    struct job *done;
    bool queued, running; /* a piece of work is in libuv's queue; a thread does jobs */
    int busy;             /* calls of other threads that use `d` without a reader */
    int stuck;            /* the last write's error, where it waited for a leader */
};

static inline struct domain *domain_of(struct addon *a, double id) {
    return handle_get(&a->domains, id);
}
void domain_release(struct domain *d);
/* Lead where nobody does. 0: somebody leads now. Any thread. */
int domain_lead(struct domain *d);
/* After an error of a read or write: true: now this process leads; try again, once. */
bool domain_mend(struct domain *d, int error, int *tries);
/* By the environment's thread, or one of libuv's. d->d is NULL afterwards. */
void domain_shut(struct domain *d);
/* At once, with all that is still queued done first. BUSY: JavaScript is being called from within a section, or another domain's is open. */
int domain_end(struct domain *d);
void domain_init(struct addon *a, napi_value exports);

/* ---- the rest -------------------------------------------------------------------------------------------------------- */

/* The bound of this read: what io[] says, into `asked`, or the domain's own. */
const struct tide_bound *read_bound(struct domain *d, struct tide_bound *asked);
void read_init(struct addon *a, napi_value exports);

void write_init(struct addon *a, napi_value exports);
/* All jobs that are queued, by this thread, and then none is running. */
void write_drain(struct domain *d);
void write_forget(struct domain *d);

void snapshot_init(struct addon *a, napi_value exports);
/* End a domain's sections. BUSY: one is being scanned. */
int snapshot_end_all(struct domain *d);

void make_init(struct addon *a, napi_value exports);

void watch_init(struct addon *a, napi_value exports);
void watch_call(napi_env env, napi_value callback, void *context, void *data);
void watch_end_all(struct addon *a);

void addon_function(struct addon *a, napi_value exports, const char *name, napi_callback f);

#endif
