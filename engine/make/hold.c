/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/make/hold.h"

#include "engine/replica/sized.h"
#include "engine/table/cancel.h"
#include "shm/clock.h"

uint64_t hold_hash(const struct tide *d, const void *key, size_t key_len) {
    const struct table seeded = { .seed = d->hash_seed };
    return table_hash(&seeded, key, key_len);
}

bool hold_has(const struct tide_reader *r, uint32_t slot) {
    return slot / 64 < READER_LEASE_WORDS && (r->leases[slot / 64] >> slot % 64 & 1) != 0;
}

enum lease_status hold_take(struct tide_reader *r, uint64_t hash, struct lease_place *place) {
    struct tide *d = r->domain;
    if (d->read_only) {
        return LEASE_NONE;
    }
    enum lease_status status = lease_take(d->log, segment_fd(&d->segment), d->member, hash, &d->lease_stuck, place);
    if (status == LEASE_TAKEN) {
        r->leases[place->slot / 64] |= UINT64_C(1) << place->slot % 64;
    }
    return status;
}

void hold_release(struct tide_reader *r, uint32_t slot, bool made) {
    if (hold_has(r, slot)) {
        r->leases[slot / 64] &= ~(UINT64_C(1) << slot % 64);
        if (!tide_forked(r->domain)) {
            lease_release(r->domain->log, r->domain->member, slot, made);
        }
    }
}

/* ---- for bindings ------------------------------------------------------------------------------------------------- */

static int hold_check(const struct tide_reader *r) {
    int error = reader_check(r);
    return error != 0 ? error : -(int)atomic_load(&r->domain->closed);
}

/* Take, or wait until the one that has it gave it up. */
static int hold_await(struct tide_reader *r, uint64_t hash, uint64_t until_ns, struct tide_lease *lease) {
    struct lease_place place;
    for (;;) {
        enum lease_status status = hold_take(r, hash, &place);
        if (status != LEASE_BUSY) {
            lease->state = status == LEASE_TAKEN ? TIDE_LEASE_TAKEN : TIDE_LEASE_FULL;
            lease->slot = status == LEASE_TAKEN ? place.slot : UINT32_MAX;
            return 0;
        }
        uint64_t now = clock_monotonic_ns();
        if (hold_has(r, place.slot)) {
            return TIDE_ERR_BUSY;
        }
        if (now >= until_ns) {
            return TIDE_ERR_TIMEOUT;
        }
        if (lease_wait(r->domain->log, &place, until_ns - now)) {
            lease->state = TIDE_LEASE_DONE;
            lease->slot = UINT32_MAX;
            return 0;
        }
        int error = hold_check(r);
        if (error != 0) {
            return error;
        }
    }
}

int tide_lease_take(struct tide_reader *r, const void *key, size_t key_len, uint64_t wait_ns,
                    struct tide_lease *lease) {
    int error = hold_check(r);
    if (error != 0) {
        return error;
    }
    if (key == NULL || key_len == 0 || key_len > TIDE_KEY_MAX || lease == NULL || lease->size < SIZED_LEASE) {
        return TIDE_ERR_INVALID;
    }
    CANCEL_HOLD_OFF();
    struct tide_lease found = { .size = sizeof(found) };
    error = hold_await(r, hold_hash(r->domain, key, key_len), clock_after(clock_monotonic_ns(), wait_ns), &found);
    if (error == 0) {
        SIZED_GIVE(lease, &found);
    }
    return error;
}

int tide_lease_release(struct tide_reader *r, const struct tide_lease *lease, int made) {
    int error = reader_check(r);
    if (error == 0 && (lease == NULL || lease->size < SIZED_LEASE)) {
        error = TIDE_ERR_INVALID;
    }
    if (error == 0 && lease->state == TIDE_LEASE_TAKEN) {
        if (!hold_has(r, lease->slot)) {
            return TIDE_ERR_INVALID;
        }
        hold_release(r, lease->slot, made != 0);
    }
    return error;
}
