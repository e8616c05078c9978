/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tide_ping(): does the leader answer? It is asked through a word of its own, since all lanes may be lent. */
#include "engine/table/cancel.h"
#include "engine/replica/domain.h"
#include "engine/write/lead.h"
#include "shm/clock.h"
#include "shm/park.h"

#define PING_NAP_NS 10000000u /* another process may lead by now; its lane thread looks at the word when it starts */

/* Raise the word and wake the leader's lane thread if it sleeps. Returns the ticket that the answer must reach. */
static uint32_t ping_ask(struct lanes_board *b) {
    uint32_t ticket = atomic_fetch_add(&b->pinged, 1) + 1;
    if (atomic_load(&b->asleep) != 0) {
        park_rouse_announced(&b->asleep, &b->wake, 1);
    }
    return ticket;
}

static int ping_unheard(struct tide *d) {
    return lead_is_here(d)                                               ? 0
           : atomic_load(&d->log->leader.leader) < 0 || !lead_is_held(d) ? TIDE_ERR_NO_LEADER
                                                                         : TIDE_ERR_TIMEOUT;
}

int tide_ping(struct tide *d, uint64_t timeout_ns) {
    CANCEL_HOLD_OFF();
    if (d == NULL) {
        return TIDE_ERR_INVALID;
    }
    if (atomic_load(&d->closed) != 0) {
        return -(int)atomic_load(&d->closed);
    }
    if (lead_is_here(d)) {
        return 0;
    }
    if (d->read_only) {
        return TIDE_ERR_READ_ONLY;
    }
    struct lanes_board *b = &d->log->lanes_board;
    uint64_t until = clock_after(clock_monotonic_ns(), timeout_ns);
    uint32_t ticket = ping_ask(b);
    for (;;) {
        uint32_t seen = atomic_load(&b->answered);
        if ((int32_t)(seen - ticket) >= 0) {
            return 0;
        }
        uint64_t now = clock_monotonic_ns();
        if (atomic_load(&d->closed) != 0) {
            return -(int)atomic_load(&d->closed);
        }
        if (now >= until) {
            return ping_unheard(d);
        }
        park_wait(&b->answered, seen, until - now < PING_NAP_NS ? until - now : PING_NAP_NS);
    }
}
