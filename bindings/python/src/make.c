/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Get or make: of all who miss a key at once, in all threads and processes, one makes the value. */
#include "py.h"

struct making {
    struct domain *self;
    struct key k;
    PyObject *make;
    uint64_t ttl_ns, stale_ns, until_ns;
};

static bool making_is_stale(const struct making *m, const struct tide_answer *a) {
    return m->stale_ns != 0 && a->ttl_ns <= m->stale_ns;
}

/* As the library's own: a read that cannot be had is a miss. */
static bool making_goes_on(int error) {
    return error == TIDE_ERR_NOT_FOUND || error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_NO_REPLICA ||
           error == TIDE_ERR_TIMEOUT;
}

/* The value is good even where it cannot be put: who asked has it, and is told. *put: it was. */
static PyObject *making_value(const struct making *m, int *put) {
    struct key v;
    PyObject *holder, *value = PyObject_CallObject(m->make, NULL);
    *put = 0;
    if (value == NULL || value_get(value, &v, &holder) != 0) {
        Py_XDECREF(value);
        return NULL;
    }
    Py_DECREF(value);
    uint64_t life = m->ttl_ns;
    if (life != 0 && m->stale_ns != 0) {
        life = life > TIDE_TTL_NONE - m->stale_ns ? TIDE_TTL_NONE : life + m->stale_ns;
    }
    int error = write_value(m->self, &m->k, &v, life, 0);
    *put = error == 0;
    if (error != 0 && PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "tidemark: a value was made and not put: %s",
                                       tide_strerror(error)) != 0) {
        Py_DECREF(holder);
        return NULL;
    }
    return holder;
}

/* make() may have closed the domain, or be in a forked child: then the lease went with the reader. */
static void making_release(struct handle *h, struct tide_reader *r, const struct tide_lease *lease, int made) {
    for (struct slot *s = slots; s != NULL; s = s->next) {
        if (s->h == h && s->r == r) {
            tide_lease_release(r, lease, made);
            return;
        }
    }
}

/* The lease is ours. Perhaps it was made between our miss and now: the leader's replica knows. */
static PyObject *making_holding(const struct making *m, struct slot *s, const struct tide_lease *lease) {
    struct handle *h = s->h;
    struct tide_reader *r = s->r;
    struct contract now = { .full = TIDE_BOUND_INIT };
    struct tide_answer a;
    PyObject *value = NULL;
    contract_finish(&now);
    atomic_fetch_add(&h->refs, 1);
    int put = 0, error = read_copy(m->self, &m->k, &now, &a, &value);
    if (error == 0 && !making_is_stale(m, &a)) {
        put = 1;
    } else if (error == 0 || making_goes_on(error)) {
        Py_XDECREF(value);
        value = making_value(m, &put);
    } else {
        value = raise_error(error, "get_or_make", NULL);
    }
    making_release(h, r, lease, put);
    handle_release(h);
    return value;
}

/* One turn: a value, or NULL and *again where another had the key. `old`, taken over: the value is there, but stale. */
static PyObject *making_turn(struct making *m, PyObject *old, bool *again) {
    struct tide_lease lease = TIDE_LEASE_INIT;
    struct slot *s;
    uint64_t now = now_ns(), left = m->until_ns > now ? m->until_ns - now : 0;
    int put, error = slot_get(m->self->h, &s);
    if (error == 0) {
        uint64_t wait_ns = old != NULL ? 0 : left < SLICE_NS ? left : SLICE_NS;
        Py_BEGIN_ALLOW_THREADS;
        error = tide_lease_take(s->r, m->k.p, (size_t)m->k.n, wait_ns, &lease);
        Py_END_ALLOW_THREADS;
    }
    if (error == 0 && lease.state == TIDE_LEASE_TAKEN) {
        Py_XDECREF(old);
        return making_holding(m, s, &lease);
    }
    if (old != NULL) { /* another makes it anew */
        return old;
    }
    if (error == 0 && lease.state == TIDE_LEASE_FULL) {
        return making_value(m, &put);
    }
    *again = error == 0 || (error == TIDE_ERR_TIMEOUT && left > 0);
    if (*again) {
        *again = PyErr_CheckSignals() == 0;
        return NULL;
    }
    return raise_error(error, "get_or_make",
                       error == TIDE_ERR_TIMEOUT ? "another makes the value"
                       : error == TIDE_ERR_BUSY  ? "make() asks for the key that it makes"
                                                 : NULL);
}

PyObject *make_get(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = { "key",     "make",  "ttl",       "stale",    "wait", "max_staleness",
                                         "max_lag", "after", "read_wait", "fallback", NULL };
    struct making m = { .self = (struct domain *)o };
    const struct contract *bound = &m.self->bound;
    struct contract asked;
    PyObject *in[10];
    uint64_t wait_ns = TIDE_UNBOUNDED;
    if (args_get("get_or_make", args, n, names, known, 2, in) != 0 || key_get(in[0], &m.k) != 0 ||
        life_get(in[2], &m.ttl_ns) != 0 || seconds_get(in[3], &m.stale_ns) != 0 || seconds_get(in[4], &wait_ns) != 0) {
        return NULL;
    }
    if (in[5] || in[6] || in[7] || in[8] || in[9]) {
        if (contract_get(bound, in + 5, &asked) != 0) {
            return NULL;
        }
        bound = &asked;
    }
    m.make = in[1];
    for (;;) {
        struct tide_answer a;
        PyObject *value = NULL;
        int error = read_copy(m.self, &m.k, bound, &a, &value);
        if (error == 0 && !making_is_stale(&m, &a)) {
            return value;
        }
        if (error != 0 && !making_goes_on(error)) {
            return raise_error(error, "get_or_make", NULL);
        }
        if (m.until_ns == 0) {
            uint64_t now = now_ns();
            m.until_ns = wait_ns > UINT64_MAX - now ? UINT64_MAX : now + wait_ns;
        }
        bool again = false;
        value = making_turn(&m, error == 0 ? value : NULL, &again);
        if (!again) {
            return value;
        }
    }
}
