/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module tidemark._tidemark: what tidemark/__init__.py is made of. */
#include "py.h"

static int64_t interpreter = -1;

/* Types and classes are the process's. What one interpreter made of them must not outlive it in another. */
static int module_is_here(void) {
    int64_t id = PyInterpreterState_GetID(PyInterpreterState_Get());
    if (interpreter < 0) {
        interpreter = id;
    }
    if (id != interpreter) {
        PyErr_SetString(PyExc_ImportError, "tidemark: another interpreter of this process uses it, and one of them can "
                                           "(mod_wsgi: WSGIApplicationGroup %{GLOBAL})");
        return 0;
    }
    return 1;
}

/* _setup(error, answer, token, event): the classes that Python defines. */
static PyObject *module_setup(PyObject *module, PyObject *args) {
    (void)module;
    if (!module_is_here() ||
        !PyArg_ParseTuple(args, "OOOO", &classes.error, &classes.answer, &classes.token, &classes.event)) {
        return NULL;
    }
    Py_INCREF(classes.error);
    Py_INCREF(classes.answer);
    Py_INCREF(classes.token);
    Py_INCREF(classes.event);
    Py_RETURN_NONE;
}

static PyObject *module_unlink(PyObject *module, PyObject *name) {
    (void)module;
    Py_ssize_t n = 0;
    const char *text = PyUnicode_AsUTF8AndSize(name, &n);
    if (text == NULL || name_check(text, n) != 0) {
        return NULL;
    }
    int error = tide_unlink(text);
    if (error != 0) {
        return raise_error(error, "unlink", text);
    }
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    { "_setup", module_setup, METH_VARARGS, NULL },
    { "_forked", snapshot_forked, METH_NOARGS, NULL },
    { "_leave", snapshot_leave, METH_NOARGS, NULL },
    { "unlink", module_unlink, METH_O, "unlink(name): remove the domain's segments" },
    { NULL, NULL, 0, NULL },
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, "_tidemark", NULL, -1, module_methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__tidemark(void) {
    if (!module_is_here()) {
        return NULL;
    }
    PyObject *module = PyModule_Create(&module_def);
    uint32_t v = tide_version();
    char text[32];
    snprintf(text, sizeof(text), "%u.%u.%u", v >> 16, v >> 8 & 255, v & 255);
    if (module == NULL || handle_init() != 0 || domain_init(module) != 0 || snapshot_init(module) != 0 ||
        watch_init(module) != 0 || PyModule_AddStringConstant(module, "version", text) != 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
