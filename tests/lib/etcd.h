/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * etcd for tests: real servers at ports of this machine's loopback, with data in a temporary folder, stopped when the process ends; and a
 * false one, whose answers are what the test says, byte by byte.
 */
#ifndef TIDE_TESTS_ETCD_H
#define TIDE_TESTS_ETCD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/lib/links.h"

#define ETCD_MEMBERS 3
#define ETCD_HOSTS 2

struct etcd_world {
    unsigned n;
    char dir[64];
    pid_t pids[ETCD_MEMBERS]; /* 0: not running */
    unsigned client_ports[ETCD_MEMBERS], peer_ports[ETCD_MEMBERS];
    const char *const *more; /* further arguments of each, ending with NULL; or NULL */
    bool tls;
    /* With links (etcd_world_start_linked()) members find one another, and each host finds each member, behind one of its own. */
    struct links *links;
    unsigned peer_links[ETCD_MEMBERS], host_links[ETCD_HOSTS][ETCD_MEMBERS];
    uint64_t numbers[ETCD_MEMBERS]; /* as etcd calls them; with links */
    unsigned peer_link_ports[ETCD_MEMBERS], host_link_ports[ETCD_HOSTS][ETCD_MEMBERS];
};

/* Is there an etcd on this machine? */
bool etcd_is_here(void);

/* Start n members and wait until each answers. more: further arguments for each. */
void etcd_world_start(struct etcd_world *w, unsigned n, const char *const *more);
/* And so many hosts, each with a link of its own to each member. */
void etcd_world_start_linked(struct etcd_world *w, unsigned n, unsigned hosts);
void etcd_world_stop(struct etcd_world *w);
void etcd_member_start(struct etcd_world *w, unsigned i); /* again, with its data; does not wait */
void etcd_member_kill(struct etcd_world *w, unsigned i);  /* SIGKILL */
void etcd_member_signal(struct etcd_world *w, unsigned i, int signal);
void etcd_member_wait(struct etcd_world *w, unsigned i); /* until it takes connections */
/* SIGSTOP, and wait until none of its threads runs: kill() returns before that. */
void etcd_member_freeze(struct etcd_world *w, unsigned i);
/* By links: it hears none of the other members, and they do not hear it. */
void etcd_member_isolate(struct etcd_world *w, unsigned i, bool on);
/* All data of a stopped member. */
void etcd_member_wipe(struct etcd_world *w, unsigned i);

/* etcd://127.0.0.1:PORT,.../PREFIX of the first `members`. Static storage. */
const char *etcd_world_url(const struct etcd_world *w, unsigned members, const char *prefix);
/* By the links of a host. */
const char *etcd_world_host_url(const struct etcd_world *w, unsigned host, const char *prefix);

/* Begin `tide ROLE NAME --upstream` (serve or follow) on a host, whose shared memory is the folder `shm`. What it says goes to the end of the
 * file `log` in the world's folder. It ends with this process. */
pid_t etcd_world_tide(const struct etcd_world *w, unsigned host, const char *shm, const char *role, const char *name,
                      const char *prefix, const char *log);
/* etcdctl --endpoints=... FORMAT: its status; what it prints goes to `out`, which may be NULL. */
int etcd_control(const struct etcd_world *w, char *out, size_t out_size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

unsigned etcd_free_port(void);

/* ---- a false one ---- */

struct etcd_false;
/* A request came, on a connection that this is the turn-th request of: write what there is to say to fd; true: the connection stays. */
typedef bool etcd_false_fn(void *ctx, int fd, unsigned turn, const char *path, const char *body);
struct etcd_false *etcd_false_start(etcd_false_fn *answer, void *ctx, unsigned *port);
void etcd_false_stop(struct etcd_false *f);
void etcd_false_deafen(struct etcd_false *f); /* no more connections: they are refused */
/* A whole answer with this status and text. */
void etcd_false_say(int fd, int status, const char *text);
/* The head of an answer that comes in chunks, and a chunk. */
void etcd_false_begin(int fd);
void etcd_false_chunk(int fd, const char *bytes, size_t size);

#endif
