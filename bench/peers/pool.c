/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/peers/pool.h"

#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

int peer_pool_create(struct peer_pool *p, size_t node_size, uint64_t n, int huge) {
    memset(p, 0, sizeof(*p));
    p->node_size = (node_size + 15) & ~(size_t)15;
    size_t bytes = (p->node_size * n + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return -1;
    }
    madvise(memory, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    p->memory = memory;
    p->bytes = bytes;
    return 0;
}

void peer_pool_destroy(struct peer_pool *p) {
    if (p->memory != NULL) {
        munmap(p->memory, p->bytes);
    }
    memset(p, 0, sizeof(*p));
}
