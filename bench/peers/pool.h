/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes for the peers that leave allocation to their user: one block and a list of free ones. This is cheaper than
 * malloc, most of all where another thread frees: Tidemark must not win because a peer pays for malloc.
 */
#ifndef TIDE_PEERS_POOL_H
#define TIDE_PEERS_POOL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct peer_node { /* a free node's first bytes */
    struct peer_node *next;
};

struct peer_pool {
    uint8_t *memory;
    size_t bytes;
    size_t node_size;
    size_t used; /* bytes that were given out at least once */
    struct peer_node *free;
    _Alignas(64) struct peer_node *_Atomic returned; /* by other threads */
};

/* Room for n nodes; huge: in huge pages, where the kernel gives them. */
void peer_pool_create(struct peer_pool *p, size_t node_size, uint64_t n, int huge);
void peer_pool_destroy(struct peer_pool *p);

/* A node, or NULL where all are out. By the owner, as the second. */
static inline void *peer_pool_get(struct peer_pool *p) {
    if (p->free == NULL && atomic_load(&p->returned) != NULL) {
        p->free = atomic_exchange(&p->returned, NULL);
    }
    struct peer_node *node = p->free;
    if (node != NULL) {
        p->free = node->next;
        return node;
    }
    if (p->used + p->node_size > p->bytes) {
        return NULL;
    }
    p->used += p->node_size;
    return p->memory + p->used - p->node_size;
}

static inline void peer_pool_put(struct peer_pool *p, void *node) {
    struct peer_node *n = node;
    n->next = p->free;
    p->free = n;
}

/* Give back from any thread. */
static inline void peer_pool_return(struct peer_pool *p, void *node) {
    struct peer_node *n = node;
    struct peer_node *head = atomic_load(&p->returned);
    do {
        n->next = head;
    } while (!atomic_compare_exchange_weak(&p->returned, &head, n));
}

#endif
