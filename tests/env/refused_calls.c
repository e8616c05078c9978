/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * refused_calls NUMBER:ERRNO... -- COMMAND: the command with system calls that a filter refuses, as sandboxes do. "locks" in place of a
 * number is fcntl() with open-file-description locks.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RULES_MOST 20
#define NUMBER offsetof(struct seccomp_data, nr)
#define COMMAND offsetof(struct seccomp_data, args[1])
#define OFD_FIRST 36 /* F_OFD_GETLK, and two more */

static struct sock_filter code[8 * RULES_MOST + 2];
static unsigned short used;

static void load(unsigned off) {
    code[used++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, off);
}

static void answer(unsigned what) {
    code[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what);
}

static void skip_unless(unsigned comparison, unsigned value, unsigned char lines) {
    code[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | comparison | BPF_K, value, 0, lines);
}

static void refuse(const char *rule) {
    const char *colon = strchr(rule, ':');
    unsigned result = SECCOMP_RET_ERRNO | (colon != NULL ? (unsigned)atoi(colon + 1) : EPERM);
    load(NUMBER);
    if (strncmp(rule, "locks", 5) == 0) {
        skip_unless(BPF_JEQ, SYS_fcntl, 4);
        load(COMMAND);
        skip_unless(BPF_JGE, OFD_FIRST, 2);
        code[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, OFD_FIRST + 2, 1, 0);
    } else {
        skip_unless(BPF_JEQ, (unsigned)atoi(rule), 1);
    }
    answer(result);
}

int main(int argc, char **argv) {
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0 && i <= RULES_MOST; i++) {
        refuse(argv[i]);
    }
    answer(SECCOMP_RET_ALLOW);
    struct sock_fprog program = { used, code };
    if (i + 1 >= argc || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("refused_calls");
        return 77;
    }
    execvp(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return 77;
}
