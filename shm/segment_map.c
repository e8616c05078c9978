/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/segment_map.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/fault.h"

#define SEGMENT_HUGE_BYTES (UINT64_C(2) << 20) /* of x86-64, and of aarch64 with pages of 4 KiB */

static int segment_map_error(uint64_t bytes) {
    if (errno == ENOMEM ||
        errno == EAGAIN) { /* EAGAIN: mlockall(MCL_FUTURE) is in force, and RLIMIT_MEMLOCK is reached */
        return fault_errno(SHM_ERR_NOMEM,
                           "%llu bytes of addresses cannot be mapped: look at the limits of address space and locked "
                           "memory ('ulimit -v', 'ulimit -l')",
                           (unsigned long long)bytes);
    }
    return fault_errno(SHM_ERR_SYSTEM, "mmap of %llu bytes", (unsigned long long)bytes);
}

/* Find addresses for `bytes`, at a multiple of a huge page if one fits: elsewhere the file's huge pages could not be
 * mapped as such. NULL: none; errno says why. */
static uint8_t *segment_find_room(uint64_t bytes) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t used = (bytes + page - 1) / page * page;
    uint64_t room = bytes < SEGMENT_HUGE_BYTES ? used : used + SEGMENT_HUGE_BYTES;
    uint8_t *start = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        return NULL;
    }
    uint64_t lead = room == used ? 0 : -(uintptr_t)start % SEGMENT_HUGE_BYTES;
    if (lead != 0) {
        (void)munmap(start, lead);
    }
    if (lead + used < room) {
        (void)munmap(start + lead + used, room - lead - used);
    }
    return start + lead;
}

/* Map a range `times` times in a row, with the segment's access. */
static int segment_map_range(const struct segment *s, uint64_t off, uint64_t bytes, uint64_t times, uint8_t **out) {
    int access = s->writable ? PROT_READ | PROT_WRITE : PROT_READ;
    /* Reserve the addresses of all of them first, so that nothing else is mapped where the second goes. */
    uint8_t *base = segment_find_room(times * bytes);
    if (base == NULL) {
        return segment_map_error(times * bytes);
    }
    for (uint64_t i = 0; i < times; i++) {
        if (mmap(base + i * bytes, bytes, access, MAP_SHARED | MAP_FIXED, s->fd, (off_t)off) == MAP_FAILED) {
            int error = segment_map_error(times * bytes);
            int why = errno;
            (void)munmap(base, times * bytes);
            errno = why;
            return error;
        }
    }
    (void)madvise(base, times * bytes, MADV_HUGEPAGE); /* only a wish */
    (void)madvise(base, times * bytes, MADV_DONTDUMP); /* a kernel or a sandbox that refuses it dumps them */
    *out = base;
    return 0;
}

int segment_map(struct segment *s) {
    return segment_map_range(s, 0, s->size_bytes, 1, &s->base);
}

void segment_let_dump(void *base, uint64_t bytes) {
    (void)madvise(base, bytes, MADV_DODUMP);
}

int segment_fd(const struct segment *s) {
    struct stat st;
    int why = errno;
    bool ours = s->fd >= 0 && fstat(s->fd, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino;
    errno = why;
    return ours ? s->fd : -1;
}

void segment_detach(struct segment *s) {
    int fd = segment_fd(s);
    if (s->base != NULL) {
        (void)munmap(s->base, s->size_bytes);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    *s = (struct segment)SEGMENT_INIT;
}

int segment_map_ring(const struct segment *s, uint64_t ring_off, uint64_t ring_bytes, uint8_t **ring) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (s->fd < 0 || ring_bytes == 0 || ring_bytes % page != 0 || ring_off % page != 0 || ring_bytes > s->size_bytes ||
        ring_off > s->size_bytes - ring_bytes) {
        return SHM_ERR_INVALID;
    }
    return segment_map_range(s, ring_off, ring_bytes, 2, ring);
}

uint64_t segment_ring_off(uint64_t before_bytes, uint64_t ring_bytes) {
    uint64_t step = ring_bytes < SEGMENT_HUGE_BYTES ? (uint64_t)sysconf(_SC_PAGESIZE) : SEGMENT_HUGE_BYTES;
    return (before_bytes + step - 1) / step * step;
}

void segment_unmap_ring(uint8_t *ring, uint64_t ring_bytes) {
    if (ring != NULL) {
        (void)munmap(ring, 2 * ring_bytes);
    }
}
