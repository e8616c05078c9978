/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes. The GIL is let go: the leader may be elsewhere, or may have to wait for room. */
#include <stdlib.h>

#include "py.h"

#define BATCH_MOST 65536

int write_value(struct domain *self, const struct key *k, const struct key *v, uint64_t ttl_ns, uint32_t flags) {
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = ttl_ns;
    o.flags = flags;
    for (int tries = 0;;) {
        struct slot *s;
        int error = slot_get(self->h, &s);
        if (error == 0) {
            Py_BEGIN_ALLOW_THREADS;
            error = tide_put_with(s->h->d, s->r, k->p, (size_t)k->n, v->p, (size_t)v->n, &o, NULL);
            Py_END_ALLOW_THREADS;
        }
        if (error == 0 || !domain_mend(self, error, &tries)) {
            return error;
        }
    }
}

static int write_key(struct domain *self, PyObject *key, PyObject *value, uint64_t ttl_ns, uint32_t flags) {
    struct key k, v;
    PyObject *holder;
    if (key_get(key, &k) != 0 || value_get(value, &v, &holder) != 0) {
        return RAISED;
    }
    int error = write_value(self, &k, &v, ttl_ns, flags);
    Py_DECREF(holder);
    return error;
}

/* A thread that waited for room would wait for its own section. */
static PyObject *write_failed(int error, const char *what) {
    const char *said = "a snapshot of this thread, or a view made of one's values, is open: write when it has ended";
    return raise_error(error, what, error == TIDE_ERR_THREAD ? said : NULL);
}

static PyObject *write_done(int error, const char *what) {
    if (error != 0) {
        return write_failed(error, what);
    }
    Py_RETURN_NONE;
}

PyObject *write_put(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = { "key", "value", "ttl", "keep", NULL };
    PyObject *in[4];
    uint64_t ttl_ns = 0;
    if (args_get("put", args, n, names, known, 2, in) != 0 || life_get(in[2], &ttl_ns) != 0) {
        return NULL;
    }
    int keep = in[3] != NULL ? PyObject_IsTrue(in[3]) : 0;
    return keep < 0 ? NULL
                    : write_done(write_key((struct domain *)self, in[0], in[1], ttl_ns, keep ? TIDE_KEEP : 0), "put");
}

static int write_remove(struct domain *self, PyObject *key) {
    struct key k;
    if (key_get(key, &k) != 0) {
        return RAISED;
    }
    for (int tries = 0;;) {
        struct slot *s;
        int error = slot_get(self->h, &s);
        if (error == 0) {
            Py_BEGIN_ALLOW_THREADS;
            error = tide_delete(s->h->d, s->r, k.p, (size_t)k.n, NULL);
            Py_END_ALLOW_THREADS;
        }
        if (error == 0 || !domain_mend(self, error, &tries)) {
            return error;
        }
    }
}

PyObject *write_delete(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = { "key", NULL };
    PyObject *in[1];
    if (args_get("delete", args, n, names, known, 1, in) != 0) {
        return NULL;
    }
    return write_done(write_remove((struct domain *)self, in[0]), "delete");
}

/* t[key] = value, del t[key] */
int write_item(PyObject *self, PyObject *key, PyObject *value) {
    struct domain *d = (struct domain *)self;
    int error = value != NULL ? write_key(d, key, value, 0, 0) : write_remove(d, key);
    if (error != 0) {
        write_failed(error, value != NULL ? "put" : "delete");
    }
    return error != 0 ? -1 : 0;
}

/* ---- one operation of tide_write() ----------------------------------------------------------------------------------- */

static int write_ops(struct domain *self, struct tide_write_op *ops, size_t n, size_t *failed) {
    for (int tries = 0;;) {
        struct slot *s;
        int error = slot_get(self->h, &s);
        if (error == 0) {
            Py_BEGIN_ALLOW_THREADS;
            error = tide_write(s->h->d, s->r, ops, n, NULL, failed);
            Py_END_ALLOW_THREADS;
        }
        if (error == 0 || !domain_mend(self, error, &tries)) {
            return error;
        }
    }
}

PyObject *write_incr(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = { "key", "by", "ttl", NULL };
    struct tide_write_op op = TIDE_WRITE_OP_INIT;
    PyObject *in[3];
    struct key k;
    op.kind = TIDE_OP_ADD;
    op.delta = 1;
    if (args_get("incr", args, n, names, known, 1, in) != 0 || key_get(in[0], &k) != 0 ||
        life_get(in[2], &op.ttl_ns) != 0) {
        return NULL;
    }
    if (in[1] != NULL) {
        op.delta = PyLong_AsLongLong(in[1]);
        if (op.delta == -1 && PyErr_Occurred()) {
            return NULL;
        }
    }
    op.key = k.p;
    op.key_len = (size_t)k.n;
    int error = write_ops((struct domain *)o, &op, 1, NULL);
    return error == 0 ? PyLong_FromLongLong(op.result) : write_failed(error, "incr");
}

PyObject *write_touch(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = { "key", "ttl", NULL };
    struct tide_write_op op = TIDE_WRITE_OP_INIT;
    PyObject *in[2];
    struct key k;
    op.kind = TIDE_OP_TOUCH;
    if (args_get("touch", args, n, names, known, 1, in) != 0 || key_get(in[0], &k) != 0 ||
        life_get(in[1], &op.ttl_ns) != 0) {
        return NULL;
    }
    op.key = k.p;
    op.key_len = (size_t)k.n;
    return write_done(write_ops((struct domain *)o, &op, 1, NULL), "touch");
}

/* Returns the new version; raises Mismatch, whose `found` is the version that was there. */
PyObject *write_cas(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = { "key", "version", "value", "ttl", NULL };
    struct domain *self = (struct domain *)o;
    struct tide_put_opts opts = TIDE_PUT_OPTS_INIT;
    struct tide_token token = { 0, 0 };
    PyObject *in[4], *holder;
    struct key k, v;
    uint64_t version = 0, found = 0;
    if (args_get("cas", args, n, names, known, 3, in) != 0 || key_get(in[0], &k) != 0 ||
        number_get(in[1], &version) != 0 || life_get(in[3], &opts.ttl_ns) != 0 || value_get(in[2], &v, &holder) != 0) {
        return NULL;
    }
    int error;
    for (int tries = 0;;) {
        struct slot *s;
        error = slot_get(self->h, &s);
        if (error == 0) {
            Py_BEGIN_ALLOW_THREADS;
            error = tide_cas_with(s->h->d, s->r, k.p, (size_t)k.n, version, v.p, (size_t)v.n, &opts, &token, &found);
            Py_END_ALLOW_THREADS;
        }
        if (error == 0 || !domain_mend(self, error, &tries)) {
            break;
        }
    }
    Py_DECREF(holder);
    if (error == 0) {
        return PyLong_FromUnsignedLongLong(token.index);
    }
    write_failed(error, "cas");
    if (error == TIDE_ERR_MISMATCH) {
        PyObject *kind, *value, *trace;
        PyErr_Fetch(&kind, &value, &trace);
        PyErr_NormalizeException(&kind, &value, &trace);
        PyObject *number = PyLong_FromUnsignedLongLong(found);
        if (number == NULL || PyObject_SetAttrString(value, "found", number) != 0) {
            PyErr_Clear();
        }
        Py_XDECREF(number);
        PyErr_Restore(kind, value, trace);
    }
    return NULL;
}

/* ---- batches --------------------------------------------------------------------------------------------------------- */

/* A tuple as tidemark.Batch makes it: (kind, key, value, ttl, version, by). Keeps what it points into in `held`. */
static int batch_op(PyObject *tuple, struct tide_write_op *op, PyObject *held) {
    PyObject *key, *value, *ttl, *version, *by, *holder = NULL;
    unsigned kind;
    struct key k, v = { NULL, 0 };
    *op = (struct tide_write_op)TIDE_WRITE_OP_INIT;
    if (!PyArg_ParseTuple(tuple, "IOOOOO", &kind, &key, &value, &ttl, &version, &by) || key_get(key, &k) != 0 ||
        life_get(ttl, &op->ttl_ns) != 0 || number_get(version, &op->expected) != 0) {
        return -1;
    }
    if (kind == TIDE_OP_PUT || kind == TIDE_OP_CAS) {
        int error = value_get(value, &v, &holder);
        error = error != 0 ? error : PyList_Append(held, holder);
        Py_XDECREF(holder);
        if (error != 0) {
            return -1;
        }
    }
    op->kind = kind;
    op->key = k.p;
    op->key_len = (size_t)k.n;
    op->value = v.p;
    op->value_size = (size_t)v.n;
    if (kind == TIDE_OP_ADD) {
        op->delta = PyLong_AsLongLong(by);
        if (op->delta == -1 && PyErr_Occurred()) {
            return -1;
        }
    }
    return 0;
}

static PyObject *batch_results(const struct tide_write_op *ops, Py_ssize_t n) {
    PyObject *list = PyList_New(n);
    for (Py_ssize_t i = 0; list != NULL && i < n; i++) {
        PyObject *one =
            ops[i].kind == TIDE_OP_ADD ? PyLong_FromLongLong(ops[i].result) : PyLong_FromUnsignedLongLong(ops[i].index);
        if (one == NULL || PyList_SetItem(list, i, one) != 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

/* The sum of each incr, and of the others the index. */
PyObject *write_batch(PyObject *o, PyObject *tuples) {
    PyObject *held = PyList_New(0), *seq = held != NULL ? PySequence_Tuple(tuples) : NULL, *out = NULL;
    Py_ssize_t n = seq != NULL ? PyTuple_Size(seq) : 0;
    struct tide_write_op *ops = seq != NULL ? calloc((size_t)n + 1, sizeof(*ops)) : NULL;
    int error = seq == NULL ? RAISED : ops == NULL ? TIDE_ERR_NOMEM : n > BATCH_MOST ? TIDE_ERR_TOO_BIG : 0;
    size_t failed = SIZE_MAX;
    for (Py_ssize_t i = 0; error == 0 && i < n; i++) {
        error = batch_op(PyTuple_GetItem(seq, i), &ops[i], held) != 0 ? RAISED : 0;
    }
    if (error == 0 && n > 0) {
        error = write_ops((struct domain *)o, ops, (size_t)n, &failed);
    }
    if (error == 0) {
        out = batch_results(ops, n);
    } else if (failed != SIZE_MAX) {
        char said[60];
        snprintf(said, sizeof(said), "nothing was written; operation %zu", failed);
        raise_error(error, "batch", said);
    } else {
        write_failed(error, "batch");
    }
    free(ops);
    Py_XDECREF(seq);
    Py_XDECREF(held);
    return out;
}
