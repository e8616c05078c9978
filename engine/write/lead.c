/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/write/lead.h"

#include "shm/park.h"

bool lead_is_here(const struct tide *d) {
    return atomic_load(&d->seq.here);
}

bool lead_is_held(struct tide *d) {
    return lead_is_here(d) || member_led_elsewhere(d->segment.fd);
}

void lead_ask_step_down(struct tide *d) {
    atomic_store(&d->step_down, true);
    park_rouse(&d->steward_word, INT32_MAX);
}
