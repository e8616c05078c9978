/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Named points at which a test build dies on request: TIDE_KILL=name or name:n (the n-th time) in the environment.
 * Other builds contain none of it. A test that sets kill_point_seen is called at every point passed.
 */
#ifndef TIDE_TABLE_KILL_H
#define TIDE_TABLE_KILL_H

#ifdef TIDE_KILL_POINTS
void kill_point(const char *name);
extern void (*kill_point_seen)(const char *name);
#define KILL_POINT(name) kill_point(name)
#else
#define KILL_POINT(name) ((void)0)
#endif

#endif
