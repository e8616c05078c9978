/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases by the second in which they end: all keys that end in one second share one, so that a thousand writes a second with a ttl make one
 * lease a second. A key never ends before its time, and up to two seconds after it; etcd itself gives no lease a life under some two
 * seconds, and gives all of them a new life when its leader changes.
 */
#ifndef TIDE_ETCD_LEASE_H
#define TIDE_ETCD_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#define LEASES 4096u
#define LEASE_TTL_MOST 3153600000ull /* a hundred years, in seconds: longer is for ever */

struct etcd_client;
struct etcd_call;

struct lease {
    uint64_t end_s; /* 0: free */
    uint64_t id;    /* 0: being asked for */
    struct etcd_client *client;
    struct etcd_call *call;
    unsigned at; /* endpoint */
};

struct lease_table {
    struct lease *all;
    uint32_t next; /* that is given up where none is free */
    uint64_t asked;
    char why[300]; /* what the last one failed of; "" */
};

/* The lease of a key that lives ttl_s seconds from now, and 0 while it is being asked for. */
uint64_t lease_get(struct etcd_client *c, uint64_t ttl_s);
/* etcd does not know it any more. */
void lease_forget_all(struct etcd_client *c);
void lease_close(struct etcd_client *c);

#endif
