/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/http/http.h"

#include <errno.h>
#include <string.h>

#include "tools/lib/args.h"
#include "tools/lib/codes.h"
#include "tools/lib/stdio.h"

void http_say(struct http_answer *a, unsigned status, const char *text) {
    a->status = status;
    a->type = "text/plain; charset=utf-8";
    buf_add_text(&a->text, text);
    buf_add_char(&a->text, '\n');
}

int http_listen(const struct http_service *service, const char *text, const char *path) {
    char at[ADDRESS_TEXT], why[400];
    bool usage;
    const char *missing = http_missing();
    if (missing) {
        args_sayf(service->tool, "--listen: %s", missing);
        return TOOL_FAILED;
    }
    int fd = address_listen(text, path, at, &usage, why, sizeof(why));
    if (fd < 0 && usage) {
        return args_error(service->tool, "%s", why);
    }
    if (fd < 0) {
        args_say(service->tool, why);
        return TOOL_FAILED;
    }
    int code = http_serve(service, fd, at);
    address_close(text, fd);
    return stdio_finish(service->tool, code);
}

#if __has_include(<microhttpd.h>)
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "shm/fd.h"
#include "tools/http/parts.h"
#include "tools/lib/signals.h"

#define LOOK_MS 1000
#define REST_MS 100
#define END_MS 5
#define ACCEPTED_AT_ONCE (CONNECTIONS_SPARE / 2) /* those that they send away end meanwhile */

struct http {
    struct library call;
    struct MHD_Daemon *daemon;
    int listening;
    const struct http_service *service;
    bool local_names;
    struct places places;
    struct streams streams;
    uint64_t rests_until_ms; /* there was no descriptor for who came */
};

static volatile sig_atomic_t stopped;

static void http_on_signal(int number) {
    (void)number;
    stopped = 1;
}

static void http_on_connection(void *ctx, struct MHD_Connection *connection, void **context,
                               enum MHD_ConnectionNotificationCode code) {
    struct http *h = ctx;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            h->call.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = info ? places_take(&h->places, info->connect_fd) : NULL;
    } else if (*context) {
        places_leave(&h->places, *context);
        *context = NULL;
    }
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static struct MHD_Response *http_respond(struct http *h, struct MHD_Connection *connection, struct http_answer *a) {
    if (a->status == 0) {
        const union MHD_ConnectionInfo *info =
            h->call.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        struct place *p = info ? info->socket_context : NULL;
        a->status = MHD_HTTP_OK;
        a->type = "text/event-stream; charset=utf-8";
        return p ? streams_open(&h->streams, connection, p) : NULL;
    }
    if (a->static_text) {
        return h->call.MHD_create_response_from_buffer(a->static_size, (void *)a->static_text, MHD_RESPMEM_PERSISTENT);
    }
    struct MHD_Response *response =
        h->call.MHD_create_response_from_buffer(a->text.size, a->text.data, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        buf_free(&a->text);
    }
    return response;
}

static enum MHD_Result http_send_answer(struct http *h, struct MHD_Connection *connection, struct http_answer *a) {
    static const char *const HEADERS[][2] = {
        { "Cache-Control", "no-store" },
        { "X-Content-Type-Options", "nosniff" },
        { "Connection", "close" },
    };
    struct MHD_Response *response = http_respond(h, connection, a);
    if (!response) {
        return MHD_NO;
    }
    h->call.MHD_add_response_header(response, "Content-Type", a->type);
    for (size_t i = 0; i < sizeof(HEADERS) / sizeof(HEADERS[0]); i++) {
        h->call.MHD_add_response_header(response, HEADERS[i][0], HEADERS[i][1]);
    }
    for (const char *const(*header)[2] = h->service->headers; header && (*header)[0]; header++) {
        h->call.MHD_add_response_header(response, (*header)[0], (*header)[1]);
    }
    if (a->status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        h->call.MHD_add_response_header(response, "Allow", "GET, HEAD");
    }
    enum MHD_Result sent = h->call.MHD_queue_response(connection, a->status, response);
    h->call.MHD_destroy_response(response);
    return sent;
}

static int http_hex(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* "%41" is "A"; but "%00" stays as it is: as the byte that ends a string, it would make "/metrics%00anything" the path "/metrics". */
static size_t http_unescape(void *ctx, struct MHD_Connection *connection, char *text) {
    char *to = text;
    (void)ctx;
    (void)connection;
    for (const char *from = text; *from != '\0'; from++) {
        int high = from[0] == '%' ? http_hex(from[1]) : -1, low = high >= 0 ? http_hex(from[2]) : -1;
        if (low >= 0 && (high | low) != 0) {
            *to++ = (char)(high << 4 | low);
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return (size_t)(to - text);
}

static enum MHD_Result http_on_request(void *ctx, struct MHD_Connection *connection, const char *path,
                                       const char *method, const char *version, const char *data, size_t *size,
                                       void **state) {
    struct http *h = ctx;
    struct http_answer a = { 0 };
    bool get = strcmp(method, "GET") == 0, head = strcmp(method, "HEAD") == 0;
    (void)data;
    (void)size;
    (void)state;
    const char *host = h->call.MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
    if (!host && strcmp(version, "HTTP/1.1") == 0) {
        http_say(&a, MHD_HTTP_BAD_REQUEST, "a request of HTTP/1.1 names its host: Host: is missing");
    } else if (strstr(path, "%00")) {
        http_say(&a, MHD_HTTP_BAD_REQUEST, "a path has no byte 0");
    } else if (h->local_names && !address_host_is_local(host)) {
        http_say(&a, 421, "only this machine is answered here: ask by 127.0.0.1, [::1] or localhost");
    } else if (get || head) {
        struct http_request q = { .path = path };
        q.accept = h->call.MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
        h->service->answer(h->service->ctx, &q, &a);
    } else {
        http_say(&a, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are answered");
    }
    if (head && a.status == 0) { /* a stream that nobody reads */
        a = (struct http_answer){ .status = MHD_HTTP_OK,
                                  .type = "text/event-stream; charset=utf-8",
                                  .static_text = "" };
    }
    return http_send_answer(h, connection, &a);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

/*
 * The library would accept by itself, but where the process has no descriptor left it asks again and again without a pause, or accepts nobody
 * any more until a connection ends: a stream may last for ever. Here who comes waits, and is asked for again after a rest.
 */
static void http_accept(struct http *h) {
    for (uint32_t i = 0; i < ACCEPTED_AT_ONCE; i++) {
        if (!places_have_one(&h->places)) { /* the library would refuse it; those that were sent away end soon */
            h->rests_until_ms = places_now_ms() + END_MS;
            return;
        }
        struct sockaddr_storage from;
        socklen_t length = sizeof(from);
        int fd = fd_lift(accept4(h->listening, (struct sockaddr *)&from, &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (fd < 0) {
            bool rests = errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
            h->rests_until_ms = rests ? places_now_ms() + REST_MS : 0;
            return;
        }
        (void)h->call.MHD_add_connection(h->daemon, fd, (struct sockaddr *)&from,
                                         length); /* closes it where it fails */
    }
}

static int http_wait_ms(const struct http *h) {
    MHD_UNSIGNED_LONG_LONG library;
    uint64_t now = places_now_ms();
    int ms = h->rests_until_ms > now ? (int)(h->rests_until_ms - now) : LOOK_MS, frame = streams_wait_ms(&h->streams);
    if (h->call.MHD_get_timeout(h->daemon, &library) == MHD_YES && library < (unsigned)ms) {
        ms = (int)library;
    }
    return frame >= 0 && frame < ms ? frame : ms;
}

void http_turn(struct http *h, int most_ms) {
    const union MHD_DaemonInfo *info = h->call.MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd events[] = { { .fd = info->epoll_fd, .events = POLLIN }, { .events = POLLIN } };
    h->rests_until_ms = h->rests_until_ms > places_now_ms() ? h->rests_until_ms : 0;
    events[1].fd = h->rests_until_ms != 0 ? -1 : h->listening;
    int wait_ms = http_wait_ms(h);
    (void)poll(events, 2, wait_ms < most_ms ? wait_ms : most_ms);
    if (events[1].revents != 0) {
        http_accept(h);
    }
    streams_turn(&h->streams);
    h->call.MHD_run(h->daemon);
    places_end_overdue(&h->places);
}

/* NULL after a message. */
struct http *http_begin(const struct http_service *service, int fd, const char *at) {
    struct http *h = calloc(1, sizeof(*h));
    const char *missing = h != NULL ? library_load(&h->call) : "out of memory";
    if (missing) {
        args_sayf(service->tool, "--listen: %s", missing);
        free(h);
        return NULL;
    }
    h->service = service;
    h->listening = fd;
    h->local_names = service->local_names && address_is_loopback(fd);
    h->streams = (struct streams){ .call = &h->call, .service = service, .places = &h->places };
    h->daemon = h->call.MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, http_on_request, h,
        MHD_OPTION_CONNECTION_LIMIT, PLACES, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_MS / 1000, MHD_OPTION_NOTIFY_CONNECTION, http_on_connection, h,
        MHD_OPTION_UNESCAPE_CALLBACK, http_unescape, NULL, MHD_OPTION_END);
    if (!h->daemon) {
        args_sayf(service->tool, "--listen: libmicrohttpd does not start at %s: %s", at, strerror(errno));
        free(h);
        return NULL;
    }
    return h;
}

void http_end(struct http *h) {
    streams_wake(&h->streams); /* the library does not stop while a connection is suspended */
    h->call.MHD_stop_daemon(h->daemon);
    streams_end(&h->streams);
    free(h);
}

int http_serve(const struct http_service *service, int fd, const char *at) {
    signal(SIGPIPE, SIG_IGN);
    signals_catch(http_on_signal, 0);
    struct http *h = http_begin(service, fd, at);
    if (!h) {
        return TOOL_FAILED;
    }
    printf("listening %s\n", at);
    int code = stdio_flush() == 0 ? TOOL_OK : TOOL_FAILED;
    while (code == TOOL_OK && !stopped) {
        http_turn(h, LOOK_MS);
    }
    http_end(h);
    return code;
}

#else

struct http *http_begin(const struct http_service *service, int fd, const char *at) {
    (void)service;
    (void)fd;
    (void)at;
    return NULL;
}

void http_turn(struct http *h, int most_ms) {
    (void)h;
    (void)most_ms;
}

void http_end(struct http *h) {
    (void)h;
}

int http_serve(const struct http_service *service, int fd, const char *at) {
    (void)service;
    (void)fd;
    (void)at;
    return TOOL_FAILED;
}

#endif
