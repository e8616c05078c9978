/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a process of the crash tests is for. Each runs until it is killed, or asked to leave. */
#ifndef TIDE_TESTS_CRASH_ROLES_H
#define TIDE_TESTS_CRASH_ROLES_H

#include "tests/crash_world.h"

/* A replica that may lead; it writes as well, as writer `slot` % CRASH_WRITERS. */
void crash_role_node(struct crash_world *w, uint32_t slot, uint64_t seed);
/* The same, but it may never lead. */
void crash_role_follower(struct crash_world *w, uint32_t slot, uint64_t seed);
/* Writes through lanes, as writer `slot` % CRASH_WRITERS; reads a little. */
void crash_role_writer(struct crash_world *w, uint32_t slot, uint64_t seed);
/* Reads other processes' replicas. */
void crash_role_reader(struct crash_world *w, uint32_t slot, uint64_t seed);
/* Collects garbage, asks the leader to step down now and then, verifies. */
void crash_role_janitor(struct crash_world *w, uint32_t slot, uint64_t seed);
/* Watches everything, and compares what it was told with a copy of everything: tests/crash_watch.c. */
void crash_role_watcher(struct crash_world *w, uint32_t slot, uint64_t seed);
/* crash_check_all() and an end. */
void crash_role_checker(struct crash_world *w, uint32_t slot, uint64_t seed);

/* The parts: start a replica of this role in an open domain, trying again while that may help. */
uint32_t crash_start_replica(struct crash_world *w, struct tide *d, enum tide_role role, bool candidate);
/* Write (me < CRASH_WRITERS) or read until asked to leave, or so many times. */
void crash_work(struct crash_world *w, struct tide *d, uint32_t slot, uint32_t me, uint64_t seed, uint64_t times);

#endif
