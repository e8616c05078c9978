/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/write/lane_work.h"

#include <stdlib.h>

#include "engine/table/kill.h"
#include "shm/park.h"

void lane_answer(struct lane *lane, uint64_t seq, const struct seq_request *q) {
    if (q->result == 0 && q->more != NULL) {
        lane_put_results(q, lane->request);
    }
    lane->result = q->result;
    lane->index = q->index;
    lane->found = q->found;
    lane->failed = (uint32_t)q->failed;
    KILL_POINT("lane.unanswered");
    atomic_store(&lane->turn, seq << 3 | LANE_ANSWERED);
    KILL_POINT("lane.answered");
    if (atomic_load(&lane->asleep) != 0) {
        park_rouse_announced(&lane->asleep, &lane->wake, 1);
    }
}

void lane_work_free(struct lane_work *w) {
    if (w->bytes != w->few) {
        free(w->bytes);
        free(w->d.ops);
        free(w->d.prepared);
        free(w->d.more);
    }
}
