/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which members live, certified by the kernel: open-file-description locks on bytes of the log segment. The kernel
 * drops them with the last descriptor, whatever killed the process, and does not confuse reused process ids or pid
 * namespaces. Hence there is no time-out to tune and no false suspicion.
 *
 * All living members together lock byte 0, the leader byte 1, member k byte 64 + k. A descriptor is a member: a process
 * that opens a domain twice is two. After fork() the child shares the parent's locks. So the child must close the
 * descriptor (the engine does, by pthread_atfork), or a dead parent would seem to live.
 */
#ifndef TIDE_SHM_MEMBER_H
#define TIDE_SHM_MEMBER_H

#include <stdbool.h>

#include "shm/layout.h"

/* Bytes of the log segment's file; member k has MEMBER_FIRST + k. */
enum member_byte { MEMBER_ALIVE = 0, MEMBER_LEADER = 1, MEMBER_FIRST = 64 };

/* Count as living until the descriptor is closed. 0, or -1 with errno. */
int member_join(int fd);

/* True: a member other than this description lives, or that cannot be told. Also for a descriptor that is open for
 * reading only. */
bool member_any_lives(int fd);

/* True: no other member lives, and this description alone holds the domain until it calls member_join(). */
bool member_claim_dead(int fd);

/*
 * Take a member slot. If the slot's member is dead, reap() is called first while the slot's byte is held, so nobody
 * else reaps it. Returns the slot's number, or -1 with errno: EAGAIN if living members have all slots, else the
 * system's reason for refusing a lock.
 */
typedef void member_reap_fn(void *ctx, uint32_t member);
int member_claim(int fd, struct log_segment *log, member_reap_fn *reap, void *ctx);
void member_release(int fd, struct log_segment *log, uint32_t member);

/* Call reap() for every dead member and free its slot. Returns how many. self: the caller's slot. */
uint32_t member_reap_all(int fd, struct log_segment *log, uint32_t self, member_reap_fn *reap, void *ctx);

/* Does the member of this slot live? `self`: the caller's own slot, whose byte tells the caller nothing. */
bool member_lives(int fd, const struct log_segment *log, uint32_t member, uint32_t self);

/* Lock the leader's byte. False with EAGAIN or EACCES: another description holds it (wait as shm/vigil.h says). False
 * with another errno: the system refuses locks. */
bool member_lead(int fd);
void member_unlead(int fd);
/* Does another description hold it? */
bool member_led_elsewhere(int fd);

#endif
