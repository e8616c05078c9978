/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The type Snapshot: many reads at one index. What shows memory of the section keeps the section open. */
#include <string.h>

#include "py.h"

struct snapshot {
    PyObject_HEAD struct section *c; /* NULL: closed */
    PyObject *domain;
    PyObject *views; /* list of the memoryviews that were handed out; NULL at first */
    uint64_t index;
    const void *shown; /* what the next buffer shows */
    Py_ssize_t shown_size;
    struct snapshot *next, **back; /* in the list of all that are open, under the GIL */
};

static PyObject *snapshot_type, *source_type;
static struct snapshot *snapshot_open;

/* Behind each view: it counts the buffers that are held, whoever made them of whatever it was made of. */
struct source {
    PyObject_HEAD struct section *c;
    void *p;
    Py_ssize_t n;
};

static int source_get(PyObject *o, void *out, int flags) {
    (void)flags;
    struct source *self = (struct source *)o;
    struct buffer *b = out;
    bool over = atomic_load(&self->c->left) || atomic_load(&self->c->ended);
    if ((flags & 0x0001) || over) { /* PyBUF_WRITABLE */
        b->obj = NULL;
        PyErr_SetString(PyExc_BufferError,
                        over ? "the snapshot has ended" : "the values of a snapshot are not to be written");
        return -1;
    }
    *b = (struct buffer){ .buf = self->p, .obj = o, .len = self->n, .itemsize = 1, .readonly = 1, .ndim = 1 };
    if (flags & 0x0004) { /* PyBUF_FORMAT */
        b->format = "B";
    }
    if (flags & 0x0008) { /* PyBUF_ND */
        b->shape = &self->n;
    }
    if ((flags & 0x0018) == 0x0018) { /* PyBUF_STRIDES */
        b->strides = &b->itemsize;
    }
    Py_INCREF(o);
    atomic_fetch_add(&self->c->exports, 1);
    return 0;
}

/* The last buffer of a section that is left: the thread that began it ends it, now or when it next comes by. */
static void section_let_go(struct section *c) {
    if (atomic_load(&c->left) && !atomic_load(&c->ended) && atomic_load(&c->exports) == 0) {
        atomic_store(&c->slot->left, 1);
        for (struct slot *s = slots; s != NULL; s = s->next) {
            if (s == c->slot) {
                slot_sweep(s);
                break;
            }
        }
    }
}

static void source_release(PyObject *o, void *buffer) {
    (void)buffer;
    struct section *c = ((struct source *)o)->c;
    if (atomic_fetch_sub(&c->exports, 1) == 1) {
        section_let_go(c);
    }
}

static void source_free(PyObject *o) {
    PyObject *type = (PyObject *)Py_TYPE(o);
    section_release(((struct source *)o)->c);
    ((freefunc)PyType_GetSlot((PyTypeObject *)type, Py_tp_free))(o);
    Py_DECREF(type);
}

static PyObject *source_view(struct section *c, const void *p, size_t n) {
    struct source *s = (struct source *)PyType_GenericAlloc((PyTypeObject *)source_type, 0);
    if (s == NULL) {
        return NULL;
    }
    s->c = c;
    atomic_fetch_add(&c->refs, 1);
    s->p = (void *)(uintptr_t)p;
    s->n = (Py_ssize_t)n;
    PyObject *view = PyMemoryView_FromObject((PyObject *)s);
    Py_DECREF(s);
    return view;
}

/* ---- begin and end --------------------------------------------------------------------------------------------------- */

static int snapshot_begin(struct section *c, const struct contract *bound, struct wait *w, struct tide_answer *a) {
    *a = (struct tide_answer)TIDE_ANSWER_INIT;
    if (!w->waits) {
        int error = tide_section_begin(c->r, &bound->quick, a);
        if (error == 0 || !wait_begin(w, error, bound)) {
            return error;
        }
    }
    struct tide_bound b;
    int error;
    wait_slice(w, bound, &b);
    Py_BEGIN_ALLOW_THREADS;
    error = tide_section_begin(c->r, &b, a);
    Py_END_ALLOW_THREADS;
    return error;
}

static void section_put_back(struct slot *s, struct section *c) {
    c->next = s->spare;
    s->spare = c;
}

PyObject *snapshot_new(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = { "max_staleness", "max_lag", "after", "wait", "fallback", NULL };
    struct domain *domain = (struct domain *)o;
    struct contract bound;
    PyObject *in[5];
    struct tide_answer a;
    struct slot *s;
    struct section *c;
    struct wait w = { .waits = false };
    if (args_get("snapshot", args, n, names, known, 0, in) != 0 || contract_get(&domain->bound, in, &bound) != 0) {
        return NULL;
    }
    struct snapshot *self = (struct snapshot *)PyType_GenericAlloc((PyTypeObject *)snapshot_type, 0);
    if (self == NULL) {
        return NULL;
    }
    for (int tries = 0;;) {
        int error = slot_get(domain->h, &s);
        error = error != 0 ? error : slot_section(s, &c);
        if (error == 0) {
            error = snapshot_begin(c, &bound, &w, &a);
            if (error == 0) {
                break;
            }
            section_put_back(s, c);
            error = w.waits ? wait_over(&w, error) : error;
        }
        if (error != AGAIN && !domain_mend(domain, error, &tries)) {
            Py_DECREF(self);
            return raise_error(error, "snapshot", NULL);
        }
    }
    struct tide_token seen;
    if (tide_reader_token(c->r, &seen) == 0) {
        tide_reader_observe(s->r, &seen);
    }
    c->next = s->open;
    s->open = c;
    atomic_fetch_add(&c->refs, 1);
    atomic_fetch_add(&s->h->sections, 1);
    Py_INCREF(o);
    self->c = c;
    self->domain = o;
    self->index = a.index;
    self->next = snapshot_open;
    self->back = &snapshot_open;
    if (self->next != NULL) {
        self->next->back = &self->next;
    }
    snapshot_open = self;
    return (PyObject *)self;
}

/* Release the views that were handed out. What was made of them (slices, arrays) may be in use yet. */
static void snapshot_release_views(struct snapshot *self) {
    PyObject *views = self->views;
    self->views = NULL;
    for (Py_ssize_t i = 0; views != NULL && i < PyList_Size(views); i++) {
        PyObject *done = PyObject_CallMethod(PyList_GetItem(views, i), "release", NULL);
        if (done == NULL) {
            PyErr_Clear();
        }
        Py_XDECREF(done);
    }
    Py_XDECREF(views);
}

/* Returns how many buffers are held yet. */
static int snapshot_end(struct snapshot *self) {
    struct section *c = self->c;
    if (c == NULL) {
        return 0;
    }
    snapshot_release_views(self);
    self->c = NULL;
    *self->back = self->next;
    if (self->next != NULL) {
        self->next->back = self->back;
    }
    int held = atomic_load(&c->exports);
    bool ours = false;
    for (struct slot *s = slots; s != NULL; s = s->next) {
        ours = ours || s == c->slot;
    }
    atomic_store(&c->left, 1);
    if (ours && !atomic_load(&c->ended)) {
        section_release(c); /* first: the slot has it yet, and lends the reader again where nobody else has it */
        section_let_go(c);
    } else {
        section_let_go(c);
        section_release(c);
    }
    return held;
}

static PyObject *snapshot_close(PyObject *o, PyObject *none) {
    (void)none;
    int held = snapshot_end((struct snapshot *)o);
    if (held != 0) {
        PyErr_Format(
            PyExc_BufferError,
            "%d views made of this snapshot's values are in use: the section stays open, and holds memory, until "
            "they are released; copy what is to be kept with bytes()",
            held);
        return NULL;
    }
    Py_RETURN_NONE;
}

static int snapshot_traverse(PyObject *o, visitproc visit, void *arg) {
    struct snapshot *self = (struct snapshot *)o;
    Py_VISIT(self->domain);
    Py_VISIT(self->views);
    Py_VISIT((PyObject *)Py_TYPE(o));
    return 0;
}

static int snapshot_clear(PyObject *o) {
    struct snapshot *self = (struct snapshot *)o;
    PyObject *kind, *value, *trace;
    PyErr_Fetch(&kind, &value, &trace);
    snapshot_end(self);
    PyErr_Restore(kind, value, trace);
    Py_CLEAR(self->domain);
    return 0;
}

static void snapshot_free(PyObject *o) {
    PyObject *type = (PyObject *)Py_TYPE(o);
    PyObject_GC_UnTrack(o);
    snapshot_clear(o);
    ((freefunc)PyType_GetSlot((PyTypeObject *)type, Py_tp_free))(o);
    Py_DECREF(type);
}

static PyObject *snapshot_enter(PyObject *o, PyObject *none) {
    (void)none;
    Py_INCREF(o);
    return o;
}

static PyObject *snapshot_exit(PyObject *o, PyObject *args) {
    (void)args;
    return snapshot_close(o, NULL);
}

/* In a forked child: what was handed out shows memory that is the parent's. */
PyObject *snapshot_forked(PyObject *module, PyObject *none) {
    (void)module, (void)none;
    for (struct snapshot *s = snapshot_open; s != NULL; s = s->next) {
        snapshot_release_views(s);
    }
    Py_RETURN_NONE;
}

PyObject *snapshot_leave(PyObject *module, PyObject *none) {
    (void)module, (void)none;
    for (struct snapshot *s = snapshot_open, *next; s != NULL; s = next) {
        next = s->next;
        for (struct slot *own = slots; own != NULL && s->c != NULL; own = own->next) {
            if (own == s->c->slot) {
                snapshot_end(s);
            }
        }
    }
    Py_RETURN_NONE;
}

/* ---- reads ----------------------------------------------------------------------------------------------------------- */

static int snapshot_copy(struct snapshot *self, const struct key *k, PyObject **out) {
    if (self->c == NULL) {
        return TIDE_ERR_CLOSED;
    }
    char small[512];
    size_t size = 0;
    int error = tide_section_get(self->c->r, k->p, (size_t)k->n, small, sizeof(small), &size, NULL);
    if (error == 0) {
        *out = PyBytes_FromStringAndSize(small, (Py_ssize_t)size);
        return *out != NULL ? 0 : RAISED;
    }
    if (error != TIDE_ERR_BUFFER) {
        return error;
    }
    *out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (*out == NULL) {
        return RAISED;
    }
    error = tide_section_get(self->c->r, k->p, (size_t)k->n, PyBytes_AsString(*out), size, NULL, NULL);
    if (error != 0) {
        Py_DECREF(*out);
    }
    return error;
}

static PyObject *snapshot_get(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = { "key", "default", NULL };
    PyObject *in[2], *value = NULL;
    struct key k;
    if (args_get("get", args, n, names, known, 1, in) != 0 || key_get(in[0], &k) != 0) {
        return NULL;
    }
    int error = snapshot_copy((struct snapshot *)o, &k, &value);
    if (error == TIDE_ERR_NOT_FOUND) {
        value = in[1] != NULL ? in[1] : Py_None;
        Py_INCREF(value);
        return value;
    }
    return error == 0 ? value : raise_error(error, "get", NULL);
}

static PyObject *snapshot_item(PyObject *o, PyObject *key) {
    PyObject *value = NULL;
    struct key k;
    if (key_get(key, &k) != 0) {
        return NULL;
    }
    int error = snapshot_copy((struct snapshot *)o, &k, &value);
    if (error == TIDE_ERR_NOT_FOUND) {
        PyErr_SetObject(PyExc_KeyError, key);
        return NULL;
    }
    return error == 0 ? value : raise_error(error, "get", NULL);
}

static int snapshot_contains(PyObject *o, PyObject *key) {
    struct snapshot *self = (struct snapshot *)o;
    struct key k;
    if (key_get(key, &k) != 0) {
        return -1;
    }
    int error = self->c == NULL ? TIDE_ERR_CLOSED : tide_section_get(self->c->r, k.p, (size_t)k.n, NULL, 0, NULL, NULL);
    if (error == 0 || error == TIDE_ERR_BUFFER || error == TIDE_ERR_NOT_FOUND) {
        return error != TIDE_ERR_NOT_FOUND;
    }
    raise_error(error, "get", NULL);
    return -1;
}

/* Zero copy where the replica is this process's own; of another's, a view of a copy. Absent: None. */
static PyObject *snapshot_view(PyObject *o, PyObject *key) {
    struct snapshot *self = (struct snapshot *)o;
    struct key k;
    const void *p = NULL;
    size_t size = 0;
    PyObject *view = NULL;
    if (key_get(key, &k) != 0) {
        return NULL;
    }
    int error = self->c == NULL ? TIDE_ERR_CLOSED : tide_section_peek(self->c->r, k.p, (size_t)k.n, &p, &size, NULL);
    if (error == TIDE_ERR_NOT_LOCAL) {
        PyObject *value = NULL;
        error = snapshot_copy(self, &k, &value);
        if (error == 0) {
            view = PyMemoryView_FromObject(value);
            Py_DECREF(value);
            return view;
        }
    }
    if (error == TIDE_ERR_NOT_FOUND) {
        Py_RETURN_NONE;
    }
    if (error != 0) {
        return raise_error(error, "view", NULL);
    }
    if (self->views == NULL && (self->views = PyList_New(0)) == NULL) {
        return NULL;
    }
    view = source_view(self->c, p, size);
    if (view != NULL && PyList_Append(self->views, view) != 0) {
        Py_DECREF(view);
        view = NULL;
    }
    return view;
}

struct visit {
    PyObject *list;
    struct key prefix;
    bool values;
};

static int visit_entry(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size,
                       uint64_t version) {
    (void)version;
    struct visit *v = ctx;
    size_t n = (size_t)v->prefix.n;
    if (key_len < n || (n != 0 && memcmp(key, v->prefix.p, n) != 0)) {
        return 0;
    }
    PyObject *one = v->values ? Py_BuildValue("y#y#", key, (Py_ssize_t)key_len, value, (Py_ssize_t)value_size)
                              : PyBytes_FromStringAndSize(key, (Py_ssize_t)key_len);
    int error = one == NULL ? RAISED : PyList_Append(v->list, one) != 0 ? RAISED : 0;
    Py_XDECREF(one);
    return error;
}

static PyObject *snapshot_visit(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names, bool values) {
    static const char *const known[] = { "prefix", NULL };
    struct snapshot *self = (struct snapshot *)o;
    struct visit v = { .prefix = { "", 0 }, .values = values };
    PyObject *in[1];
    if (args_get(values ? "items" : "keys", args, n, names, known, 0, in) != 0 ||
        (in[0] != NULL && in[0] != Py_None && text_get(in[0], &v.prefix) != 0) || (v.list = PyList_New(0)) == NULL) {
        return NULL;
    }
    struct section *c = self->c;
    int error = TIDE_ERR_CLOSED;
    if (c !=
        NULL) { /* while it is visited it is in use as by a view: the collector may run what closes this snapshot */
        atomic_fetch_add(&c->refs, 1);
        atomic_fetch_add(&c->exports, 1);
        error = tide_section_scan(c->r, visit_entry, &v);
        if (atomic_fetch_sub(&c->exports, 1) == 1) {
            section_let_go(c);
        }
        section_release(c);
    }
    if (error != 0) {
        Py_DECREF(v.list);
        return raise_error(error, "scan", NULL);
    }
    return v.list;
}

static PyObject *snapshot_items(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    return snapshot_visit(o, args, n, names, true);
}

static PyObject *snapshot_keys(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    return snapshot_visit(o, args, n, names, false);
}

static PyObject *snapshot_index(PyObject *o, void *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(((struct snapshot *)o)->index);
}

/* ---- the types ------------------------------------------------------------------------------------------------------- */

#define METHOD(f) ((PyCFunction)(void (*)(void))(f))
#define FAST (METH_FASTCALL | METH_KEYWORDS)

static PyMethodDef snapshot_methods[] = {
    { "get", METHOD(snapshot_get), FAST, "get(key, default=None)" },
    { "view", snapshot_view, METH_O,
      "view(key): a memoryview of the value, valid until the snapshot ends; None: no such key" },
    { "items", METHOD(snapshot_items), FAST, "items(prefix=None): a list of (key, value)" },
    { "keys", METHOD(snapshot_keys), FAST, "keys(prefix=None): a list" },
    { "close", snapshot_close, METH_NOARGS, NULL },
    { "__enter__", snapshot_enter, METH_NOARGS, NULL },
    { "__exit__", snapshot_exit, METH_VARARGS, NULL },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef snapshot_fields[] = {
    { "index", snapshot_index, NULL, NULL, NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot snapshot_slots[] = {
    { Py_tp_dealloc, snapshot_free },      { Py_tp_methods, snapshot_methods },
    { Py_tp_getset, snapshot_fields },     { Py_mp_subscript, snapshot_item },
    { Py_sq_contains, snapshot_contains }, { Py_tp_traverse, snapshot_traverse },
    { Py_tp_clear, snapshot_clear },       { 0, NULL },
};

static PyType_Spec snapshot_spec = {
    .name = "tidemark._tidemark.Snapshot",
    .basicsize = sizeof(struct snapshot),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = snapshot_slots,
};

static PyType_Slot source_slots[] = {
    { Py_tp_dealloc, source_free },
    { Py_bf_getbuffer, source_get },
    { Py_bf_releasebuffer, source_release },
    { 0, NULL },
};

static PyType_Spec source_spec = {
    .name = "tidemark._tidemark.Source",
    .basicsize = sizeof(struct source),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = source_slots,
};

int snapshot_init(PyObject *module) {
    snapshot_type = PyType_FromSpec(&snapshot_spec);
    source_type = PyType_FromSpec(&source_spec);
    if (snapshot_type == NULL || source_type == NULL) {
        return -1;
    }
    Py_INCREF(snapshot_type);
    return PyModule_AddObject(module, "Snapshot", snapshot_type);
}
