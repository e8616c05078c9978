/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The metrics over HTTP, by libmicrohttpd, in one thread. The library is loaded only here: it brings TLS and much else, which no other
 * command should wait for, and a machine without it keeps all the rest.
 *
 * What a client can do to us: a connection has so many bytes for its headers, so many seconds from its beginning to the end of its
 * answer, one request, and its place only until so many newer ones have come. So nothing grows, and nobody keeps the others out for long.
 */
#include "tools/metrics/metrics.h"

#if __has_include(<microhttpd.h>)
#include <dlfcn.h>
#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "tools/lib/args.h"
#include "tools/lib/signals.h"
#include "tools/lib/stdio.h"

#define LIBRARY "libmicrohttpd.so.12"
#define CONNECTIONS 32u       /* when one more comes, the oldest goes */
#define CONNECTIONS_SPARE 16u /* that may come before those that went are closed */
#define CONNECTION_BYTES 16384u
#define CONNECTION_MS 10000u
#define LOOK_MS 1000

#define CALLS(X)                                                                                                       \
    X(MHD_start_daemon)                                                                                                \
    X(MHD_stop_daemon)                                                                                                 \
    X(MHD_run)                                                                                                         \
    X(MHD_get_daemon_info)                                                                                             \
    X(MHD_get_connection_info)                                                                                         \
    X(MHD_get_timeout)                                                                                                 \
    X(MHD_lookup_connection_value)                                                                                     \
    X(MHD_create_response_from_buffer)                                                                                 \
    X(MHD_add_response_header)                                                                                         \
    X(MHD_queue_response)                                                                                              \
    X(MHD_destroy_response)

struct calls {
#define POINTER(name) __typeof__(name) *name;
    CALLS(POINTER)
#undef POINTER
};

struct place {
    int fd; /* -1: free, or its connection was told to go */
    bool taken;
    uint64_t since_ms;
};

struct http {
    struct calls call;
    const char *name; /* of the domain; NULL: all */
    uint32_t open;
    struct place places[CONNECTIONS + CONNECTIONS_SPARE];
};

static volatile sig_atomic_t stopped;

static void on_signal(int number) {
    (void)number;
    stopped = 1;
}

static const char *load(struct calls *call) {
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* until the process ends */
    if (!library) {
        return "there is no " LIBRARY " here (Debian: libmicrohttpd12)";
    }
#define LOOK_UP(name)                                                                                                  \
    if ((call->name = (__typeof__(call->name))dlsym(library, #name)) == NULL)                                          \
        return LIBRARY " has no " #name;
    CALLS(LOOK_UP)
#undef LOOK_UP
    return NULL;
}

const char *http_missing(void) {
    struct calls call;
    return load(&call);
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static uint64_t now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* libmicrohttpd closes it when it finds that nothing more comes. */
static void send_away(struct place *place) {
    shutdown(place->fd, SHUT_RDWR);
    place->fd = -1;
}

static void make_place(struct http *h) {
    struct place *oldest = NULL;
    for (size_t i = 0; i < sizeof(h->places) / sizeof(h->places[0]); i++) {
        struct place *p = &h->places[i];
        if (p->taken && p->fd >= 0 && (!oldest || p->since_ms < oldest->since_ms)) {
            oldest = p;
        }
    }
    if (oldest) {
        send_away(oldest);
    }
}

static void end_overdue(struct http *h) {
    uint64_t now = now_ms();
    for (size_t i = 0; i < sizeof(h->places) / sizeof(h->places[0]); i++) {
        if (h->places[i].taken && h->places[i].fd >= 0 && now - h->places[i].since_ms > CONNECTION_MS) {
            send_away(&h->places[i]);
        }
    }
}

static void take_place(struct http *h, struct MHD_Connection *connection, void **context) {
    const union MHD_ConnectionInfo *info =
        h->call.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (h->open >= CONNECTIONS) {
        make_place(h);
    }
    for (size_t i = 0; info && i < sizeof(h->places) / sizeof(h->places[0]); i++) {
        struct place *p = &h->places[i];
        if (p->taken) {
            continue;
        }
        *p = (struct place){ info->connect_fd, true, now_ms() };
        *context = p;
        h->open++;
        return;
    }
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code) {
    struct http *h = ctx;
    struct place *p = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        take_place(h, connection, context);
    } else if (p) {
        p->taken = false;
        h->open--;
        *context = NULL;
    }
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

struct answer {
    unsigned int status;
    const char *type;
    struct buf text; /* becomes the response's */
};

static enum MHD_Result send_answer(const struct http *h, struct MHD_Connection *connection, struct answer *a) {
    struct MHD_Response *response =
        h->call.MHD_create_response_from_buffer(a->text.size, a->text.data, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        buf_free(&a->text);
        return MHD_NO;
    }
    h->call.MHD_add_response_header(response, "Content-Type", a->type);
    h->call.MHD_add_response_header(response, "Cache-Control", "no-store");
    h->call.MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    h->call.MHD_add_response_header(response, "Connection", "close");
    if (a->status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        h->call.MHD_add_response_header(response, "Allow", "GET, HEAD");
    }
    enum MHD_Result sent = h->call.MHD_queue_response(connection, a->status, response);
    h->call.MHD_destroy_response(response);
    return sent;
}

static void say(struct answer *a, unsigned int status, const char *text) {
    a->status = status;
    a->type = "text/plain; charset=utf-8";
    buf_add_text(&a->text, text);
    buf_add_char(&a->text, '\n');
}

static void tell_metrics(const struct http *h, struct MHD_Connection *connection, struct answer *a) {
    char why[600];
    const char *accept = h->call.MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
    struct prom p = { .open_metrics = negotiate_open_metrics(accept) };
    collect(&p, h->name, why, sizeof(why));
    if (p.text.size == 0) {
        buf_free(&p.text);
        say(a, MHD_HTTP_SERVICE_UNAVAILABLE, why);
        return;
    }
    *a = (struct answer){ MHD_HTTP_OK, prom_content_type(p.open_metrics), p.text };
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *data, size_t *size, void **state) {
    struct http *h = ctx;
    struct answer a = { 0 };
    (void)version;
    (void)data;
    (void)size;
    (void)state;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        say(&a, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are answered");
    } else if (strcmp(path, "/metrics") != 0) {
        say(&a, MHD_HTTP_NOT_FOUND, "the metrics are at /metrics");
    } else {
        tell_metrics(h, connection, &a);
    }
    return send_answer(h, connection, &a);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static int wait_ms(const struct http *h, struct MHD_Daemon *daemon) {
    MHD_UNSIGNED_LONG_LONG ms;
    return h->call.MHD_get_timeout(daemon, &ms) == MHD_YES && ms < LOOK_MS ? (int)ms : LOOK_MS;
}

static void serve(struct http *h, struct MHD_Daemon *daemon) {
    const union MHD_DaemonInfo *info = h->call.MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd events = { .fd = info->epoll_fd, .events = POLLIN };
    while (!stopped) {
        (void)poll(&events, 1, wait_ms(h, daemon));
        h->call.MHD_run(daemon);
        end_overdue(h);
    }
}

int http_serve(const char *tool, const char *name, int fd, const char *at) {
    struct http h = { .name = name };
    const char *missing = load(&h.call);
    if (missing) {
        args_sayf(tool, "--listen: %s", missing);
        return TOOL_FAILED;
    }
    signal(SIGPIPE, SIG_IGN);
    signals_catch(on_signal, 0);
    struct MHD_Daemon *daemon = h.call.MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, &h, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        CONNECTIONS + CONNECTIONS_SPARE, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_MS / 1000, MHD_OPTION_NOTIFY_CONNECTION, on_connection, &h,
        MHD_OPTION_END);
    if (!daemon) {
        args_sayf(tool, "--listen: libmicrohttpd does not start at %s", at);
        return TOOL_FAILED;
    }
    printf("listening %s\n", at);
    int code = stdio_flush() == 0 ? TOOL_OK : TOOL_FAILED;
    if (code == TOOL_OK) {
        serve(&h, daemon);
    }
    h.call.MHD_stop_daemon(daemon);
    return code;
}

#else

const char *http_missing(void) {
    return "this tide was built without libmicrohttpd (Debian: libmicrohttpd-dev); use --textfile, or build it again";
}

int http_serve(const char *tool, const char *name, int fd, const char *at) {
    (void)tool;
    (void)name;
    (void)fd;
    (void)at;
    return TOOL_FAILED;
}

#endif
