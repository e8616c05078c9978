/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An environment begins and ends; arguments in, results out. */
#include "addon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ---- handles --------------------------------------------------------------------------------------------------------- */

double handle_new(struct handles *h, void *thing) {
    uint32_t i = h->free;
    while (i < h->n && h->at[i].thing != NULL) {
        i++;
    }
    if (i == h->n) {
        uint32_t n = h->n != 0 ? h->n * 2 : 8;
        struct handle *at = n <= (uint32_t)HANDLE_SLOTS ? realloc(h->at, n * sizeof(*at)) : NULL;
        if (at == NULL) {
            return -1;
        }
        memset(at + h->n, 0, (n - h->n) * sizeof(*at));
        h->at = at;
        h->n = n;
    }
    h->free = i + 1;
    h->at[i].thing = thing;
    h->at[i].uses = (h->at[i].uses + 1) & 0x7fffffff;
    h->at[i].id = h->at[i].uses * HANDLE_SLOTS + i;
    return h->at[i].id;
}

void handle_end(struct handles *h, double id) {
    struct handle *found = handle_find(h, id);
    if (found != NULL) {
        found->thing = NULL;
        uint32_t i = (uint32_t)(found - h->at);
        h->free = i < h->free ? i : h->free;
    }
}

/* ---- arguments ------------------------------------------------------------------------------------------------------- */

double arg_number(napi_env env, napi_value v) {
    double n = 0;
    napi_get_value_double(env, v, &n);
    return n;
}

uint64_t arg_u64(double v) {
    return v >= 18446744073709549568.0 ? UINT64_MAX : v > 0 ? (uint64_t)v : 0;
}

int64_t arg_i64(napi_env env, napi_value bigint) {
    int64_t n = 0;
    bool whole;
    napi_get_value_bigint_int64(env, bigint, &n, &whole);
    return n;
}

napi_value value_number(napi_env env, double v) {
    napi_value out = NULL;
    napi_create_double(env, v, &out);
    return out;
}

int bytes_get(napi_env env, napi_value v, struct key *out) {
    napi_typedarray_type type;
    void *p = NULL;
    size_t n = 0;
    if (napi_get_typedarray_info(env, v, &type, &n, &p, NULL, NULL) != napi_ok || type != napi_uint8_array) {
        return ADDON_NO_KEY;
    }
    *out = (struct key){ p != NULL ? p : "", n, NULL };
    return 0;
}

int key_own(struct key *k) {
    if (k->made == NULL) {
        k->made = malloc(k->n + 1);
        if (k->made == NULL) {
            return TIDE_ERR_NOMEM;
        }
        k->p = memcpy(k->made, k->p, k->n);
    }
    return 0;
}

/* UTF-16 to UTF-8, at most three bytes for each unit. SIZE_MAX: half of a pair. */
static size_t utf8_from(const char16_t *text, size_t n, char *out) {
    char *to = out;
    for (size_t i = 0; i < n; i++) {
        uint32_t c = text[i];
        if (c >= 0xd800 && c < 0xe000) {
            if (c >= 0xdc00 || i + 1 == n || (text[i + 1] & 0xfc00) != 0xdc00) {
                return SIZE_MAX;
            }
            c = 0x10000 + ((c - 0xd800) << 10) + (text[++i] - 0xdc00u);
            *to++ = (char)(0xf0 | c >> 18);
            *to++ = (char)(0x80 | (c >> 12 & 0x3f));
            *to++ = (char)(0x80 | (c >> 6 & 0x3f));
            *to++ = (char)(0x80 | (c & 0x3f));
        } else if (c >= 0x800) {
            *to++ = (char)(0xe0 | c >> 12);
            *to++ = (char)(0x80 | (c >> 6 & 0x3f));
            *to++ = (char)(0x80 | (c & 0x3f));
        } else if (c >= 0x80) {
            *to++ = (char)(0xc0 | c >> 6);
            *to++ = (char)(0x80 | (c & 0x3f));
        } else {
            *to++ = (char)c;
        }
    }
    return (size_t)(to - out);
}

static int key_text(napi_env env, napi_value v, size_t n, struct key *k) {
    char16_t *text = n > 0 && n <= TIDE_KEY_MAX ? malloc((n + 1) * sizeof(*text)) : NULL;
    char *out = text != NULL ? malloc(3 * n) : NULL;
    if (out == NULL) {
        free(text);
        return n > 0 && n <= TIDE_KEY_MAX ? TIDE_ERR_NOMEM : ADDON_KEY_SIZE;
    }
    napi_get_value_string_utf16(env, v, text, n + 1, &n);
    *k = (struct key){ out, utf8_from(text, n, out), out };
    free(text);
    int error = k->n == SIZE_MAX ? ADDON_KEY_TEXT : k->n > TIDE_KEY_MAX ? ADDON_KEY_SIZE : 0;
    if (error != 0) {
        free(out);
        k->made = NULL;
    }
    return error;
}

int key_get_slow(napi_env env, napi_value v, char *room, struct key *k) {
    size_t n;
    (void)room;
    k->made = NULL;
    if (napi_get_value_string_utf16(env, v, NULL, 0, &n) == napi_ok) {
        return key_text(env, v, n, k);
    }
    int error = bytes_get(env, v, k);
    return error != 0 ? error : k->n == 0 || k->n > TIDE_KEY_MAX ? ADDON_KEY_SIZE : 0;
}

/* As Buffer.from() does: half of a surrogate pair becomes U+FFFD. */
int value_get(napi_env env, napi_value v, struct key *out) {
    size_t n;
    if (napi_get_value_string_utf8(env, v, NULL, 0, &n) != napi_ok) {
        return bytes_get(env, v, out);
    }
    char *text = malloc(n + 1);
    if (text == NULL) {
        return TIDE_ERR_NOMEM;
    }
    napi_get_value_string_utf8(env, v, text, n + 1, &n);
    *out = (struct key){ text, n, text };
    return 0;
}

void io_token(struct addon *a, const struct tide_token *t) {
    a->io[IO_TOKEN] = (double)(t->incarnation >> 32);
    a->io[IO_TOKEN_LOW] = (double)(t->incarnation & UINT32_MAX);
    a->io[IO_TOKEN_INDEX] = (double)t->index;
}

struct tide_token io_token_get(const struct addon *a) {
    return (struct tide_token){ arg_u64(a->io[IO_TOKEN]) << 32 | arg_u64(a->io[IO_TOKEN_LOW]),
                                arg_u64(a->io[IO_TOKEN_INDEX]) };
}

static void addon_end(void *arg);

/* ---- the environment ------------------------------------------------------------------------------------------------- */

/* setup(io, onReady): what index.js gives. */
static napi_value addon_setup(napi_env env, napi_callback_info info) {
    napi_value argv[2], name = NULL;
    struct addon *a = addon_args(env, info, 2, argv);
    napi_get_typedarray_info(env, argv[0], NULL, NULL, (void **)&a->io, NULL, NULL);
    napi_create_reference(env, argv[0], 1, &a->io_ref);
    napi_create_string_utf8(env, "tidemark", NAPI_AUTO_LENGTH, &name);
    if (napi_create_threadsafe_function(env, argv[1], NULL, name, 0, 1, NULL, NULL, a, watch_call, &a->ready) !=
        napi_ok) {
        napi_throw_error(env, NULL, "tidemark: no function for watches");
        return NULL;
    }
    napi_unref_threadsafe_function(env, a->ready);
    /* Behind that function, since hooks run in reverse: no thread may call it once its own hook has run. */
    napi_add_env_cleanup_hook(env, addon_end, a);
    return NULL;
}

/* slab(buffer): values go there from now on. */
static napi_value addon_slab(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    struct addon *a = addon_args(env, info, 1, argv);
    struct key k = { NULL, 0, NULL };
    napi_ref old = a->slab_ref;
    if (bytes_get(env, argv[0], &k) == 0 && napi_create_reference(env, argv[0], 1, &a->slab_ref) == napi_ok) {
        a->slab = (char *)k.p;
        a->slab_size = k.n;
        if (old != NULL) {
            napi_delete_reference(env, old);
        }
    }
    return NULL;
}

static napi_value addon_strerror(napi_env env, napi_callback_info info) {
    napi_value argv[1], out = NULL;
    addon_args(env, info, 1, argv);
    napi_create_string_utf8(env, tide_strerror((int)arg_number(env, argv[0])), NAPI_AUTO_LENGTH, &out);
    return out;
}

/* nothing(anything): what a call of any native function costs, for bench/node/gets.js. */
static napi_value addon_nothing(napi_env env, napi_callback_info info) {
    (void)env, (void)info;
    return NULL;
}

static napi_value addon_unlink(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    struct addon *a = addon_args(env, info, 1, argv);
    char name[TIDE_NAME_MAX + 2];
    size_t n;
    napi_get_value_string_utf8(env, argv[0], name, sizeof(name), &n);
    return addon_done(a, tide_unlink(name));
}

void addon_release(struct addon *a) {
    if (atomic_fetch_sub(&a->refs, 1) == 1) {
        pthread_mutex_destroy(&a->lock);
        free(a->domains.at);
        free(a->sections.at);
        free(a->watches.at);
        free(a);
    }
}

/* The environment's last act, by its thread: a worker was terminated, say. What JavaScript closed is closed already. */
static void addon_end(void *arg) {
    struct addon *a = arg;
    pthread_mutex_lock(&a->lock);
    a->gone = true;
    pthread_mutex_unlock(&a->lock);
    watch_end_all(a);
    for (uint32_t i = 0; i < 2 * a->domains.n; i++) { /* twice: one that ends later may have had a section open */
        struct handle *h = &a->domains.at[i % a->domains.n];
        if (h->thing != NULL) {
            domain_end(h->thing);
        }
    }
    napi_delete_reference(a->env, a->io_ref);
    napi_delete_reference(a->env, a->slab_ref);
}

static void addon_free(napi_env env, void *a, void *hint) {
    (void)env;
    (void)hint;
    addon_release(a);
}

static napi_value addon_version(napi_env env) {
    napi_value out = NULL;
    char text[40];
    uint32_t v = tide_version();
    snprintf(text, sizeof(text), "%u.%u.%u", v >> 16, v >> 8 & 255, v & 255);
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &out);
    return out;
}

void addon_function(struct addon *a, napi_value exports, const char *name, napi_callback f) {
    napi_value function = NULL;
    napi_create_function(a->env, name, NAPI_AUTO_LENGTH, f, a, &function);
    napi_set_named_property(a->env, exports, name, function);
}

NAPI_MODULE_INIT(/* napi_env env, napi_value exports */) {
    struct addon *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        napi_throw_error(env, NULL, "tidemark: no memory");
        return NULL;
    }
    a->env = env;
    atomic_init(&a->refs, 1);
    pthread_mutex_init(&a->lock, NULL);
    napi_set_instance_data(env, a, addon_free, NULL);
    addon_function(a, exports, "setup", addon_setup);
    addon_function(a, exports, "slab", addon_slab);
    addon_function(a, exports, "strerror", addon_strerror);
    addon_function(a, exports, "unlink", addon_unlink);
    addon_function(a, exports, "nothing", addon_nothing);
    napi_set_named_property(env, exports, "version", addon_version(env));
    domain_init(a, exports);
    read_init(a, exports);
    write_init(a, exports);
    snapshot_init(a, exports);
    make_init(a, exports);
    watch_init(a, exports);
    return exports;
}
