/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots: many reads at one index. Each has a reader of its own, which has seen what the domain's reader has. */
#include <stdlib.h>

#include "addon.h"

struct section {
    struct section *next;
    struct domain *d;
    double id;
    struct tide_reader *r;
    bool scanning; /* JavaScript is being called from within it */
};

static struct section *section_of(struct addon *a, double id) {
    return handle_get(&a->sections, id);
}

static void section_end(struct section *s) {
    struct section **at = &s->d->sections;
    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    tide_section_end(s->r);
    tide_reader_close(s->r);
    s->d->a->inside--;
    handle_end(&s->d->a->sections, s->id);
    free(s);
}

int snapshot_end_all(struct domain *d) {
    for (struct section *s = d->sections; s != NULL; s = s->next) {
        if (s->scanning) {
            return TIDE_ERR_BUSY;
        }
    }
    while (d->sections != NULL) {
        section_end(d->sections);
    }
    return 0;
}

static int section_begin(struct domain *d, struct section *s, const struct tide_bound *bound) {
    struct tide_token t;
    struct tide_answer answer = TIDE_ANSWER_INIT;
    int tries = 0, error = tide_reader_open(d->d, NULL, &s->r);
    if (error != 0) {
        return error;
    }
    error = tide_reader_token(d->r, &t);
    error = error != 0 ? error : tide_reader_observe(s->r, &t);
    if (error == 0) {
        do {
            error = tide_section_begin(s->r, bound, &answer);
        } while (error != 0 && domain_mend(d, error, &tries));
    }
    if (error != 0) {
        tide_reader_close(s->r);
        return error;
    }
    d->a->io[IO_INDEX] = (double)answer.index;
    d->a->io[IO_STALENESS] = (double)answer.staleness_ns;
    d->a->io[IO_SERVED_BY] = answer.served_by;
    d->a->io[IO_REASON] = answer.reason;
    return 0;
}

/* snapshot(id): its number. */
static napi_value snapshot_begin(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    struct addon *a = addon_args(env, info, 1, argv);
    struct domain *d = domain_of(a, arg_number(env, argv[0]));
    struct tide_bound asked;
    const struct tide_bound *bound = d != NULL ? read_bound(d, &asked) : NULL;
    a->io[IO_BOUND] = 0;
    if (d == NULL) {
        return addon_done(a, TIDE_ERR_CLOSED);
    }
    struct section *s = calloc(1, sizeof(*s));
    int error = s == NULL ? TIDE_ERR_NOMEM : section_begin(d, s, bound);
    if (error == 0) {
        s->d = d;
        a->inside++;
        s->next = d->sections;
        d->sections = s;
        s->id = handle_new(&a->sections, s);
        if (s->id < 0) {
            section_end(s);
            return addon_done(a, TIDE_ERR_NOMEM);
        }
        addon_done(a, 0);
        return value_number(env, s->id);
    }
    free(s);
    return addon_done(a, error);
}

static napi_value snapshot_end(napi_env env, napi_callback_info info) {
    napi_value argv[1];
    struct addon *a = addon_args(env, info, 1, argv);
    struct section *s = section_of(a, arg_number(env, argv[0]));
    if (s != NULL && s->scanning) {
        return addon_done(a, TIDE_ERR_BUSY);
    }
    if (s != NULL) {
        section_end(s);
    }
    return addon_done(a, 0);
}

/* snapshotGet(id, key): a Buffer; undefined where there is none. */
static napi_value snapshot_get(napi_env env, napi_callback_info info) {
    napi_value argv[2], out = NULL;
    struct addon *a = addon_args(env, info, 2, argv);
    struct section *s = section_of(a, arg_number(env, argv[0]));
    char room[KEY_ROOM], first[1024], *made = NULL;
    struct key k;
    int error = key_get(env, argv[1], room, &k);
    if (error != 0) {
        return addon_done(a, error);
    }
    size_t size = sizeof(first);
    uint64_t version = 0;
    error = s != NULL ? tide_section_get(s->r, k.p, k.n, first, sizeof(first), &size, &version) : TIDE_ERR_CLOSED;
    if (error == TIDE_ERR_BUFFER) { /* the value of an index does not grow */
        made = malloc(size);
        error = made != NULL ? tide_section_get(s->r, k.p, k.n, made, size, &size, &version) : TIDE_ERR_NOMEM;
    }
    if (error == 0) {
        napi_create_buffer_copy(env, size, made != NULL ? made : first, NULL, &out);
        a->io[IO_VERSION] = (double)version;
    }
    free(made);
    free(k.made);
    addon_done(a, error);
    return out;
}

struct scan {
    napi_env env;
    napi_value f;
    struct key prefix;
    bool threw;
};

static int scan_one(void *ctx, const struct tide_entry *e) {
    struct scan *s = ctx;
    napi_handle_scope scope;
    if (e->key_len < s->prefix.n || __builtin_memcmp(e->key, s->prefix.p, s->prefix.n) != 0) {
        return 0;
    }
    if (napi_open_handle_scope(s->env, &scope) != napi_ok) {
        s->threw = true;
        return 1;
    }
    napi_value argv[4] = { NULL }, self = NULL, result = NULL;
    bool goes_on = true;
    napi_get_undefined(s->env, &self);
    s->threw = napi_create_buffer_copy(s->env, e->key_len, e->key, NULL, &argv[0]) != napi_ok ||
               napi_create_buffer_copy(s->env, e->value_size, e->value, NULL, &argv[1]) != napi_ok;
    argv[2] = value_number(s->env, (double)e->version);
    argv[3] = value_number(s->env, e->ttl_ns == TIDE_TTL_NONE ? -1 : (double)e->ttl_ns);
    s->threw = s->threw || napi_call_function(s->env, self, s->f, 4, argv, &result) != napi_ok;
    if (!s->threw) {
        napi_get_value_bool(s->env, result, &goes_on);
    }
    napi_close_handle_scope(s->env, scope);
    return s->threw || !goes_on;
}

/* snapshotScan(id, prefix, f): f(key, value, version, ttl) for each; false ends it. What it throws is thrown. */
static napi_value snapshot_scan(napi_env env, napi_callback_info info) {
    napi_value argv[3];
    struct addon *a = addon_args(env, info, 3, argv);
    struct section *s = section_of(a, arg_number(env, argv[0]));
    struct scan scan = { env, argv[2], { NULL, 0, NULL }, false };
    if (s == NULL || s->scanning) {
        return addon_done(a, s == NULL ? TIDE_ERR_CLOSED : TIDE_ERR_BUSY);
    }
    int error = value_get(env, argv[1], &scan.prefix);
    error = error != 0 ? error : key_own(&scan.prefix);
    if (error == 0) {
        s->scanning = true;
        error = tide_section_visit(s->r, scan_one, &scan);
        s->scanning = false;
        free(scan.prefix.made);
    }
    return addon_done(a, scan.threw ? ADDON_THREW : error > 0 ? 0 : error);
}

void snapshot_init(struct addon *a, napi_value exports) {
    addon_function(a, exports, "snapshot", snapshot_begin);
    addon_function(a, exports, "snapshotEnd", snapshot_end);
    addon_function(a, exports, "snapshotGet", snapshot_get);
    addon_function(a, exports, "snapshotScan", snapshot_scan);
}
