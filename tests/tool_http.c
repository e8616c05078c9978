/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client for tests/metrics_http.test.sh and tests/web.test.sh, polite and hostile. AT is PORT (at 127.0.0.1), 6:PORT (at ::1) or a path
 * of a socket.
 *
 *   tool_http get AT METHOD PATH [HEADER]...   print the whole answer
 *   tool_http raw AT FILE                      send a file as it is, and print the whole answer
 *   tool_http header AT BYTES                  send one header of so many bytes; 0 when the connection was ended for it
 *   tool_http slow AT                          begin a request and never end it; 0 when the connection was ended for it
 *   tool_http deaf AT PATH                     ask, and read nothing; 0 when the connection was ended for it
 *   tool_http idle AT N AGAIN [PATH]           open N connections that say nothing, or ask for PATH and read nothing; while all are open ask
 *                                              for /metrics, or /state.json, AGAIN times
 *   tool_http stream AT PATH EVENTS            print what comes until so many events are complete
 *   tool_http hold AT                          listen at a port until killed, for a port that is taken
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(const char *at) {
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    const struct sockaddr *a = (const struct sockaddr *)&in;
    socklen_t length = sizeof(in);
    if (strchr(at, '/')) {
        snprintf(un.sun_path, sizeof(un.sun_path), "%s", at);
        a = (const struct sockaddr *)&un;
        length = sizeof(un);
    } else if (strncmp(at, "6:", 2) == 0) {
        in6.sin6_port = htons((uint16_t)atoi(at + 2));
        a = (const struct sockaddr *)&in6;
        length = sizeof(in6);
    } else {
        in.sin_port = htons((uint16_t)atoi(at));
    }
    int fd = socket(a->sa_family, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, a, length) != 0) {
        perror(at);
        exit(2);
    }
    return fd;
}

/* 0, or -1 where the other end has ended the connection. */
static int send_all(int fd, const char *text, size_t size) {
    while (size > 0) {
        ssize_t n = send(fd, text, size, MSG_NOSIGNAL);
        if (n <= 0) {
            return -1;
        }
        text += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Read to the end, onto `out` where it is not NULL. How many bytes. */
static size_t read_all(int fd, FILE *out) {
    static char bytes[65536];
    size_t all = 0;
    for (ssize_t n; (n = recv(fd, bytes, sizeof(bytes), 0)) > 0; all += (size_t)n) {
        if (out) {
            fwrite(bytes, 1, (size_t)n, out);
        }
    }
    return all;
}

static size_t get(const char *at, const char *method, const char *path, char **headers, int n, FILE *out) {
    char head[4096];
    int fd = connect_to(at);
    int length = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path);
    for (int i = 0; i < n; i++) {
        length += snprintf(head + length, sizeof(head) - (size_t)length, "%s\r\n", headers[i]);
    }
    length += snprintf(head + length, sizeof(head) - (size_t)length, "\r\n");
    send_all(fd, head, (size_t)length);
    size_t got = read_all(fd, out);
    close(fd);
    return got;
}

static int raw(const char *at, const char *file) {
    static char text[65536];
    FILE *in = fopen(file, "rb");
    if (!in) {
        return 2;
    }
    size_t size = fread(text, 1, sizeof(text), in);
    fclose(in);
    int fd = connect_to(at);
    send_all(fd, text, size);
    return read_all(fd, stdout) == 0;
}

static int header(const char *at, size_t bytes) {
    static char letters[4096];
    int fd = connect_to(at);
    memset(letters, 'a', sizeof(letters));
    int ended = send_all(fd, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ", 44) != 0;
    for (size_t sent = 0; !ended && sent < bytes; sent += sizeof(letters)) {
        ended = send_all(fd, letters, sizeof(letters)) != 0;
    }
    /* What it may have answered meanwhile is no metrics. */
    char answer[64] = "";
    ssize_t n = recv(fd, answer, sizeof(answer) - 1, 0);
    return n > 0 && strncmp(answer, "HTTP/1.1 200", 12) == 0;
}

static int slow(const char *at) {
    int fd = connect_to(at);
    struct pollfd end = { .fd = fd, .events = POLLIN | POLLRDHUP };
    while (send_all(fd, "G", 1) == 0) {
        if (poll(&end, 1, 100) > 0) {
            return 0;
        }
    }
    return 0;
}

static int deaf(const char *at, const char *path) {
    char head[256];
    int fd = connect_to(at), small = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    int length = snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    send_all(fd, head, (size_t)length);
    struct pollfd end = { .fd = fd, .events = POLLRDHUP };
    while (poll(&end, 1, 1000) == 0) {
    }
    return 0;
}

static int idle(const char *at, int n, int again, const char *path) {
    struct rlimit limit = { 4096, 4096 };
    char head[256];
    int length = snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path ? path : "");
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < n; i++) {
        int fd = connect_to(at);
        if (path) {
            send_all(fd, head, (size_t)length);
        }
    }
    for (int i = 0; i < again; i++) {
        if (get(at, "GET", path ? "/state.json" : "/metrics", NULL, 0, NULL) < 1000) {
            return 1;
        }
    }
    return 0;
}

static int stream(const char *at, const char *path, int events) {
    char head[256], byte, before = 0;
    int fd = connect_to(at), seen = 0;
    bool data = false;
    int length = snprintf(head, sizeof(head), "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
    send_all(fd, head, (size_t)length);
    while (seen < events && recv(fd, &byte, 1, 0) == 1) {
        putchar(byte);
        if (byte == '{') {
            data = true;
        } else if (byte == '\n' && before == '\n') {
            seen += data;
            fflush(stdout);
            data = false;
        }
        before = byte;
    }
    return seen == events ? 0 : 1;
}

static int hold(void) {
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&in, length) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, (struct sockaddr *)&in, &length) != 0) {
        return 2;
    }
    printf("%u\n", (unsigned)ntohs(in.sin_port));
    fflush(stdout);
    pause();
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "hold") == 0) {
        return hold();
    }
    if (strcmp(what, "get") == 0 && argc > 4) {
        return get(argv[2], argv[3], argv[4], argv + 5, argc - 5, stdout) == 0;
    }
    if (strcmp(what, "raw") == 0 && argc > 3) {
        return raw(argv[2], argv[3]);
    }
    if (strcmp(what, "header") == 0 && argc > 3) {
        return header(argv[2], (size_t)atoll(argv[3]));
    }
    if (strcmp(what, "slow") == 0 && argc > 2) {
        return slow(argv[2]);
    }
    if (strcmp(what, "deaf") == 0 && argc > 3) {
        return deaf(argv[2], argv[3]);
    }
    if (strcmp(what, "idle") == 0 && argc > 4) {
        return idle(argv[2], atoi(argv[3]), atoi(argv[4]), argv[5]);
    }
    if (strcmp(what, "stream") == 0 && argc > 4) {
        return stream(argv[2], argv[3], atoi(argv[4]));
    }
    fputs("see tests/tool_http.c\n", stderr);
    return 2;
}
