/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/segment.h"

#include "shm/clock.h"
#include "shm/crc.h"
#include "shm/segment_name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define SEGMENT_TRIES 16
#define SEGMENT_RESERVE_STEP_BYTES (UINT64_C(256) << 20)
#define SEGMENT_HUGE_BYTES (UINT64_C(2) << 20) /* of x86-64, and of aarch64 with pages of 4 KiB */
#define SEGMENT_HUGE_STEP_BYTES (UINT64_C(32) << 20)
/* How long to wait for huge pages: a hypervisor that has to find the memory first takes 5 ms for a MiB, where small pages are
 * had at a tenth of that, since the system hands out again what it used last. */
#define SEGMENT_HUGE_FIRST_NS_PER_MIB 10000000u
#define SEGMENT_HUGE_PATIENCE_NS UINT64_C(2000000000)
#define SEGMENT_HUGE_NS_PER_MIB 1000000u
#ifndef MADV_COLLAPSE /* Linux 6.1; older ones answer EINVAL */
#define MADV_COLLAPSE 25
#endif

static int segment_errno(void) {
    switch (errno) {
    case ENOENT:
        return SHM_ERR_NO_DOMAIN;
    case ENOMEM:
        return SHM_ERR_NOMEM;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return SHM_ERR_NO_SPACE;
    case ELOOP:  /* O_NOFOLLOW met a symbolic link */
    case EISDIR: /* a directory, opened for writing */
    case ENXIO:  /* a socket, or a pipe */
    case EACCES:
    case EPERM:
        return SHM_ERR_FOREIGN;
    default:
        return SHM_ERR_SYSTEM;
    }
}

uint64_t segment_random(void) {
    uint64_t value = 0;
    while (value == 0) {
        if (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value) && errno != EINTR) {
            /* A sandbox that forbids the call. Unique will do: nothing here is a secret. */
            value = (clock_monotonic_ns() ^ ((uint64_t)getpid() << 40)) * UINT64_C(0x9e3779b97f4a7c15);
        }
    }
    return value;
}

/* ---- mapping ----------------------------------------------------------------------------------------------------- */

/* Addresses for `bytes`, at a multiple of a huge page where one fits: elsewhere those that the file has could not be mapped as
 * such. NULL: none; errno says why. */
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

/* `times` times in a row, with the segment's access. */
static int segment_map_range(const struct segment *s, uint64_t off, uint64_t bytes, uint64_t times, uint8_t **out) {
    int access = s->writable ? PROT_READ | PROT_WRITE : PROT_READ;
    /* For all of them first, so that nothing else can come to lie where the second goes. */
    uint8_t *base = segment_find_room(times * bytes);
    if (base == NULL) {
        return segment_errno();
    }
    for (uint64_t i = 0; i < times; i++) {
        if (mmap(base + i * bytes, bytes, access, MAP_SHARED | MAP_FIXED, s->fd, (off_t)off) == MAP_FAILED) {
            int error = segment_errno();
            (void)munmap(base, times * bytes);
            return error;
        }
    }
    (void)madvise(base, times * bytes, MADV_HUGEPAGE); /* only a wish */
    *out = base;
    return 0;
}

static int segment_map(struct segment *s) {
    return segment_map_range(s, 0, s->size_bytes, 1, &s->base);
}

void segment_detach(struct segment *s) {
    if (s->base != NULL) {
        (void)munmap(s->base, s->size_bytes);
    }
    if (s->fd >= 0) {
        (void)close(s->fd);
    }
    *s = (struct segment)SEGMENT_INIT;
}

/* While `path` is a temporary name. */
static bool segment_is_unpublished(const struct segment *s) {
    size_t length = strnlen(s->path, sizeof(s->path));
    return length > SEGMENT_TMP_BYTES &&
           memcmp(s->path + length - SEGMENT_TMP_BYTES, SEGMENT_TMP, strlen(SEGMENT_TMP)) == 0;
}

static void segment_unlink_temporary(struct segment *s) {
    if (segment_is_unpublished(s)) {
        (void)unlink(s->path);
        s->path[0] = '\0';
    }
}

void segment_discard(struct segment *s) {
    segment_unlink_temporary(s);
    segment_detach(s);
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

/* ---- creating ---------------------------------------------------------------------------------------------------- */

/* The file's lock tells sweepers that its creator lives. One may come between open and flock: then the name is lost. */
static int segment_open_temporary(struct segment *s, const char *path) {
    for (int i = 0; i < SEGMENT_TRIES; i++) {
        struct stat st;
        (void)snprintf(s->path, sizeof(s->path), "%.*s" SEGMENT_TMP "%016llx",
                       (int)(sizeof(s->path) - SEGMENT_TMP_BYTES - 1), path, (unsigned long long)segment_random());
        s->fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (s->fd < 0 && errno == EEXIST) {
            continue;
        }
        if (s->fd < 0) {
            int error = segment_errno();
            return error == SHM_ERR_FOREIGN ? SHM_ERR_SYSTEM : error;
        }
        if (flock(s->fd, LOCK_EX | LOCK_NB) == 0 && fstat(s->fd, &st) == 0 && st.st_nlink == 1) {
            s->dev = st.st_dev;
            s->ino = st.st_ino;
            /* Against the umask, which may take the owner's own bits. */
            return fchmod(s->fd, 0600) == 0 ? 0 : SHM_ERR_SYSTEM;
        }
        segment_discard(s);
    }
    return SHM_ERR_SYSTEM;
}

/* Make the huge pages of [from, to) so. False: do not go on. */
static bool segment_collapse(const struct segment *s, uint64_t from, uint64_t to) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    for (uint64_t off = from; off < to; off += SEGMENT_HUGE_BYTES) {
        if (fallocate(s->fd, 0, (off_t)off, (off_t)page) != 0 && errno != EINTR) {
            return false;
        }
    }
    return madvise(s->base + from, to - from, MADV_COLLAPSE) == 0; /* or not this kernel, or none left */
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

/* Looked at first, so that a request that cannot succeed does not fill the file system, and starve others, before it
 * fails. */
static int segment_check_space(const struct segment *s) {
    struct statvfs fs;
    if (fstatvfs(s->fd, &fs) == 0 && fs.f_blocks != 0 && fs.f_frsize != 0 &&
        s->size_bytes / fs.f_frsize > fs.f_bavail) {
        errno = ENOSPC;
        return SHM_ERR_NO_SPACE;
    }
    return 0;
}

/* Every page, now: a mapping of unreserved bytes ends in SIGBUS when the file system is full. */
static int segment_reserve(const struct segment *s, enum segment_kind kind) {
    int fd = s->fd;
    uint64_t size_bytes = s->size_bytes;
    if (kind != SEGMENT_SPILL && ftruncate(fd, (off_t)size_bytes) == 0) {
        segment_reserve_huge(s);
    }
    /* In steps: a signal undoes a call that is under way, and a timer that fires faster than one call takes would
     * hold up a single large one for ever. */
    int failed = 0;
    for (uint64_t done = 0; failed == 0 && done < size_bytes;) {
        uint64_t left = size_bytes - done;
        uint64_t step = left < SEGMENT_RESERVE_STEP_BYTES ? left : SEGMENT_RESERVE_STEP_BYTES;
        if (fallocate(fd, 0, (off_t)done, (off_t)step) == 0) {
            done += step;
        } else if (errno != EINTR) {
            failed = errno;
        }
    }
    if (failed == EOPNOTSUPP || failed == ENOSYS) {
        failed = posix_fallocate(fd, 0, (off_t)size_bytes); /* writes to each block where there is no other way */
    }
    errno = failed;
    return failed == 0 ? 0 : segment_errno();
}

int segment_create(struct segment *s, const char *name, enum segment_kind kind, uint32_t replica, uint64_t size_bytes) {
    char path[SEGMENT_PATH_BYTES];
    int error = segment_path(path, name, kind, replica);
    if (error != 0 || size_bytes < sizeof(struct segment_header) || size_bytes > INT64_MAX) {
        return SHM_ERR_INVALID;
    }
    segment_sweep(path);
    struct segment fresh = SEGMENT_INIT;
    error = segment_open_temporary(&fresh, path);
    if (error == 0) {
        fresh.size_bytes = size_bytes;
        fresh.writable = true;
        error = segment_check_space(&fresh);
    }
    if (error == 0) {
        error = segment_map(&fresh); /* nothing is touched before it is reserved */
    }
    if (error == 0) {
        error = segment_reserve(&fresh, kind);
    }
    if (error != 0) {
        int why = errno;
        segment_discard(&fresh);
        errno = why; /* for the caller's log */
        return error;
    }
    *s = fresh;
    return 0;
}

static uint64_t segment_time_namespace(void) {
    struct stat st;
    return stat("/proc/self/ns/time", &st) == 0 ? st.st_ino : 0;
}

static void segment_write_header(struct segment *s, const char *name, enum segment_kind kind, uint32_t replica,
                                 uint64_t incarnation, uint64_t segment_id) {
    struct timespec now = { 0, 0 };
    (void)clock_gettime(CLOCK_REALTIME, &now);
    struct segment_header h;
    memset(&h, 0, sizeof(h));
    h.magic = TIDE_LAYOUT_MAGIC;
    h.version = TIDE_LAYOUT_VERSION;
    h.kind = kind;
    h.fingerprint = layout_fingerprint();
    h.size_bytes = s->size_bytes;
    h.incarnation = incarnation;
    h.segment_id = segment_id;
    h.created_unix_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    h.time_ns_inode = segment_time_namespace();
    h.owner_uid = geteuid();
    h.replica = kind == SEGMENT_LOG ? 0 : replica;
    memcpy(h.name, name, strlen(name));
    h.crc = crc32c(0, &h, offsetof(struct segment_header, crc));
    memcpy(s->base, &h, sizeof(h));
}

/* Never over an existing name: of two creators that race, the second must not take the first one's domain away. */
static int segment_rename_fresh(const char *from, const char *to) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno == EINVAL || errno == ENOSYS) {
        /* File systems without the flag; link() does not replace either. */
        if (link(from, to) == 0) {
            (void)unlink(from);
            return 0;
        }
    }
    return errno == EEXIST ? SHM_ERR_EXISTS : SHM_ERR_SYSTEM;
}

static int segment_give_name(struct segment *s, const char *name, enum segment_kind kind, uint32_t replica,
                             uint64_t incarnation, uint64_t segment_id, bool replace) {
    char path[SEGMENT_PATH_BYTES];
    int error = segment_path(path, name, kind, replica);
    if (error == 0 &&
        (s->base == NULL || !segment_is_unpublished(s) || incarnation == 0 || segment_id == 0 ||
         strlen(s->path) != strlen(path) + SEGMENT_TMP_BYTES || strncmp(s->path, path, strlen(path)) != 0)) {
        error = SHM_ERR_INVALID;
    }
    if (error == 0) {
        segment_write_header(s, name, kind, replica, incarnation, segment_id);
        if (replace) {
            error = rename(s->path, path) == 0 ? 0 : SHM_ERR_SYSTEM;
        } else {
            error = segment_rename_fresh(s->path, path);
        }
    }
    if (error != 0) {
        int why = errno;
        segment_unlink_temporary(s);
        errno = why;
        return error;
    }
    memcpy(s->path, path, sizeof(path));
    (void)flock(s->fd, LOCK_UN);
    return 0;
}

int segment_publish(struct segment *s, const char *name, enum segment_kind kind, uint32_t replica, uint64_t incarnation,
                    uint64_t segment_id) {
    return segment_give_name(s, name, kind, replica, incarnation, segment_id, false);
}

int segment_publish_replace(struct segment *s, const char *name, enum segment_kind kind, uint32_t replica,
                            uint64_t incarnation, uint64_t segment_id) {
    return segment_give_name(s, name, kind, replica, incarnation, segment_id, true);
}

/* ---- attaching --------------------------------------------------------------------------------------------------- */

int segment_check_header(const struct segment_header *h, uint64_t file_bytes, enum segment_kind kind) {
    if (h->magic != TIDE_LAYOUT_MAGIC) {
        return SHM_ERR_CORRUPT;
    }
    /* Before the CRC: another version's may lie elsewhere. */
    if (h->version != TIDE_LAYOUT_VERSION || h->fingerprint != layout_fingerprint()) {
        return SHM_ERR_VERSION;
    }
    uint64_t least = kind == SEGMENT_LOG     ? sizeof(struct log_segment)
                     : kind == SEGMENT_TABLE ? sizeof(struct table_segment)
                                             : sizeof(*h);
    if (h->crc != crc32c(0, h, offsetof(struct segment_header, crc)) || h->kind != (uint32_t)kind ||
        h->size_bytes != file_bytes || file_bytes < least || h->incarnation == 0 || h->segment_id == 0 ||
        h->replica >= LAYOUT_REPLICAS || memchr(h->name, '\0', sizeof(h->name)) == NULL ||
        !segment_name_is_good(h->name)) {
        return SHM_ERR_CORRUPT;
    }
    return 0;
}

/* The header is read, not mapped: a file that is too short is then an error and not SIGBUS. */
static int segment_check_file(struct segment *s, const char *name, enum segment_kind kind, uint32_t replica) {
    struct stat st;
    struct segment_header h;
    if (fstat(s->fd, &st) != 0) {
        return SHM_ERR_SYSTEM;
    }
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        return SHM_ERR_FOREIGN;
    }
    ssize_t got = pread(s->fd, &h, sizeof(h), 0);
    if (got != (ssize_t)sizeof(h)) {
        return got < 0 ? SHM_ERR_SYSTEM : SHM_ERR_CORRUPT;
    }
    int error = segment_check_header(&h, (uint64_t)st.st_size, kind);
    if (error != 0) {
        return error;
    }
    if (strcmp(h.name, name) != 0 || (kind != SEGMENT_LOG && h.replica != replica)) {
        return SHM_ERR_CORRUPT;
    }
    uint64_t here = segment_time_namespace();
    if (h.owner_uid != geteuid() || (here != 0 && h.time_ns_inode != 0 && here != h.time_ns_inode)) {
        return SHM_ERR_FOREIGN;
    }
    s->size_bytes = h.size_bytes;
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    return 0;
}

int segment_attach(struct segment *s, const char *name, enum segment_kind kind, uint32_t replica, bool writable) {
    struct segment found = SEGMENT_INIT;
    int error = segment_path(found.path, name, kind, replica);
    if (error != 0) {
        return error;
    }
    found.writable = writable;
    /* O_NONBLOCK: a pipe in the file's place must not hold us up. */
    found.fd = open(found.path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (found.fd < 0) {
        return segment_errno();
    }
    error = segment_check_file(&found, name, kind, replica);
    if (error == 0) {
        error = segment_map(&found);
    }
    if (error != 0) {
        int why = errno;
        segment_detach(&found);
        errno = why;
        return error;
    }
    *s = found;
    return 0;
}

int segment_unlink(const char *name, enum segment_kind kind, uint32_t replica) {
    char path[SEGMENT_PATH_BYTES];
    struct stat st;
    int error = segment_path(path, name, kind, replica);
    if (error != 0) {
        return error;
    }
    segment_sweep(path);
    if (lstat(path, &st) != 0) {
        return segment_errno();
    }
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
        return SHM_ERR_FOREIGN;
    }
    return unlink(path) == 0 ? 0 : segment_errno();
}

bool segment_is_unlinked(const struct segment *s) {
    struct stat st;
    return fstat(s->fd, &st) == 0 && st.st_nlink == 0;
}

int segment_is_current(const struct segment *s) {
    struct stat st;
    if (s->path[0] != '\0' && lstat(s->path, &st) == 0) {
        return st.st_dev == s->dev && st.st_ino == s->ino;
    }
    return s->path[0] == '\0' || errno == ENOENT ? 0 : SHM_ERR_SYSTEM;
}
