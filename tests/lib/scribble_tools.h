/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands of `tide` on a domain whose words are changed: tests/lib/scribble.h. */
#ifndef TIDE_TESTS_SCRIBBLE_TOOLS_H
#define TIDE_TESTS_SCRIBBLE_TOOLS_H

#include <stdbool.h>
#include <stdint.h>

struct scribble_scene;

/* Run commands of $TIDE_BUILD/tide one after the other. Each is a step: at(its text) is false when it is time to end. False: one died of a
 * signal, grew, or ended with a code that no command has (printed). */
bool scribble_run_tools(struct scribble_scene *s, uint64_t *random, bool (*at)(const char *where));

#endif
