/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/write/lead.h"

#include "shm/park.h"

bool lead_is_here(const struct tide *d) {
    return atomic_load(&d->seq.here);
}

bool lead_is_held(struct tide *d) {
    return lead_is_here(d) || member_led_elsewhere(segment_fd(&d->segment));
}

void lead_settle(struct tide *d) {
    _Atomic uint32_t *founder = &d->log->leader.founder;
    uint32_t who = atomic_load(founder);
    if (who != 0 && who == d->member + 1) {
        atomic_store(founder, 0);
        park_wake(founder, INT32_MAX);
    }
}

void lead_look_at_descriptor(struct tide *d) {
    if (atomic_load(&d->closed) == 0 && segment_fd(&d->segment) < 0 && !atomic_exchange(&d->told_descriptor, true)) {
        tide_logf(d, TIDE_LOG_WARN,
                  "another part of this program closed descriptor %d, which is that of %s: reads and writes go on, but "
                  "until the domain is opened anew this process can neither take the lead nor give it away; open the "
                  "domain after what closes all descriptors",
                  d->segment.fd, d->segment.path);
    }
}

void lead_ask_step_down(struct tide *d) {
    atomic_store(&d->step_down, true);
    park_rouse(&d->steward_word, INT32_MAX);
}
