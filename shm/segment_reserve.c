/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/segment_reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "shm/clock.h"
#include "shm/fault.h"
#include "shm/room.h"
#include "shm/segment_name.h"

#define SEGMENT_RESERVE_STEP_BYTES (UINT64_C(256) << 20)
#define SEGMENT_WRITE_STEP_BYTES 65536u
#define SEGMENT_HUGE_BYTES (UINT64_C(2) << 20) /* of x86-64, and of aarch64 with pages of 4 KiB */
#define SEGMENT_HUGE_STEP_BYTES (UINT64_C(32) << 20)
/* How long to wait for huge pages: a hypervisor that has to find the memory first takes 5 ms for a MiB. Small pages
 * take a tenth of that, since the system hands recently used ones out again. */
#define SEGMENT_HUGE_FIRST_NS_PER_MIB 10000000u
#define SEGMENT_HUGE_PATIENCE_NS UINT64_C(2000000000)
#define SEGMENT_HUGE_NS_PER_MIB 1000000u
#ifndef MADV_COLLAPSE /* Linux 6.1; older ones answer EINVAL */
#define MADV_COLLAPSE 25
#endif

/* ---- room ------------------------------------------------------------------------------------------------------------ */

static const char *segment_file(const struct segment *s) {
    const char *slash = strrchr(s->path, '/');
    return slash != NULL ? slash + 1 : s->path;
}

/* "20.0 MiB", "3.5 KiB". */
struct segment_size {
    char text[24];
};

static struct segment_size segment_size(uint64_t bytes) {
    struct segment_size s;
    bool kib = bytes < 1u << 20;
    (void)snprintf(s.text, sizeof(s.text), "%.1f %s", (double)bytes / (kib ? 1024.0 : 1048576.0), kib ? "KiB" : "MiB");
    return s;
}

static const char *segment_advice(enum segment_kind kind) {
    return kind == SEGMENT_SPILL ? "write less at once" : "ask for a smaller ring (--ring) or table (--table)";
}

static int segment_no_room(const struct segment *s, enum segment_kind kind, const struct room *r) {
    const char *slash = strrchr(s->path, '/'), *name = segment_file(s), *end = strstr(name, SEGMENT_TMP);
    int dir = slash != NULL ? (int)(slash - s->path) : 0;
    int bytes = (int)(end != NULL ? end - name : (long)strlen(name)); /* without the end of the temporary name */
    struct segment_size need = segment_size(s->size_bytes), left = segment_size(r->free_bytes);
    struct segment_size all = segment_size(r->all_bytes);
    switch (r->kind) {
    case ROOM_FILE_SIZE:
        return fault(SHM_ERR_NO_SPACE,
                     "%.*s takes %s, and the limit of a file's size is %s (RLIMIT_FSIZE, 'ulimit -f'): raise it, or %s",
                     bytes, name, need.text, left.text, segment_advice(kind));
    case ROOM_MEMORY_LIMIT:
        return fault(SHM_ERR_NO_SPACE,
                     "%.*s takes %s, and the control group's memory limit of %s leaves %s: raise it, %s, or remove a "
                     "dead domain ('tide ls', 'tide rm')",
                     bytes, name, need.text, all.text, left.text, segment_advice(kind));
    default:
        return fault(
            SHM_ERR_NO_SPACE,
            "%.*s takes %s, and %.*s has %s free of %s: make it larger ('docker run --shm-size'), %s, or remove "
            "a dead domain ('tide ls', 'tide rm')",
            bytes, name, need.text, dir, s->path, left.text, all.text, segment_advice(kind));
    }
}

int segment_check_room(const struct segment *s, enum segment_kind kind) {
    struct room r = room_look(s->fd);
    if (s->size_bytes <= r.free_bytes) {
        return 0;
    }
    errno = ENOSPC;
    return segment_no_room(s, kind, &r);
}

/* There was room, and reserving failed all the same: another process took the room meanwhile, or the system gave
 * another reason. errno stays. */
static int segment_reserve_error(const struct segment *s, enum segment_kind kind) {
    int why = errno;
    if (why == ENOSPC || why == EDQUOT || why == EFBIG) {
        struct room r = room_look(s->fd);
        errno = why;
        if (r.free_bytes < s->size_bytes) {
            return segment_no_room(s, kind, &r);
        }
        return fault_errno(SHM_ERR_NO_SPACE, "%s takes %s: %s, or remove a dead domain ('tide ls', 'tide rm')",
                           segment_file(s), segment_size(s->size_bytes).text, segment_advice(kind));
    }
    return fault_errno(why == ENOMEM ? SHM_ERR_NOMEM : SHM_ERR_SYSTEM, "%llu bytes cannot be reserved for %s",
                       (unsigned long long)s->size_bytes, segment_file(s));
}

/* ---- huge pages ------------------------------------------------------------------------------------------------------ */

/* Collapse [from, to) into huge pages. False: do not go on. */
static bool segment_collapse(const struct segment *s, uint64_t from, uint64_t to) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    for (uint64_t off = from; off < to; off += SEGMENT_HUGE_BYTES) {
        if (fallocate(s->fd, 0, (off_t)off, (off_t)page) != 0 && errno != EINTR) {
            return false;
        }
    }
    return madvise(s->base + from, to - from, MADV_COLLAPSE) ==
           0; /* fails if this kernel cannot do it, or if no huge page is left */
}

/*
 * Huge pages, as far as the system has them. Most systems give none to shared memory by themselves (shmem_enabled is
 * "never"), but collapse pages into a huge one when they are asked to, whatever that setting says. Asked while the file
 * is empty but for one page in each, that costs little more than reserving small pages would. They halve the time of a get
 * from a table that does not fit the caches: the walk through the page table misses there as well. A ring is gone through
 * from end to end, by leader and followers, so that with small pages each entry may cost both such a walk.
 * Not an error where it does not work: small pages are reserved then.
 *
 * First the start, where a table's buckets are; then from the end downwards, as its nodes are carved, so that what is left over
 * when patience ends is what a table uses last.
 */
static void segment_reserve_huge(const struct segment *s) {
    uint64_t end = s->size_bytes / SEGMENT_HUGE_BYTES * SEGMENT_HUGE_BYTES, mib = end >> 20;
    /* In steps, since each call first waits for every CPU to empty its lists of pages; and no longer than is worth it, where
     * memory is so scattered that the system has to make room for each. */
    uint64_t patience = mib * SEGMENT_HUGE_FIRST_NS_PER_MIB;
    uint64_t until = clock_monotonic_ns() + (patience < SEGMENT_HUGE_PATIENCE_NS ? patience : SEGMENT_HUGE_PATIENCE_NS);
    until += mib * SEGMENT_HUGE_NS_PER_MIB;
    uint64_t start = end / 16 / SEGMENT_HUGE_BYTES * SEGMENT_HUGE_BYTES + SEGMENT_HUGE_BYTES;
    start = start < end ? start : end;
    bool more = true;
    for (uint64_t at = 0; more && at < start && clock_monotonic_ns() < until; at += SEGMENT_HUGE_STEP_BYTES) {
        more = segment_collapse(s, at, start - at < SEGMENT_HUGE_STEP_BYTES ? start : at + SEGMENT_HUGE_STEP_BYTES);
    }
    for (uint64_t at = end; more && at > start && clock_monotonic_ns() < until;) {
        uint64_t from = at - start < SEGMENT_HUGE_STEP_BYTES ? start : at - SEGMENT_HUGE_STEP_BYTES;
        more = segment_collapse(s, from, at);
        at = from;
    }
}

/* ---- reserving ------------------------------------------------------------------------------------------------------- */

/* Reserve by writing, where fallocate() fails: the file system lacks it, or a sandbox forbids it. The file is fresh, so
 * zeroes change nothing. */
static int segment_write_all(int fd, uint64_t size_bytes) {
    static const uint8_t zeroes[SEGMENT_WRITE_STEP_BYTES];
    for (uint64_t done = 0; done < size_bytes;) {
        uint64_t left = size_bytes - done;
        ssize_t n = pwrite(fd, zeroes, left < sizeof(zeroes) ? left : sizeof(zeroes), (off_t)done);
        if (n > 0) {
            done += (uint64_t)n;
        } else if (n == 0 || errno != EINTR) {
            errno = n == 0 ? ENOSPC : errno;
            return -1;
        }
    }
    return 0;
}

/* Reserve in steps. A signal undoes the running call, so a timer that fires faster than a large call ends would hold it
 * up for ever. */
static int segment_allocate(int fd, uint64_t size_bytes) {
    for (uint64_t done = 0; done < size_bytes;) {
        uint64_t left = size_bytes - done;
        uint64_t step = left < SEGMENT_RESERVE_STEP_BYTES ? left : SEGMENT_RESERVE_STEP_BYTES;
        if (fallocate(fd, 0, (off_t)done, (off_t)step) == 0) {
            done += step;
        } else if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EPERM || errno == EACCES || errno == EINVAL) {
            return segment_write_all(fd, size_bytes);
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

/* A write beyond RLIMIT_FSIZE raises SIGXFSZ, which ends the process unless it is blocked. The signal goes to the
 * thread that made the call. If it was not pending before, it is ours to take back. */
struct segment_quiet {
    sigset_t before;
    bool was_pending, blocked;
};

static struct segment_quiet segment_block_xfsz(void) {
    struct segment_quiet q = { .was_pending = false };
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGXFSZ);
    q.blocked = pthread_sigmask(SIG_BLOCK, &set, &q.before) == 0;
    if (q.blocked && sigpending(&set) == 0) {
        q.was_pending = sigismember(&set, SIGXFSZ) == 1;
    }
    return q;
}

static void segment_unblock_xfsz(const struct segment_quiet *q) {
    int why = errno;
    if (q->blocked) {
        sigset_t set;
        const struct timespec now = { 0, 0 };
        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGXFSZ);
        while (!q->was_pending && sigtimedwait(&set, NULL, &now) == -1 && errno == EINTR) {
        }
        (void)pthread_sigmask(SIG_SETMASK, &q->before, NULL);
    }
    errno = why;
}

int segment_reserve(const struct segment *s, enum segment_kind kind) {
    struct segment_quiet quiet = segment_block_xfsz();
    if (kind != SEGMENT_SPILL && ftruncate(s->fd, (off_t)s->size_bytes) == 0) {
        segment_reserve_huge(s);
    }
    int failed = segment_allocate(s->fd, s->size_bytes);
    segment_unblock_xfsz(&quiet);
    if (failed != 0) {
        return segment_reserve_error(s, kind);
    }
    errno = 0;
    return 0;
}
