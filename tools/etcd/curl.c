/* SPDX-License-Identifier: LGPL-2.1-or-later */
#if __has_include(<curl/curl.h>)
#include "tools/etcd/curl.h"

#include <dlfcn.h>
#include <stddef.h>

const char *curl_load(struct curl_calls *call) {
    /* Debian has it twice, with two libraries for TLS; both have the same functions. It stays until the process ends. */
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    library = library ? library : dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        return "there is no libcurl.so.4 here (Debian: libcurl4)";
    }
#define LOOK_UP(name)                                                                                                  \
    if ((call->name = (__typeof__(call->name))dlsym(library, #name)) == NULL) {                                        \
        return "this libcurl has no " #name ": 7.68 or later is needed";                                               \
    }
    CURL_CALLS(LOOK_UP)
#undef LOOK_UP
    return call->curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? NULL : "libcurl does not start";
}

#else
typedef int curl_not_here; /* no translation unit is empty */
#endif
