/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How large a new domain becomes: what was asked for, checked, or what fits here. */
#ifndef TIDE_LIFE_SIZES_H
#define TIDE_LIFE_SIZES_H

#include "engine/replica/domain.h"

#define SIZES_TABLE_MIN (UINT64_C(256) << 10)

/* The options with every default filled in. Errors: INVALID, and the log callback says which number is wrong. */
int sizes_settle(struct tide *d, const struct tide_opts *asked, struct tide_opts *out);

/* Make the sizes that nobody asked for smaller where a leader, a follower and a newcomer would not fit into what can be had here. */
void sizes_fit(struct tide *d, const struct tide_opts *asked, struct tide_opts *settled);

/* Bytes of a log segment with this ring. */
uint64_t sizes_log_bytes(uint64_t ring_bytes);

/* The domain has other sizes than those asked for. */
bool sizes_differ(const struct domain_words *w, const struct tide_opts *asked);

#endif
