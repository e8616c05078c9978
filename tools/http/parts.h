/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of tools/http/ share; only where there is libmicrohttpd's header. */
#ifndef TIDE_HTTP_PARTS_H
#define TIDE_HTTP_PARTS_H

#include <microhttpd.h>
#include <stdint.h>

#include "tools/http/http.h"

#define CONNECTIONS 32u       /* when one more comes, the oldest goes */
#define CONNECTIONS_SPARE 16u /* that may come before those that went are closed */
#define STREAMS 16u           /* of them the same, counted apart */
#define PLACES (CONNECTIONS + CONNECTIONS_SPARE + STREAMS)
#define CONNECTION_BYTES 16384u
#define CONNECTION_MS 10000u
#define FRAME_MS 1000u

/* ---- the library ------------------------------------------------------------------------------------------------- */

#define LIBRARY_CALLS(X)                                                                                               \
    X(MHD_start_daemon)                                                                                                \
    X(MHD_stop_daemon)                                                                                                 \
    X(MHD_run)                                                                                                         \
    X(MHD_add_connection)                                                                                              \
    X(MHD_get_daemon_info)                                                                                             \
    X(MHD_get_connection_info)                                                                                         \
    X(MHD_get_timeout)                                                                                                 \
    X(MHD_lookup_connection_value)                                                                                     \
    X(MHD_create_response_from_buffer)                                                                                 \
    X(MHD_create_response_from_callback)                                                                               \
    X(MHD_add_response_header)                                                                                         \
    X(MHD_queue_response)                                                                                              \
    X(MHD_destroy_response)                                                                                            \
    X(MHD_suspend_connection)                                                                                          \
    X(MHD_resume_connection)

struct library {
#define LIBRARY_POINTER(name) __typeof__(name) *name;
    LIBRARY_CALLS(LIBRARY_POINTER)
#undef LIBRARY_POINTER
};

/* NULL, or a text that says why there is none. */
const char *library_load(struct library *l);

/* ---- who is connected -------------------------------------------------------------------------------------------- */

struct stream;

struct place {
    int fd; /* -1: free, or its connection was told to go */
    bool taken;
    uint64_t begun_ms;
    uint64_t since_ms;     /* the same, but of a stream: when it had taken all that there was */
    bool streams;          /* it is a stream's */
    struct stream *stream; /* NULL: none, or it has ended already */
};

struct places {
    uint32_t open, streams; /* the latter are not counted in `open` */
    struct place place[PLACES];
};

uint64_t places_now_ms(void);
/* May one more connection come? Where not, some were sent away and have not ended yet. */
bool places_have_one(const struct places *all);
/* A connection has come. NULL: there is no place, which cannot be. */
struct place *places_take(struct places *all, int fd);
void places_leave(struct places *all, struct place *p);
/* It becomes a stream. */
void places_turn(struct places *all, struct place *p, struct stream *s);
/* Send away whoever takes too long. */
void places_end_overdue(struct places *all);

/* ---- streams ----------------------------------------------------------------------------------------------------- */

/* What all get; freed when nobody sends it any more. */
struct stream_frame {
    struct buf text;
    uint32_t users;
    uint64_t number;
};

struct streams {
    const struct library *call;
    const struct http_service *service;
    struct places *places;
    struct stream_frame *now; /* the last one that was made; NULL: none */
    uint64_t made_ms, number;
};

/* The response of a request that becomes a stream; NULL: no memory. */
struct MHD_Response *streams_open(struct streams *s, struct MHD_Connection *connection, struct place *p);
/* It is looked at again, where it waits for a frame. */
void stream_resume(struct stream *s);
/* Make a frame where it is time, and let all streams go on. */
void streams_turn(struct streams *s);
/* How long until the next one; -1: there is no stream. */
int streams_wait_ms(const struct streams *s);
/* Before the daemon is stopped, and after. */
void streams_wake(struct streams *s);
void streams_end(struct streams *s);

#endif
