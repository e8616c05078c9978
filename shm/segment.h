/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared-memory files: create, publish under a name, attach with every check, remove.
 *
 * What can go wrong, first:
 *
 * - A file is reserved in full before it is mapped, so that a full /dev/shm is SHM_ERR_NO_SPACE and not SIGBUS later.
 * - It gets its name when it is complete, by a rename that fails where the name is taken. So nobody ever attaches to
 *   half a segment, and of two creators one wins. A creator that dies before leaves a file NAME.tmp.HEX. Whoever next creates
 *   or removes any segment in the directory removes it, once its creator is gone (a creator holds a lock on the file while it
 *   works).
 * - An errno of looking is an answer only where it means one: NO_DOMAIN is ENOENT in a directory that exists. A process without
 *   descriptors or memory gets SYSTEM or NOMEM. fault_text() (shm/fault.h) says what was refused.
 * - No descriptor is 0, 1 or 2 (shm/fd.h), and no mapping is part of a core dump unless segment_let_dump() says so.
 * - Whoever may write the file may truncate it, and then every member gets SIGBUS. Files are 0600, so that is the
 *   same user on purpose. Tools that must survive that read with pread instead of mapping.
 * - Unlinking takes the name, not the memory: members keep what they have mapped. segment_is_current() tells them.
 *
 * The directory is /dev/shm, or $TIDE_SHM_DIR where that is set (a small tmpfs for tests, another mount in a
 * container); all members of a domain must agree on it. Whoever keeps a domain open reads it once (segment_dir()) and gives
 * that as `dir` from then on: a process may open domains in several directories. `dir` NULL means what the environment has now. Do not change
 * it while other threads open. A program with file capabilities must not follow it; where it is set all the same, calls with NULL are INVALID.
 *
 * Functions answer 0 (or what they say) or a negative enum shm_error; out-parameters are untouched on error. They
 * block on system calls. One struct segment is used by one thread at a time; its mapping by any.
 */
#ifndef TIDE_SHM_SEGMENT_H
#define TIDE_SHM_SEGMENT_H

#include "shm/error.h"
#include "shm/layout.h"
#include "shm/room.h"

#include <stdbool.h>
#include <stdint.h>

#define SEGMENT_PATH_BYTES 128
#define SEGMENT_NAME_MAX 48u

struct segment {
    int fd;        /* -1: nothing is open */
    uint8_t *base; /* the mapping; NULL: none */
    uint64_t size_bytes;
    uint64_t dev; /* with ino: identifies this file, even after another file got its name */
    uint64_t ino;
    bool writable;
    uint32_t flags;                /* enum segment_flags, written by segment_publish() and read by segment_attach() */
    char path[SEGMENT_PATH_BYTES]; /* the temporary name until it is published; empty: no name */
};

#define SEGMENT_INIT                                                                                                   \
    { .fd = -1 }

/* The directory that the environment names now. Errors: INVALID. */
int segment_dir(char out[SEGMENT_PATH_BYTES]);

/* The bytes that can be had in this directory now, and the limit that decides: see shm/room.h. Errors: SYSTEM. */
int segment_room(const char *dir, struct room *out);

/*
 * Write the path of a segment to `out`: DIR/tidemark.NAME.log, or DIR/tidemark.NAME.rK for table K.
 * name: 1 to SEGMENT_NAME_MAX of A-Z a-z 0-9 _ - . and not a dot first. Errors: INVALID (also: the directory's name is too
 * long).
 */
int segment_path(char out[SEGMENT_PATH_BYTES], const char *dir, const char *name, enum segment_kind kind,
                 uint32_t replica);

/*
 * Create a zeroed file of size_bytes under a temporary name beside the final one, mode 0600 whatever the umask, every
 * byte reserved, mapped read-write. Fill it, then publish or discard it.
 * Errors: INVALID, NO_SPACE (nothing is left behind), SYSTEM (also: no such directory), NOMEM.
 */
int segment_create(struct segment *s, const char *dir, const char *name, enum segment_kind kind, uint32_t replica,
                   uint64_t size_bytes);

/*
 * Write the header and give the segment its name, beside its temporary one. On error the temporary file is removed, and the mapping stays until
 * segment_detach(). Errors: EXISTS (the name is taken), INVALID (not a fresh segment, another name than at creation,
 * incarnation or id 0), SYSTEM.
 */
int segment_publish(struct segment *s, const char *name, enum segment_kind kind, uint32_t replica, uint64_t incarnation,
                    uint64_t segment_id);

/* The same, but the new segment takes the name from the one that has it: for the table that a dead replica left.
 * Errors: INVALID, FOREIGN (another user's file has the name), SYSTEM. */
int segment_publish_replace(struct segment *s, const char *name, enum segment_kind kind, uint32_t replica,
                            uint64_t incarnation, uint64_t segment_id);

/*
 * Map a published segment after all checks: regular file, this user's, mode 0600, no symbolic link, size, and
 * everything of segment_check_header(), name and time namespace. The header has been checked; what follows it has
 * not. Errors: INVALID, NO_DOMAIN, FOREIGN, VERSION, CORRUPT, NOMEM, SYSTEM.
 */
int segment_attach(struct segment *s, const char *dir, const char *name, enum segment_kind kind, uint32_t replica,
                   bool writable);

/*
 * The checks that look at bytes alone, for callers that read the header themselves. file_bytes: size of the file.
 * Errors: CORRUPT (magic, sizes, kind, name, CRC), VERSION (layout version or fingerprint).
 */
int segment_check_header(const struct segment_header *h, uint64_t file_bytes, enum segment_kind kind);

/* Unmap and close; the name stays. Harmless on SEGMENT_INIT and when repeated. Nobody may use the mapping after it. */
void segment_detach(struct segment *s);

/* As segment_detach(), and remove the temporary file of a segment that was not published. */
void segment_discard(struct segment *s);

/*
 * Remove the name, and temporary files of it whose creators are gone. Errors: INVALID, NO_DOMAIN (it is not there),
 * FOREIGN (another user's, or no regular file), SYSTEM.
 */
int segment_unlink(const char *dir, const char *name, enum segment_kind kind, uint32_t replica);

/*
 * The same, but only a segment of this incarnation: a member of a domain that was removed and made again under its name
 * must not take the new one's files. Errors: as above; NO_DOMAIN also where the name is another incarnation's.
 */
int segment_unlink_of(const char *dir, const char *name, enum segment_kind kind, uint32_t replica,
                      uint64_t incarnation);

/* The incarnation whose file has this name. 0: none, or it cannot be read. */
uint64_t segment_incarnation(const char *dir, const char *name, enum segment_kind kind, uint32_t replica);

/*
 * The descriptor, while it is still this file's; else -1. A program that closes what it did not open (closefrom(), as some
 * daemons begin) also closes ours, and its next file gets the number: locks and fstat() would be that file's, and so would
 * a close. Ask here before each use. The mapping keeps the file and its locks as they are. errno stays. One system call.
 */
int segment_fd(const struct segment *s);

/* 1: the path still names this file. 0: it was removed or replaced. SYSTEM: cannot tell. One system call. */
int segment_is_current(const struct segment *s);

/* Has the file lost its name: was it removed, or another renamed onto it? Looks at no path, so it holds also in a
 * process that has changed its root or its mount namespace since. One system call; without a descriptor the path is looked at. */
bool segment_is_unlinked(const struct segment *s);

/* The same, and true as well where the file was moved away and another has its path. */
bool segment_is_gone(const struct segment *s);

/*
 * Map a range of the segment twice in a row, so that what starts within the first ring_bytes can run over their end
 * and continues at their start. ring_off, ring_bytes: multiples of the page size, inside the segment. With the
 * segment's access. The mapping outlives segment_detach(). Errors: INVALID, NOMEM, SYSTEM.
 */
int segment_map_ring(const struct segment *s, uint64_t ring_off, uint64_t ring_bytes, uint8_t **ring);

/* The offset of a ring of ring_bytes behind before_bytes others: at a page, or at a huge page if the ring fills one. */
uint64_t segment_ring_off(uint64_t before_bytes, uint64_t ring_bytes);

/* Let core dumps contain a mapping. */
void segment_let_dump(void *base, uint64_t bytes);

/* Undo it; ring_bytes as in segment_map_ring(). NULL is allowed. */
void segment_unmap_ring(uint8_t *ring, uint64_t ring_bytes);

/* 64 random bits from the kernel, never 0: incarnations, segment ids, seeds. Any thread; may block early in boot. */
uint64_t segment_random(void);

#endif
