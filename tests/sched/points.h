/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Included ahead of every source of a program under the scheduler (tests/sched/sched.h): each atomic access, each kill point and each turn of a
 * spin loop hands control to it. The accesses themselves are as ever. <stdatomic.h> is made of the compiler's functions, whose names
 * are macros from here on; a macro is not expanded within itself.
 */
#ifndef TIDE_SCHED_POINTS_H
#define TIDE_SCHED_POINTS_H

void sched_point(void);
void sched_spin(void);

#ifdef __clang__
#define __c11_atomic_load(...) (sched_point(), __c11_atomic_load(__VA_ARGS__))
#define __c11_atomic_store(...) (sched_point(), __c11_atomic_store(__VA_ARGS__))
#define __c11_atomic_exchange(...) (sched_point(), __c11_atomic_exchange(__VA_ARGS__))
#define __c11_atomic_compare_exchange_strong(...) (sched_point(), __c11_atomic_compare_exchange_strong(__VA_ARGS__))
#define __c11_atomic_compare_exchange_weak(...) (sched_point(), __c11_atomic_compare_exchange_weak(__VA_ARGS__))
#define __c11_atomic_fetch_add(...) (sched_point(), __c11_atomic_fetch_add(__VA_ARGS__))
#define __c11_atomic_fetch_sub(...) (sched_point(), __c11_atomic_fetch_sub(__VA_ARGS__))
#define __c11_atomic_fetch_or(...) (sched_point(), __c11_atomic_fetch_or(__VA_ARGS__))
#define __c11_atomic_fetch_and(...) (sched_point(), __c11_atomic_fetch_and(__VA_ARGS__))
#else
#define __atomic_load(...) (sched_point(), __atomic_load(__VA_ARGS__))
#define __atomic_store(...) (sched_point(), __atomic_store(__VA_ARGS__))
#define __atomic_exchange(...) (sched_point(), __atomic_exchange(__VA_ARGS__))
#define __atomic_compare_exchange(...) (sched_point(), __atomic_compare_exchange(__VA_ARGS__))
#define __atomic_fetch_add(...) (sched_point(), __atomic_fetch_add(__VA_ARGS__))
#define __atomic_fetch_sub(...) (sched_point(), __atomic_fetch_sub(__VA_ARGS__))
#define __atomic_fetch_or(...) (sched_point(), __atomic_fetch_or(__VA_ARGS__))
#define __atomic_fetch_and(...) (sched_point(), __atomic_fetch_and(__VA_ARGS__))
#endif
/* Copies of bytes that another thread may be writing, in the way that ThreadSanitizer gets them: shm/bytes.h. */
#define BYTES_ATOMIC 1
#define __atomic_load_n(...) (sched_point(), __atomic_load_n(__VA_ARGS__))
#define __atomic_store_n(...) (sched_point(), __atomic_store_n(__VA_ARGS__))

#if defined(__x86_64__)
#define __builtin_ia32_pause() (sched_spin(), __builtin_ia32_pause())
#endif

#endif
