/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A Redis server of our own: a child on a Unix socket in a directory of its own, no TCP port, nothing written to
 * disk. */
#ifndef TIDE_PEERS_REDIS_SERVER_H
#define TIDE_PEERS_REDIS_SERVER_H

#include "bench/peers/peer.h"

struct redis_server {
    pid_t pid; /* 0: none */
    char dir[256];
    char socket[300];
};

/* Start it. It dies with this process. Returns as struct peer's functions. */
int redis_server_start(struct redis_server *s, struct peer_case *c);

/* Remove the socket and its directory: once all connections are made, their names are no longer needed. */
void redis_server_hide(struct redis_server *s);

/* Has it ended? 1, and why is in c->error; or 0. */
int redis_server_ended(struct redis_server *s, struct peer_case *c);

void redis_server_stop(struct redis_server *s);

#endif
