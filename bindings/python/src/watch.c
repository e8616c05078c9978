/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The type Watch: every change, in the order of the log. */
#include <time.h>

#include "py.h"

struct watch {
    PyObject_HEAD struct tide_watch *w;
    PyObject *domain;
    int busy;        /* a thread is in a call with it; under the GIL */
    pthread_t owner; /* that thread */
    int closing;     /* that call is to end */
};

static PyObject *watch_type;

static int watch_open(struct handle *h, const struct tide_watch_opts *o, struct tide_watch **out) {
    if (h == NULL || atomic_load(&h->closed)) {
        return TIDE_ERR_CLOSED;
    }
    int error;
    h->busy++;
    Py_BEGIN_ALLOW_THREADS;
    error = tide_watch_open(h->d, o, out);
    Py_END_ALLOW_THREADS;
    h->busy--;
    return error;
}

PyObject *watch_new(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = { "type", "prefix", "initial", "since", NULL };
    struct domain *domain = (struct domain *)o;
    struct tide_watch_opts opts = TIDE_WATCH_OPTS_INIT;
    PyObject *in[4];
    struct key prefix = { NULL, 0 };
    if (args_get("watch", args, n, names, known, 1, in) != 0 || token_get(in[3], &opts.from) != 0 ||
        (in[1] != NULL && in[1] != Py_None && text_get(in[1], &prefix) != 0)) {
        return NULL;
    }
    if (!PyType_Check(in[0]) || !PyType_IsSubtype((PyTypeObject *)in[0], (PyTypeObject *)watch_type)) {
        PyErr_SetString(PyExc_TypeError, "_watch() needs a kind of Watch");
        return NULL;
    }
    int initial = in[2] != NULL ? PyObject_IsTrue(in[2]) : 0;
    if (initial < 0) {
        return NULL;
    }
    opts.flags = initial ? TIDE_WATCH_INITIAL : 0;
    opts.prefix = prefix.n != 0 ? prefix.p : NULL;
    opts.prefix_len = (size_t)prefix.n;
    struct watch *self = (struct watch *)PyType_GenericAlloc((PyTypeObject *)in[0], 0);
    for (int tries = 0; self != NULL;) {
        int error = watch_open(domain->h, &opts, &self->w);
        if (error == 0) {
            Py_INCREF(o);
            self->domain = o;
            break;
        }
        if (!domain_mend(domain, error, &tries)) {
            Py_DECREF(self);
            return raise_error(error, "watch", NULL);
        }
    }
    return (PyObject *)self;
}

static PyObject *event_new(const struct tide_event *e) {
    static const char *const kinds[] = { "", "put", "delete", "expire", "evict", "synced" };
    const char *kind = e->kind < sizeof(kinds) / sizeof(*kinds) ? kinds[e->kind] : "";
    return PyObject_CallFunction(classes.event, "sy#y#KNN", kind, e->key, (Py_ssize_t)(e->key != NULL ? e->key_len : 0),
                                 e->kind == TIDE_EVENT_PUT ? (e->value != NULL ? e->value : "") : NULL,
                                 (Py_ssize_t)e->value_size, (unsigned long long)e->index, seconds_new(e->ttl_ns),
                                 PyBool_FromLong((long)e->more));
}

/* 0, RAISED, or an error of the library: TIMEOUT where nothing came. */
static int watch_await(struct watch *self, struct tide_event *e, uint64_t timeout_ns) {
    uint64_t began = now_ns();
    for (;;) {
        uint64_t gone = now_ns() - began, left = timeout_ns > gone ? timeout_ns - gone : 0;
        int error = tide_watch_next(self->w, e, 0);
        if (error == TIDE_ERR_TIMEOUT && left > 0) {
            Py_BEGIN_ALLOW_THREADS;
            error = tide_watch_next(self->w, e, left < SLICE_NS ? left : SLICE_NS);
            Py_END_ALLOW_THREADS;
        }
        if (self->closing) {
            return TIDE_ERR_CLOSED;
        }
        if (error != TIDE_ERR_TIMEOUT || left <= SLICE_NS) {
            return error;
        }
        if (PyErr_CheckSignals() != 0) {
            return RAISED;
        }
    }
}

static void watch_end(struct watch *self) {
    struct tide_watch *w = self->w;
    self->w = NULL;
    if (w != NULL) {
        tide_watch_close(w);
    }
}

static PyObject *watch_event(struct watch *self, uint64_t timeout_ns, int *error) {
    struct tide_event e = TIDE_EVENT_INIT;
    if (self->w == NULL || self->closing) {
        *error = TIDE_ERR_CLOSED;
        return NULL;
    }
    if (self->busy) {
        *error = RAISED;
        PyErr_SetString(PyExc_RuntimeError, "another thread waits for this watch: one at a time");
        return NULL;
    }
    self->busy = 1;
    self->owner = pthread_self();
    *error = watch_await(self, &e, timeout_ns);
    PyObject *event = *error == 0 ? event_new(&e) : NULL;
    *error = *error == 0 && event == NULL ? RAISED : *error;
    self->busy = 0;
    if (self->closing) { /* perhaps by a signal's handler, which ran in this thread and could not wait for it */
        watch_end(self);
    }
    return event;
}

/* next(timeout=None): an event, or None where none came in time. */
static PyObject *watch_next(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = { "timeout", NULL };
    PyObject *in[1];
    uint64_t timeout_ns = TIDE_UNBOUNDED;
    if (args_get("next", args, n, names, known, 0, in) != 0 || seconds_get(in[0], &timeout_ns) != 0) {
        return NULL;
    }
    int error;
    PyObject *event = watch_event((struct watch *)o, timeout_ns, &error);
    if (error == TIDE_ERR_TIMEOUT) {
        Py_RETURN_NONE;
    }
    return error == 0 ? event : raise_error(error, "watch", NULL);
}

/* Ends where the watch was closed; the domain's end is an error, Closed. */
static PyObject *watch_iternext(PyObject *o) {
    struct watch *self = (struct watch *)o;
    int error;
    PyObject *event = watch_event(self, TIDE_UNBOUNDED, &error);
    if (error == 0 || self->w == NULL || self->closing) {
        return event;
    }
    return raise_error(error, "watch", NULL);
}

static PyObject *watch_token(PyObject *o, void *unused) {
    (void)unused;
    struct watch *self = (struct watch *)o;
    struct tide_token t = { 0, 0 };
    int error = self->w == NULL ? TIDE_ERR_CLOSED : self->busy ? TIDE_ERR_BUSY : tide_watch_token(self->w, &t);
    return error == 0 ? token_new(&t) : raise_error(error, "token", NULL);
}

static PyObject *watch_closed(PyObject *o, void *unused) {
    (void)unused;
    struct watch *self = (struct watch *)o;
    return PyBool_FromLong(self->w == NULL || self->closing);
}

/* A thread that waits is sent away first: it looks up ten times a second. */
static PyObject *watch_close(PyObject *o, PyObject *none) {
    (void)none;
    struct watch *self = (struct watch *)o;
    self->closing = 1;
    while (self->busy && !pthread_equal(self->owner, pthread_self())) {
        Py_BEGIN_ALLOW_THREADS;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        Py_END_ALLOW_THREADS;
    }
    if (!self->busy) {
        watch_end(self);
    }
    Py_RETURN_NONE;
}

static int watch_traverse(PyObject *o, visitproc visit, void *arg) {
    Py_VISIT(((struct watch *)o)->domain);
    Py_VISIT((PyObject *)Py_TYPE(o));
    return 0;
}

static int watch_clear(PyObject *o) {
    struct watch *self = (struct watch *)o;
    watch_end(self);
    Py_CLEAR(self->domain);
    return 0;
}

static void watch_free(PyObject *o) {
    PyObject *type = (PyObject *)Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    watch_clear(o);
    ((freefunc)PyType_GetSlot((PyTypeObject *)type, Py_tp_free))(o);
    Py_DECREF(type);
}

static PyObject *watch_enter(PyObject *o, PyObject *none) {
    (void)none;
    Py_INCREF(o);
    return o;
}

static PyObject *watch_exit(PyObject *o, PyObject *args) {
    (void)args;
    return watch_close(o, NULL);
}

static PyMethodDef watch_methods[] = {
    { "next", (PyCFunction)(void (*)(void))watch_next, METH_FASTCALL | METH_KEYWORDS,
      "next(timeout=None): an event; None where none came in time" },
    { "close", watch_close, METH_NOARGS, NULL },
    { "__enter__", watch_enter, METH_NOARGS, NULL },
    { "__exit__", watch_exit, METH_VARARGS, NULL },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef watch_fields[] = {
    { "token", watch_token, NULL, "where it stands: another watch goes on from there (since=)", NULL },
    { "closed", watch_closed, NULL, NULL, NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot watch_slots[] = {
    { Py_tp_dealloc, watch_free },      { Py_tp_methods, watch_methods },
    { Py_tp_getset, watch_fields },     { Py_tp_iter, PyObject_SelfIter },
    { Py_tp_iternext, watch_iternext }, { Py_tp_traverse, watch_traverse },
    { Py_tp_clear, watch_clear },       { 0, NULL },
};

static PyType_Spec watch_spec = {
    .name = "tidemark._tidemark.Watch",
    .basicsize = sizeof(struct watch),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = watch_slots,
};

int watch_init(PyObject *module) {
    watch_type = PyType_FromSpec(&watch_spec);
    if (watch_type == NULL) {
        return -1;
    }
    Py_INCREF(watch_type);
    return PyModule_AddObject(module, "Watch", watch_type);
}
