/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/replica/view.h"

#include "engine/table/rcu.h"

void view_show(struct tide *d, struct view *v) {
    /* MO(domain.replica): release; pairs with the acquire in view_at(): the view's fields before its pointer. */
    atomic_store_explicit(&d->views[v->id], v, memory_order_release);
}

void view_hide(struct tide *d, struct view *v) {
    atomic_store(&d->views[v->id], NULL);
    rcu_wait();
}
