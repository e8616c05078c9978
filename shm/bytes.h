/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copying bytes that another thread or process may overwrite meanwhile. The copy may be torn; it is used only after a
 * later check (sequence number, ring position) has shown that nobody wrote. That is a seqlock, and a race by the
 * letter of C11, which has no byte-wise atomic copy (C++ proposal P1478 would add one: H.-J. Boehm, "Can seqlocks get
 * along with programming language memory models?", 2012). So:
 *
 * - Normal builds use memcpy between compiler and CPU barriers: word-wise atomic loops are several times slower.
 * - Under ThreadSanitizer the same functions are loops of atomic accesses, so that it sees what they are and reports
 *   only the races that are none of this kind.
 *
 * The barriers belong to the functions: the copy is ordered before the check that follows it, and a racy store is
 * ordered after the announcement ("the sequence number is odd") that precedes it.
 */
#ifndef TIDE_SHM_BYTES_H
#define TIDE_SHM_BYTES_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__)
#define BYTES_ATOMIC 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BYTES_ATOMIC 1
#endif
#endif

/* 32 bytes in registers. Not an array, which compilers would put on the stack. */
struct bytes_32 {
    __attribute__((vector_size(16))) uint8_t a, b;
};

static inline struct bytes_32 bytes_get_32(const uint8_t *from) {
    struct bytes_32 x;
    memcpy(&x.a, from, 16);
    memcpy(&x.b, from + 16, 16);
    return x;
}

static inline void bytes_put_32(uint8_t *to, struct bytes_32 x) {
    memcpy(to, &x.a, 16);
    memcpy(to + 16, &x.b, 16);
}

/* Copy a few bytes without a call, many by memcpy. The ranges do not overlap. Up to 128 bytes, every load precedes the
 * first store. */
static inline void bytes_copy(void *dst, const void *src, size_t bytes) {
    uint8_t *to = dst;
    const uint8_t *from = src;
    if (__builtin_expect(bytes == 64,
                         1)) { /* one line: the addresses of its copies need not wait for a length from memory */
        struct bytes_32 head = bytes_get_32(from), tail = bytes_get_32(from + 32);
        bytes_put_32(to, head);
        bytes_put_32(to + 32, tail);
    } else if (bytes >= 8 && bytes <= 16) {
        uint64_t head, tail;
        memcpy(&head, from, 8);
        memcpy(&tail, from + bytes - 8, 8);
        memcpy(to, &head, 8);
        memcpy(to + bytes - 8, &tail, 8);
    } else if (bytes >= 32 && bytes < 64) {
        struct bytes_32 head = bytes_get_32(from), tail = bytes_get_32(from + bytes - 32);
        bytes_put_32(to, head);
        bytes_put_32(to + bytes - 32, tail);
    } else if (bytes > 64 && bytes <= 128) {
        struct bytes_32 head = bytes_get_32(from), second = bytes_get_32(from + 32);
        struct bytes_32 third = bytes_get_32(from + bytes - 64), tail = bytes_get_32(from + bytes - 32);
        bytes_put_32(to, head);
        bytes_put_32(to + 32, second);
        bytes_put_32(to + bytes - 64, third);
        bytes_put_32(to + bytes - 32, tail);
    } else if (bytes != 0) { /* memcpy wants valid pointers even for 0 bytes */
        memcpy(to, from, bytes);
    }
}

/* Prefetch a line to own it, since it will be written. On x86 __builtin_prefetch() emits that instruction only if the
 * compiler may assume that the CPU has it; CPUs without it do nothing. Never faults. */
static inline void bytes_prefetch_own(const void *at) {
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const uint8_t *)at));
#else
    __builtin_prefetch(at, 1);
#endif
}

#ifdef BYTES_ATOMIC

/* ThreadSanitizer does not follow fences, so each access carries the order that the fence would give. */
static inline void bytes_copy_racy(void *dst, const void *src, size_t bytes) {
    uint8_t *to = dst;
    const uint8_t *from = src;
    if ((((uintptr_t)to | (uintptr_t)from) & 7) == 0) {
        for (; bytes >= 8; bytes -= 8, to += 8, from += 8) {
            /* MO(bytes.copy): acquire, pairs with the release in bytes_store_racy(). */
            *(uint64_t *)(void *)to = __atomic_load_n((const uint64_t *)(const void *)from, __ATOMIC_ACQUIRE);
        }
    }
    for (; bytes > 0; bytes--, to++, from++) {
        /* MO(bytes.copy): as above. */
        *to = __atomic_load_n(from, __ATOMIC_ACQUIRE);
    }
}

static inline void bytes_store_racy(void *dst, const void *src, size_t bytes) {
    uint8_t *to = dst;
    const uint8_t *from = src;
    if ((((uintptr_t)to | (uintptr_t)from) & 7) == 0) {
        for (; bytes >= 8; bytes -= 8, to += 8, from += 8) {
            /* MO(bytes.copy): release, pairs with the acquire in bytes_copy_racy(). */
            __atomic_store_n((uint64_t *)(void *)to, *(const uint64_t *)(const void *)from, __ATOMIC_RELEASE);
        }
    }
    for (; bytes > 0; bytes--, to++, from++) {
        /* MO(bytes.copy): as above. */
        __atomic_store_n(to, *from, __ATOMIC_RELEASE);
    }
}

/* bytes_copy() to `own`, and bytes_store_racy() to `shared`. */
static inline void bytes_store_both(void *own, void *shared, const void *src, size_t bytes) {
    bytes_copy(own, src, bytes);
    bytes_store_racy(shared, src, bytes);
}

/* bytes_store_racy() of one aligned word. */
static inline void bytes_store_word(void *dst, uint64_t word) {
    __atomic_store_n((uint64_t *)dst, word, __ATOMIC_RELEASE); /* MO(bytes.copy): as above */
}

#else

/*
 * Copy out of shared memory. `dst` is private, `src` may change under the copy; they do not overlap.
 * What follows (the check) is not done before the copy. Wait-free.
 */
static inline void bytes_copy_racy(void *dst, const void *src, size_t bytes) {
    bytes_copy(dst, src, bytes);
    /* MO(bytes.copy): acquire fence, pairs with the release fence in bytes_store_racy(). Without it the check could
     * be done before the copy and pass, and the bytes be overwritten in between. It also keeps the compiler from
     * reading `src` a second time, later, in place of `dst`. */
    atomic_thread_fence(memory_order_acquire);
}

/*
 * Store into shared memory that others may be reading with bytes_copy_racy(). `src` is private.
 * What precedes (the announcement) is visible before the bytes are. Publish afterwards by a release store. Wait-free.
 */
static inline void bytes_store_racy(void *dst, const void *src, size_t bytes) {
    /* MO(bytes.copy): release fence, pairs with the acquire fence in bytes_copy_racy(). Without it a reader could
     * copy the new bytes and still find the old sequence number. */
    atomic_thread_fence(memory_order_release);
    bytes_copy(dst, src, bytes);
}

/* bytes_copy() to `own` and bytes_store_racy() to `shared`: the source is loaded once, and its length is tested
 * once. */
static inline void bytes_store_both(void *own, void *shared, const void *src, size_t bytes) {
    atomic_thread_fence(memory_order_release); /* MO(bytes.copy): as above */
    const uint8_t *from = src;
    uint8_t *one = own, *two = shared;
    if (bytes >= 32 && bytes <= 64) {
        struct bytes_32 head = bytes_get_32(from), tail = bytes_get_32(from + bytes - 32);
        bytes_put_32(one, head);
        bytes_put_32(two, head);
        bytes_put_32(one + bytes - 32, tail);
        bytes_put_32(two + bytes - 32, tail);
    } else if (bytes >= 8 && bytes <= 16) {
        uint64_t head, tail;
        memcpy(&head, from, 8);
        memcpy(&tail, from + bytes - 8, 8);
        memcpy(one, &head, 8);
        memcpy(two, &head, 8);
        memcpy(one + bytes - 8, &tail, 8);
        memcpy(two + bytes - 8, &tail, 8);
    } else {
        bytes_copy(one, from, bytes);
        bytes_copy(two, from, bytes);
    }
}

/* bytes_store_racy() of one aligned word. */
static inline void bytes_store_word(void *dst, uint64_t word) {
    atomic_thread_fence(memory_order_release); /* MO(bytes.copy): as above */
    memcpy(dst, &word, sizeof(word));
}

#endif

#endif
