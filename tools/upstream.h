/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain that takes its log from etcd: a feed (engine/tidemark.h) and a client (tools/etcd/client.h), put together. For `tide serve` and
 * `tide follow`. It works while its process leads the domain, and rests while another one does.
 */
#ifndef TIDE_TOOLS_UPSTREAM_H
#define TIDE_TOOLS_UPSTREAM_H

#include "tools/lib/client.h"

struct upstream;

/* What the options said. Zero-initialise. */
struct upstream_opts {
    const char *url; /* NULL: no upstream */
    const char *ca, *cert, *key, *user;
};

/* Options as args_options() takes them; their numbers are from UPSTREAM_OPTION. */
enum {
    UPSTREAM_OPTION = 1024,
    UPSTREAM_URL = UPSTREAM_OPTION,
    UPSTREAM_CA,
    UPSTREAM_CERT,
    UPSTREAM_KEY,
    UPSTREAM_USER,
    UPSTREAM_END
};
#define UPSTREAM_OPTIONS                                                                                               \
    { "upstream", required_argument, NULL, UPSTREAM_URL }, { "upstream-ca", required_argument, NULL, UPSTREAM_CA },    \
        { "upstream-cert", required_argument, NULL, UPSTREAM_CERT },                                                   \
        { "upstream-key", required_argument, NULL, UPSTREAM_KEY }, {                                                   \
        "upstream-user", required_argument, NULL, UPSTREAM_USER                                                        \
    }
#define UPSTREAM_HELP                                                                                                  \
    "  --upstream URL        take the log from etcd: etcd://HOST:PORT[,HOST:PORT...]/PREFIX, etcds:// with TLS. Keys " \
    "are\n"                                                                                                            \
    "                        without PREFIX here, in which %XX is a byte; an empty one is all of the cluster\n"        \
    "  --upstream-ca FILE    certificates to trust (default: the system's)\n"                                          \
    "  --upstream-cert FILE  certificate to show, and its key, if that is not in --upstream-key FILE\n"                \
    "  --upstream-key FILE\n"                                                                                          \
    "  --upstream-user FILE  user and password: one line NAME:PASSWORD, in a file that only you can read\n"

/* Take one of those options. */
void upstream_option(struct upstream_opts *o, int option, const char *arg);
/* Do they fit together? 0, or an exit code after a message. */
int upstream_check(const struct cli *c, const struct upstream_opts *o);

/* Make c->domain able to lead: before its replicas are started. 0 and *out, or an exit code after a message. */
int upstream_open(struct cli *c, const struct upstream_opts *o, struct upstream **out);
/* This process leads: wait until the domain is complete. 0, or an exit code after a message; where it was complete already and
 * no member can be reached, that is a warning. */
int upstream_wait(struct upstream *u);
/* Has the cluster become another one? Then the domain's data are worth nothing. */
int upstream_is_another(struct upstream *u);
const char *upstream_another_why(struct upstream *u);
/* Is that because this process was told of another cluster or prefix than the one that the domain is of? */
int upstream_is_astray(struct upstream *u);
/* Then one that followed, and came to lead, leaves the domain as it is: a message, and the exit code. */
int upstream_leave(struct upstream *u);
/* Closes c->domain, too. u may be NULL. Returns as cli_end(). */
int upstream_end(struct upstream *u, struct cli *c, int code);

#endif
