/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Segments under the limits of a process: closed descriptors, no descriptors, the size of a file, address space, and the memory
 * limit of a control group. Each is an error with a text that names the limit, and leaves nothing behind.
 */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "shm/fault.h"
#include "shm/fd.h"
#include "shm/room.h"
#include "tests/lib/forked.h"
#include "tests/segment_dir.h"

/* A child with limits of its own. */
#define IN_CHILD(body)                                                                                                 \
    do {                                                                                                               \
        pid_t pid_ = child_begin();                                                                                    \
        if (pid_ == 0) {                                                                                               \
            body;                                                                                                      \
        }                                                                                                              \
        child_end(pid_);                                                                                               \
    } while (0)

static void limit(int which, rlim_t value) {
    const struct rlimit l = { value, value };
    CHILD(setrlimit(which, &l) == 0);
}

/* ---- descriptors ----------------------------------------------------------------------------------------------------- */

static int lowest_taken(void) {
    for (int fd = 0; fd < FD_LEAST; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            return fd;
        }
    }
    return FD_LEAST;
}

/* What the children of the first case do, with some of 0, 1 and 2 closed. */
static void without_standard_descriptors(unsigned closed) {
    int kept = 0;
    for (int fd = 0; fd < FD_LEAST; fd++) {
        if ((closed >> fd & 1) != 0) {
            close(fd);
        } else {
            kept++;
        }
    }
    struct segment s = SEGMENT_INIT, again = SEGMENT_INIT;
    CHILD(segment_create(&s, NULL, "t", SEGMENT_LOG, 0, BYTES) == 0 && s.fd >= FD_LEAST);
    CHILD(segment_publish(&s, "t", SEGMENT_LOG, 0, 11, 22) == 0);
    CHILD(segment_attach(&again, NULL, "t", SEGMENT_LOG, 0, true) == 0 && again.fd >= FD_LEAST);
    int low = open("/dev/null", O_RDONLY);
    CHILD(low < FD_LEAST); /* the ones that were kept taken meanwhile are free again */
    int lifted = fd_lift(low);
    CHILD(lifted >= FD_LEAST && fcntl(lifted, F_GETFD) == FD_CLOEXEC);
    DIR *d = fd_open_dir(dir);
    CHILD(d != NULL && dirfd(d) >= FD_LEAST);
    FILE *f = fd_open_text("/proc/self/cgroup");
    CHILD(f == NULL || fileno(f) >= FD_LEAST);
    CHILD(kept != 0 || lowest_taken() == FD_LEAST);
    CHILD(write(1, "hello", 5) < 0 || (closed >> 1 & 1) == 0);
    CHILD(s.base[0] == 'T');
    segment_unlink(NULL, "t", SEGMENT_LOG, 0);
    _exit(0);
}

static void descriptors__standard_ones_closed__ours_are_above_them(void **state) {
    (void)state;
    for (unsigned closed = 1; closed < 8; closed++) {
        IN_CHILD(without_standard_descriptors(closed));
    }
}

static void without_any_descriptor(void) {
    struct segment s = published(), other = SEGMENT_INIT;
    limit(RLIMIT_NOFILE, (rlim_t)s.fd + 1);
    for (int fd = FD_LEAST; fd < s.fd; fd++) {
        (void)dup2(0, fd); /* none below is left either */
    }
    CHILD(segment_attach(&other, NULL, "t", SEGMENT_LOG, 0, true) == SHM_ERR_SYSTEM && errno == EMFILE);
    CHILD(strstr(fault_text(), "Too many open files") != NULL);
    CHILD(segment_create(&other, NULL, "u", SEGMENT_LOG, 0, BYTES) == SHM_ERR_SYSTEM);
    CHILD(segment_unlink_of(NULL, "t", SEGMENT_LOG, 0, 11) ==
          SHM_ERR_SYSTEM); /* it cannot tell whose it is: it stays */
    CHILD(segment_is_current(&s) == 1 && !segment_is_unlinked(&s));
    _exit(0);
}

static void descriptors__none_left__is_no_answer_to_any_question(void **state) {
    (void)state;
    IN_CHILD(without_any_descriptor());
    assert_int_equal(files_in(dir), 1);
}

/* ---- the size of a file ---------------------------------------------------------------------------------------------- */

static void with_small_files(void) {
    limit(RLIMIT_FSIZE, BYTES / 2);
    struct segment s = SEGMENT_INIT;
    CHILD(segment_create(&s, NULL, "t", SEGMENT_LOG, 0, BYTES) == SHM_ERR_NO_SPACE);
    CHILD(strstr(fault_text(), "tidemark.t.log takes 4.0 MiB, and the limit of a file's size is 2.0 MiB") != NULL);
    CHILD(strstr(fault_text(), "RLIMIT_FSIZE") != NULL && strstr(fault_text(), "--table") != NULL);
    CHILD(segment_create(&s, NULL, "t", SEGMENT_SPILL, 0, BYTES) == SHM_ERR_NO_SPACE);
    CHILD(files_in(dir) == 0);
    /* The application's own signal, pending and blocked, is still there afterwards. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGXFSZ);
    CHILD(segment_create(&s, NULL, "t", SEGMENT_LOG, 0, BYTES / 2) == 0);
    CHILD(sigpending(&set) == 0 && sigismember(&set, SIGXFSZ) == 1);
    segment_discard(&s);
    _exit(0);
}

static void file_size_limit__smaller_than_a_segment__error_and_no_signal(void **state) {
    (void)state;
    IN_CHILD(with_small_files());
}

/* ---- address space --------------------------------------------------------------------------------------------------- */

static void with_few_addresses(void) {
    struct segment s = published(), other = SEGMENT_INIT;
    segment_detach(&s);
    limit(RLIMIT_AS, 1);
    CHILD(segment_attach(&other, NULL, "t", SEGMENT_LOG, 0, true) == SHM_ERR_NOMEM);
    CHILD(strstr(fault_text(), "ulimit -v") != NULL);
    CHILD(segment_create(&other, NULL, "u", SEGMENT_LOG, 0, BYTES) == SHM_ERR_NOMEM);
    CHILD(files_in(dir) == 1);
    _exit(0);
}

static void address_space__used_up__out_of_memory_and_nothing_left(void **state) {
    (void)state;
    if (HELP_ADDRESS_SANITIZER) {
        print_message("skipped: AddressSanitizer needs addresses of its own, and ends a process that has none left\n");
        skip();
    }
    IN_CHILD(with_few_addresses());
}

/* ---- control groups, played by files ---------------------------------------------------------------------------------- */

static void write_text(const char *where, const char *file, const char *text) {
    char at[300];
    (void)snprintf(at, sizeof(at), "%s/%s", where, file);
    FILE *f = fopen(at, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void make_dir(const char *at) {
    assert_int_equal(mkdir(at, 0700), 0);
}

static void remove_tree(const char *at) {
    char command[300];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", at);
    assert_int_equal(system(command), 0);
}

static void room_memory__control_groups_of_version_2__the_least_of_all_around(void **state) {
    (void)state;
    char sys[128], proc[160], outer[160], inner[200];
    (void)snprintf(sys, sizeof(sys), "%s/sys", dir);
    (void)snprintf(proc, sizeof(proc), "%s/cgroup", dir);
    (void)snprintf(outer, sizeof(outer), "%s/outer", sys);
    (void)snprintf(inner, sizeof(inner), "%s/inner", outer);
    make_dir(sys);
    make_dir(outer);
    make_dir(inner);
    write_text(dir, "cgroup", "0::/outer/inner\n");
    assert_true(room_memory(proc, sys).free_bytes == UINT64_MAX); /* no files: no limit */
    write_text(inner, "memory.max", "max\n");
    write_text(inner, "memory.current", "500\n");
    assert_true(room_memory(proc, sys).free_bytes == UINT64_MAX);
    write_text(outer, "memory.max", "1000000\n");
    write_text(outer, "memory.current", "900000\n");
    write_text(outer, "memory.swap.max", "0\n");
    write_text(outer, "memory.stat", "anon 1\nfile 700000\nshmem 500000\nactive_file 100000\ninactive_file 100000\n");
    struct room r = room_memory(proc, sys);
    assert_int_equal(r.kind, ROOM_MEMORY_LIMIT);
    assert_int_equal(r.free_bytes, 300000); /* the pages of files go before anybody is killed; shared memory does not */
    assert_int_equal(r.all_bytes, 1000000);
    write_text(inner, "memory.max", "1000\n");
    write_text(inner, "memory.swap.max", "0\n");
    assert_int_equal(room_memory(proc, sys).free_bytes, 500);
    remove_tree(sys);
}

static void room_memory__control_groups_of_version_1__path_of_the_host_inside_a_container(void **state) {
    (void)state;
    char sys[128], proc[160], memory[160];
    (void)snprintf(sys, sizeof(sys), "%s/sys", dir);
    (void)snprintf(proc, sizeof(proc), "%s/cgroup", dir);
    (void)snprintf(memory, sizeof(memory), "%s/memory", sys);
    make_dir(sys);
    make_dir(memory);
    write_text(dir, "cgroup", "9:name=systemd:/x\n5:cpu,memory,pids:/docker/0123456789\n");
    write_text(memory, "memory.limit_in_bytes", "9223372036854771712\n");
    write_text(memory, "memory.usage_in_bytes", "10\n");
    assert_true(room_memory(proc, sys).free_bytes == UINT64_MAX);
    write_text(memory, "memory.limit_in_bytes", "67108864\n");
    write_text(memory, "memory.memsw.limit_in_bytes", "67108864\n");
    write_text(memory, "memory.memsw.usage_in_bytes", "10\n");
    struct room r = room_memory(proc, sys);
    assert_int_equal(r.free_bytes, 67108854);
    assert_int_equal(r.all_bytes, 67108864);
    write_text(memory, "memory.usage_in_bytes", "99999999\n"); /* above its limit, for a moment */
    write_text(memory, "memory.memsw.usage_in_bytes", "99999999\n");
    assert_int_equal(room_memory(proc, sys).free_bytes, 0);
    remove_tree(sys);
}

int main(void) {
    alarm(120);
    const struct CMUnitTest tests[] = {
        CASE(descriptors__standard_ones_closed__ours_are_above_them),
        CASE(descriptors__none_left__is_no_answer_to_any_question),
        CASE(file_size_limit__smaller_than_a_segment__error_and_no_signal),
        CASE(address_space__used_up__out_of_memory_and_nothing_left),
        CASE(room_memory__control_groups_of_version_2__the_least_of_all_around),
        CASE(room_memory__control_groups_of_version_1__path_of_the_host_inside_a_container),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
