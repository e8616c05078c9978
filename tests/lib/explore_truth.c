/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/explore.h"
#include "tests/lib/stress_domain.h"

#define TICK_NS UINT64_C(1000000)

struct explore_world *explore;

void explore_fail(const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (atomic_fetch_add(&explore->failures, 1) < 20) {
        fprintf(stderr, "VIOLATION (round seed %llu, process %d): %s\n", (unsigned long long)explore->seed,
                (int)getpid(), text);
    }
}

uint64_t explore_now(void) {
    return stress_now_ns();
}

/* ---- keys and values ----------------------------------------------------------------------------------------------- */

uint64_t explore_key(uint32_t k, uint8_t *out) {
    char text[32];
    size_t len, at = k;
    if (k < EXPLORE_LOOSE) {
        len = (size_t)snprintf(text, sizeof(text), "key%08u", k);
    } else if ((at = k - EXPLORE_LOOSE) < EXPLORE_KEPT) {
        len = (size_t)snprintf(text, sizeof(text), "kept%02zu", at);
    } else if ((at -= EXPLORE_KEPT) < 2 * EXPLORE_PAIRS) {
        len = (size_t)snprintf(text, sizeof(text), "pair%02zu.%zu", at / 2, at % 2);
    } else {
        len = (size_t)snprintf(text, sizeof(text), "sum%02zu", at - 2 * EXPLORE_PAIRS);
    }
    memcpy(out, text, len);
    /* Some are long, and one as long as a key may be. */
    size_t whole = k >= EXPLORE_LOOSE || k % 8 != 7 ? len : k == 399 ? EXPLORE_KEY_MOST : len + k;
    memset(out + len, '~', whole - len);
    return whole;
}

int32_t explore_which(const void *key, uint64_t len) {
    static _Thread_local uint8_t want[EXPLORE_KEY_MOST];
    char text[32] = "";
    unsigned n = 0, part = 0;
    memcpy(text, key, len < sizeof(text) - 1 ? len : sizeof(text) - 1);
    uint32_t k = UINT32_MAX;
    if (sscanf(text, "key%8u", &n) == 1) {
        k = n;
    } else if (sscanf(text, "kept%2u", &n) == 1) {
        k = EXPLORE_LOOSE + n;
    } else if (sscanf(text, "pair%2u.%1u", &n, &part) == 2) {
        k = EXPLORE_LOOSE + EXPLORE_KEPT + 2 * n + part;
    } else if (sscanf(text, "sum%2u", &n) == 1) {
        k = EXPLORE_LOOSE + EXPLORE_KEPT + 2 * EXPLORE_PAIRS + n;
    } else {
        return len == 5 && memcmp(key, "count", 5) == 0 ? -1 : -2;
    }
    if (k < EXPLORE_KEYS && explore_key(k, want) == len && memcmp(want, key, len) == 0) {
        return (int32_t)k;
    }
    return k < 1000 && len == 11 ? -1 : -2; /* a command names keys without their long ends */
}

/* Small values have no room to say more than whose they are. */
static void explore_small(uint32_t k, uint64_t size, uint8_t *out) {
    for (uint64_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(k * 7 + size * 13 + i);
    }
}

uint64_t explore_value(uint32_t k, uint32_t writer, uint64_t size, uint8_t *out) {
    struct explore_call *call = &explore->calls[writer / EXPLORE_THREADS][writer % EXPLORE_THREADS];
    if (size < 16) {
        explore_small(k, size, out);
    } else {
        stress_value_make(out, size, k, (uint64_t)writer << 40 | atomic_fetch_add(&call->seq, 1));
    }
    return size;
}

static bool explore_is_number(const uint8_t *value, uint64_t size) {
    uint64_t i = size > 1 && value[0] == '-';
    for (uint64_t at = i; at < size; at++) {
        if (value[at] < '0' || value[at] > '9') {
            return false;
        }
    }
    return size > i && size <= 20;
}

bool explore_is_of(const void *key, uint64_t key_len, const void *value, uint64_t size) {
    int32_t k = explore_which(key, key_len);
    uint64_t made;
    uint8_t small[16];
    bool sum = k >= (int32_t)(EXPLORE_KEYS - EXPLORE_SUMS), loose = k < (int32_t)EXPLORE_LOOSE;
    if (k == -2) {
        return false;
    }
    /* Commands put "value"; any loose key may be added to. */
    if (sum || loose) {
        if (explore_is_number(value, size) || (loose && size == 5 && memcmp(value, "value", 5) == 0)) {
            return true;
        }
    }
    if (sum || k < 0) {
        return false;
    }
    if (size < 16) {
        explore_small((uint32_t)k, size, small);
        return size == 0 || memcmp(small, value, size) == 0;
    }
    if (!stress_value_check(value, size, (uint64_t)k, &made) || made >> 40 >= EXPLORE_WRITERS) {
        return false;
    }
    uint32_t writer = (uint32_t)(made >> 40);
    return (made & ((UINT64_C(1) << 40) - 1)) <
           atomic_load(&explore->calls[writer / EXPLORE_THREADS][writer % EXPLORE_THREADS].seq);
}

/* ---- acknowledged writes --------------------------------------------------------------------------------------------- */

static void explore_raise(_Atomic uint64_t *word, uint64_t to) {
    uint64_t was = atomic_load(word);
    while (was < to && !atomic_compare_exchange_weak(word, &was, to)) {
    }
}

void explore_acked(uint32_t k, uint64_t index) {
    uint64_t tick = explore_now() / TICK_NS;
    explore_raise(&explore->acked[k], index);
    explore_raise(&explore->ticks[tick % EXPLORE_TICKS], (tick & UINT32_MAX) << 32 | (index & UINT32_MAX));
}

uint64_t explore_acked_before(uint64_t ns) {
    uint64_t tick = ns / TICK_NS, most = 0;
    for (uint64_t t = tick - 1; t + 200 > tick; t--) {
        uint64_t word = atomic_load(&explore->ticks[t % EXPLORE_TICKS]);
        if (word >> 32 == (t & UINT32_MAX) && (word & UINT32_MAX) > most) {
            most = word & UINT32_MAX;
        }
    }
    return most;
}
