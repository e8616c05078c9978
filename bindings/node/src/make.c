/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Leases: of all who miss a key at once, in all processes, one makes the value. index.js awaits and makes; nothing waits here. */
#include <stdlib.h>

#include "addon.h"

/* leaseTake(id, key): io[IO_STATE], io[IO_SLOT]. TIMEOUT: another has it. */
static napi_value make_take(napi_env env, napi_callback_info info) {
    napi_value argv[2];
    struct addon *a = addon_args(env, info, 2, argv);
    struct domain *d = domain_of(a, arg_number(env, argv[0]));
    char room[KEY_ROOM];
    struct key k;
    struct tide_lease lease = TIDE_LEASE_INIT;
    int error = key_get(env, argv[1], room, &k);
    if (error != 0) {
        return addon_done(a, error);
    }
    error = d != NULL ? tide_lease_take(d->r, k.p, k.n, 0, &lease) : TIDE_ERR_CLOSED;
    free(k.made);
    a->io[IO_STATE] = lease.state;
    a->io[IO_SLOT] = lease.slot;
    return addon_done(a, error);
}

/* leaseRelease(id, state, slot, made). A domain that was closed has given its leases up. */
static napi_value make_release(napi_env env, napi_callback_info info) {
    napi_value argv[4];
    struct addon *a = addon_args(env, info, 4, argv);
    struct domain *d = domain_of(a, arg_number(env, argv[0]));
    struct tide_lease lease = TIDE_LEASE_INIT;
    lease.state = (uint32_t)arg_number(env, argv[1]);
    lease.slot = (uint32_t)arg_number(env, argv[2]);
    return addon_done(a, d != NULL ? tide_lease_release(d->r, &lease, arg_number(env, argv[3]) != 0) : 0);
}

void make_init(struct addon *a, napi_value exports) {
    addon_function(a, exports, "leaseTake", make_take);
    addon_function(a, exports, "leaseRelease", make_release);
}
