/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where `tide metrics` and `tide web` listen. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shm/fd.h"
#include "tools/http/http.h"
#include "tools/lib/args.h"

#define UNIX "unix:"
#define BACKLOG 64
#define SEND_BYTES 65536 /* that the kernel keeps for a client which does not read */

union any {
    struct sockaddr head;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

static bool address_parse_unix(const char *path, union any *a, socklen_t *length) {
    if (!*path || strlen(path) >= sizeof(a->un.sun_path)) {
        return false;
    }
    a->un.sun_family = AF_UNIX;
    strcpy(a->un.sun_path, path);
    *length = sizeof(a->un);
    return true;
}

/* Addresses, not names: a name may mean another machine's address tomorrow. */
static bool address_parse_ip(const char *text, union any *a, socklen_t *length) {
    char host[64] = "127.0.0.1";
    const char *colon = strrchr(text, ':'), *digits = colon ? colon + 1 : text;
    uint64_t port;
    size_t n = colon ? (size_t)(colon - text) : 0;
    bool six = n > 2 && text[0] == '[' && text[n - 1] == ']';
    if (args_u64(digits, 0, 65535, &port) != 0 || n >= sizeof(host)) {
        return false;
    }
    if (n > 0) {
        snprintf(host, sizeof(host), "%.*s", (int)(six ? n - 2 : n), six ? text + 1 : text);
    }
    if (strcmp(host, "localhost") == 0) {
        strcpy(host, "127.0.0.1");
    }
    if (six) {
        a->in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
        *length = sizeof(a->in6);
        return inet_pton(AF_INET6, host, &a->in6.sin6_addr) == 1;
    }
    a->in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    *length = sizeof(a->in);
    return inet_pton(AF_INET, host, &a->in.sin_addr) == 1;
}

static void address_show(int fd, const char *text, const char *path, char at[ADDRESS_TEXT]) {
    union any a;
    char host[INET6_ADDRSTRLEN] = "?";
    socklen_t length = sizeof(a);
    if (strncmp(text, UNIX, strlen(UNIX)) == 0 || getsockname(fd, &a.head, &length) != 0) {
        snprintf(at, ADDRESS_TEXT, "%s", text);
        return;
    }
    bool six = a.head.sa_family == AF_INET6;
    inet_ntop(a.head.sa_family, six ? (void *)&a.in6.sin6_addr : (void *)&a.in.sin_addr, host, sizeof(host));
    snprintf(at, ADDRESS_TEXT, six ? "http://[%s]:%u%s" : "http://%s:%u%s", host,
             (unsigned)ntohs(six ? a.in6.sin6_port : a.in.sin_port), path);
}

/* A socket that nobody listens at any more: its process was killed. */
static void address_remove_left(const union any *a, socklen_t length) {
    struct stat st;
    int fd = fd_lift(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd >= 0 && lstat(a->un.sun_path, &st) == 0 && S_ISSOCK(st.st_mode) && connect(fd, &a->head, length) != 0 &&
        errno == ECONNREFUSED) {
        unlink(a->un.sun_path);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static int address_bind_and_listen(int fd, const union any *a, socklen_t length) {
    int on = 1, send_bytes = SEND_BYTES;
    mode_t old = 0;
    bool local = a->head.sa_family == AF_UNIX;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes)); /* of each connection */
    if (!local) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); /* connections that ended lately keep no port */
    }
    if (a->head.sa_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (local) {
        old = umask(0077);
    }
    int rc = bind(fd, &a->head, length);
    int error = errno;
    if (local) {
        umask(old);
    }
    errno = error;
    return rc != 0 ? rc : listen(fd, BACKLOG);
}

int address_listen(const char *text, const char *path, char at[ADDRESS_TEXT], bool *usage, char *why, size_t why_size) {
    union any a;
    socklen_t length = 0;
    bool local = strncmp(text, UNIX, strlen(UNIX)) == 0;
    memset(&a, 0, sizeof(a));
    *usage = !(local ? address_parse_unix(text + strlen(UNIX), &a, &length) : address_parse_ip(text, &a, &length));
    if (*usage) {
        snprintf(why, why_size, "--listen must be ADDR:PORT, [ADDR6]:PORT, PORT or unix:PATH: %s", text);
        return -1;
    }
    if (local) {
        address_remove_left(&a, length);
    }
    int fd = fd_lift(socket(a.head.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd < 0 || address_bind_and_listen(fd, &a, length) != 0) {
        snprintf(why, why_size, "cannot listen at %s: %s%s", text, strerror(errno),
                 errno == EADDRINUSE ? "; another process does, choose another port (0: any that is free)" : "");
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    address_show(fd, text, path, at);
    return fd;
}

void address_close(const char *text, int fd) {
    close(fd);
    if (strncmp(text, UNIX, strlen(UNIX)) == 0) {
        unlink(text + strlen(UNIX));
    }
}

bool address_is_loopback(int fd) {
    union any a;
    socklen_t length = sizeof(a);
    if (getsockname(fd, &a.head, &length) != 0) {
        return false;
    }
    if (a.head.sa_family == AF_INET) {
        return (ntohl(a.in.sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
    }
    return a.head.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a.in6.sin6_addr);
}

/*
 * Does the request come by a name that can only be this machine's? Any other name may be one that a hostile page has made an address of this machine
 * of (DNS rebinding): the browser would let that page read what we answer.
 */
bool address_host_is_local(const char *host) {
    char name[256];
    if (!host || (size_t)snprintf(name, sizeof(name), "%s", host) >= sizeof(name)) {
        return host == NULL; /* HTTP/1.0: no browser */
    }
    if (name[0] == '[') {
        return true;
    }
    name[strcspn(name, ":")] = '\0';
    if (name[0] == '\0') {
        return false;
    }
    size_t length = strlen(name);
    const char *local = "localhost";
    return name[strspn(name, "0123456789.")] == '\0' || strcasecmp(name, local) == 0 ||
           (length > 10 && strcasecmp(name + length - 10, ".localhost") == 0);
}
