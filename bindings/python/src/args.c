/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arguments in, results and errors out. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "py.h"

struct classes classes;

PyObject *raise_error(int code, const char *what, const char *said) {
    if (code == RAISED) {
        return NULL;
    }
    if (code == TIDE_ERR_NOMEM) {
        return PyErr_NoMemory();
    }
    PyObject *e =
        PyObject_CallFunction(classes.error, "isss", code, what, tide_strerror(code), said != NULL ? said : "");
    if (e != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(e), e);
        Py_DECREF(e);
    }
    return NULL;
}

int name_check(const char *name, Py_ssize_t n) {
    if (n > TIDE_NAME_MAX || strlen(name) != (size_t)n) {
        PyErr_Format(PyExc_ValueError,
                     "the name of a domain has 1 to %d of A-Z a-z 0-9 _ - and ., not %zd characters: %s",
                     (int)TIDE_NAME_MAX, n, name);
        return -1;
    }
    return 0;
}

int text_get(PyObject *o, struct key *k) {
    if (PyUnicode_Check(o)) {
        k->p = PyUnicode_AsUTF8AndSize(o, &k->n);
        return k->p != NULL ? 0 : -1;
    }
    if (PyBytes_Check(o)) {
        k->p = PyBytes_AsString(o);
        k->n = PyBytes_Size(o);
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "a key is bytes or str, not %R", (PyObject *)Py_TYPE(o));
    return -1;
}

static __attribute__((noinline)) int key_refuse(Py_ssize_t n) {
    char said[80];
    snprintf(said, sizeof(said), "a key has 1 to %d bytes, this one %zd", (int)TIDE_KEY_MAX, n);
    raise_error(n == 0 ? TIDE_ERR_INVALID : TIDE_ERR_TOO_BIG, "key", said);
    return -1;
}

int key_get(PyObject *o, struct key *k) {
    if (text_get(o, k) != 0) {
        return -1;
    }
    return __builtin_expect(k->n > 0 && k->n <= TIDE_KEY_MAX, 1) ? 0 : key_refuse(k->n);
}

int value_get(PyObject *o, struct key *v, PyObject **holder) {
    *holder = NULL;
    if (PyBytes_Check(o)) {
        Py_INCREF(o);
        *holder = o;
    } else if (PyUnicode_Check(o)) {
        PyErr_SetString(PyExc_TypeError, "a value is bytes, not str: encode it");
        return -1;
    } else {
        PyObject *view = PyMemoryView_FromObject(o);
        if (view == NULL) {
            return -1;
        }
        *holder = PyObject_CallMethod(view, "tobytes", NULL);
        Py_DECREF(view);
        if (*holder == NULL) {
            return -1;
        }
    }
    v->p = PyBytes_AsString(*holder);
    v->n = PyBytes_Size(*holder);
    return 0;
}

/* Into out[], in the order of `known`, which ends with NULL. What is not given is NULL. */
int args_get(const char *function, PyObject *const *args, Py_ssize_t n, PyObject *names, const char *const *known,
             int least, PyObject **out) {
    Py_ssize_t most = 0;
    for (; known[most] != NULL; most++) {
        out[most] = NULL;
    }
    if (n > most) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd arguments, %zd were given", function, most, n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        out[i] = args[i];
    }
    Py_ssize_t named = names != NULL ? PyTuple_Size(names) : 0;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        Py_ssize_t at = 0;
        while (at < most && PyUnicode_CompareWithASCIIString(name, known[at]) != 0) {
            at++;
        }
        if (at == most || out[at] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() %s %R", function, at == most ? "has no argument" : "was given twice",
                         name);
            return -1;
        }
        out[at] = args[n + i];
    }
    for (int i = 0; i < least; i++) {
        if (out[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() needs %s", function, known[i]);
            return -1;
        }
    }
    return 0;
}

int seconds_get(PyObject *o, uint64_t *ns) {
    if (o == NULL || o == Py_None) {
        return 0;
    }
    double s = PyFloat_AsDouble(o);
    if (s == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (!(s >= 0)) {
        PyErr_Format(PyExc_ValueError, "a time is seconds, 0 or more, not %R", o);
        return -1;
    }
    *ns = s * 1e9 >= 1.8e19 ? TIDE_UNBOUNDED : (uint64_t)(s * 1e9 + 0.5);
    *ns += s > 0 && *ns == 0; /* 0 says something else */
    return 0;
}

int life_get(PyObject *o, uint64_t *ns) {
    uint64_t life = 1;
    if (seconds_get(o, &life) != 0) {
        return -1;
    }
    if (life == 0) {
        PyErr_SetString(PyExc_ValueError,
                        "a ttl is more than 0 seconds; None: as the domain has it for all; float('inf'): no end");
        return -1;
    }
    if (o != NULL && o != Py_None) {
        *ns = life;
    }
    return 0;
}

int number_get(PyObject *o, uint64_t *out) {
    if (o == NULL || o == Py_None) {
        return 0;
    }
    unsigned long long v = PyLong_AsUnsignedLongLong(o);
    if (v == (unsigned long long)-1 && PyErr_Occurred()) {
        return -1;
    }
    *out = v;
    return 0;
}

int token_get(PyObject *o, struct tide_token *out) {
    if (o == NULL || o == Py_None) {
        return 0;
    }
    PyObject *in[2] = { NULL };
    uint64_t v[2] = { 0, 0 };
    if (PyTuple_Check(o) && PyTuple_Size(o) == 2) {
        in[0] = PyTuple_GetItem(o, 0);
        in[1] = PyTuple_GetItem(o, 1);
    }
    if (in[0] == NULL || !PyLong_Check(in[0]) || !PyLong_Check(in[1])) {
        PyErr_Format(PyExc_TypeError, "a token is (incarnation, index), not %R", o);
        return -1;
    }
    if (number_get(in[0], &v[0]) != 0 || number_get(in[1], &v[1]) != 0) {
        return -1;
    }
    *out = (struct tide_token){ v[0], v[1] };
    return 0;
}

void contract_finish(struct contract *c) {
    c->quick = c->full;
    c->quick.fallback = TIDE_FALLBACK_ERROR;
    c->quick.wait_ns = 0;
}

/* given: max_staleness, max_lag, after, wait, fallback. */
int contract_get(const struct contract *base, PyObject *const *given, struct contract *out) {
    static const char *const fallbacks[] = { "leader", "wait", "error", "stale" };
    *out = *base;
    struct tide_bound *b = &out->full;
    if (seconds_get(given[0], &b->max_staleness_ns) != 0 || number_get(given[1], &b->max_lag) != 0 ||
        token_get(given[2], &b->min) != 0 || seconds_get(given[3], &b->wait_ns) != 0) {
        return -1;
    }
    if (given[4] != NULL && given[4] != Py_None) {
        uint32_t i = 0;
        while (i < 4 && !(PyUnicode_Check(given[4]) && PyUnicode_CompareWithASCIIString(given[4], fallbacks[i]) == 0)) {
            i++;
        }
        if (i == 4) {
            PyErr_Format(PyExc_ValueError, "fallback is 'leader', 'wait', 'error' or 'stale', not %R", given[4]);
            return -1;
        }
        b->fallback = i;
    }
    contract_finish(out);
    return 0;
}

PyObject *seconds_new(uint64_t ns) {
    if (ns == TIDE_TTL_NONE) {
        Py_INCREF(Py_None);
        return Py_None;
    }
    return PyFloat_FromDouble((double)ns / 1e9);
}

PyObject *token_new(const struct tide_token *t) {
    return PyObject_CallFunction(classes.token, "KK", (unsigned long long)t->incarnation, (unsigned long long)t->index);
}

/* Takes `value` over. */
PyObject *answer_new(const struct tide_answer *a, PyObject *value) {
    if (value == NULL) {
        return NULL;
    }
    PyObject *ttl = value == Py_None ? seconds_new(TIDE_TTL_NONE) : seconds_new(a->ttl_ns);
    return PyObject_CallFunction(classes.answer, "NKsIKKddNNNN", value, (unsigned long long)a->version,
                                 tide_reason_name(a->reason), (unsigned)a->served_by, (unsigned long long)a->index,
                                 (unsigned long long)a->commit_index, (double)a->staleness_ns / 1e9,
                                 (double)a->waited_ns / 1e9, ttl, PyBool_FromLong(a->linearizable),
                                 PyBool_FromLong(a->stale), PyBool_FromLong(a->from_leader));
}

uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}
