/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/table.h"

void table_note_damage(const struct table *t, const void *at, const char *what) {
    const char *none = NULL;
    /* MO(table.damage): sequentially consistent; it happens once. */
    if (t->own != NULL && atomic_compare_exchange_strong(&t->own->damage, &none, what)) {
        atomic_store(&t->own->damage_off, (uint64_t)((const uint8_t *)at - t->base));
    }
}

void table_note_misfit(const struct table *t, const struct table_bucket *b, uint32_t node, size_t key_len) {
    /* MO(node.fields): relaxed; as in table_key_is(). */
    if (!table_node_fits(t, node, 0) ||
        atomic_load_explicit(&table_node_at(t, node)->key_len, memory_order_relaxed) == key_len) {
        table_note_damage(t, b, "a slot");
    }
}
