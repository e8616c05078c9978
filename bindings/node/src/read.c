/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads, by the environment's thread. A value goes into the slab, or, where that has no room for it, into a Buffer that is given. */
#include <stdlib.h>

#include "addon.h"

static __attribute__((noinline)) const struct tide_bound *read_bound_given(struct domain *d, struct tide_bound *asked) {
    const double *io = d->a->io;
    *asked = d->bound;
    if (io[IO_MAX_STALENESS] >= 0) {
        asked->max_staleness_ns = arg_u64(io[IO_MAX_STALENESS]);
    }
    if (io[IO_MAX_LAG] >= 0) {
        asked->max_lag = arg_u64(io[IO_MAX_LAG]);
    }
    asked->wait_ns = arg_u64(io[IO_WAIT]);
    asked->fallback = (uint32_t)io[IO_FALLBACK];
    asked->min = io_token_get(d->a);
    return asked;
}

/* The bound of this read: the domain's own, or, once, what io[] says. */
const struct tide_bound *read_bound(struct domain *d, struct tide_bound *asked) {
    return __builtin_expect(d->a->io[IO_BOUND] == 0, 1) ? &d->bound : read_bound_given(d, asked);
}

static void read_answer(double *io, const struct tide_answer *a) {
    io[IO_VERSION] = (double)a->version;
    io[IO_REASON] = a->reason;
    io[IO_SERVED_BY] = a->served_by;
    io[IO_INDEX] = (double)a->index;
    io[IO_COMMIT_INDEX] = (double)a->commit_index;
    io[IO_STALENESS] = (double)a->staleness_ns;
    io[IO_WAITED] = (double)a->waited_ns;
    io[IO_TTL] = a->ttl_ns == TIDE_TTL_NONE ? -1 : (double)a->ttl_ns;
    io[IO_FLAGS] = a->linearizable | a->stale << 1 | a->from_leader << 2;
}

/* This and read_value() are inlined into each kind of read: a get takes about a hundred nanoseconds, a call one or two. */
static inline __attribute__((always_inline)) int read_into(struct domain *d, const struct key *k, void *buf,
                                                           size_t size, struct tide_answer *a) {
    struct tide_bound asked;
    const struct tide_bound *bound = read_bound(d, &asked);
    *a = (struct tide_answer)TIDE_ANSWER_INIT;
    int error = tide_get(d->r, k->p, k->n, bound, buf, size, a);
    if (__builtin_expect(error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_NO_REPLICA, 0)) {
        int tries = 0;
        if (domain_mend(d, error, &tries)) {
            error = tide_get(d->r, k->p, k->n, bound, buf, size, a);
        }
    }
    if (bound == &asked) {
        d->a->io[IO_BOUND] = 0;
        read_answer(d->a->io, a);
    }
    return error;
}

/* The size of the value, which is in buf; or an error. */
static inline __attribute__((always_inline)) double read_value(napi_env env, struct addon *a, napi_value key, char *buf,
                                                               size_t size) {
    struct domain *d = domain_of(a, a->io[IO_DOMAIN]);
    char room[KEY_ROOM];
    struct key k;
    struct tide_answer answer;
    int error = key_get(env, key, room, &k);
    if (__builtin_expect(error != 0, 0)) {
        return error;
    }
    if (__builtin_expect(d != NULL, 1)) {
        error = read_into(d, &k, buf, size, &answer);
    } else {
        answer.value_size = 0;
        error = TIDE_ERR_CLOSED;
    }
    if (__builtin_expect(k.made != NULL, 0)) {
        free(k.made);
    }
    if (__builtin_expect(error == 0, 1)) {
        return (double)(int64_t)answer.value_size;
    }
    a->io[IO_SIZE] = (double)answer.value_size;
    return error;
}

/* get(key): the value goes into the slab at io[IO_AT]; io[IO_STATUS]: its size. */
static napi_value read_get(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    struct addon *a = addon_args(env, info, 1, argv);
    size_t at = (size_t)(int64_t)a->io[IO_AT]; /* by one instruction, where unsigned takes a branch */
    at = at < a->slab_size ? at : a->slab_size;
    return addon_done(a, read_value(env, a, argv[0], a->slab + at, a->slab_size - at));
}

/* getInto(key, buffer): as get(), into the buffer. */
static napi_value read_get_into(napi_env env, napi_callback_info info) {
    napi_value argv[2];
    struct addon *a = addon_args(env, info, 2, argv);
    struct key to;
    int error = bytes_get(env, argv[1], &to);
    return addon_done(a, error != 0 ? error : read_value(env, a, argv[0], (char *)to.p, to.n));
}

/* getText(key): the value as a string, where it has at most TEXT_ROOM bytes. */
static napi_value read_get_text(napi_env env, napi_callback_info info) {
    napi_value argv[1], out = NULL;
    struct addon *a = addon_args(env, info, 1, argv);
    double size = read_value(env, a, argv[0], a->text, TEXT_ROOM);
    if (size >= 0) {
        napi_create_string_utf8(env, a->text, (size_t)size, &out);
    }
    addon_done(a, size);
    return out;
}

/* has(key): 1 or 0. */
static napi_value read_has(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    struct addon *a = addon_args(env, info, 1, argv);
    struct domain *d = domain_of(a, a->io[IO_DOMAIN]);
    char room[KEY_ROOM];
    struct key k;
    struct tide_answer answer;
    int error = key_get(env, argv[0], room, &k);
    if (error == 0) {
        error = d != NULL ? read_into(d, &k, NULL, 0, &answer) : TIDE_ERR_CLOSED;
        free(k.made);
    }
    return addon_done(a, error == 0 || error == TIDE_ERR_BUFFER ? 1 : error == TIDE_ERR_NOT_FOUND ? 0 : error);
}

/* ---- many at once ---------------------------------------------------------------------------------------------------- */

struct many {
    uint32_t n;
    struct tide_mget_item *items;
    struct key *keys;
    char *rooms;
};

static void many_free(struct many *m) {
    for (uint32_t i = 0; m->keys != NULL && i < m->n; i++) {
        free(m->keys[i].made);
    }
    free(m->keys);
    free(m->items);
    free(m->rooms);
}

static int many_keys(napi_env env, napi_value list, struct many *m) {
    m->items = calloc(m->n + 1, sizeof(*m->items));
    m->keys = calloc(m->n + 1, sizeof(*m->keys));
    m->rooms = malloc((size_t)m->n * KEY_ROOM + 1);
    if (m->items == NULL || m->keys == NULL || m->rooms == NULL) {
        return TIDE_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < m->n; i++) {
        napi_value key = NULL;
        napi_handle_scope scope;
        char *room = m->rooms + (size_t)i * KEY_ROOM;
        napi_open_handle_scope(env, &scope);
        napi_get_element(env, list, i, &key); /* which may be a getter of theirs */
        int error = key_get(env, key, room, &m->keys[i]);
        napi_close_handle_scope(env, scope);
        error = error != 0 || m->keys[i].p == room ? error : key_own(&m->keys[i]);
        if (error != 0) {
            m->keys[i].made = NULL;
            return error;
        }
        m->items[i].key = m->keys[i].p;
        m->items[i].key_len = m->keys[i].n;
    }
    return 0;
}

static int many_read(struct domain *d, struct many *m, struct tide_answer *answer) {
    struct tide_bound asked;
    const struct tide_bound *bound = read_bound(d, &asked);
    *answer = (struct tide_answer)TIDE_ANSWER_INIT;
    int tries = 0, error;
    do {
        error = tide_mget(d->r, m->items, m->n, bound, answer);
    } while (error != 0 && domain_mend(d, error, &tries));
    if (bound == &asked) {
        read_answer(d->a->io, answer);
    }
    return error;
}

/* mget(keys, sizes, buffer): all values one behind the other in the buffer; sizes[i]: of value i, -1 where there is none. BUFFER:
 * io[IO_SIZE] bytes are needed. The buffer's room for each value is sizes[i], as given. */
static napi_value read_mget(napi_env env, napi_callback_info info) {
    napi_value argv[3];
    struct addon *a = addon_args(env, info, 3, argv);
    struct domain *d = domain_of(a, a->io[IO_DOMAIN]);
    struct many m = { 0, NULL, NULL, NULL };
    struct tide_answer answer;
    struct key to;
    double *sizes = NULL;
    size_t n = 0;
    napi_get_array_length(env, argv[0], &m.n);
    napi_get_typedarray_info(env, argv[1], NULL, &n, (void **)&sizes, NULL, NULL);
    int error = d == NULL ? TIDE_ERR_CLOSED : n < m.n ? TIDE_ERR_INVALID : bytes_get(env, argv[2], &to);
    error = error != 0 ? error : many_keys(env, argv[0], &m);
    size_t at = 0;
    for (uint32_t i = 0; error == 0 && i < m.n; i++) {
        size_t room = (size_t)sizes[i];
        if (room > to.n - at) {
            error = TIDE_ERR_INVALID;
        }
        m.items[i].buf = (char *)to.p + at;
        m.items[i].buf_size = room;
        at += room;
    }
    error = error != 0 || m.n == 0 ? error : many_read(d, &m, &answer);
    double need = 0;
    bool again = false;
    for (uint32_t i = 0; error == 0 && i < m.n; i++) {
        int result = m.items[i].result;
        again = again || result == TIDE_ERR_BUFFER;
        sizes[i] = result == 0 || result == TIDE_ERR_BUFFER ? (double)m.items[i].value_size : -1;
        need += sizes[i] >= 0 ? sizes[i] : 0;
    }
    if (error != 0 || !again) {
        a->io[IO_BOUND] = 0;
    }
    a->io[IO_SIZE] = need;
    many_free(&m);
    return addon_done(a, error != 0 ? error : again ? TIDE_ERR_BUFFER : 0);
}

void read_init(struct addon *a, napi_value exports) {
    addon_function(a, exports, "get", read_get);
    addon_function(a, exports, "getInto", read_get_into);
    addon_function(a, exports, "getText", read_get_text);
    addon_function(a, exports, "has", read_has);
    addon_function(a, exports, "mget", read_mget);
}
