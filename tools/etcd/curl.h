/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcurl, loaded when an adapter starts: it brings TLS and much else, which no other command should wait for, and a machine without it
 * keeps all the rest. Only http.c and curl.c include this.
 */
#ifndef TIDE_ETCD_CURL_H
#define TIDE_ETCD_CURL_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#define CURL_CALLS(X)                                                                                                  \
    X(curl_global_init)                                                                                                \
    X(curl_easy_init)                                                                                                  \
    X(curl_easy_setopt)                                                                                                \
    X(curl_easy_getinfo)                                                                                               \
    X(curl_easy_reset)                                                                                                 \
    X(curl_easy_cleanup)                                                                                               \
    X(curl_easy_strerror)                                                                                              \
    X(curl_multi_init)                                                                                                 \
    X(curl_multi_setopt)                                                                                               \
    X(curl_multi_add_handle)                                                                                           \
    X(curl_multi_remove_handle)                                                                                        \
    X(curl_multi_perform)                                                                                              \
    X(curl_multi_poll)                                                                                                 \
    X(curl_multi_wakeup)                                                                                               \
    X(curl_multi_info_read)                                                                                            \
    X(curl_multi_cleanup)                                                                                              \
    X(curl_slist_append)                                                                                               \
    X(curl_slist_free_all)

struct curl_calls {
#define POINTER(name) __typeof__(name) *name;
    CURL_CALLS(POINTER)
#undef POINTER
};

/* Load it, once for the process. NULL; or why it cannot be. */
const char *curl_load(struct curl_calls *call);

#endif
