/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who lives, certified by the kernel: open-file-description locks on bytes of the log segment. The kernel drops them with the
 * last descriptor, whatever killed the process, and does not confuse reused process ids or pid namespaces. Hence there
 * is no time-out to tune and no false suspicion.
 *
 * Every function takes the descriptor that the member attached with. Errors: -1, with errno.
 */
#ifndef SHM_MEMBER_H
#define SHM_MEMBER_H

#include <stdbool.h>

/* Be counted among the living, until the descriptor is closed. */
int member_join(int fd);

/* Nobody else lives: then this description alone holds the domain (true), and member_join() ends that. */
bool member_claim_dead(int fd);

/* Hold the leader's byte, or find that somebody does (false). */
bool member_lead(int fd);
void member_unlead(int fd);

#endif
