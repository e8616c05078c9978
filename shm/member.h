/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who lives, certified by the kernel: open-file-description locks on bytes of the log segment. The kernel drops them with the
 * last descriptor, whatever killed the process, and does not confuse reused process ids or pid namespaces. Hence there
 * is no time-out to tune and no false suspicion.
 *
 * Byte 0 is locked by all living members together, byte 1 by the leader, byte 64 + k by member k. A descriptor is a member: a
 * process that opens a domain twice is two. After fork() the child shares the parent's locks, so it must close the
 * descriptor (the engine does, by pthread_atfork), or a dead parent would seem to live.
 */
#ifndef SHM_MEMBER_H
#define SHM_MEMBER_H

#include <stdbool.h>

#include "shm/layout.h"

/* Bytes of the log segment's file; member k has MEMBER_FIRST + k. */
enum member_byte { MEMBER_ALIVE = 0, MEMBER_LEADER = 1, MEMBER_FIRST = 64 };

/* Be counted among the living, until the descriptor is closed. 0, or -1 with errno. */
int member_join(int fd);

/* Somebody other than this description lives, or that cannot be told. For a descriptor that is open for reading alone as well. */
bool member_any_lives(int fd);

/* Nobody else lives: then this description alone holds the domain (true), and member_join() ends that. */
bool member_claim_dead(int fd);

/*
 * Take a member slot. Slots whose member is dead are handed to reap() first, while their byte is held, so nobody else
 * does the same. Returns the slot's number, or -1 with errno: EAGAIN where all are taken by the living, else what the system said when
 * it refused a lock.
 */
typedef void member_reap_fn(void *ctx, uint32_t member);
int member_claim(int fd, struct log_segment *log, member_reap_fn *reap, void *ctx);
void member_release(int fd, struct log_segment *log, uint32_t member);

/* Hand every dead member to reap() and free its slot. Returns how many. self: the caller's slot. */
uint32_t member_reap_all(int fd, struct log_segment *log, uint32_t self, member_reap_fn *reap, void *ctx);

/* Does the member of this slot live? `self`: the caller's own slot, whose byte tells the caller nothing. */
bool member_lives(int fd, const struct log_segment *log, uint32_t member, uint32_t self);

/* Hold the leader's byte, or find that somebody else does (false with EAGAIN or EACCES; then wait as shm/vigil.h says; another
 * errno: locks are refused). */
bool member_lead(int fd);
void member_unlead(int fd);
/* Somebody other than this description holds it. */
bool member_led_elsewhere(int fd);

#endif
