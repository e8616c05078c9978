/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/write/lead.h"

#include "shm/park.h"

bool lead_is_here(const struct tide *d) {
    return atomic_load(&d->seq.here) != 0;
}

bool lead_is_held(struct tide *d) {
    return lead_is_here(d) || member_led_elsewhere(d->segment.fd);
}

void lead_ask_step_down(struct tide *d) {
    atomic_store(&d->step_down, 1);
    atomic_fetch_add(&d->steward_word, 1);
    park_wake(&d->steward_word, INT32_MAX);
}
