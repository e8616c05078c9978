/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The subcommands of `tide`. Each stands in a file of its own and is called with argv[0] set to its full name ("tide
 * node"), so that messages, getopt's too, begin with it. Each returns the exit code of the process.
 */
#ifndef TIDE_TOOLS_TOOLS_H
#define TIDE_TOOLS_TOOLS_H

#include "tools/lib/codes.h"

int tool_node(int argc, char **argv);
int tool_dump(int argc, char **argv);
int tool_demo(int argc, char **argv);

int tool_serve(int argc, char **argv);
int tool_follow(int argc, char **argv);
int tool_get(int argc, char **argv);
int tool_put(int argc, char **argv);
int tool_del(int argc, char **argv);
int tool_clear(int argc, char **argv);
int tool_cas(int argc, char **argv);
int tool_touch(int argc, char **argv);
int tool_ttl(int argc, char **argv);
int tool_incr(int argc, char **argv);
int tool_scan(int argc, char **argv);
int tool_watch(int argc, char **argv);
int tool_ls(int argc, char **argv);
int tool_stat(int argc, char **argv);
int tool_top(int argc, char **argv);
int tool_metrics(int argc, char **argv);
int tool_web(int argc, char **argv);
int tool_verify(int argc, char **argv);
int tool_diff(int argc, char **argv);
int tool_snapshot(int argc, char **argv);
int tool_step_down(int argc, char **argv);
int tool_gc(int argc, char **argv);
int tool_rm(int argc, char **argv);

#endif
