/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches. index.js takes what is there at once. Where nothing is, a thread of the watch's own waits and then calls back, so that a watch
 * that waits takes none of libuv's few threads. The library's watch is used by one of the two at a time:
 *
 *   IDLE --arm--> ARMED (the thread waits) --event or error--> READY (it lies in `event`) --take--> IDLE
 */
#include <stdlib.h>
#include <string.h>

#include "addon.h"

/* So long a thread that waits may take to see that its watch is closed. */
#define SLICE_NS (NS_PER_S / 20)

enum watch_state { WATCH_IDLE, WATCH_ARMED, WATCH_READY };

struct watch {
    double id;
    struct addon *a;
    struct domain *d;
    struct tide_watch *w;
    struct tide_watch_opts opts; /* of one that its thread opens */
    char *prefix;
    atomic_int refs; /* the environment's, and the thread's */
    bool threaded;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    enum watch_state state;
    bool closed;
    int error;
    struct tide_event event;
    int token_error;
    struct tide_token token; /* from when it was armed */
};

static struct watch *watch_of(struct addon *a, double id) {
    return handle_get(&a->watches, id);
}

static void watch_release(struct watch *w) {
    if (atomic_fetch_sub(&w->refs, 1) == 1) {
        if (w->w != NULL) {
            tide_watch_close(w->w);
        }
        domain_release(w->d);
        addon_release(w->a);
        pthread_cond_destroy(&w->changed);
        pthread_mutex_destroy(&w->lock);
        free(w->prefix);
        free(w);
    }
}

/* ---- the thread ------------------------------------------------------------------------------------------------------ */

static void watch_tell(struct watch *w) {
    pthread_mutex_lock(&w->a->lock);
    if (!w->a->gone) {
        double *id = malloc(sizeof(*id));
        if (id != NULL) {
            *id = w->id;
            if (napi_call_threadsafe_function(w->a->ready, id, napi_tsfn_nonblocking) != napi_ok) {
                free(id);
            }
        }
    }
    pthread_mutex_unlock(&w->a->lock);
}

/* With INITIAL it copies all keys, so the thread does it; the domain is kept open meanwhile. */
static int watch_open_here(struct watch *w) {
    struct domain *d = w->d;
    pthread_mutex_lock(&d->lock);
    struct tide *t = d->d;
    d->busy += t != NULL;
    pthread_mutex_unlock(&d->lock);
    if (t == NULL) {
        return TIDE_ERR_CLOSED;
    }
    int error = tide_watch_open(t, &w->opts, &w->w);
    pthread_mutex_lock(&d->lock);
    d->busy--;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
    return error;
}

static int watch_wait(struct watch *w, struct tide_event *e) {
    int error = w->w != NULL ? 0 : watch_open_here(w);
    if (error == 0) {
        error = tide_watch_next(w->w, e, SLICE_NS);
    }
    return error;
}

static void *watch_run(void *arg) {
    struct watch *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->closed) {
        if (w->state != WATCH_ARMED) {
            pthread_cond_wait(&w->changed, &w->lock);
            continue;
        }
        pthread_mutex_unlock(&w->lock);
        struct tide_event e = TIDE_EVENT_INIT;
        int error = watch_wait(w, &e);
        pthread_mutex_lock(&w->lock);
        if (error == TIDE_ERR_TIMEOUT || w->closed) {
            continue;
        }
        w->event = e;
        w->error = error;
        w->state = WATCH_READY;
        pthread_mutex_unlock(&w->lock);
        watch_tell(w);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    watch_release(w);
    return NULL;
}

static int watch_start(struct watch *w) {
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    atomic_fetch_add(&w->refs, 1);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, &attr, watch_run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (error != 0) {
        atomic_fetch_sub(&w->refs, 1);
        return TIDE_ERR_SYSTEM;
    }
    w->threaded = true;
    return 0;
}

/* ---- what index.js calls --------------------------------------------------------------------------------------------- */

static struct watch *watch_new(struct addon *a, struct domain *d) {
    struct watch *w = calloc(1, sizeof(*w));
    if (w != NULL) {
        w->a = a;
        w->d = d;
        atomic_init(&w->refs, 1);
        atomic_fetch_add(&a->refs, 1);
        atomic_fetch_add(&d->refs, 1);
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->changed, NULL);
    }
    return w;
}

/* watch(id, prefix, initial): its number. With a token in io[] it begins behind that. */
static napi_value watch_open(napi_env env, napi_callback_info info) {
    napi_value argv[3];
    struct addon *a = addon_args(env, info, 3, argv);
    struct domain *d = domain_of(a, arg_number(env, argv[0]));
    struct key prefix = { NULL, 0, NULL };
    struct watch *w = d != NULL ? watch_new(a, d) : NULL;
    if (w == NULL) {
        return addon_done(a, d == NULL ? TIDE_ERR_CLOSED : TIDE_ERR_NOMEM);
    }
    w->opts = (struct tide_watch_opts)TIDE_WATCH_OPTS_INIT;
    w->opts.from = io_token_get(a);
    w->opts.flags = arg_number(env, argv[2]) != 0 ? TIDE_WATCH_INITIAL : 0;
    int error = value_get(env, argv[1], &prefix);
    if (error == 0 && prefix.n != 0) {
        w->prefix = malloc(prefix.n);
        error = w->prefix == NULL ? TIDE_ERR_NOMEM : 0;
        if (error == 0) {
            w->opts.prefix = memcpy(w->prefix, prefix.p, prefix.n);
            w->opts.prefix_len = prefix.n;
        }
    }
    free(prefix.made);
    if (error == 0 && w->opts.flags == 0) {
        error = tide_watch_open(d->d, &w->opts, &w->w);
    }
    if (error == 0) {
        w->id = handle_new(&a->watches, w);
        error = w->id < 0 ? TIDE_ERR_NOMEM : 0;
    }
    if (error != 0) {
        watch_release(w);
        return addon_done(a, error);
    }
    addon_done(a, 0);
    return value_number(env, w->id);
}

static void watch_awaited(struct addon *a, int more) {
    a->awaited += more;
    if (a->ready == NULL) {
        return;
    }
    if (more > 0 && a->awaited == 1) {
        napi_ref_threadsafe_function(a->env, a->ready);
    } else if (more < 0 && a->awaited == 0) {
        napi_unref_threadsafe_function(a->env, a->ready);
    }
}

/* watchArm(id): onReady(id) will be called. */
static napi_value watch_arm(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    struct addon *a = addon_args(env, info, 1, argv);
    struct watch *w = watch_of(a, arg_number(env, argv[0]));
    int error = w == NULL ? TIDE_ERR_CLOSED : w->threaded ? 0 : watch_start(w);
    if (error != 0) {
        return addon_done(a, error);
    }
    pthread_mutex_lock(&w->lock);
    if (w->state == WATCH_IDLE) {
        w->token_error = w->w != NULL ? tide_watch_token(w->w, &w->token) : TIDE_ERR_BUSY;
        w->state = WATCH_ARMED;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->lock);
        watch_awaited(a, 1);
        return addon_done(a, 0);
    }
    pthread_mutex_unlock(&w->lock);
    return addon_done(a, 0);
}

static napi_value event_array(napi_env env, const struct tide_event *e) {
    napi_value out = NULL, key = NULL, value = NULL;
    napi_create_array_with_length(env, 7, &out);
    napi_get_undefined(env, &key);
    napi_get_undefined(env, &value);
    if (e->key != NULL) {
        napi_create_buffer_copy(env, e->key_len, e->key, NULL, &key);
    }
    if (e->kind == TIDE_EVENT_PUT) {
        napi_create_buffer_copy(env, e->value_size, e->value != NULL ? e->value : "", NULL, &value);
    }
    napi_set_element(env, out, 0, value_number(env, e->kind));
    napi_set_element(env, out, 1, key);
    napi_set_element(env, out, 2, value);
    napi_set_element(env, out, 3, value_number(env, (double)e->index));
    napi_set_element(env, out, 4, value_number(env, e->ttl_ns == TIDE_TTL_NONE ? -1 : (double)e->ttl_ns / 1e6));
    napi_set_element(env, out, 5, value_number(env, e->more));
    napi_set_element(env, out, 6, value_number(env, (double)e->time_ns / 1e6));
    return out;
}

/* watchTake(id): the next event. TIMEOUT: there is none yet. */
static napi_value watch_take(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    struct addon *a = addon_args(env, info, 1, argv);
    struct watch *w = watch_of(a, arg_number(env, argv[0]));
    struct tide_event e = TIDE_EVENT_INIT;
    if (w == NULL) {
        return addon_done(a, TIDE_ERR_CLOSED);
    }
    pthread_mutex_lock(&w->lock);
    enum watch_state state = w->state;
    int error = TIDE_ERR_TIMEOUT;
    if (state == WATCH_READY) {
        e = w->event;
        error = w->error;
        w->state = WATCH_IDLE;
    }
    pthread_mutex_unlock(&w->lock);
    if (state == WATCH_READY) {
        watch_awaited(a, -1);
    } else if (state == WATCH_IDLE && w->w != NULL) {
        error = tide_watch_next(w->w, &e, 0);
    }
    addon_done(a, error);
    return error == 0 ? event_array(env, &e) : NULL;
}

/* watchToken(id): io[IO_TOKEN...]. */
static napi_value watch_token(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    struct addon *a = addon_args(env, info, 1, argv);
    struct watch *w = watch_of(a, arg_number(env, argv[0]));
    struct tide_token t = { 0, 0 };
    if (w == NULL) {
        return addon_done(a, TIDE_ERR_CLOSED);
    }
    pthread_mutex_lock(&w->lock);
    int error = w->token_error;
    if (w->state == WATCH_IDLE) {
        error = w->w != NULL ? tide_watch_token(w->w, &t) : TIDE_ERR_BUSY;
    } else {
        t = w->token;
    }
    pthread_mutex_unlock(&w->lock);
    if (error == 0) {
        io_token(a, &t);
    }
    return addon_done(a, error);
}

static void watch_end(struct addon *a, struct watch *w) {
    handle_end(&a->watches, w->id);
    pthread_mutex_lock(&w->lock);
    bool awaited = w->state != WATCH_IDLE;
    w->closed = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    if (awaited) {
        watch_awaited(a, -1);
    }
    watch_release(w);
}

static napi_value watch_close(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    struct addon *a = addon_args(env, info, 1, argv);
    struct watch *w = watch_of(a, arg_number(env, argv[0]));
    if (w != NULL) {
        watch_end(a, w);
    }
    return addon_done(a, 0);
}

void watch_end_all(struct addon *a) {
    a->ready = NULL; /* the environment ends it */
    for (uint32_t i = 0; i < a->watches.n; i++) {
        if (a->watches.at[i].thing != NULL) {
            watch_end(a, a->watches.at[i].thing);
        }
    }
}

/* By the environment's thread: onReady(id). env NULL: it has gone. */
void watch_call(napi_env env, napi_value callback, void *context, void *data) {
    (void)context;
    double id = *(double *)data;
    free(data);
    if (env != NULL) {
        napi_value self = NULL, argv[1] = { value_number(env, id) };
        napi_get_undefined(env, &self);
        napi_call_function(env, self, callback, 1, argv, NULL);
    }
}

void watch_init(struct addon *a, napi_value exports) {
    addon_function(a, exports, "watch", watch_open);
    addon_function(a, exports, "watchArm", watch_arm);
    addon_function(a, exports, "watchTake", watch_take);
    addon_function(a, exports, "watchToken", watch_token);
    addon_function(a, exports, "watchClose", watch_close);
}
