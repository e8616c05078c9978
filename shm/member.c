/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/member.h"

#include <fcntl.h>
#include <unistd.h>

enum member_byte { MEMBER_ALIVE = 0, MEMBER_LEADER = 1 };

static int member_lock(int fd, enum member_byte byte, short type) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock);
}

int member_join(int fd) {
    return member_lock(fd, MEMBER_ALIVE, F_RDLCK);
}

bool member_claim_dead(int fd) {
    return member_lock(fd, MEMBER_ALIVE, F_WRLCK) == 0;
}

bool member_lead(int fd) {
    return member_lock(fd, MEMBER_LEADER, F_WRLCK) == 0;
}

void member_unlead(int fd) {
    member_lock(fd, MEMBER_LEADER, F_UNLCK);
}
