/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The type Domain: open, lead, close; and what a forked child, or a domain that nobody leads, needs. */
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "py.h"

PyObject *domain_type;

/* ---- open ------------------------------------------------------------------------------------------------------------ */

static int domain_start(struct handle *h, enum tide_role role) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = role;
    o.candidate = 1;
    int error;
    Py_BEGIN_ALLOW_THREADS;
    error = tide_replica_start(h->d, &o, NULL);
    Py_END_ALLOW_THREADS;
    return error;
}

/* Lead where nobody does. 1: this process leads now. */
static int domain_lead(struct handle *h, int *error) {
    *error = domain_start(h, TIDE_LEADER);
    if (*error == TIDE_ERR_BUSY || *error == TIDE_ERR_READ_ONLY) {
        *error = 0;
        return 0;
    }
    return *error == 0;
}

static void *handle_end(void *h) {
    tide_close(((struct handle *)h)->d);
    handle_release(h);
    return NULL;
}

static void handle_close(struct handle *h) {
    pthread_t thread;
    atomic_store(&h->closed, 1);
    if (slots_are_inside()) { /* the library would wait for this thread's section: another thread waits */
        slot_drop(h);
        if (pthread_create(&thread, NULL, handle_end, h) == 0) {
            pthread_detach(thread);
        }
        return;
    }
    Py_BEGIN_ALLOW_THREADS;
    tide_close(h->d);
    Py_END_ALLOW_THREADS;
    slot_drop(h);
    handle_release(h);
}

/* With the options that the object was made with. *said: room for what the library logged. */
static int domain_open(struct domain *self, char *said, size_t size) {
    struct handle *h = handle_new();
    if (h == NULL) {
        return TIDE_ERR_NOMEM;
    }
    struct tide_opts o = self->o;
    o.log = handle_log;
    o.log_ctx = h;
    int error, leads = 0;
    Py_BEGIN_ALLOW_THREADS;
    error = tide_open(&h->d, self->name, &o);
    Py_END_ALLOW_THREADS;
    if (error != 0) {
        snprintf(said, size, "%s", h->line);
        handle_release(h);
        return error;
    }
    if (self->lead) {
        leads = domain_lead(h, &error);
    }
    if (error == 0 && self->replica && !leads) {
        error = domain_start(h, TIDE_FOLLOWER);
    }
    if (error != 0) {
        pthread_mutex_lock(&h->lock);
        snprintf(said, size, "%s", h->line);
        pthread_mutex_unlock(&h->lock);
        handle_close(h);
        return error;
    }
    self->h = h;
    return 0;
}

static void domain_nap(void) {
    Py_BEGIN_ALLOW_THREADS;
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    Py_END_ALLOW_THREADS;
}

/* This is a forked child. What the parent had is let go. */
static int domain_reopen(struct domain *self) {
    char said[400] = "";
    struct handle *h = self->h;
    self->opening = generation;
    self->h = NULL;
    if (h != NULL) {
        handle_close(h);
    }
    int error = domain_open(self, said, sizeof(said));
    self->opening = error != 0 ? generation - 1 : 0; /* the next call tries again */
    return error == 0;
}

int domain_mend(struct domain *self, int error, int *tries) {
    struct handle *h = self->h;
    if (error == RAISED || *tries >= 2) {
        return 0;
    }
    if (self->opening == generation) { /* another thread is at it */
        while (self->opening == generation) {
            domain_nap();
        }
        return self->h != NULL;
    }
    if (h == NULL && self->opening != 0) {
        ++*tries;
        return domain_reopen(self);
    }
    if (error == TIDE_ERR_FORKED && h != NULL) {
        ++*tries;
        return h->generation == generation || domain_reopen(self);
    }
    if (self->lead && h != NULL && (error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_NO_REPLICA)) {
        *tries = 2;
        h->busy++;
        domain_lead(h, &error);
        h->busy--;
        return error == 0;
    }
    return 0;
}

static int size_option(PyObject *o, uint64_t *out) {
    return number_get(o, out);
}

static int truth_option(PyObject *o, int *out) {
    if (o != NULL) {
        *out = PyObject_IsTrue(o);
    }
    return *out < 0 ? -1 : 0;
}

static int evict_option(PyObject *o, uint32_t *out) {
    if (o == NULL || o == Py_None) {
        return 0;
    }
    if (!PyUnicode_Check(o) || PyUnicode_CompareWithASCIIString(o, "s3fifo") != 0) {
        PyErr_Format(PyExc_ValueError, "evict is None or 's3fifo', not %R", o);
        return -1;
    }
    *out = TIDE_EVICT_S3FIFO;
    return 0;
}

static int domain_setup(PyObject *o, PyObject *args, PyObject *kwargs) {
    static char *known[] = { "name",          "create", "lead",          "replica",   "ring",      "table",
                             "default_ttl",   "evict",  "expected_keys", "ephemeral", "exclusive", "max_staleness",
                             "write_timeout", NULL };
    struct domain *self = (struct domain *)o;
    const char *name;
    Py_ssize_t name_len;
    int create = 1, ephemeral = 0, exclusive = 0;
    PyObject *in[12] = { NULL };
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s#|OOOOOOOOOOOO:open", known, &name, &name_len, in, in + 1, in + 2,
                                     in + 3, in + 4, in + 5, in + 6, in + 7, in + 8, in + 9, in + 10, in + 11)) {
        return -1;
    }
    if (self->h != NULL) {
        PyErr_Format(PyExc_ValueError, "this object is open, as %s: close it first", self->name);
        return -1;
    }
    if (name_check(name, name_len) != 0) {
        return -1;
    }
    memcpy(self->name, name, (size_t)name_len + 1);
    self->o = (struct tide_opts)TIDE_OPTS_INIT;
    self->bound.full = (struct tide_bound)TIDE_BOUND_INIT;
    self->lead = 1;
    self->replica = 0;
    if (truth_option(in[0], &create) != 0 || truth_option(in[1], &self->lead) != 0 ||
        truth_option(in[2], &self->replica) != 0 || size_option(in[3], &self->o.ring_bytes) != 0 ||
        size_option(in[4], &self->o.table_bytes) != 0 || seconds_get(in[5], &self->o.default_ttl_ns) != 0 ||
        evict_option(in[6], &self->o.evict) != 0 || size_option(in[7], &self->o.expected_keys) != 0 ||
        truth_option(in[8], &ephemeral) != 0 || truth_option(in[9], &exclusive) != 0 ||
        seconds_get(in[10], &self->bound.full.max_staleness_ns) != 0 ||
        seconds_get(in[11], &self->o.write_timeout_ns) != 0) {
        return -1;
    }
    self->o.flags = (create ? TIDE_CREATE : 0) | (ephemeral ? TIDE_EPHEMERAL : 0) | (exclusive ? TIDE_EXCLUSIVE : 0);
    contract_finish(&self->bound);
    char said[400] = "", what[80];
    int error = domain_open(self, said, sizeof(said));
    self->o.flags &= ~(uint32_t)TIDE_EXCLUSIVE; /* a child opens what is there */
    if (error != 0) {
        snprintf(what, sizeof(what), "open %s", self->name);
        raise_error(error, what, said);
        return -1;
    }
    return 0;
}

/* ---- close ----------------------------------------------------------------------------------------------------------- */

/*
 * The library waits for sections to end, of whichever domain: this thread's would not. A thread that has ended, for Python, may be about to
 * end its own.
 */
static bool domain_has_no_section(struct handle *h) {
    if (slots_are_inside()) {
        return false;
    }
    uint64_t until = now_ns() + NS_PER_S;
    while (atomic_load(&h->sections) != 0 && now_ns() < until) {
        domain_nap();
    }
    return atomic_load(&h->sections) == 0;
}

static PyObject *domain_close(PyObject *o, PyObject *none) {
    (void)none;
    struct domain *self = (struct domain *)o;
    struct handle *h = self->h;
    if (h == NULL || atomic_load(&h->closed)) {
        Py_RETURN_NONE;
    }
    atomic_fetch_add(&h->refs, 1); /* while this thread naps, another may close it */
    if (h->generation == generation && !domain_has_no_section(h)) {
        handle_release(h);
        return raise_error(
            TIDE_ERR_BUSY, "close",
            "a snapshot is open, of this domain or of another by this thread, or views of its values are in use: "
            "leave and release those first");
    }
    if (atomic_exchange(&h->closed, 1) == 0) {
        while (h->generation == generation && h->busy != 0) {
            domain_nap();
        }
        self->h = NULL;
        handle_close(h);
    }
    handle_release(h);
    Py_RETURN_NONE;
}

static void domain_free(PyObject *o) {
    PyObject *type = (PyObject *)Py_TYPE(o), *kind, *value, *trace;
    PyErr_Fetch(&kind, &value, &trace);
    struct handle *h = ((struct domain *)o)->h;
    PyObject *closed = domain_close(o, NULL);
    if (closed ==
        NULL) { /* a snapshot holds its Domain: what is open is a view of its values, or is another domain's */
        PyErr_Clear();
        ((struct domain *)o)->h = NULL;
        if (atomic_load(&h->sections) == 0) {
            handle_close(h);
        }
    }
    Py_XDECREF(closed);
    PyErr_Restore(kind, value, trace);
    freefunc release = (freefunc)PyType_GetSlot((PyTypeObject *)type, Py_tp_free);
    release(o);
    Py_DECREF(type);
}

static PyObject *domain_enter(PyObject *o, PyObject *none) {
    (void)none;
    Py_INCREF(o);
    return o;
}

static PyObject *domain_exit(PyObject *o, PyObject *args) {
    (void)args;
    return domain_close(o, NULL);
}

/* ---- what is to be known of it ------------------------------------------------------------------------------------------ */

static int info_put(PyObject *info, const char *name, PyObject *value) {
    int error = value == NULL ? -1 : PyDict_SetItemString(info, name, value);
    Py_XDECREF(value);
    return error;
}

static PyObject *domain_info(PyObject *o, PyObject *none) {
    (void)none;
    struct domain *self = (struct domain *)o;
    struct tide_info i = TIDE_INFO_INIT;
    int error = TIDE_ERR_CLOSED;
    for (int tries = 0;;) {
        error = self->h != NULL && !atomic_load(&self->h->closed) ? tide_info(self->h->d, &i) : TIDE_ERR_CLOSED;
        if (error == 0 || !domain_mend(self, error, &tries)) {
            break;
        }
    }
    if (error != 0) {
        return raise_error(error, "info", NULL);
    }
    PyObject *info = PyDict_New();
    if (info == NULL) {
        return NULL;
    }
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        { "incarnation", i.incarnation },
        { "commit_index", i.commit_index },
        { "term", i.term },
        { "ring_bytes", i.ring_bytes },
        { "table_bytes", i.table_bytes },
        { "members", i.members },
        { "replicas", i.replicas },
        { "leader_pid", (uint64_t)i.leader_pid },
        { "expired_total", i.expired_total },
        { "evicted_total", i.evicted_total },
    };
    for (size_t n = 0; n < sizeof(numbers) / sizeof(*numbers); n++) {
        if (info_put(info, numbers[n].name, PyLong_FromUnsignedLongLong(numbers[n].value)) != 0) {
            Py_DECREF(info);
            return NULL;
        }
    }
    if (info_put(info, "name", PyUnicode_FromString(i.name)) != 0 ||
        info_put(info, "leader", i.leader < 0 ? Py_BuildValue("") : PyLong_FromLong(i.leader)) != 0 ||
        info_put(info, "default_ttl", seconds_new(i.default_ttl_ns != 0 ? i.default_ttl_ns : TIDE_TTL_NONE)) != 0) {
        Py_DECREF(info);
        return NULL;
    }
    return info;
}

/* ---- tokens ---------------------------------------------------------------------------------------------------------- */

static PyObject *domain_token(PyObject *o, PyObject *none) {
    (void)none;
    struct domain *self = (struct domain *)o;
    struct tide_token t = { 0, 0 };
    for (int tries = 0;;) {
        struct slot *s;
        int error = slot_get(self->h, &s);
        error = error != 0 ? error : tide_reader_token(s->r, &t);
        if (error == 0) {
            return token_new(&t);
        }
        if (!domain_mend(self, error, &tries)) {
            return raise_error(error, "token", NULL);
        }
    }
}

static PyObject *domain_observe(PyObject *o, PyObject *token) {
    struct domain *self = (struct domain *)o;
    struct tide_token t = { 0, 0 };
    if (token_get(token, &t) != 0) {
        return NULL;
    }
    for (int tries = 0;;) {
        struct slot *s;
        int error = slot_get(self->h, &s);
        error = error != 0 ? error : tide_reader_observe(s->r, &t);
        if (error == 0) {
            Py_RETURN_NONE;
        }
        if (!domain_mend(self, error, &tries)) {
            return raise_error(error, "observe", NULL);
        }
    }
}

/* In slices, so that signals' handlers run. */
static PyObject *domain_wait_applied(PyObject *o, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const char *const known[] = { "token", "replicas", "timeout", NULL };
    struct domain *self = (struct domain *)o;
    PyObject *in[3];
    struct tide_token t = { 0, 0 };
    uint64_t replicas = 1, timeout_ns = TIDE_UNBOUNDED, began = now_ns();
    if (args_get("wait_applied", args, n, names, known, 1, in) != 0 || token_get(in[0], &t) != 0 ||
        number_get(in[1], &replicas) != 0 || seconds_get(in[2], &timeout_ns) != 0) {
        return NULL;
    }
    for (int tries = 0;;) {
        struct slot *s;
        int error = slot_get(self->h, &s);
        uint64_t gone = now_ns() - began, left = timeout_ns > gone ? timeout_ns - gone : 0;
        if (error == 0) {
            struct handle *h = s->h;
            h->busy++;
            Py_BEGIN_ALLOW_THREADS;
            error = tide_wait_applied(h->d, &t, replicas > UINT32_MAX ? UINT32_MAX : (uint32_t)replicas,
                                      left < SLICE_NS ? left : SLICE_NS);
            Py_END_ALLOW_THREADS;
            h->busy--;
        }
        if (error == 0) {
            Py_RETURN_NONE;
        }
        if (error == TIDE_ERR_TIMEOUT && left > SLICE_NS) {
            if (PyErr_CheckSignals() != 0) {
                return NULL;
            }
        } else if (!domain_mend(self, error, &tries)) {
            return raise_error(error, "wait_applied", NULL);
        }
    }
}

static PyObject *domain_get_name(PyObject *o, void *unused) {
    (void)unused;
    return PyUnicode_FromString(((struct domain *)o)->name);
}

static PyObject *domain_get_closed(PyObject *o, void *unused) {
    (void)unused;
    struct domain *self = (struct domain *)o;
    return PyBool_FromLong(self->h == NULL || atomic_load(&self->h->closed));
}

/* ---- the type -------------------------------------------------------------------------------------------------------- */

/* Through a function without arguments: a cast that every compiler takes. */
#define METHOD(f) ((PyCFunction)(void (*)(void))(f))
#define FAST (METH_FASTCALL | METH_KEYWORDS)

static PyMethodDef domain_methods[] = {
    { "get", METHOD(read_get), FAST,
      "get(key, default=None, *, max_staleness, max_lag, after, wait, fallback, answer)" },
    { "mget", METHOD(read_mget), FAST, "mget(keys, ...): values of one index, None where there is none" },
    { "put", METHOD(write_put), FAST, "put(key, value, ttl=None, keep=False)" },
    { "delete", METHOD(write_delete), FAST, "delete(key)" },
    { "cas", METHOD(write_cas), FAST, "cas(key, version, value, ttl=None): the version of 0 is that of no key" },
    { "incr", METHOD(write_incr), FAST, "incr(key, by=1, ttl=None): the sum" },
    { "touch", METHOD(write_touch), FAST, "touch(key, ttl=None): another life, counted from now" },
    { "_batch", write_batch, METH_O, NULL },
    { "get_or_make", METHOD(make_get), FAST, "get_or_make(key, make, ttl=None, stale=0, wait=None)" },
    { "snapshot", METHOD(snapshot_new), FAST, "snapshot(): many reads at one index" },
    { "_watch", METHOD(watch_new), FAST, NULL },
    { "token", domain_token, METH_NOARGS, "the highest index that this thread has read at or written" },
    { "observe", domain_observe, METH_O, "observe(token): later reads of this thread reflect it" },
    { "wait_applied", METHOD(domain_wait_applied), FAST, "wait_applied(token, replicas=1, timeout=None)" },
    { "info", domain_info, METH_NOARGS, "numbers of the domain" },
    { "close", domain_close, METH_NOARGS, "stop what this process runs, and let go" },
    { "__enter__", domain_enter, METH_NOARGS, NULL },
    { "__exit__", domain_exit, METH_VARARGS, NULL },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef domain_fields[] = {
    { "name", domain_get_name, NULL, NULL, NULL },
    { "closed", domain_get_closed, NULL, NULL, NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot domain_slots[] = {
    { Py_tp_init, domain_setup },      { Py_tp_dealloc, domain_free },
    { Py_tp_methods, domain_methods }, { Py_tp_getset, domain_fields },
    { Py_mp_subscript, read_item },    { Py_mp_ass_subscript, write_item },
    { Py_sq_contains, read_contains }, { 0, NULL },
};

static PyType_Spec domain_spec = {
    .name = "tidemark._tidemark.Domain",
    .basicsize = sizeof(struct domain),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = domain_slots,
};

int domain_init(PyObject *module) {
    domain_type = PyType_FromSpec(&domain_spec);
    if (domain_type == NULL) {
        return -1;
    }
    Py_INCREF(domain_type);
    return PyModule_AddObject(module, "Domain", domain_type);
}
