/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Huge pages for everybody. Tidemark asks the kernel to collapse its tables' pages into huge ones; libraries that
 * allocate by themselves do not. Without this the benchmark would compare page sizes, not tables.
 */
#ifndef TIDE_PEERS_PAGES_H
#define TIDE_PEERS_PAGES_H

/* All private memory of this process that is in use: what malloc and mmap gave. Where the kernel cannot, nothing
 * happens. By one thread. Files are left alone: LMDB maps its own where no huge page fits. */
void peer_pages_collapse_private(void);

#endif
