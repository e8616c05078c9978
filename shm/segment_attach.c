/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attaching to a published segment, with every check. Removing names. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/crc.h"
#include "shm/fault.h"
#include "shm/fd.h"
#include "shm/segment_map.h"
#include "shm/segment_name.h"

int segment_check_header(const struct segment_header *h, uint64_t file_bytes, enum segment_kind kind) {
    if (h->magic != TIDE_LAYOUT_MAGIC) {
        return SHM_ERR_CORRUPT;
    }
    /* Check the version before the CRC: another version's CRC may lie elsewhere. */
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

/* Note why a header was refused, and the next step. */
static int segment_header_error(int error, const char *path, const struct segment_header *h) {
    if (error != SHM_ERR_VERSION) {
        return fault(error, "%s is damaged", path);
    }
    if (h->version != TIDE_LAYOUT_VERSION) {
        return fault(error,
                     "%s was made with layout version %u, this program knows %u: save the data with the program that "
                     "made it ('tide snapshot save'), remove the domain ('tide rm'), load it with this one",
                     path, h->version, TIDE_LAYOUT_VERSION);
    }
    return fault(error,
                 "%s was made by another build of layout version %u (fingerprint %016llx, here %016llx): use the same "
                 "build, or save the data with that one, remove the domain, load it with this one",
                 path, h->version, (unsigned long long)h->fingerprint, (unsigned long long)layout_fingerprint());
}

static int segment_check_owner(const char *path, const struct stat *st) {
    if (!S_ISREG(st->st_mode)) {
        return fault(SHM_ERR_FOREIGN, "%s is no regular file", path);
    }
    if (st->st_uid != geteuid()) {
        return fault(SHM_ERR_FOREIGN, "%s belongs to user %u; this process is user %u", path, (unsigned)st->st_uid,
                     (unsigned)geteuid());
    }
    if ((st->st_mode & 077) != 0) {
        return fault(SHM_ERR_FOREIGN, "%s has mode %04o, so others could write it: 0600 is needed", path,
                     (unsigned)st->st_mode & 07777);
    }
    return 0;
}

static int segment_check_place(const char *path, const struct segment_header *h) {
    if (h->owner_uid != geteuid()) {
        return fault(SHM_ERR_FOREIGN, "%s was made by user %u; this process is user %u", path, h->owner_uid,
                     (unsigned)geteuid());
    }
    uint64_t here = segment_time_namespace();
    if (here != 0 && h->time_ns_inode != 0 && here != h->time_ns_inode) {
        return fault(SHM_ERR_FOREIGN,
                     "%s was made in time namespace %llu, this process is in %llu, and their clocks differ: run all "
                     "members of a domain in one",
                     path, (unsigned long long)h->time_ns_inode, (unsigned long long)here);
    }
    return 0;
}

/* Read the header, do not map it: a file that is too short is then an error and not SIGBUS. */
static int segment_check_file(struct segment *s, const char *name, enum segment_kind kind, uint32_t replica) {
    struct stat st;
    struct segment_header h;
    if (fstat(s->fd, &st) != 0) {
        return fault_errno(SHM_ERR_SYSTEM, "fstat of %s", s->path);
    }
    int error = segment_check_owner(s->path, &st);
    if (error != 0) {
        return error;
    }
    ssize_t got = pread(s->fd, &h, sizeof(h), 0);
    if (got < 0) {
        return fault_errno(SHM_ERR_SYSTEM, "pread of %s", s->path);
    }
    if (got != (ssize_t)sizeof(h)) {
        return fault(SHM_ERR_CORRUPT, "%s is damaged: it has %lld bytes", s->path, (long long)st.st_size);
    }
    error = segment_check_header(&h, (uint64_t)st.st_size, kind);
    if (error != 0) {
        return segment_header_error(error, s->path, &h);
    }
    if (strcmp(h.name, name) != 0 || (kind != SEGMENT_LOG && h.replica != replica)) {
        return fault(SHM_ERR_CORRUPT, "%s says that it is another segment: of domain '%s', number %u", s->path, h.name,
                     h.replica);
    }
    error = segment_check_place(s->path, &h);
    if (error != 0) {
        return error;
    }
    s->size_bytes = h.size_bytes;
    s->flags = h.flags;
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    return 0;
}

/* Only some errnos answer the question: a process without descriptors has not found out that there is no domain. */
static int segment_open_error(const char *path) {
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
        return segment_no_directory(path);
    case ELOOP:  /* O_NOFOLLOW met a symbolic link */
    case EISDIR: /* a directory, opened for writing */
    case ENXIO:  /* a socket, or a pipe */
        return fault_errno(SHM_ERR_FOREIGN, "%s is no regular file", path);
    case EACCES:
    case EPERM:
        if (segment_is_theirs(path)) {
            return fault_errno(SHM_ERR_FOREIGN, "%s belongs to another user; this process is user %u", path,
                               (unsigned)geteuid());
        }
        return fault_errno(SHM_ERR_SYSTEM, "cannot open %s", path);
    case ENOMEM:
        return fault_errno(SHM_ERR_NOMEM, "cannot open %s", path);
    default:
        return fault_errno(SHM_ERR_SYSTEM, "cannot open %s", path);
    }
}

int segment_attach(struct segment *s, const char *dir, const char *name, enum segment_kind kind, uint32_t replica,
                   bool writable) {
    struct segment found = SEGMENT_INIT;
    int error = segment_path(found.path, dir, name, kind, replica);
    if (error != 0) {
        return error;
    }
    found.writable = writable;
    /* O_NONBLOCK: a pipe in the file's place must not hold us up. */
    found.fd = fd_open(found.path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (found.fd < 0) {
        return segment_open_error(found.path);
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

/* ---- names ------------------------------------------------------------------------------------------------------- */

int segment_unlink(const char *dir, const char *name, enum segment_kind kind, uint32_t replica) {
    char path[SEGMENT_PATH_BYTES];
    struct stat st;
    int error = segment_path(path, dir, name, kind, replica);
    if (error != 0) {
        return error;
    }
    if (kind == SEGMENT_LOG) {
        segment_sweep_removed(path);
    } else {
        segment_sweep(path);
    }
    if (lstat(path, &st) != 0) {
        return segment_errno_is_missing(errno) ? segment_no_directory(path)
                                               : fault_errno(SHM_ERR_SYSTEM, "lstat of %s", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return fault(SHM_ERR_FOREIGN, "%s is no regular file: another process has the name", path);
    }
    if (st.st_uid != geteuid()) {
        return fault(SHM_ERR_FOREIGN, "%s belongs to another user, %u; this process is user %u", path,
                     (unsigned)st.st_uid, (unsigned)geteuid());
    }
    if (unlink(path) == 0) {
        return 0;
    }
    return errno == ENOENT ? SHM_ERR_NO_DOMAIN : fault_errno(SHM_ERR_SYSTEM, "cannot remove %s", path);
}

/* *incarnation 0: no file of ours. */
static int segment_read_incarnation(const char *path, uint64_t *incarnation) {
    struct segment_header h;
    int fd = fd_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) {
        return segment_open_error(path);
    }
    bool ours = pread(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) && h.magic == TIDE_LAYOUT_MAGIC;
    (void)close(fd);
    *incarnation = ours ? h.incarnation : 0;
    return 0;
}

uint64_t segment_incarnation(const char *dir, const char *name, enum segment_kind kind, uint32_t replica) {
    char path[SEGMENT_PATH_BYTES];
    uint64_t incarnation = 0;
    if (segment_path(path, dir, name, kind, replica) == 0) {
        (void)segment_read_incarnation(path, &incarnation);
    }
    return incarnation;
}

/* Another file may get the name between the look and the unlink; that takes a removal and a creation within
 * microseconds. */
int segment_unlink_of(const char *dir, const char *name, enum segment_kind kind, uint32_t replica,
                      uint64_t incarnation) {
    char path[SEGMENT_PATH_BYTES];
    uint64_t found = 0;
    int error = segment_path(path, dir, name, kind, replica);
    if (error != 0) {
        return error;
    }
    segment_sweep(path);
    error = segment_read_incarnation(path, &found);
    if (error != 0) {
        return error;
    }
    if (found == 0 || found != incarnation) {
        return SHM_ERR_NO_DOMAIN;
    }
    if (unlink(path) == 0) {
        return 0;
    }
    return errno == ENOENT ? SHM_ERR_NO_DOMAIN : fault_errno(SHM_ERR_SYSTEM, "cannot remove %s", path);
}

/* Another file has the path. */
static bool segment_is_replaced(const struct segment *s) {
    struct stat st;
    return lstat(s->path, &st) == 0 && (st.st_dev != s->dev || st.st_ino != s->ino);
}

/* The path names nothing, in the directory that the file lay in: a process that changed its root sees another directory, or none. */
static bool segment_is_missing(const struct segment *s) {
    char dir[SEGMENT_PATH_BYTES];
    struct stat st;
    if (lstat(s->path, &st) == 0 || errno != ENOENT) {
        return false;
    }
    segment_dir_of(s->path, dir);
    return stat(dir, &st) == 0 && st.st_dev == s->dev;
}

bool segment_is_unlinked(const struct segment *s) {
    struct stat st;
    int fd = segment_fd(s);
    return fd >= 0 ? fstat(fd, &st) == 0 && st.st_nlink == 0 : segment_is_replaced(s) || segment_is_missing(s);
}

bool segment_is_gone(const struct segment *s) {
    return segment_is_unlinked(s) || segment_is_replaced(s);
}

int segment_is_current(const struct segment *s) {
    struct stat st;
    if (s->path[0] == '\0') {
        return 0;
    }
    if (lstat(s->path, &st) == 0) {
        return st.st_dev == s->dev && st.st_ino == s->ino;
    }
    return errno == ENOENT ? 0 : fault_errno(SHM_ERR_SYSTEM, "lstat of %s", s->path);
}
