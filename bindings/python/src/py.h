/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the extension share. One module for every Python from 3.9 on: the stable interface (abi3) alone. */
#ifndef TIDE_PYTHON_PY_H
#define TIDE_PYTHON_PY_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x03090000
#include <Python.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tidemark.h"

/*
 * Python 3.9 has these, with these numbers and layouts; 3.10 and 3.11 declared them a part of the stable interface. Headers hide them
 * from a module that asks for 3.9.
 */
#ifndef METH_FASTCALL
#define METH_FASTCALL 0x0080
#endif
#ifndef Py_bf_getbuffer
#define Py_bf_getbuffer 1
#define Py_bf_releasebuffer 2
#endif
#if Py_LIMITED_API < 0x030a0000
PyAPI_FUNC(const char *) PyUnicode_AsUTF8AndSize(PyObject *text, Py_ssize_t *size);
#endif
struct buffer { /* Py_buffer */
    void *buf;
    PyObject *obj;
    Py_ssize_t len, itemsize;
    int readonly, ndim;
    char *format;
    Py_ssize_t *shape, *strides, *suboffsets;
    void *internal;
};

#define NS_PER_S UINT64_C(1000000000)
/* How long a call sleeps before it looks whether a signal's handler is to run. */
#define SLICE_NS (NS_PER_S / 10)
/* Beside the library's codes. */
#define RAISED 1 /* a Python exception is set */
#define AGAIN 2  /* a slice of waiting is over, and handlers may have run: begin anew with slot_get() */

/* ---- handle.c: an open domain, and each thread's readers of it ------------------------------------------------------ */

/* Outlives its Domain as long as a thread has a reader of it. */
struct handle {
    atomic_int refs; /* a thread that ends lets go without the GIL */
    atomic_int closed;
    atomic_int sections; /* that are open, in all threads */
    int busy;            /* calls without a reader that are under way; under the GIL */
    unsigned generation; /* of the process that opened it */
    struct tide *d;
    pthread_mutex_t lock;
    char line[400]; /* under lock: what the library said last */
};

/* A section, and its reader. Only the thread that began it can end it; views of its values may be anywhere. */
struct section {
    struct section *next; /* in the slot's list of open ones, or of spare ones */
    struct slot *slot;
    struct tide_reader *r;
    atomic_int exports; /* buffers that Python objects hold */
    atomic_int left;    /* its Snapshot needs it no more */
    atomic_int ended;
    atomic_int refs; /* its Snapshot's and the slot's */
};

/* What a thread has of a handle. */
struct slot {
    struct slot *next;
    struct handle *h;
    struct tide_reader *r;
    char *buf;
    size_t buf_size;
    struct section *open, *spare;
    atomic_int left; /* a section is to be ended by this thread */
    atomic_int refs; /* the thread's and its sections' */
};
extern __thread struct slot *slots;
extern unsigned generation; /* one more in each forked child */

struct handle *handle_new(void);
void handle_release(struct handle *h);
void handle_log(void *ctx, enum tide_log_level level, const char *text);
int slot_slow(struct handle *h, struct slot **out);
int slot_section(struct slot *s, struct section **out);
void slot_sweep(struct slot *s);
/* Has this thread a section open, of whichever domain? */
bool slots_are_inside(void);
void slot_drop(struct handle *h);
void section_release(struct section *c);
int handle_init(void);

/* This thread's slot: 0, or an error of the library. */
static inline int slot_get(struct handle *h, struct slot **out) {
    struct slot *s = slots;
    if (__builtin_expect(s != NULL && s->h == h && !atomic_load_explicit(&s->left, memory_order_relaxed), 1)) {
        *out = s;
        return 0;
    }
    return slot_slow(h, out);
}

/* ---- domain.c ------------------------------------------------------------------------------------------------------- */

struct contract {
    struct tide_bound full;
    struct tide_bound quick; /* the same, and never waits */
};

struct domain {
    PyObject_HEAD struct handle *h; /* NULL: closed */
    unsigned opening;               /* not 0: to be opened anew; the generation: by a thread that is at it */
    struct tide_opts o;
    struct contract bound;
    int lead, replica;
    char name[TIDE_NAME_MAX + 1];
};
extern PyObject *domain_type;
int domain_init(PyObject *module);
/* After an error: 1: what was wrong is mended (this is a forked child, or nobody led), try again. `tries` counts. */
int domain_mend(struct domain *self, int error, int *tries);

/* ---- args.c: arguments and errors ------------------------------------------------------------------------------------ */

struct key {
    const char *p;
    Py_ssize_t n;
};
/* The classes of tidemark/_types.py. */
struct classes {
    PyObject *error, *answer, *token, *event;
};
extern struct classes classes;

PyObject *raise_error(int code, const char *what, const char *said);
/* Bytes, or str as UTF-8. A prefix may be empty, a key may not. */
int text_get(PyObject *o, struct key *k);
int key_get(PyObject *o, struct key *k);
/* *holder is to be released afterwards. */
int value_get(PyObject *o, struct key *v, PyObject **holder);
int args_get(const char *function, PyObject *const *args, Py_ssize_t n, PyObject *names, const char *const *known,
             int least, PyObject **out);
/* The library ends a name at its first NUL: another domain's name. 0, or -1 with an exception set. */
int name_check(const char *name, Py_ssize_t n);
/* A time in seconds; None or NULL: left as it is. */
int seconds_get(PyObject *o, uint64_t *ns);
/* The same, but not 0: for the library 0 is no life of its own, so a value whose time is over would stay for ever. */
int life_get(PyObject *o, uint64_t *ns);
int number_get(PyObject *o, uint64_t *out);
int token_get(PyObject *o, struct tide_token *out);
int contract_get(const struct contract *base, PyObject *const *given, struct contract *out);
void contract_finish(struct contract *c);
PyObject *seconds_new(uint64_t ns); /* None for no end */
PyObject *token_new(const struct tide_token *t);
PyObject *answer_new(const struct tide_answer *a, PyObject *value);
uint64_t now_ns(void);

/* ---- the rest -------------------------------------------------------------------------------------------------------- */

/*
 * A call for which no replica serves at once waits without the GIL, in slices, since a signal's handler may have to run. That handler may
 * close the domain, or read a value for which the thread's buffer grows. So after each slice the slot is asked for anew.
 */
struct wait {
    bool waits, more; /* more: another slice may follow this one */
    uint64_t began_ns;
};
/* Is `error` one that waiting may mend? Then the next try waits. */
bool wait_begin(struct wait *w, int error, const struct contract *c);
/* The bound of the next slice. */
void wait_slice(struct wait *w, const struct contract *c, struct tide_bound *b);
/* What the slice answered; or AGAIN, or RAISED. */
int wait_over(const struct wait *w, int error);
/* A copy of the value. 0, RAISED or an error of the library. */
int read_copy(struct domain *self, const struct key *k, const struct contract *bound, struct tide_answer *a,
              PyObject **out);
PyObject *read_get(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *read_mget(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *read_item(PyObject *self, PyObject *key);
int read_contains(PyObject *self, PyObject *key);

PyObject *write_put(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *write_delete(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *write_cas(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *write_incr(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *write_touch(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *write_batch(PyObject *self, PyObject *ops);
int write_item(PyObject *self, PyObject *key, PyObject *value);
int write_value(struct domain *self, const struct key *k, const struct key *v, uint64_t ttl_ns, uint32_t flags);

PyObject *make_get(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);

PyObject *snapshot_new(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
int snapshot_init(PyObject *module);
PyObject *snapshot_forked(PyObject *module, PyObject *none);
/* At the interpreter's end: this thread's snapshots end. */
PyObject *snapshot_leave(PyObject *module, PyObject *none);

PyObject *watch_new(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names);
int watch_init(PyObject *module);

#endif
