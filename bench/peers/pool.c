/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/peers/pool.h"

#include <string.h>
#include <sys/mman.h>

#include "bench/lib/program.h"

#define HUGE_PAGE ((size_t)2 << 20)

void peer_pool_create(struct peer_pool *p, size_t node_size, uint64_t n, int huge) {
    memset(p, 0, sizeof(*p));
    p->node_size = (node_size + 15) & ~(size_t)15;
    size_t bytes = (p->node_size * n + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bench_must_system(memory != MAP_FAILED, "memory for a peer's nodes");
    madvise(memory, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    p->memory = memory;
    p->bytes = bytes;
}

void peer_pool_destroy(struct peer_pool *p) {
    munmap(p->memory, p->bytes);
}
