/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/write/lead.h"

#include "shm/park.h"

bool lead_is_here(const struct tide *d) {
    return atomic_load(&d->seq.here);
}

bool lead_is_held(struct tide *d) {
    return lead_is_here(d) || member_led_elsewhere(d->segment.fd);
}

void lead_settle(struct tide *d) {
    _Atomic uint32_t *founder = &d->log->leader.founder;
    uint32_t who = atomic_load(founder);
    if (who != 0 && who == d->member + 1) {
        atomic_store(founder, 0);
        park_wake(founder, INT32_MAX);
    }
}

void lead_ask_step_down(struct tide *d) {
    atomic_store(&d->step_down, true);
    park_rouse(&d->steward_word, INT32_MAX);
}
