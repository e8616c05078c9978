/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libmicrohttpd is loaded only when it is used: it brings TLS and much else, which no other command should wait for, and a machine
 * without it keeps all the rest. */
#include "tools/http/http.h"

#if __has_include(<microhttpd.h>)
#include <dlfcn.h>

#include "tools/http/parts.h"

#define LIBRARY "libmicrohttpd.so.12"

const char *library_load(struct library *l) {
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* until the process ends */
    if (!library) {
        return "there is no " LIBRARY " here (Debian: libmicrohttpd12)";
    }
#define LOOK_UP(name)                                                                                                  \
    if ((l->name = (__typeof__(l->name))dlsym(library, #name)) == NULL)                                                \
        return LIBRARY " has no " #name;
    LIBRARY_CALLS(LOOK_UP)
#undef LOOK_UP
    return NULL;
}

const char *http_missing(void) {
    struct library l;
    return library_load(&l);
}

#else

const char *http_missing(void) {
    return "this tide was built without libmicrohttpd (Debian: libmicrohttpd-dev); build it again with its header";
}

#endif
