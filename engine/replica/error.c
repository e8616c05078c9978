/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names and texts of the public interface's numbers. */
#include "engine/tidemark.h"

#include <stdarg.h>
#include <stdio.h>

#include "engine/replica/domain.h"
#include "engine/table/cancel.h"
#include "shm/fault.h"

uint32_t tide_version(void) {
    return TIDE_VERSION;
}

const char *tide_strerror(int code) {
    switch ((enum tide_error)code) {
    case TIDE_OK:
        return "success";
    case TIDE_ERR_INVALID:
        return "invalid argument";
    case TIDE_ERR_NOMEM:
        return "out of memory";
    case TIDE_ERR_SYSTEM:
        return "the system refused a call (the log says which, and why)";
    case TIDE_ERR_EXISTS:
        return "the domain exists already";
    case TIDE_ERR_NO_DOMAIN:
        return "no such domain";
    case TIDE_ERR_FOREIGN:
        return "the segment is another user's or another time namespace's, or no regular file of mode 0600";
    case TIDE_ERR_VERSION:
        return "the segment was made by another version; use that version, or save with it, remove the domain, load "
               "with this one";
    case TIDE_ERR_CORRUPT:
        return "the segment is damaged; save what is whole ('tide snapshot save'), then remove the domain";
    case TIDE_ERR_NO_SPACE:
        return "there is not enough shared memory, or a limit forbids so much (the log says which, and what would do)";
    case TIDE_ERR_FULL:
        return "the table is full; delete or shorten something (overwrites that are no larger still work), "
               "or let replicas with more memory (table_bytes, --table) take the place of all that are there";
    case TIDE_ERR_TOO_BIG:
        return "the key is over 65535 bytes or the write over a quarter of the ring";
    case TIDE_ERR_BUFFER:
        return "the buffer is too small for the value";
    case TIDE_ERR_NOT_FOUND:
        return "no such key";
    case TIDE_ERR_REFUSED:
        return "no replica keeps the bound, or the source that feeds the domain refused the write";
    case TIDE_ERR_TIMEOUT:
        return "timed out";
    case TIDE_ERR_FENCE_AHEAD:
        return "the fence is ahead of everything that was committed";
    case TIDE_ERR_INCARNATION:
        return "the token is of another incarnation of the domain";
    case TIDE_ERR_NO_LEADER:
        return "nobody leads the domain";
    case TIDE_ERR_NO_REPLICA:
        return "no replica that may be used is serving";
    case TIDE_ERR_MISMATCH:
        return "the key is at another version than expected";
    case TIDE_ERR_CLOSED:
        return "the domain was closed";
    case TIDE_ERR_SLOTS:
        return "all slots are taken: 64 replicas, or 512 open handles; close some, or let 'tide gc' free those of the "
               "dead";
    case TIDE_ERR_THREAD:
        return "the reader belongs to another thread (open one in each), or a section is open (end it first), or none "
               "is (begin one)";
    case TIDE_ERR_UNKNOWN:
        return "it is not known whether the write was done";
    case TIDE_ERR_BUSY:
        return "there is a leader already, or the replica is in use";
    case TIDE_ERR_DIVERGED:
        return "the replica's digest differs from the leader's";
    case TIDE_ERR_GONE:
        return "the segment was unlinked or replaced";
    case TIDE_ERR_FORKED:
        return "the handle was made before fork(); open a new one";
    case TIDE_ERR_LOST:
        return "what it has to read next is no longer there; begin the section, or the watch, anew";
    case TIDE_ERR_NOT_LOCAL:
        return "zero copy works on replicas of this process only";
    case TIDE_ERR_NUMBER:
        return "the value is no number that can be added to";
    case TIDE_ERR_OVERFLOW:
        return "the sum leaves 64 bits";
    case TIDE_ERR_FED:
        return "a source feeds the domain, and only its feed leads it and appends to it; or it takes no writes; or no "
               "source feeds the domain, or another one does";
    case TIDE_ERR_REVISION:
        return "the log holds this revision of the source already, or a later one";
    case TIDE_ERR_READ_ONLY:
        return "the domain's files cannot be written from here (a read-only mount), so this handle only looks";
    }
    return "unknown error";
}

const char *tide_reason_name(uint32_t reason) {
    static const char *const names[TIDE_REASONS] = {
        "fresh",           "within_bound", "waited", "redirected_to_leader", "follower_behind_redirected_to_leader",
        "stale_by_choice", "refused"
    };
    return reason < TIDE_REASONS ? names[reason] : "unknown";
}

const char *tide_state_name(enum tide_state s) {
    static const char *const names[] = { "free",    "claimed",  "joining", "serving", "lapped",
                                         "stopped", "diverged", "failed",  "orphan" };
    return (unsigned)s < sizeof(names) / sizeof(names[0]) ? names[s] : "unknown";
}

void tide_logf(struct tide *d, enum tide_log_level level, const char *format, ...) {
    if (d->log_fn == NULL) {
        return;
    }
    CANCEL_HOLD_OFF(); /* the callback may call a cancellation point */
    char text[512];
    int n = snprintf(text, sizeof(text), "tidemark %s: ", d->name);
    va_list args;
    va_start(args, format);
    vsnprintf(text + n, sizeof(text) - (size_t)n, format, args);
    va_end(args);
    d->log_fn(d->log_ctx, level, text);
}

void tide_log_fault(struct tide *d, int error) {
    bool has_text = error == TIDE_ERR_SYSTEM || error == TIDE_ERR_NOMEM || error == TIDE_ERR_NO_SPACE ||
                    error == TIDE_ERR_FOREIGN || error == TIDE_ERR_VERSION || error == TIDE_ERR_CORRUPT ||
                    error == TIDE_ERR_INVALID;
    if (has_text && fault_text() != NULL) {
        tide_logf(d, TIDE_LOG_ERROR, "%s", fault_text());
    }
}
