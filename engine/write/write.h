/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_WRITE_WRITE_H
#define TIDE_WRITE_WRITE_H

#include "engine/replica/domain.h"

/* tide_put() in every case. Errors as there. */
int write_put(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, const void *value,
              size_t value_size, struct tide_token *token);

#endif
