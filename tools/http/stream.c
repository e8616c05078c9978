/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Server-sent events. All streams get the same frames; each sends the one that it has begun to its end, and then the newest: a client that is
 * slow loses frames in between, and nothing piles up for it. Between two frames its connection is suspended.
 */
#include "tools/http/http.h"

#if __has_include(<microhttpd.h>)
#include <stdlib.h>
#include <string.h>

#include "tools/http/parts.h"

/* How long a browser waits before it connects again. */
static const char HELLO[] = "retry: 2000\n\n";

struct stream {
    struct streams *all;
    struct MHD_Connection *connection;
    struct place *place;
    struct stream_frame *frame; /* that it sends; NULL: none */
    size_t sent;                /* of it; before the first one, of HELLO */
    uint64_t number;            /* of the last frame that it has begun; 0: none */
    bool greeted, suspended;
};

static void stream_let_go(struct stream_frame *f) {
    if (f && --f->users == 0) {
        buf_free(&f->text);
        free(f);
    }
}

static struct stream_frame *stream_make_frame(struct streams *s) {
    struct stream_frame *f = calloc(1, sizeof(*f));
    if (!f) {
        return NULL;
    }
    f->users = 1;
    f->number = ++s->number;
    s->service->frame(s->service->ctx, &f->text);
    stream_let_go(s->now);
    s->now = f;
    s->made_ms = places_now_ms();
    return f;
}

static bool stream_is_due(const struct streams *s) {
    return !s->now || places_now_ms() - s->made_ms >= FRAME_MS;
}

static ssize_t stream_copy(struct stream *s, const char *text, size_t size, char *to, size_t room) {
    size_t n = size - s->sent < room ? size - s->sent : room;
    memcpy(to, text + s->sent, n);
    s->sent += n;
    return (ssize_t)n;
}

/* The connection can take `room` bytes more. */
static ssize_t stream_read_stream(void *ctx, uint64_t pos, char *to, size_t room) {
    struct stream *s = ctx;
    (void)pos;
    if (s->place->fd < 0) { /* sent away */
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (!s->greeted) {
        ssize_t n = stream_copy(s, HELLO, sizeof(HELLO) - 1, to, room);
        s->greeted = s->sent == sizeof(HELLO) - 1;
        return n;
    }
    if (s->frame && s->sent == s->frame->text.size) {
        stream_let_go(s->frame);
        s->frame = NULL;
    }
    if (!s->frame && s->all->now && s->all->now->number != s->number) {
        s->frame = s->all->now;
        s->frame->users++;
        s->number = s->frame->number;
        s->sent = 0;
        s->place->since_ms = places_now_ms();
    }
    if (s->frame) {
        return stream_copy(s, s->frame->text.data, s->frame->text.size, to, room);
    }
    s->place->since_ms = places_now_ms();
    s->suspended = true;
    s->all->call->MHD_suspend_connection(s->connection);
    return 0;
}

static void stream_free_stream(void *ctx) {
    struct stream *s = ctx;
    if (s->place->stream == s) { /* the connection is told of as ended later */
        s->place->stream = NULL;
    }
    stream_let_go(s->frame);
    free(s);
}

struct MHD_Response *streams_open(struct streams *all, struct MHD_Connection *connection, struct place *p) {
    struct stream *s = calloc(1, sizeof(*s));
    if (!s || (stream_is_due(all) && !stream_make_frame(all))) {
        free(s);
        return NULL;
    }
    *s = (struct stream){ .all = all, .connection = connection, .place = p };
    struct MHD_Response *response = all->call->MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, 16384, stream_read_stream, s, stream_free_stream);
    if (!response) {
        free(s);
        return NULL;
    }
    places_turn(all->places, p, s);
    return response;
}

void stream_resume(struct stream *s) {
    if (s->suspended) {
        s->suspended = false;
        s->all->call->MHD_resume_connection(s->connection);
    }
}

void streams_wake(struct streams *all) {
    for (size_t i = 0; i < PLACES; i++) {
        struct place *p = &all->places->place[i];
        if (p->taken && p->stream) {
            stream_resume(p->stream);
        }
    }
}

void streams_turn(struct streams *all) {
    if (all->places->streams > 0 && stream_is_due(all) && stream_make_frame(all)) {
        streams_wake(all);
    }
}

int streams_wait_ms(const struct streams *all) {
    if (all->places->streams == 0) {
        return -1;
    }
    uint64_t past = places_now_ms() - all->made_ms;
    return past < FRAME_MS ? (int)(FRAME_MS - past) : 0;
}

void streams_end(struct streams *all) {
    stream_let_go(all->now);
    all->now = NULL;
}

#endif
