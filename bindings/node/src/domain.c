/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Open, lead, close; tokens and numbers of a domain. */
#include <stdlib.h>
#include <string.h>

#include "addon.h"

void domain_release(struct domain *d) {
    if (atomic_fetch_sub(&d->refs, 1) == 1) {
        write_forget(d);
        pthread_cond_destroy(&d->changed);
        pthread_mutex_destroy(&d->lock);
        free(d);
    }
}

/* From any thread of the library. */
static void domain_log(void *ctx, enum tide_log_level level, const char *text) {
    struct domain *d = ctx;
    if (level != TIDE_LOG_INFO) {
        pthread_mutex_lock(&d->lock);
        strncpy(d->line, text, sizeof(d->line) - 1);
        pthread_mutex_unlock(&d->lock);
    }
}

/* ---- lead ------------------------------------------------------------------------------------------------------------ */

static int domain_start(struct domain *d, enum tide_role role) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = role;
    o.candidate = 1;
    return tide_replica_start(d->d, &o, NULL);
}

int domain_lead(struct domain *d) {
    int error = domain_start(d, TIDE_LEADER);
    return error == TIDE_ERR_READ_ONLY ? TIDE_ERR_BUSY : error;
}

bool domain_mend(struct domain *d, int error, int *tries) {
    if (!d->lead || (error != TIDE_ERR_NO_LEADER && error != TIDE_ERR_NO_REPLICA) || (*tries)++ != 0) {
        return false;
    }
    error = domain_lead(d);
    return error == 0 || error == TIDE_ERR_BUSY;
}

/* ---- open ------------------------------------------------------------------------------------------------------------ */

static int domain_begin(struct domain *d, const char *name, struct tide_opts *o, bool replica) {
    o->log = domain_log;
    o->log_ctx = d;
    int error = tide_open(&d->d, name, o);
    if (error != 0) {
        return error;
    }
    bool leads = false;
    if (d->lead) {
        error = domain_lead(d);
        leads = error == 0;
        error = error == TIDE_ERR_BUSY ? 0 : error;
    }
    if (error == 0 && replica && !leads) {
        error = domain_start(d, TIDE_FOLLOWER);
    }
    if (error == 0) {
        error = tide_reader_open(d->d, NULL, &d->r);
    }
    if (error != 0) {
        tide_close(d->d);
    }
    return error;
}

static struct domain *domain_new(struct addon *a) {
    struct domain *d = calloc(1, sizeof(*d));
    if (d != NULL) {
        d->a = a;
        d->end = &d->queue;
        d->bound = (struct tide_bound)TIDE_BOUND_INIT;
        atomic_init(&d->refs, 1);
        pthread_mutex_init(&d->lock, NULL);
        pthread_cond_init(&d->changed, NULL);
    }
    return d;
}

static napi_value domain_line(napi_env env, struct domain *d) {
    napi_value out = NULL;
    pthread_mutex_lock(&d->lock);
    napi_create_string_utf8(env, d->line, NAPI_AUTO_LENGTH, &out);
    pthread_mutex_unlock(&d->lock);
    return out;
}

/* open(name, numbers): its number; or, with an error as the status, what the library said. */
static napi_value domain_open(napi_env env, napi_callback_info info) {
    enum { FLAGS, LEAD, REPLICA, RING, TABLE, KEYS, TTL, EVICT, STALENESS, WRITE_TIMEOUT, NUMBERS };
    napi_value argv[2], out = NULL;
    struct addon *a = addon_args(env, info, 2, argv);
    char name[TIDE_NAME_MAX + 2];
    size_t n = 0;
    double *in = NULL;
    napi_get_value_string_utf8(env, argv[0], name, sizeof(name), &n);
    if (napi_get_typedarray_info(env, argv[1], NULL, &n, (void **)&in, NULL, NULL) != napi_ok || n != NUMBERS) {
        return addon_done(a, TIDE_ERR_INVALID);
    }
    struct domain *d = domain_new(a);
    if (d == NULL) {
        return addon_done(a, TIDE_ERR_NOMEM);
    }
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = (uint32_t)in[FLAGS];
    o.ring_bytes = arg_u64(in[RING]);
    o.table_bytes = arg_u64(in[TABLE]);
    o.expected_keys = arg_u64(in[KEYS]);
    o.default_ttl_ns = arg_u64(in[TTL]);
    o.evict = (uint32_t)in[EVICT];
    o.write_timeout_ns = arg_u64(in[WRITE_TIMEOUT]);
    d->lead = in[LEAD] != 0;
    d->bound.max_staleness_ns = arg_u64(in[STALENESS]);
    d->write_timeout_ns = o.write_timeout_ns != 0 ? o.write_timeout_ns : NS_PER_S;
    int error = domain_begin(d, name, &o, in[REPLICA] != 0);
    if (error == 0) {
        d->id = handle_new(&a->domains, d);
        if (d->id < 0) {
            domain_shut(d);
            tide_reader_close(d->r);
            error = TIDE_ERR_NOMEM;
        }
    }
    if (error != 0) {
        out = domain_line(env, d);
        domain_release(d);
    } else {
        out = value_number(env, d->id);
    }
    addon_done(a, error);
    return out;
}

/* ---- close ----------------------------------------------------------------------------------------------------------- */

void domain_shut(struct domain *d) {
    pthread_mutex_lock(&d->lock);
    while (d->busy != 0) {
        pthread_cond_wait(&d->changed, &d->lock);
    }
    struct tide *t = d->d;
    d->d = NULL;
    pthread_mutex_unlock(&d->lock);
    tide_close(t);
}

int domain_end(struct domain *d) {
    int error = snapshot_end_all(d);
    if (error == 0 && d->d != NULL && d->a->inside != 0) { /* the library would wait for a section of this thread */
        error = TIDE_ERR_BUSY;
    }
    if (error != 0) {
        return error;
    }
    handle_end(&d->a->domains, d->id);
    write_drain(d);
    if (d->d != NULL) { /* no job has closed it */
        domain_shut(d);
    }
    tide_reader_close(d->r);
    d->r = NULL;
    domain_release(d);
    return 0;
}

static napi_value domain_close_now(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    struct addon *a = addon_args(env, info, 1, argv);
    struct domain *d = domain_of(a, arg_number(env, argv[0]));
    return addon_done(a, d != NULL ? domain_end(d) : 0);
}

/* ---- tokens and numbers ---------------------------------------------------------------------------------------------- */

static napi_value domain_token(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    struct addon *a = addon_args(env, info, 1, argv);
    struct domain *d = domain_of(a, arg_number(env, argv[0]));
    struct tide_token t;
    int error = d != NULL ? tide_reader_token(d->r, &t) : TIDE_ERR_CLOSED;
    if (error == 0) {
        io_token(a, &t);
    }
    return addon_done(a, error);
}

static napi_value domain_observe(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    struct addon *a = addon_args(env, info, 1, argv);
    struct domain *d = domain_of(a, arg_number(env, argv[0]));
    struct tide_token t = io_token_get(a);
    return addon_done(a, d != NULL ? tide_reader_observe(d->r, &t) : TIDE_ERR_CLOSED);
}

/* applied(id, replicas): looks once. */
static napi_value domain_applied(napi_env env, napi_callback_info info) {
    napi_value argv[2];
    struct addon *a = addon_args(env, info, 2, argv);
    struct domain *d = domain_of(a, arg_number(env, argv[0]));
    struct tide_token t = io_token_get(a);
    double asked = arg_number(env, argv[1]); /* more than there can be is INVALID, not what its low bits say */
    uint32_t replicas = asked < UINT32_MAX ? (uint32_t)asked : UINT32_MAX;
    return addon_done(a, d != NULL ? tide_wait_applied(d->d, &t, replicas, 0) : TIDE_ERR_CLOSED);
}

static void info_put(napi_env env, napi_value o, const char *name, double v) {
    napi_set_named_property(env, o, name, value_number(env, v));
}

static napi_value domain_info(napi_env env, napi_callback_info info) {
    napi_value argv[1], out = NULL;
    struct addon *a = addon_args(env, info, 1, argv);
    struct domain *d = domain_of(a, arg_number(env, argv[0]));
    struct tide_info i = TIDE_INFO_INIT;
    int error = d != NULL ? tide_info(d->d, &i) : TIDE_ERR_CLOSED;
    if (error != 0) {
        return addon_done(a, error);
    }
    napi_create_object(env, &out);
    info_put(env, out, "commitIndex", (double)i.commit_index);
    info_put(env, out, "term", (double)i.term);
    info_put(env, out, "ringBytes", (double)i.ring_bytes);
    info_put(env, out, "tableBytes", (double)i.table_bytes);
    info_put(env, out, "members", i.members);
    info_put(env, out, "replicas", i.replicas);
    info_put(env, out, "leader", i.leader);
    info_put(env, out, "leaderPid", i.leader_pid);
    info_put(env, out, "expired", (double)i.expired_total);
    info_put(env, out, "evicted", (double)i.evicted_total);
    info_put(env, out, "defaultTtl", i.default_ttl_ns != 0 ? (double)i.default_ttl_ns / 1e6 : -1);
    io_token(a, &(struct tide_token){ i.incarnation, 0 });
    addon_done(a, 0);
    return out;
}

void domain_init(struct addon *a, napi_value exports) {
    addon_function(a, exports, "open", domain_open);
    addon_function(a, exports, "closeNow", domain_close_now);
    addon_function(a, exports, "token", domain_token);
    addon_function(a, exports, "observe", domain_observe);
    addon_function(a, exports, "applied", domain_applied);
    addon_function(a, exports, "info", domain_info);
}
