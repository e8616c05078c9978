/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Links that a test can slow down and break. Each is a port of this machine's loopback whose connections are passed on to another port, by
 * a process of its own. Bytes can wait there, in one direction or both; take their time; or the connections end, and new ones with them.
 *
 * Between the members of a cluster of etcd there are such links as well: each member's peers find it behind one. A connection of a peer says
 * in its first lines which member it comes from ("X-Server-From", the member's number), so that one member can be cut off from the
 * others in both directions, although all of them share the links of those that they go to.
 */
#ifndef TIDE_TESTS_LINKS_H
#define TIDE_TESTS_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#define LINKS_MOST 16u

enum link_way { LINK_UP, LINK_DOWN }; /* to where the link leads, and back */

struct links;

/* Add all links, then start. The process ends with the caller. */
struct links *links_new(void);
/* A link to this port. peers: it is a member's, and the others come by it. Returns its number; *port is where it begins. */
unsigned links_add(struct links *l, unsigned to_port, bool peers, unsigned *port);
void links_start(struct links *l);
void links_end(struct links *l);

/* Each returns when it holds: no byte gets past it any more. */
void links_hold(struct links *l, unsigned link, enum link_way way, bool on); /* bytes wait */
void links_delay(struct links *l, unsigned link, uint32_t ms);               /* each way */
void links_cut(struct links *l, unsigned link, bool on);                     /* connections end at once */
/* The member behind the link of its peers, whose number etcd tells, hears none of the others, and they do not hear it. */
void links_isolate(struct links *l, unsigned link, uint64_t member, bool on);
void links_mend(struct links *l); /* all of them */

/* Bytes that wait on the link. */
uint64_t links_waiting(const struct links *l, unsigned link, enum link_way way);
/* Bytes that went past it so far. */
uint64_t links_passed(const struct links *l, unsigned link, enum link_way way);

#endif
