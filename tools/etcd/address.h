/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the cluster is: etcd://HOST:PORT[,HOST:PORT...]/PREFIX, etcds:// for TLS. One thread. */
#ifndef TIDE_ETCD_ADDRESS_H
#define TIDE_ETCD_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#define ETCD_ENDPOINTS 16u
#define ETCD_HOST_BYTES 270u

struct etcd_address {
    bool tls;
    size_t n;
    char endpoints[ETCD_ENDPOINTS][ETCD_HOST_BYTES]; /* "host:port"; an IPv6 address in brackets */
    char prefix[1024];
    size_t prefix_len;
};

/* Read `text`. In the prefix, %XX is a byte. 0; or -1, and what is wrong in `why`. */
int etcd_address_read(struct etcd_address *a, const char *text, char *why, size_t why_size);

#endif
