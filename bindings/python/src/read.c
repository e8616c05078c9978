/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Gets. The GIL is kept while a replica serves, and let go as soon as one has to be waited for. */
#include <stdlib.h>

#include "py.h"

/* Larger values are copied straight into their object. */
#define READ_BUF_MOST 65536

bool wait_begin(struct wait *w, int error, const struct contract *c) {
    w->waits = (error == TIDE_ERR_REFUSED || error == TIDE_ERR_NO_REPLICA || error == TIDE_ERR_NO_LEADER) &&
               c->full.fallback != TIDE_FALLBACK_ERROR;
    w->began_ns = w->waits ? now_ns() : 0;
    return w->waits;
}

void wait_slice(struct wait *w, const struct contract *c, struct tide_bound *b) {
    uint64_t gone = now_ns() - w->began_ns, left = c->full.wait_ns > gone ? c->full.wait_ns - gone : 0;
    *b = c->full;
    w->more = left > SLICE_NS && b->fallback != TIDE_FALLBACK_STALE;
    b->wait_ns = w->more ? SLICE_NS : left;
    b->fallback = w->more ? TIDE_FALLBACK_WAIT : b->fallback;
}

int wait_over(const struct wait *w, int error) {
    if (error != TIDE_ERR_TIMEOUT || !w->more) {
        return error;
    }
    return PyErr_CheckSignals() != 0 ? RAISED : AGAIN;
}

/* Into buf; may be NULL. */
static int read_into(struct tide_reader *r, const struct key *k, const struct contract *c, struct wait *w, void *buf,
                     size_t size, struct tide_answer *a) {
    *a = (struct tide_answer)TIDE_ANSWER_INIT;
    if (__builtin_expect(!w->waits, 1)) {
        int error = tide_get(r, k->p, (size_t)k->n, &c->quick, buf, size, a);
        if (__builtin_expect(error == 0 || !wait_begin(w, error, c), 1)) {
            return error;
        }
    }
    struct tide_bound b;
    int error;
    wait_slice(w, c, &b);
    Py_BEGIN_ALLOW_THREADS;
    error = tide_get(r, k->p, (size_t)k->n, &b, buf, size, a);
    Py_END_ALLOW_THREADS;
    a->waited_ns = now_ns() - w->began_ns;
    return wait_over(w, error);
}

/* The value does not fit into the thread's buffer. It may grow again before it is read. */
static int read_large(struct slot *s, const struct key *k, const struct contract *c, struct wait *w,
                      struct tide_answer *a, PyObject **out) {
    for (;;) {
        size_t size = a->value_size;
        if (size <= READ_BUF_MOST) {
            size_t room = s->buf_size;
            while (room < size) {
                room *= 2;
            }
            char *buf = realloc(s->buf, room);
            if (buf == NULL) {
                return TIDE_ERR_NOMEM;
            }
            s->buf = buf;
            s->buf_size = room;
            int error = read_into(s->r, k, c, w, s->buf, s->buf_size, a);
            if (error == 0) {
                *out = PyBytes_FromStringAndSize(s->buf, (Py_ssize_t)a->value_size);
                return *out != NULL ? 0 : RAISED;
            }
            if (error != TIDE_ERR_BUFFER) {
                return error;
            }
            continue;
        }
        PyObject *value = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
        if (value == NULL) {
            return RAISED;
        }
        int error = read_into(s->r, k, c, w, PyBytes_AsString(value), size, a);
        if (error == 0 && a->value_size == size) {
            *out = value;
            return 0;
        }
        if (error == 0) {
            *out = PyBytes_FromStringAndSize(PyBytes_AsString(value), (Py_ssize_t)a->value_size);
            error = *out != NULL ? 0 : RAISED;
        }
        Py_DECREF(value);
        if (error != TIDE_ERR_BUFFER) {
            return error;
        }
    }
}

int read_copy(struct domain *self, const struct key *k, const struct contract *bound, struct tide_answer *a,
              PyObject **out) {
    struct wait w = { .waits = false };
    for (int tries = 0;;) {
        struct slot *s;
        int error = slot_get(self->h, &s);
        if (error == 0) {
            error = read_into(s->r, k, bound, &w, s->buf, s->buf_size, a);
        }
        if (__builtin_expect(error == 0, 1)) {
            *out = PyBytes_FromStringAndSize(s->buf, (Py_ssize_t)a->value_size);
            return *out != NULL ? 0 : RAISED;
        }
        if (error == TIDE_ERR_BUFFER) {
            error = read_large(s, k, bound, &w, a, out);
        }
        if (error == 0 || error == TIDE_ERR_NOT_FOUND || (error != AGAIN && !domain_mend(self, error, &tries))) {
            return error;
        }
    }
}

PyObject *read_get(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = { "key",  "default",  "max_staleness", "max_lag", "after",
                                         "wait", "fallback", "answer",        NULL };
    struct domain *self = (struct domain *)o;
    const struct contract *bound = &self->bound;
    struct contract asked;
    PyObject *in[8] = { n > 0 ? args[0] : NULL, NULL }, *value = NULL;
    bool whole = false;
    if (n != 1 || names != NULL) {
        if (args_get("get", args, n, names, known, 1, in) != 0) {
            return NULL;
        }
        if (in[2] || in[3] || in[4] || in[5] || in[6]) {
            if (contract_get(bound, in + 2, &asked) != 0) {
                return NULL;
            }
            bound = &asked;
        }
        int truth = in[7] != NULL ? PyObject_IsTrue(in[7]) : 0;
        if (truth < 0) {
            return NULL;
        }
        whole = truth != 0;
    }
    struct key k;
    struct tide_answer a;
    if (key_get(in[0], &k) != 0) {
        return NULL;
    }
    int error = read_copy(self, &k, bound, &a, &value);
    if (error == TIDE_ERR_NOT_FOUND) {
        value = in[1] != NULL ? in[1] : Py_None;
        Py_INCREF(value);
    } else if (error != 0) {
        return raise_error(error, "get", NULL);
    }
    return whole ? answer_new(&a, value) : value;
}

PyObject *read_item(PyObject *o, PyObject *key) {
    struct domain *self = (struct domain *)o;
    struct key k;
    struct tide_answer a;
    PyObject *value = NULL;
    if (key_get(key, &k) != 0) {
        return NULL;
    }
    int error = read_copy(self, &k, &self->bound, &a, &value);
    if (error == TIDE_ERR_NOT_FOUND) {
        PyErr_SetObject(PyExc_KeyError, key);
        return NULL;
    }
    return error == 0 ? value : raise_error(error, "get", NULL);
}

int read_contains(PyObject *o, PyObject *key) {
    struct domain *self = (struct domain *)o;
    struct key k;
    struct tide_answer a;
    struct wait w = { .waits = false };
    if (key_get(key, &k) != 0) {
        return -1;
    }
    for (int tries = 0;;) {
        struct slot *s;
        int error = slot_get(self->h, &s);
        if (error == 0) {
            error = read_into(s->r, &k, &self->bound, &w, NULL, 0, &a);
        }
        if (error == 0 || error == TIDE_ERR_BUFFER || error == TIDE_ERR_NOT_FOUND) {
            return error != TIDE_ERR_NOT_FOUND;
        }
        if (error != AGAIN && !domain_mend(self, error, &tries)) {
            raise_error(error, "get", NULL);
            return -1;
        }
    }
}

/* ---- many at once ---------------------------------------------------------------------------------------------------- */

#define MGET_FIRST 256 /* room for a value before its size is known */

static int mget_once(struct tide_reader *r, struct tide_mget_item *items, size_t n, const struct contract *c,
                     struct wait *w, struct tide_answer *a) {
    *a = (struct tide_answer)TIDE_ANSWER_INIT;
    if (!w->waits) {
        int error = tide_mget(r, items, n, &c->quick, a);
        if (error == 0 || !wait_begin(w, error, c)) {
            return error;
        }
    }
    struct tide_bound b;
    int error;
    wait_slice(w, c, &b);
    Py_BEGIN_ALLOW_THREADS;
    error = tide_mget(r, items, n, &b, a);
    Py_END_ALLOW_THREADS;
    a->waited_ns = now_ns() - w->began_ns;
    return wait_over(w, error);
}

/* All values at one index: where one did not fit, all are read anew, with room for what was there. *room: the values'. */
static int mget_all(struct domain *self, struct tide_mget_item *items, size_t n, const struct contract *c,
                    struct tide_answer *a, char **room) {
    size_t total = n * MGET_FIRST;
    struct wait w = { .waits = false };
    for (size_t i = 0; i < n; i++) {
        items[i].buf_size = MGET_FIRST;
    }
    for (int tries = 0;;) {
        char *at = realloc(*room, total + 1);
        if (at == NULL) {
            return TIDE_ERR_NOMEM;
        }
        *room = at;
        for (size_t i = 0; i < n; at += items[i++].buf_size) {
            items[i].buf = at;
        }
        struct slot *s;
        int error = slot_get(self->h, &s);
        error = error != 0 ? error : mget_once(s->r, items, n, c, &w, a);
        if (error != 0) {
            if (error != AGAIN && !domain_mend(self, error, &tries)) {
                return error;
            }
            continue;
        }
        bool again = false;
        total = 0;
        for (size_t i = 0; i < n; i++) {
            if (items[i].result == TIDE_ERR_BUFFER) {
                again = true;
                items[i].buf_size = items[i].value_size;
            } else if (items[i].result == TIDE_ERR_INVALID) {
                return TIDE_ERR_INVALID;
            }
            total += items[i].buf_size;
        }
        if (!again) {
            return 0;
        }
    }
}

static PyObject *mget_list(const struct tide_mget_item *items, Py_ssize_t n) {
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
        PyObject *value = Py_None;
        if (items[i].result == 0) {
            value = PyBytes_FromStringAndSize(items[i].buf, (Py_ssize_t)items[i].value_size);
        } else {
            Py_INCREF(value);
        }
        if (value == NULL || PyList_SetItem(list, i, value) != 0) {
            Py_DECREF(list);
            list = NULL;
        }
    }
    return list;
}

PyObject *read_mget(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = {
        "keys", "max_staleness", "max_lag", "after", "wait", "fallback", "answer", NULL
    };
    struct domain *self = (struct domain *)o;
    struct contract bound;
    PyObject *in[7];
    if (args_get("mget", args, n, names, known, 1, in) != 0 || contract_get(&self->bound, in + 1, &bound) != 0) {
        return NULL;
    }
    int whole = in[6] != NULL ? PyObject_IsTrue(in[6]) : 0;
    PyObject *keys = whole < 0 ? NULL : PySequence_Tuple(in[0]);
    if (keys == NULL) {
        return NULL;
    }
    Py_ssize_t count = PyTuple_Size(keys);
    struct tide_mget_item *items = calloc((size_t)count + 1, sizeof(*items));
    char *room = NULL;
    PyObject *list = NULL;
    struct tide_answer a = TIDE_ANSWER_INIT;
    int error = items == NULL ? TIDE_ERR_NOMEM : 0;
    for (Py_ssize_t i = 0; error == 0 && i < count; i++) {
        struct key k;
        error = key_get(PyTuple_GetItem(keys, i), &k) != 0 ? RAISED : 0;
        if (error == 0) {
            items[i].key = k.p;
            items[i].key_len = (size_t)k.n;
        }
    }
    if (error == 0 && count > 0) {
        error = mget_all(self, items, (size_t)count, &bound, &a, &room);
    }
    list = error == 0 ? mget_list(items, count) : raise_error(error, "mget", NULL);
    free(room);
    free(items);
    Py_DECREF(keys);
    return whole ? answer_new(&a, list) : list;
}
