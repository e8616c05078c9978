/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/http/http.h"

#if __has_include(<microhttpd.h>)
#include <sys/socket.h>
#include <time.h>

#include "tools/http/parts.h"

uint64_t places_now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* libmicrohttpd closes it when it finds that nothing more comes. */
static void places_send_away(struct place *p) {
    shutdown(p->fd, SHUT_RDWR);
    p->fd = -1;
    if (p->stream) {
        stream_resume(
            p->stream); /* one that is suspended would be found out with the next frame only, and keep its place until then */
    }
}

static void places_make_place(struct places *all, bool of_streams) {
    struct place *oldest = NULL;
    for (size_t i = 0; i < PLACES; i++) {
        struct place *p = &all->place[i];
        if (p->taken && p->fd >= 0 && p->streams == of_streams && (!oldest || p->begun_ms < oldest->begun_ms)) {
            oldest = p;
        }
    }
    if (oldest) {
        places_send_away(oldest);
    }
}

bool places_have_one(const struct places *all) {
    return all->open + all->streams < PLACES;
}

struct place *places_take(struct places *all, int fd) {
    if (all->open >= CONNECTIONS) {
        places_make_place(all, false);
    }
    for (size_t i = 0; i < PLACES; i++) {
        struct place *p = &all->place[i];
        if (!p->taken) {
            uint64_t now = places_now_ms();
            *p = (struct place){ .fd = fd, .taken = true, .begun_ms = now, .since_ms = now };
            all->open++;
            return p;
        }
    }
    return NULL;
}

void places_leave(struct places *all, struct place *p) {
    if (p->streams) {
        all->streams--;
    } else {
        all->open--;
    }
    *p = (struct place){ .fd = -1 };
}

void places_turn(struct places *all, struct place *p, struct stream *s) {
    if (all->streams >= STREAMS) {
        places_make_place(all, true);
    }
    p->streams = true;
    p->stream = s;
    all->open--;
    all->streams++;
}

void places_end_overdue(struct places *all) {
    uint64_t now = places_now_ms();
    for (size_t i = 0; i < PLACES; i++) {
        struct place *p = &all->place[i];
        if (p->taken && p->fd >= 0 && now - p->since_ms > CONNECTION_MS) {
            places_send_away(p);
        }
    }
}

#endif
