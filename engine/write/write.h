/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_WRITE_WRITE_H
#define TIDE_WRITE_WRITE_H

#include "engine/log/sequencer.h"
#include "engine/replica/domain.h"

/* Set up what writes need of a domain that is being opened. */
void write_open(struct tide *d);

/* tide_put() in every case. Errors as there. */
int write_put(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, const void *value,
              size_t value_size, struct tide_token *token);

/* Submit a request whose operations were checked, and hand the write's index to the session and to the caller. */
int write_submit(struct tide *d, struct tide_reader *session, struct seq_request *q, struct tide_token *token);

#endif
