/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/life/gone.h"

#include "engine/life/handles.h"
#include "engine/table/rcu.h"
#include "engine/replica/view.h"

void gone_hide(struct tide *d) {
    rcu_enter(); /* none of them goes away meanwhile */
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        struct view *v = view_at(d, i);
        if (v == NULL) {
            continue;
        }
        if (v->foreign) {
            atomic_store(&v->segment_id, 0); /* no table has this one: the mapping counts as an old one's */
        } else {
            atomic_compare_exchange_strong(&d->views[i], &v, NULL); /* its owner may be doing so, too */
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
