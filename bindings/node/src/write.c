/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes. Those that JavaScript awaits are jobs: a thread of libuv's does a domain's jobs one after another, in the order of the calls,
 * since two puts of one key are to land in that order. Those that it does not await are done at once, by its own thread.
 */
#include <stdlib.h>
#include <string.h>

#include "addon.h"

#define JOBS_AT_ONCE 256 /* then the first of them are told */

/* What index.js gives for each operation: a row of an array. */
enum op_place { OP_KIND, OP_KEY, OP_VALUE, OP_TTL, OP_EXPECTED, OP_DELTA, OP_FLAGS, OP_PLACES };

enum job_what { JOB_WRITE, JOB_CLOSE };

struct job {
    struct job *next;
    enum job_what what;
    napi_deferred deferred;
    uint64_t queued_ns;
    int error;
    uint64_t found; /* MISMATCH of a cas: the version that is there */
    size_t failed;  /* of a batch: which operation; SIZE_MAX: all */
    struct tide_token token;
    uint32_t n;
    struct tide_write_op *ops;
    struct key *keys; /* of the operations: their keys, then their values */
    char *bytes;      /* copies of the bytes that JavaScript could change meanwhile */
};

static void job_free(struct job *j) {
    for (uint32_t i = 0; j->keys != NULL && i < 2 * j->n; i++) {
        free(j->keys[i].made);
    }
    free(j->keys);
    free(j->ops);
    free(j->bytes);
    free(j);
}

/* ---- in: what JavaScript asks for ------------------------------------------------------------------------------------ */

static int op_get(napi_env env, napi_value row, struct tide_write_op *op, struct key *key, struct key *value) {
    napi_value v[OP_PLACES] = { NULL };
    char room[KEY_ROOM];
    for (uint32_t i = 0; i < OP_PLACES; i++) {
        napi_get_element(env, row, i, &v[i]);
    }
    *op = (struct tide_write_op)TIDE_WRITE_OP_INIT;
    op->kind = (uint32_t)arg_number(env, v[OP_KIND]);
    op->ttl_ns = arg_u64(arg_number(env, v[OP_TTL]));
    op->expected = arg_u64(arg_number(env, v[OP_EXPECTED]));
    op->flags = (uint32_t)arg_number(env, v[OP_FLAGS]);
    int error = key_get(env, v[OP_KEY], room, key);
    if (error != 0) {
        key->made = NULL;
        return error;
    }
    if (key->p == room) {
        key->made = malloc(key->n);
        if (key->made == NULL) {
            return TIDE_ERR_NOMEM;
        }
        key->p = memcpy(key->made, room, key->n);
    }
    if (op->kind == TIDE_OP_ADD) {
        op->delta = arg_i64(env, v[OP_DELTA]);
    }
    return op->kind == TIDE_OP_PUT || op->kind == TIDE_OP_CAS ? value_get(env, v[OP_VALUE], value) : 0;
}

/* What lies in JavaScript's memory is copied. */
static int job_own(struct job *j) {
    size_t total = 0;
    for (uint32_t i = 0; i < 2 * j->n; i++) {
        total += j->keys[i].made == NULL ? j->keys[i].n : 0;
    }
    char *to = j->bytes = malloc(total + 1);
    if (to == NULL) {
        return TIDE_ERR_NOMEM;
    }
    for (uint32_t i = 0; i < 2 * j->n; i++) {
        struct key *k = &j->keys[i];
        if (k->made == NULL && k->n != 0) {
            k->p = memcpy(to, k->p, k->n);
            to += k->n;
        }
        struct tide_write_op *op = &j->ops[i % j->n];
        if (i < j->n) {
            op->key = k->p;
            op->key_len = k->n;
        } else {
            op->value = k->p;
            op->value_size = k->n;
        }
    }
    return 0;
}

static int job_new(napi_env env, napi_value rows, struct job **out) {
    struct job *j = calloc(1, sizeof(*j));
    if (j == NULL) {
        return TIDE_ERR_NOMEM;
    }
    napi_get_array_length(env, rows, &j->n);
    j->failed = SIZE_MAX;
    j->ops = calloc(j->n + 1, sizeof(*j->ops));
    j->keys = calloc(2 * (size_t)j->n + 1, sizeof(*j->keys));
    int error = j->ops == NULL || j->keys == NULL ? TIDE_ERR_NOMEM : 0;
    for (uint32_t i = 0; error == 0 && i < j->n; i++) {
        napi_handle_scope scope;
        napi_value row = NULL;
        napi_open_handle_scope(env, &scope);
        napi_get_element(env, rows, i, &row);
        error = op_get(env, row, &j->ops[i], &j->keys[i], &j->keys[j->n + i]);
        napi_close_handle_scope(env, scope);
    }
    error = error != 0 ? error : job_own(j);
    if (error != 0) {
        job_free(j);
        return error;
    }
    *out = j;
    return 0;
}

/* ---- done, by any thread --------------------------------------------------------------------------------------------- */

static int job_try(struct domain *d, struct job *j) {
    struct tide_write_op *op = j->ops;
    if (j->n == 1 && op->kind == TIDE_OP_CAS) {
        struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
        o.ttl_ns = op->ttl_ns;
        o.flags = op->flags;
        int error = tide_cas_with(d->d, NULL, op->key, op->key_len, op->expected, op->value, op->value_size, &o,
                                  &j->token, &j->found);
        op->index = j->token.index;
        return error;
    }
    return tide_write(d->d, NULL, j->ops, j->n, &j->token, j->n > 1 ? &j->failed : NULL);
}

/*
 * Each write waits for a leader as long as the domain's option says. A thousand that were called at once do not wait one after another:
 * where the one before found no leader, one that was called as long ago answers the same, untried.
 */
static void job_do(struct domain *d, struct job *j) {
    if (j->what == JOB_CLOSE) {
        domain_shut(d);
        return;
    }
    if (d->d == NULL) {
        j->error = TIDE_ERR_CLOSED;
        return;
    }
    if (d->stuck != 0 && now_ns() - j->queued_ns > d->write_timeout_ns) {
        j->error = d->stuck;
        return;
    }
    int tries = 0;
    do {
        j->error = job_try(d, j);
    } while (j->error != 0 && domain_mend(d, j->error, &tries));
    d->stuck = j->error == TIDE_ERR_NO_LEADER || j->error == TIDE_ERR_TIMEOUT ? j->error : 0;
}

/* One thread at a time; `most` jobs. */
static void jobs_do(struct domain *d, int most) {
    pthread_mutex_lock(&d->lock);
    while (d->running) {
        pthread_cond_wait(&d->changed, &d->lock);
    }
    d->running = true;
    while (d->queue != NULL && most-- > 0) {
        struct job *j = d->queue;
        d->queue = j->next;
        d->end = d->queue != NULL ? d->end : &d->queue;
        pthread_mutex_unlock(&d->lock);
        job_do(d, j);
        pthread_mutex_lock(&d->lock);
        j->next = d->done;
        d->done = j;
    }
    d->running = false;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
}

void write_drain(struct domain *d) {
    jobs_do(d, INT32_MAX);
}

void write_forget(struct domain *d) {
    for (struct job *lists[] = { d->queue, d->done }, **list = lists; list < lists + 2; list++) {
        for (struct job *j = *list, *next; j != NULL; j = next) {
            next = j->next;
            job_free(j);
        }
    }
}

/* ---- out: results ---------------------------------------------------------------------------------------------------- */

/* The sum of each add, a bigint; of the others the index. */
static napi_value job_results(napi_env env, const struct job *j) {
    napi_value list = NULL;
    napi_create_array_with_length(env, j->n, &list);
    for (uint32_t i = 0; i < j->n; i++) {
        napi_value one = NULL;
        if (j->ops[i].kind == TIDE_OP_ADD) {
            napi_create_bigint_int64(env, j->ops[i].result, &one);
        } else {
            napi_create_double(env, (double)j->ops[i].index, &one);
        }
        napi_set_element(env, list, i, one);
    }
    return list;
}

/* [error, results, found, failed] */
static napi_value job_outcome(napi_env env, const struct job *j) {
    napi_value out = NULL;
    napi_create_array_with_length(env, 4, &out);
    napi_set_element(env, out, 0, value_number(env, j->error));
    napi_set_element(env, out, 1, j->error == 0 ? job_results(env, j) : value_number(env, 0));
    napi_set_element(env, out, 2, value_number(env, (double)j->found));
    napi_set_element(env, out, 3, value_number(env, j->failed == SIZE_MAX ? -1 : (double)j->failed));
    return out;
}

/* By the environment's thread: the session has seen it. */
static void job_seen(struct domain *d, const struct job *j) {
    if (j->error == 0 && j->what == JOB_WRITE && d->r != NULL) {
        tide_reader_observe(d->r, &j->token);
    }
}

static struct job *jobs_reversed(struct job *j) {
    struct job *out = NULL;
    while (j != NULL) {
        struct job *next = j->next;
        j->next = out;
        out = j;
        j = next;
    }
    return out;
}

static bool work_queue(napi_env env, struct domain *d);

struct work {
    struct domain *d;
    napi_async_work work;
};

static void work_execute(napi_env env, void *data) {
    (void)env;
    jobs_do(((struct work *)data)->d, JOBS_AT_ONCE);
}

static void work_complete(napi_env env, napi_status status, void *data) {
    (void)status;
    struct work *w = data;
    struct domain *d = w->d;
    napi_delete_async_work(env, w->work);
    free(w);
    pthread_mutex_lock(&d->lock);
    struct job *done = jobs_reversed(d->done);
    bool more = d->queue != NULL;
    d->done = NULL;
    d->queued = false;
    pthread_mutex_unlock(&d->lock);
    if (more) {
        work_queue(env, d);
    }
    for (struct job *j = done, *next; j != NULL; j = next) {
        next = j->next;
        job_seen(d, j);
        napi_handle_scope scope;
        if (napi_open_handle_scope(env, &scope) == napi_ok) {
            napi_resolve_deferred(env, j->deferred, job_outcome(env, j));
            napi_close_handle_scope(env, scope);
        }
        if (j->what == JOB_CLOSE && domain_of(d->a, d->id) == d) {
            domain_end(d);
        }
        job_free(j);
    }
    domain_release(d);
}

static bool work_queue(napi_env env, struct domain *d) {
    struct work *w = malloc(sizeof(*w));
    napi_value name = NULL;
    if (w == NULL) {
        return false;
    }
    w->d = d;
    napi_create_string_utf8(env, "tidemark", NAPI_AUTO_LENGTH, &name);
    if (napi_create_async_work(env, NULL, name, work_execute, work_complete, w, &w->work) != napi_ok) {
        free(w);
        return false;
    }
    atomic_fetch_add(&d->refs, 1);
    d->queued = true;
    napi_queue_async_work(env, w->work);
    return true;
}

static napi_value job_submit(napi_env env, struct domain *d, struct job *j) {
    napi_value promise = NULL;
    j->queued_ns = now_ns();
    if (napi_create_promise(env, &j->deferred, &promise) != napi_ok) {
        job_free(j);
        return NULL;
    }
    pthread_mutex_lock(&d->lock);
    *d->end = j;
    d->end = &j->next;
    bool queued = d->queued;
    pthread_mutex_unlock(&d->lock);
    if (!queued) {
        work_queue(env, d);
    }
    return promise;
}

/* ---- what index.js calls --------------------------------------------------------------------------------------------- */

/* submit(id, rows): a promise of the outcome. */
static napi_value write_submit(napi_env env, napi_callback_info info) {
    napi_value argv[2];
    struct addon *a = addon_args(env, info, 2, argv);
    struct domain *d = domain_of(a, arg_number(env, argv[0]));
    struct job *j;
    int error = d != NULL ? job_new(env, argv[1], &j) : TIDE_ERR_CLOSED;
    addon_done(a, error);
    return error == 0 ? job_submit(env, d, j) : NULL;
}

/* writeNow(id, rows): the outcome. Behind what was submitted, or it would land before that. */
static napi_value write_now(napi_env env, napi_callback_info info) {
    napi_value argv[2], out = NULL;
    struct addon *a = addon_args(env, info, 2, argv);
    struct domain *d = domain_of(a, arg_number(env, argv[0]));
    struct job *j;
    int error = d != NULL ? job_new(env, argv[1], &j) : TIDE_ERR_CLOSED;
    addon_done(a, error);
    if (error == 0) {
        j->queued_ns = now_ns();
        write_drain(d);
        job_do(d, j);
        job_seen(d, j);
        out = job_outcome(env, j);
        job_free(j);
    }
    return out;
}

/* putNow(key, value, ttl, flags): the common case without an array. */
static napi_value write_put_now(napi_env env, napi_callback_info info) {
    napi_value argv[4];
    struct addon *a = addon_args(env, info, 4, argv);
    struct domain *d = domain_of(a, a->io[IO_DOMAIN]);
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    struct key k, v;
    char room[KEY_ROOM];
    int error = key_get(env, argv[0], room, &k);
    if (error != 0) {
        return addon_done(a, error);
    }
    error = d != NULL ? value_get(env, argv[1], &v) : TIDE_ERR_CLOSED;
    if (error == 0) {
        o.ttl_ns = arg_u64(arg_number(env, argv[2]));
        o.flags = (uint32_t)arg_number(env, argv[3]);
        pthread_mutex_lock(&d->lock);
        bool idle = d->queue == NULL && !d->running;
        pthread_mutex_unlock(&d->lock);
        if (!idle) {
            write_drain(d);
        }
        int tries = 0;
        do {
            error = d->d != NULL ? tide_put_with(d->d, d->r, k.p, k.n, v.p, v.n, &o, NULL) : TIDE_ERR_CLOSED;
        } while (error != 0 && domain_mend(d, error, &tries));
        free(v.made);
    }
    free(k.made);
    return addon_done(a, error);
}

/* close(id, waits): a promise, behind the writes that were submitted. Where another domain's section is open it would wait for that. */
static napi_value write_close(napi_env env, napi_callback_info info) {
    napi_value argv[2];
    struct addon *a = addon_args(env, info, 2, argv);
    struct domain *d = domain_of(a, arg_number(env, argv[0]));
    int error = d != NULL ? snapshot_end_all(d) : TIDE_ERR_CLOSED;
    error = error == 0 && a->inside != 0 && arg_number(env, argv[1]) == 0 ? TIDE_ERR_THREAD : error;
    struct job *j = error == 0 ? calloc(1, sizeof(*j)) : NULL;
    addon_done(a, error != 0 ? error : j == NULL ? TIDE_ERR_NOMEM : 0);
    if (j == NULL) {
        return NULL;
    }
    j->what = JOB_CLOSE;
    return job_submit(env, d, j);
}

void write_init(struct addon *a, napi_value exports) {
    addon_function(a, exports, "submit", write_submit);
    addon_function(a, exports, "writeNow", write_now);
    addon_function(a, exports, "putNow", write_put_now);
    addon_function(a, exports, "close", write_close);
}
