/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/plainring.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "bench/lib/rawlog.h"
#include "bench/lib/worker.h"
#include "shm/park.h"

#define MESSAGE_MAX 256u

struct plainring {
    _Alignas(128) _Atomic uint64_t tail; /* bytes that were written */
    _Alignas(128) _Atomic uint64_t head; /* bytes that may be overwritten */
    _Alignas(128) _Atomic uint32_t over;
    uint8_t *bytes;
    uint64_t size;
    uint32_t message;
};

static int consume(struct bench_worker *w, void *ctx) {
    struct plainring *r = ctx;
    uint8_t copy[MESSAGE_MAX];
    uint64_t at = 0;
    (void)w;
    for (;;) {
        bool last = atomic_load(&r->over) != 0;
        uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire); /* MO(bench.ring) */
        if (at == tail) {
            if (last) {
                return 0;
            }
            park_relax();
            continue;
        }
        for (uint32_t n = 0; n < 64 && at < tail; n++, at += r->message) {
            memcpy(copy, r->bytes + (at & (r->size - 1)), r->message);
            __asm__ volatile("" ::"r"(copy) : "memory"); /* or the compiler leaves out a copy that nothing reads */
        }
        atomic_store_explicit(&r->head, at, memory_order_release); /* MO(bench.ring) */
    }
}

static uint64_t produce(struct plainring *r, uint32_t group, uint64_t until) {
    uint8_t message[MESSAGE_MAX] = { 1, 2, 3 };
    uint64_t tail = 0, limit = r->size;
    do {
        for (uint32_t i = 0; i < 64; i += group) {
            while (tail + (uint64_t)group * r->message > limit) {
                limit = atomic_load_explicit(&r->head, memory_order_acquire) + r->size; /* MO(bench.ring) */
            }
            for (uint32_t k = 0; k < group; k++, tail += r->message) {
                memcpy(r->bytes + (tail & (r->size - 1)), message, r->message);
                message[0]++;
            }
            atomic_store_explicit(&r->tail, tail, memory_order_release); /* MO(bench.ring) */
        }
    } while (bench_now_ns() < until);
    return tail / r->message;
}

double bench_plainring_per_s(const struct bench_machine *m, uint64_t ring_bytes, uint32_t message_bytes, uint32_t group,
                             uint64_t duration_ns) {
    struct plainring r = { .size = ring_bytes, .message = message_bytes, .bytes = rawlog_ring_map(ring_bytes) };
    if (r.bytes == NULL) {
        return 0;
    }
    bench_machine_pin(m, 0);
    struct bench_worker *consumer = bench_worker_start(false, m, 1, consume, &r);
    double rate = 0;
    if (consumer != NULL) {
        uint64_t start = bench_now_ns();
        uint64_t n = produce(&r, group, start + duration_ns);
        atomic_store(&r.over, 1);
        bench_worker_end(consumer);
        rate = (double)n * 1e9 / (double)(bench_now_ns() - start);
    }
    rawlog_ring_unmap(r.bytes, ring_bytes);
    return rate;
}
