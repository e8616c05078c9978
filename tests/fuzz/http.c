/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests over HTTP, as `tide metrics --listen` and `tide web` get them: the input is sent to the server of tools/http/, in pieces that its
 * first bytes say, and what comes back is read. The server has no thread of its own here: after each piece it takes some turns of its
 * loop, so the same input does the same again, and nobody waits for anybody. Now and then a request that is well-formed has to
 * be answered. The parts that look into a request (Accept, Host, path) get the input as well, without the server.
 */
#include <errno.h>
#include <signal.h>
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

#define PIECES_MOST 16u /* what is left after them comes at once */
#define TURNS                                                                                                          \
    4u /* in which an answer begins; libmicrohttpd keeps what is not a whole request until its time is over, ended or not */
#define TURNS_MOST 1000u /* in which an answer that has begun ends; a few are enough */
#define OPEN_EVERY                                                                                                     \
    32u /* executions in which the client leaves without an end; in all others it tells that no rest will come */
#define ALIVE_EVERY 64u /* executions */
#define COLLECT_EVERY                                                                                                  \
    16u /* requests of /metrics that ask what there is: it is always nothing, and takes longer than the rest */

static struct http *http;
static struct sockaddr_un server;
static socklen_t server_len;

static void answer(void *ctx, const struct http_request *q, struct http_answer *a) {
    (void)ctx;
    if (strcmp(q->path, "/events") == 0) {
        return; /* a stream */
    }
    if (strcmp(q->path, "/metrics") == 0) {
        static unsigned asked;
        if (asked++ % COLLECT_EVERY != 0) {
            http_say(a, 503, "as before");
            return;
        }
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

static void start(void) {
    static const struct http_service service = { .tool = "fuzz", .answer = answer, .frame = frame };
    static bool started;
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
    signal(SIGPIPE, SIG_IGN);
    http = http_begin(&service, fd, "fuzz");
    FUZZ_EXPECT(http != NULL);
}

/* What has come of the answer. True: nothing more will. */
static bool take(int fd, char got[4096], size_t *have) {
    for (;;) {
        ssize_t n = recv(fd, got + *have, 4095 - *have, MSG_DONTWAIT);
        if (n <= 0) {
            return n == 0 || errno != EAGAIN;
        }
        *have += (size_t)n;
        got[*have] = 0;
        if (strstr(got, "text/event-stream") != NULL) {
            return true; /* it has no end */
        }
        *have = *have < 2000 ? *have : 2000; /* the rest of a long answer is read and not looked at */
    }
}

/* Send it, perhaps with an end, and read the answer. Returns how much of it came, at most what is looked at. */
static size_t ask(const uint8_t *bytes, size_t size, size_t piece, bool ends) {
    char got[4096];
    size_t have = 0, pieces = 0;
    bool done = false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_EXPECT(fd >= 0 && connect(fd, (struct sockaddr *)&server, server_len) == 0);
    for (size_t at = 0; at < size; at += piece) {
        piece = ++pieces < PIECES_MOST && size - at > piece ? piece : size - at;
        if (send(fd, bytes + at, piece, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
            break; /* it has closed: what was sent was enough */
        }
        if (pieces < PIECES_MOST && at + piece < size) {
            http_turn(http, 0);
        }
    }
    if (ends) {
        (void)shutdown(fd, SHUT_WR);
    }
    for (unsigned i = 0; i < (have != 0 ? TURNS_MOST : TURNS) && !done; i++) {
        http_turn(http, 0);
        done = take(fd, got, &have);
    }
    FUZZ_EXPECT(done || have == 0);
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
    if (http != NULL && piece % 8 != 0) { /* the server takes far longer than the rest */
        static const char WELL[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        static unsigned count;
        bool ends = ++count % OPEN_EVERY != 0;
        (void)ask(in.at, in.left, piece < 16 ? piece : piece * 4, ends);
        if (count % ALIVE_EVERY == 0) {
            FUZZ_EXPECT(ask((const uint8_t *)WELL, sizeof(WELL) - 1, sizeof(WELL), true) > 0);
        }
    }
    free(text);
    return 0;
}
