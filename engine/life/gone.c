/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/life/gone.h"

#include "engine/life/handles.h"
#include "engine/table/rcu.h"
#include "engine/read/reader.h"

void gone_hide(struct tide *d) {
    rcu_enter(); /* none of them goes away meanwhile */
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        struct replica *r = reader_replica(d, i);
        if (r == NULL) {
            continue;
        }
        if (r->foreign) {
            atomic_store(&r->segment_id, 0); /* no table has this one: the mapping counts as an old one's */
        } else {
            atomic_compare_exchange_strong(&d->replicas[i], &r, NULL); /* its owner may be doing so, too */
        }
    }
    rcu_exit();
}

static void gone_look(struct tide *d) {
    const uint32_t gone = (uint32_t)-TIDE_ERR_GONE;
    uint32_t open = 0;
    if (atomic_load(&d->closed) == 0 && segment_is_unlinked(&d->segment)) {
        atomic_compare_exchange_strong(&d->closed, &open, gone);
    }
    if (atomic_load(&d->closed) == gone) {
        gone_hide(d); /* again each time: one that was being shown just then is found by the next look */
    }
}

void gone_look_all(void) {
    handles_each(gone_look);
}
