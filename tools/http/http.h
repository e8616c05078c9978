/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `tide metrics --listen` and `tide web` share: answers to GET and HEAD by libmicrohttpd, in one thread, and streams of events.
 *
 *   address.c    where to listen
 *   http.c       requests, answers, the loop
 *   places.c     who is connected, and who has to go
 *   stream.c     server-sent events: what every stream gets, and when
 *   library.c    the library, loaded when it is needed
 *
 * What a client can do to us: a connection has so many bytes for its headers, so many seconds from its beginning to the end of its
 * answer, one request, and its place only until so many newer ones have come. A stream may last, but has to take each frame within those
 * seconds; there are so many of them, and one more sends the oldest away. So nothing grows, and nobody keeps the others out for long.
 */
#ifndef TIDE_HTTP_HTTP_H
#define TIDE_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/lib/buf.h"

struct http_request {
    const char *path;
    const char *accept; /* NULL: there was no such header */
};

struct http_answer {
    unsigned status;         /* 0: it is a stream */
    const char *type;        /* Content-Type */
    const char *static_text; /* static_size bytes that stay; NULL: `text` */
    size_t static_size;
    struct buf text; /* becomes the server's */
};

struct http_service {
    const char *tool; /* for messages */
    void *ctx;
    /* Of a request by GET or HEAD. `a` is zero-initialised. */
    void (*answer)(void *ctx, const struct http_request *q, struct http_answer *a);
    /* What all streams get next: one event, its empty line at the end included. Called once a second while there is a stream. NULL: no streams. */
    void (*frame)(void *ctx, struct buf *out);
    const char *const (*headers)[2]; /* of every answer, besides those that all services have; ends with a NULL */
    bool local_names; /* at an address of this machine alone, refuse requests by a name that may be another's */
};

/* An answer of one line of text. */
void http_say(struct http_answer *a, unsigned status, const char *text);

/* Serve until a signal asks for the end. `fd` listens and stays the caller's. TOOL_OK or an exit code after a message. */
int http_serve(const struct http_service *service, int fd, const char *at);
/* The same in steps, for a caller that has a loop of its own: a turn waits at most so long. NULL after a message. */
struct http;
struct http *http_begin(const struct http_service *service, int fd, const char *at);
void http_turn(struct http *h, int most_ms);
void http_end(struct http *h);
/* Can it be served? NULL, or a text that says why not. */
const char *http_missing(void);

/* ---- where to listen --------------------------------------------------------------------------------------------- */

/* A socket that listens at "ADDR:PORT", ":PORT" and "PORT" (loopback), "[ADDR6]:PORT" or "unix:PATH". Port 0: any.
 * `at` gets where it does, as an URL with this path. -1 with `why`. *usage: what was typed is wrong. */
#define ADDRESS_TEXT 160
int address_listen(const char *text, const char *path, char at[ADDRESS_TEXT], bool *usage, char *why, size_t why_size);
/* Close it, and remove the file of "unix:PATH". */
void address_close(const char *text, int fd);
/* Can only processes of this machine connect to it, by TCP? */
bool address_is_loopback(int fd);
/* Is the value of a Host header (NULL: there is none) an address, or a name that can only be this machine's? */
bool address_host_is_local(const char *host);

/* All of --listen: listen, serve, close. The exit code. */
int http_listen(const struct http_service *service, const char *text, const char *path);

#endif
