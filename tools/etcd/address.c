/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/etcd/address.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tools/lib/args.h"

static int address_complain(char *why, size_t why_size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int address_complain(char *why, size_t why_size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(why, why_size, format, args);
    va_end(args);
    return -1;
}

/* What a host's name or address is made of: whatever else is there would become a part of a URL. */
static bool address_is_host(const char *text, size_t len) {
    static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    static const char IN_BRACKETS[] = "0123456789abcdefABCDEF:.";
    bool brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (brackets) {
        text++;
        len -= 2;
    }
    return len > 0 && strspn(text, brackets ? IN_BRACKETS : LETTERS) >= len;
}

static int address_read_endpoint(struct etcd_address *a, const char *text, size_t len, char *why, size_t why_size) {
    char *to = a->endpoints[a->n];
    const char *colon = memrchr(text, ':', len);
    char port[8] = "";
    uint64_t number;
    if (a->n == ETCD_ENDPOINTS) {
        return address_complain(why, why_size, "more than %u endpoints", ETCD_ENDPOINTS);
    }
    if (len == 0) {
        return address_complain(why, why_size, "an endpoint is empty: write HOST:PORT");
    }
    if (memchr(text, '@', len)) { /* may be a password: not repeated */
        return address_complain(
            why, why_size, "an endpoint has an @: write HOST:PORT, and NAME:PASSWORD to a file for --upstream-user");
    }
    if (!colon || len >= ETCD_HOST_BYTES) {
        return address_complain(why, why_size, "\"%.*s\" is no HOST:PORT (etcd listens at 2379 by default)", (int)len,
                                text);
    }
    size_t digits = (size_t)(text + len - colon - 1);
    snprintf(port, sizeof(port), "%.*s", (int)digits, colon + 1);
    if (digits >= sizeof(port) || args_u64(port, 1, 65535, &number) != 0 ||
        !address_is_host(text, (size_t)(colon - text))) {
        bool bare = memchr(text, ':', (size_t)(colon - text)) != NULL && text[0] != '[';
        return address_complain(why, why_size, "\"%.*s\" is no HOST:PORT with a port from 1 to 65535%s", (int)len, text,
                                bare ? ": an IPv6 address stands in brackets" : "");
    }
    snprintf(to, ETCD_HOST_BYTES, "%.*s", (int)len, text);
    a->n++;
    return 0;
}

static int address_hex_of(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

static int address_read_prefix(struct etcd_address *a, const char *text, char *why, size_t why_size) {
    for (; *text; text++) {
        char byte = *text;
        if (byte == '%') {
            int high = address_hex_of(text[1]), low = high < 0 ? -1 : address_hex_of(text[2]);
            if (low < 0) {
                return address_complain(why, why_size, "%%%.2s in the prefix is no byte: write %%25 for a percent sign",
                                        text + 1);
            }
            byte = (char)(high * 16 + low);
            text += 2;
        }
        if (a->prefix_len == sizeof(a->prefix)) {
            return address_complain(why, why_size, "the prefix is longer than %zu bytes", sizeof(a->prefix));
        }
        a->prefix[a->prefix_len++] = byte;
    }
    return 0;
}

int etcd_address_read(struct etcd_address *a, const char *text, char *why, size_t why_size) {
    *a = (struct etcd_address){ 0 };
    if (strncmp(text, "etcds://", 8) == 0) {
        a->tls = true;
        text += 8;
    } else if (strncmp(text, "etcd://", 7) == 0) {
        text += 7;
    } else {
        return address_complain(why, why_size, "\"%s\" does not begin with etcd:// or etcds://", text);
    }
    size_t hosts = strcspn(text, "/");
    for (size_t at = 0; at <= hosts;) {
        size_t len = strcspn(text + at, ",/");
        if (address_read_endpoint(a, text + at, len, why, why_size) != 0) {
            return -1;
        }
        at += len + 1;
    }
    return text[hosts] == '/' ? address_read_prefix(a, text + hosts + 1, why, why_size) : 0;
}
