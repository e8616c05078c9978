/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many keys into etcd or out of it, by transactions of 128, for tests/env/upstream_million.test.sh and tests/upstream_away.test.sh:
 *
 *   tool_etcd_load PORT put PREFIX FIRST COUNT VALUE   PREFIX00000000 and so on, each with VALUE-NUMBER
 *   tool_etcd_load PORT del PREFIX FIRST COUNT
 *
 * At 127.0.0.1. 0, or 1 after a message.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "tools/etcd/wire.h"

#define AT_ONCE 128u

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int connect_to(const char *port) {
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((uint16_t)atoi(port)) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof(in)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
        fail("connecting to etcd");
    }
    return fd;
}

static void send_all(int fd, const char *bytes, size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t n = send(fd, bytes + at, size - at, MSG_NOSIGNAL);
        if (n <= 0) {
            fail("sending to etcd");
        }
        at += (size_t)n;
    }
}

/* Of an answer: its end is known by Content-Length, or by the last chunk. */
static int is_whole(const char *text, size_t size) {
    const char *end = memmem(text, size, "\r\n\r\n", 4), *length = memmem(text, size, "Content-Length: ", 16);
    if (!end) {
        return 0;
    }
    if (length && length < end) {
        return size - (size_t)(end + 4 - text) >= strtoul(length + 16, NULL, 10);
    }
    return size >= 5 && memcmp(text + size - 5, "0\r\n\r\n", 5) == 0;
}

static void await_answer(int fd) {
    static char text[256 << 10];
    size_t size = 0;
    do {
        ssize_t n = recv(fd, text + size, sizeof(text) - 1 - size, 0);
        if (n <= 0) {
            fail("etcd's answer");
        }
        size += (size_t)n;
        text[size] = '\0';
    } while (!is_whole(text, size));
    if (strncmp(text + 9, "200", 3) != 0) {
        fprintf(stderr, "etcd answers: %.500s\n", text);
        exit(1);
    }
}

static void add_operation(struct buf *body, const char *prefix, unsigned long number, const char *value) {
    char key[200], text[200];
    int key_size = snprintf(key, sizeof(key), "%s%08lu", prefix, number);
    buf_add_text(body, body->data[body->size - 1] == '[' ? "" : ",");
    buf_add_text(body, value ? "{\"request_put\":{" : "{\"request_delete_range\":{");
    wire_add_bytes(body, "key", key, (size_t)key_size);
    if (value) {
        int size = snprintf(text, sizeof(text), "%s-%lu", value, number);
        wire_add_bytes(body, "value", text, (size_t)size);
    }
    buf_add_text(body, "}}");
}

int main(int argc, char **argv) {
    struct buf body = { 0 }, head = { 0 };
    int puts = argc == 7 && strcmp(argv[2], "put") == 0;
    if (!puts && (argc != 6 || strcmp(argv[2], "del") != 0)) {
        fprintf(stderr, "tool_etcd_load PORT put PREFIX FIRST COUNT VALUE, or PORT del PREFIX FIRST COUNT\n");
        return 2;
    }
    unsigned long first = strtoul(argv[4], NULL, 10), end = first + strtoul(argv[5], NULL, 10);
    int fd = connect_to(argv[1]);
    while (first < end) {
        body.size = head.size = 0;
        buf_add_text(&body, "{\"success\":[");
        for (unsigned i = 0; i < AT_ONCE && first < end; i++) {
            add_operation(&body, argv[3], first++, puts ? argv[6] : NULL);
        }
        buf_add_text(&body, "]}");
        buf_printf(&head, "POST /v3/kv/txn HTTP/1.1\r\nHost: etcd\r\nContent-Length: %zu\r\n\r\n", body.size);
        send_all(fd, head.data, head.size);
        send_all(fd, body.data, body.size);
        await_answer(fd);
    }
    buf_free(&body);
    buf_free(&head);
    close(fd);
    return 0;
}
