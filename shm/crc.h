/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CRC-32C (Castagnoli polynomial 0x1edc6f41, reflected, RFC 3720 section 12.1), because x86 and aarch64 have
 * instructions for it. It finds accidents (torn copies, stray writes); it is no defence against a member that forges
 * frames.
 */
#ifndef SHM_CRC_H
#define SHM_CRC_H

#include <stddef.h>
#include <stdint.h>

/*
 * Continue a checksum over `bytes` bytes at `data`, which may have any alignment. Start with crc 0.
 * crc32c(0, "123456789", 9) == 0xe3069283 and crc32c(crc32c(0, a), b) == crc32c(0, a followed by b).
 * The bytes may be racing with a writer; the result is then good for nothing, but no harm is done.
 * Any thread, wait-free. Not before this file's constructor has run (priority 101).
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);

/* The same without special instructions, for CPUs that have none, and for tests that compare the two. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t bytes);

#endif
