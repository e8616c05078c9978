/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests to etcd's JSON gateway: HTTP/1.1 by libcurl's multi interface, many at once in one thread. Connections are kept and used again;
 * one whose peer has vanished is noticed by keep-alive within some ten seconds.
 *
 * libcurl sends a request once more where a connection that it had kept turns out to be closed. A write would then be done twice. So the
 * body goes through a function that cannot go back: once any of it was handed over, the request ends with an error instead.
 */
#ifndef TIDE_ETCD_HTTP_H
#define TIDE_ETCD_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/lib/buf.h"

struct etcd_http;

/* Of one answer that is no stream: whoever asks for more asks for less at once. */
#define ETCD_ANSWER_BYTES (128u << 20)

struct etcd_http_opts {
    bool tls;
    const char *ca;   /* file of certificates to trust; NULL: the system's */
    const char *cert; /* file of this client's certificate, or NULL */
    const char *key;  /* its key, where that is in a file of its own, or NULL */
};

/* How a request ended. All of it is valid during the call only. */
struct etcd_reply {
    const char *why; /* NULL: an answer came, whatever its status; else what went wrong, in words */
    bool sent;       /* the whole request was handed to the kernel: the server may have acted on it */
    bool timed_out;
    bool too_large;     /* more than ETCD_ANSWER_BYTES came */
    bool no_tls;        /* no TLS came about, for no reason that either side named */
    bool mistrusted;    /* TLS: the certificate of one side does not please the other */
    const char *advice; /* then: what to do about it; "" where `why` says so */
    long status;        /* of HTTP; 0 where there was none */
    const char *text;
    size_t size;
};

typedef void etcd_done_fn(void *ctx, const struct etcd_reply *reply);
/* A part of the answer, as it comes: 0 to go on, or the transfer ends. Then reply.text stays empty. libcurl is at work meanwhile: it may
 * neither begin nor cancel. */
typedef int etcd_data_fn(void *ctx, const char *bytes, size_t size);

struct etcd_request {
    const char *endpoint; /* HOST:PORT */
    const char *path;
    const char *body; /* copied; NULL: GET */
    size_t body_size;
    const char *token; /* of a user, or NULL */
    bool stream;       /* end when the member has lost its leader; no limit of time */
    uint32_t timeout_ms;
    etcd_data_fn *data;
    etcd_done_fn *done;
    void *ctx;
};

struct etcd_call; /* one that is under way */

/* NULL, and the reason in *why. */
struct etcd_http *etcd_http_open(const struct etcd_http_opts *opts, const char **why);
/* done() is called for none of the calls that are under way. */
void etcd_http_close(struct etcd_http *h);

/* Begin a request. NULL where that fails at once: done() is not called then. */
struct etcd_call *etcd_http_begin(struct etcd_http *h, const struct etcd_request *request);
/* End it without done(). */
void etcd_http_cancel(struct etcd_http *h, struct etcd_call *call);

/* Move bytes, and call data() and done(). done() may begin and cancel others. */
void etcd_http_run(struct etcd_http *h);
/* Sleep until there is something to do for etcd_http_run(), at most timeout_ms, or until etcd_http_wake(). */
void etcd_http_wait(struct etcd_http *h, int timeout_ms);
/* Any thread. */
void etcd_http_wake(struct etcd_http *h);

/* Why there is no libcurl, or NULL. */
const char *etcd_http_missing(void);

#endif
