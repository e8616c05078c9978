/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Error codes of shm/. The values are those of enum tide_error, so that the engine can return them as they are; it
 * asserts that they agree. shm/ must not include the engine, hence this list.
 */
#ifndef TIDE_SHM_ERROR_H
#define TIDE_SHM_ERROR_H

enum shm_error {
    SHM_ERR_INVALID = -1,   /* an argument is out of its range */
    SHM_ERR_NOMEM = -2,     /* no memory or address space */
    SHM_ERR_SYSTEM = -3,    /* a system call failed; errno tells which way */
    SHM_ERR_EXISTS = -4,    /* the name is taken */
    SHM_ERR_NO_DOMAIN = -5, /* there is no such segment */
    SHM_ERR_FOREIGN = -6,   /* another user's, another time namespace's, or no regular file of mode 0600 */
    SHM_ERR_VERSION = -7,   /* another layout version or fingerprint: another build made it */
    SHM_ERR_CORRUPT = -8,   /* the bytes cannot be what Tidemark wrote */
    SHM_ERR_NO_SPACE = -9,  /* the file system is full */
    SHM_ERR_GONE = -27,     /* the segment was unlinked or replaced */
};

#endif
