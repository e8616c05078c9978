/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_TESTS_STRESS_TEARDOWN_H
#define TIDE_TESTS_STRESS_TEARDOWN_H

#include "tests/lib/stress_domain.h"

/*
 * Domains, replicas and readers are opened and closed in any order by some threads while others read and write
 * through the same handles, two of which are of one domain. Nothing may be used after it is freed (AddressSanitizer),
 * leak (LeakSanitizer), hang (the watchdog) or answer an error that does not belong there. Every thread that uses a
 * handle holds a reader of it: that keeps it valid after tide_close().
 */
void stress_teardown_round(uint64_t seed, uint64_t round_ns);

#endif
