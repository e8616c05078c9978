/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shm/clock.h"
#include "shm/crc.h"
#include "shm/fault.h"
#include "shm/fd.h"
#include "shm/segment_map.h"
#include "shm/segment_name.h"
#include "shm/segment_reserve.h"

#define SEGMENT_TRIES 16
#define SEGMENT_NOREPLACE 1u /* RENAME_NOREPLACE of linux/fs.h */

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

/* ---- temporary files --------------------------------------------------------------------------------------------- */

/* Is `path` still a temporary name? */
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

/* ---- creating ---------------------------------------------------------------------------------------------------- */

/* errno: why there is no new file. A full file system means files here, of which it may have room for so many ('df -i'). */
static int segment_cannot_make(const char *temporary, const char *path) {
    if (segment_errno_is_missing(errno)) {
        return segment_no_directory(path);
    }
    if (errno != ENOSPC && errno != EDQUOT) {
        return fault_errno(SHM_ERR_SYSTEM, "cannot make %s", temporary);
    }
    char dir[SEGMENT_PATH_BYTES];
    struct statvfs fs;
    int why = errno;
    segment_dir_of(path, dir);
    bool counted = statvfs(dir, &fs) == 0 && fs.f_files != 0 && fs.f_ffree == 0;
    errno = why;
    return counted ? fault(SHM_ERR_NO_SPACE,
                           "%s may have %llu files (inodes), and has them all: remove some, or a dead domain ('tide "
                           "ls', 'tide rm'), or mount it with a larger nr_inodes",
                           dir, (unsigned long long)fs.f_files)
                   : fault_errno(SHM_ERR_NO_SPACE, "cannot make %s", temporary);
}

/* The lock on the file tells sweepers that its maker lives. A sweeper may come between open and lock; then the name is
 * gone, and another try follows. */
static int segment_open_temporary(struct segment *s, const char *path) {
    for (int i = 0; i < SEGMENT_TRIES; i++) {
        struct stat st;
        (void)snprintf(s->path, sizeof(s->path), "%.*s" SEGMENT_TMP "%016llx",
                       (int)(sizeof(s->path) - SEGMENT_TMP_BYTES - 1), path, (unsigned long long)segment_random());
        s->fd = fd_open(s->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        if (s->fd < 0 && errno == EEXIST) {
            continue;
        }
        if (s->fd < 0) {
            return segment_cannot_make(s->path, path);
        }
        int locked = segment_maker_lock(s->fd);
        if (locked != 0 && errno != EAGAIN && errno != EACCES) {
            int error = fault_errno(SHM_ERR_SYSTEM, "open-file-description locks (fcntl F_OFD_SETLK) are refused");
            segment_discard(s);
            return error;
        }
        if (locked == 0 && fstat(s->fd, &st) == 0 && st.st_nlink == 1) {
            s->dev = st.st_dev;
            s->ino = st.st_ino;
            /* Against the umask, which may take the owner's own bits. */
            return fchmod(s->fd, 0600) == 0 ? 0 : fault_errno(SHM_ERR_SYSTEM, "cannot give %s mode 0600", s->path);
        }
        segment_discard(s);
    }
    return fault(SHM_ERR_SYSTEM, "%u temporary files of %s in a row were removed by somebody else", SEGMENT_TRIES,
                 path);
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
        error = segment_check_room(&fresh, kind);
    }
    if (error == 0) {
        error = segment_map(&fresh); /* maps addresses only; no byte is touched before it is reserved */
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
    h.flags = s->flags;
    memcpy(h.name, name, strlen(name));
    h.crc = crc32c(0, &h, offsetof(struct segment_header, crc));
    memcpy(s->base, &h, sizeof(h));
}

/*
 * Give a new file its name, but never over an existing one: of two creators that race, the second must not replace the
 * first one's domain. Some file systems do not know the flag, and some sandboxes forbid the call; link() does not
 * replace either.
 */
static int segment_rename_fresh(const char *from, const char *to) {
    if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, SEGMENT_NOREPLACE) ==
        0) { /* musl has no function for it */
        return 0;
    }
    if (errno != EEXIST) {
        if (link(from, to) == 0) {
            (void)unlink(from);
            return 0;
        }
    }
    return errno == EEXIST ? SHM_ERR_EXISTS : fault_errno(SHM_ERR_SYSTEM, "renameat2 and link to %s are refused", to);
}

/* Take the name from the file that has it. In a directory like /dev/shm another user's file keeps it. */
static int segment_rename_over(const char *from, const char *to) {
    if (rename(from, to) == 0) {
        return 0;
    }
    bool theirs = errno == EPERM || errno == EACCES || errno == EISDIR || errno == ENOTEMPTY || errno == EEXIST;
    return fault_errno(theirs && segment_is_theirs(to) ? SHM_ERR_FOREIGN : SHM_ERR_SYSTEM,
                       "cannot rename a segment to %s", to);
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
        error = replace ? segment_rename_over(s->path, path) : segment_rename_fresh(s->path, path);
    }
    if (error != 0) {
        int why = errno;
        segment_unlink_temporary(s);
        errno = why;
        return error;
    }
    memcpy(s->path, path, sizeof(path));
    segment_maker_unlock(s->fd);
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
