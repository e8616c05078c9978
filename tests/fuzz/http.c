/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests over HTTP, as `tide metrics --listen` and `tide web` get them: the input is sent to the server of tools/http/, in pieces that its
 * first bytes say, and what comes back is read, until the server closes or nothing comes for a moment. Now and then a request that is well-formed
 * has to be answered. The parts that look into a request (Accept, Host, path) get the input as well, without the server.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tools/http/http.h"
#include "tools/metrics/metrics.h"
#include "tools/web/web.h"

#define PATIENCE_MS 30000
#define MOMENT_MS 2 /* a request that is not whole gets no answer, and the server waits for its rest */
#define OPEN_EVERY                                                                                                     \
    32u /* executions in which the server is left to wait; in all others it is told that no rest will come */
#define ALIVE_EVERY 64u /* executions */

static struct sockaddr_un server;
static socklen_t server_len;
static bool served;

static void answer(void *ctx, const struct http_request *q, struct http_answer *a) {
    (void)ctx;
    if (strcmp(q->path, "/events") == 0) {
        return; /* a stream */
    }
    if (strcmp(q->path, "/metrics") == 0) {
        char why[600];
        struct prom p = { .open_metrics = negotiate_open_metrics(q->accept) };
        (void)collect(&p, "fuzz-http-none", why, sizeof(why));
        buf_free(&p.text);
        http_say(a, 503, why);
        return;
    }
    const struct web_file *file = web_file(q->path);
    if (file == NULL) {
        http_say(a, 404, "not here");
        return;
    }
    *a =
        (struct http_answer){ .status = 200, .type = file->type, .static_text = file->text, .static_size = file->size };
}

static void frame(void *ctx, struct buf *out) {
    (void)ctx;
    buf_add_text(out, "data: {}\n\n");
}

static void *serve(void *arg) {
    static const struct http_service service = { .tool = "fuzz", .answer = answer, .frame = frame };
    (void)http_serve(&service, (int)(intptr_t)arg, "fuzz");
    abort(); /* it serves until a signal ends it */
}

static void start(void) {
    static bool started;
    pthread_t thread;
    if (started) {
        return;
    }
    started = true;
    if (http_missing() != NULL) {
        return; /* what is not the library's is looked at all the same */
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    server.sun_family = AF_UNIX;
    server_len = sizeof(server);
    FUZZ_EXPECT(fd >= 0 && bind(fd, (struct sockaddr *)&server, sizeof(sa_family_t)) == 0); /* a name of nobody else */
    FUZZ_EXPECT(getsockname(fd, (struct sockaddr *)&server, &server_len) == 0 && listen(fd, 16) == 0);
    FUZZ_EXPECT(pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0);
    pthread_detach(thread);
    served = true;
}

/* Send it, perhaps with an end, and read the answer, for which it waits so long. Returns how much of it came, at most what is looked at. */
static size_t ask(const uint8_t *bytes, size_t size, size_t piece, bool ends, int wait_ms) {
    char got[4096];
    size_t have = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_EXPECT(fd >= 0 && connect(fd, (struct sockaddr *)&server, server_len) == 0);
    for (size_t at = 0; at < size; at += piece) {
        if (send(fd, bytes + at, size - at < piece ? size - at : piece, MSG_NOSIGNAL) < 0) {
            break; /* it has closed: what was sent was enough */
        }
    }
    if (ends) {
        (void)shutdown(fd, SHUT_WR);
    }
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, have != 0 ? PATIENCE_MS : wait_ms) != 1) {
            FUZZ_EXPECT(have == 0); /* an answer that has begun has an end */
            break;
        }
        ssize_t n = recv(fd, got + have, sizeof(got) - 1 - have, 0);
        if (n <= 0) {
            break;
        }
        if (have < 400) {
            have += (size_t)n;
            got[have] = 0;
            if (strstr(got, "text/event-stream") != NULL) {
                break; /* it has no end */
            }
        }
        have = have < 2000 ? have : 2000;
    }
    FUZZ_EXPECT(have < 5 || memcmp(got, "HTTP/", 5) == 0);
    close(fd);
    return have;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct fuzz_input in = { bytes, size };
    start();
    size_t piece = 1 + (size_t)fuzz_take(&in, 2);
    char *text = malloc(in.left + 1);
    memcpy(text, in.at, in.left);
    text[in.left] = 0;
    (void)negotiate_open_metrics(text);
    (void)address_host_is_local(text);
    (void)web_file(text);
    if (served && piece % 8 != 0) { /* the server takes a hundred times as long as the rest */
        static const char WELL[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        static unsigned count;
        bool ends = ++count % OPEN_EVERY != 0;
        (void)ask(in.at, in.left, piece < 16 ? piece : piece * 4, ends, MOMENT_MS);
        if (count % ALIVE_EVERY == 0) {
            FUZZ_EXPECT(ask((const uint8_t *)WELL, sizeof(WELL) - 1, sizeof(WELL), false, PATIENCE_MS) > 0);
        }
    }
    free(text);
    return 0;
}
