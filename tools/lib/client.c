/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shm/fd.h"
#include "tools/lib/args.h"
#include "tools/lib/signals.h"
#include "tools/lib/stdio.h"

/* ---- arguments ---- */

static int cli_set_json(void *ctx, int option, char *arg) {
    struct cli *c = ctx;
    (void)arg;
    c->json |= option == 'j';
    return 0;
}

int cli_only_json(struct cli *c, int argc, char **argv, const char *help) {
    static const struct option LIST[] = { ARGS_LAST_OPTIONS };
    const struct args_options options = { help, "h", LIST, cli_set_json };
    return args_options(&options, argc, argv, c);
}

int cli_name_is_good(const char *name) {
    size_t length = strnlen(name, TIDE_NAME_MAX + 1);
    return length > 0 && length <= TIDE_NAME_MAX && name[0] != '.' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") == length;
}

int cli_arguments(struct cli *c, int argc, char **argv, int min, int max, const char *what) {
    if (optind >= argc) {
        return args_error(c->tool, "the name of a domain is missing; 'tide ls' lists the domains");
    }
    c->name = argv[optind++];
    if (!cli_name_is_good(c->name)) {
        return args_error(c->tool, "'%s' cannot be a domain's name: 1 to %u of A-Z a-z 0-9 _ - . and not a dot first",
                          c->name, TIDE_NAME_MAX);
    }
    if (argc - optind < min) {
        return args_error(c->tool, "%s is missing", what);
    }
    if (argc - optind > max) {
        return args_error(c->tool, "unexpected argument: %s", argv[optind + max]);
    }
    return 0;
}

int cli_list(const char *list, size_t max, cli_piece_fn *read, void *ctx) {
    for (size_t n = 0;; n++) {
        char piece[64];
        size_t length = strcspn(list, ",");
        if (n == max || length >= sizeof(piece)) {
            return -1;
        }
        memcpy(piece, list, length);
        piece[length] = '\0';
        if (read(ctx, n, piece) != 0) {
            return -1;
        }
        if (list[length] == '\0') {
            return (int)n + 1;
        }
        list += length + 1;
    }
}

const char *cli_token_text(const struct tide_token *t, char buf[CLI_TOKEN_BYTES]) {
    if (t->incarnation == TIDE_REVISION) {
        snprintf(buf, CLI_TOKEN_BYTES, "rev:%llu", (unsigned long long)t->index);
        return buf;
    }
    snprintf(buf, CLI_TOKEN_BYTES, "%016llx:%llu", (unsigned long long)t->incarnation, (unsigned long long)t->index);
    return buf;
}

int cli_token(const char *text, struct tide_token *out) {
    char digits[17];
    uint64_t index;
    if (strncmp(text, "rev:", 4) == 0) {
        if (args_u64(text + 4, 0, UINT64_MAX, &index) != 0) {
            return -1;
        }
        *out = (struct tide_token){ TIDE_REVISION, index };
        return 0;
    }
    size_t n = strspn(text, "0123456789abcdefABCDEF");
    if (n == 0 || n > 16 || text[n] != ':' || args_u64(text + n + 1, 0, UINT64_MAX, &index) != 0) {
        return -1;
    }
    memcpy(digits, text, n);
    digits[n] = '\0';
    *out = (struct tide_token){ strtoull(digits, NULL, 16), index };
    return 0;
}

/* ---- what went wrong ---- */

/* The error that the library told last, from any of its threads. What a function answers to it says no more than that the log tells why. */
static char told[512];
static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;

static void cli_keep_told(const char *text) {
    pthread_mutex_lock(&told_lock);
    snprintf(told, sizeof(told), "%s", text);
    pthread_mutex_unlock(&told_lock);
}

static void cli_add_told(struct json_out *j) {
    pthread_mutex_lock(&told_lock);
    if (told[0] != '\0') {
        json_out_text(j, "log", told);
    }
    pthread_mutex_unlock(&told_lock);
}

struct meaning {
    int error;
    enum tool_code code;
    const char *name;
    const char *hint; /* what to do about it; NULL: the text says it. %s is the domain's name */
};

static const struct meaning MEANINGS[] = {
    { TIDE_ERR_NO_DOMAIN, TOOL_NO_DOMAIN, "no_domain", "'tide serve %s' makes it; 'tide ls' lists what is there" },
    { TIDE_ERR_GONE, TOOL_NO_DOMAIN, "gone", "open it again; 'tide ls' tells whether there is a new one" },
    { TIDE_ERR_NOT_FOUND, TOOL_NO, "not_found", NULL },
    { TIDE_ERR_REFUSED, TOOL_REFUSED, "refused", "allow more staleness, or another --fallback" },
    { TIDE_ERR_TIMEOUT, TOOL_REFUSED, "timeout", "'tide stat %s' shows who leads and how far the replicas are" },
    { TIDE_ERR_FENCE_AHEAD, TOOL_REFUSED, "fence_ahead", "the token names a write that this domain has not seen" },
    { TIDE_ERR_INCARNATION, TOOL_REFUSED, "incarnation",
      "the domain was made anew since, or (rev:N) is not fed by a source: drop the token" },
    { TIDE_ERR_FED, TOOL_REFUSED, "fed", "'tide stat %s' shows whether a source feeds it, and which" },
    { TIDE_ERR_REVISION, TOOL_FAILED, "revision", NULL },
    { TIDE_ERR_NO_LEADER, TOOL_REFUSED, "no_leader", "'tide serve %s' leads; a candidate takes over by itself" },
    { TIDE_ERR_NO_REPLICA, TOOL_REFUSED, "no_replica", "'tide serve %s' goes on from what was left, if it is whole" },
    { TIDE_ERR_BUSY, TOOL_REFUSED, "busy", NULL },
    { TIDE_ERR_SLOTS, TOOL_REFUSED, "slots", "'tide gc %s' frees those of the dead" },
    { TIDE_ERR_LOST, TOOL_REFUSED, "lost", "the domain is written too fast to be read from outside: try again" },
    { TIDE_ERR_UNKNOWN, TOOL_UNKNOWN, "unknown", "read the key to find out; doing it again is safe for put and del" },
    { TIDE_ERR_MISMATCH, TOOL_MISMATCH, "mismatch", NULL },
    { TIDE_ERR_FULL, TOOL_FAILED, "full", NULL },
    { TIDE_ERR_TOO_BIG, TOOL_FAILED, "too_big", NULL },
    { TIDE_ERR_NO_SPACE, TOOL_FAILED, "no_space", NULL },
    { TIDE_ERR_CORRUPT, TOOL_FAILED, "corrupt",
      "'tide verify %s' names damaged keys: put or delete those. 'tide snapshot save %s FILE' saves what is whole,\n"
      "  'tide dump %s' shows what is wrong, 'tide rm %s' removes it" },
    { TIDE_ERR_VERSION, TOOL_FAILED, "version",
      "save it with the tide that made it: 'tide snapshot save %s FILE'; then, with this one: 'tide rm %s', 'tide "
      "serve "
      "%s', 'tide snapshot load %s FILE'" },
    { TIDE_ERR_NUMBER, TOOL_FAILED, "number", "a number is an optional '-' and decimal digits, 64 bits with the sign" },
    { TIDE_ERR_OVERFLOW, TOOL_FAILED, "overflow", NULL },
    { TIDE_ERR_READ_ONLY, TOOL_FAILED, "read_only", NULL },
    { TIDE_ERR_FOREIGN, TOOL_FAILED, "foreign", NULL },
};

static const struct meaning *cli_meaning_of(int error) {
    static const struct meaning OTHER = { 0, TOOL_FAILED, "failed", NULL };
    for (size_t i = 0; i < sizeof(MEANINGS) / sizeof(MEANINGS[0]); i++) {
        if (MEANINGS[i].error == error) {
            return &MEANINGS[i];
        }
    }
    return &OTHER;
}

enum tool_code cli_code_of(int error) {
    return error == 0 ? TOOL_OK : cli_meaning_of(error)->code;
}

static void cli_print_hint(const struct cli *c, const char *hint) {
    fputs("  ", stderr);
    for (const char *name; (name = strstr(hint, "%s")) != NULL; hint = name + 2) {
        fprintf(stderr, "%.*s%s", (int)(name - hint), hint, c->name ? c->name : "NAME");
    }
    fprintf(stderr, "%s\n", hint);
}

/* log: what the library told belongs to it. For people that is on standard error already. */
static int cli_tell(const struct cli *c, enum tool_code code, const char *name, const char *text, struct json_out *j,
                    bool log) {
    args_say(c->tool, text);
    if (c->json) {
        json_out_text(j, "error", name);
        json_out_text(j, "text", text);
        if (log) {
            cli_add_told(j);
        }
        json_out_u64(j, "exit_code", code);
        json_out_close(j, '}');
        json_out_print(j, stdout);
    } else {
        json_out_free(j);
    }
    return code;
}

/* TIDE_ERR_FED has one text for all callers of the library. Which of its causes it was here shows in the domain. */
static const char *cli_fed_why(const struct cli *c, char *text, size_t size, const char **hint) {
    struct tide_info info = TIDE_INFO_INIT;
    if (c->domain == NULL || tide_info(c->domain, &info) != 0) {
        return tide_strerror(TIDE_ERR_FED);
    }
    if (info.source[0] == 0) {
        *hint = "leave --upstream out; or remove it ('tide rm %s'), and 'tide serve %s --upstream ...' makes a fed one";
        return "the domain is there, and no source feeds it: it takes writes of its own";
    }
    if (c->feeds != NULL && strcmp(c->feeds, info.source) != 0) {
        *hint = "'tide stat %s' shows by which source; this one needs a domain of its own";
        snprintf(text, size, "a source of the kind \"%s\" feeds the domain, and not %s", info.source, c->feeds);
    } else if (c->leads) {
        *hint = "give --upstream, as the others do that serve it: 'tide stat %s' shows from where";
        snprintf(text, size,
                 "a source of the kind \"%s\" feeds the domain, and only a process that feeds it may lead it",
                 info.source);
    } else {
        *hint = "write where the source is: 'tide stat %s' shows it";
        snprintf(text, size, "a source of the kind \"%s\" feeds the domain, and its feed takes no writes", info.source);
    }
    return text;
}

static int cli_fail_here(const struct cli *c, int error, struct json_out *j, const char *format, va_list args) {
    char what[256], text[500], fed[160];
    const struct meaning *m = cli_meaning_of(error);
    const char *hint = m->hint, *why = tide_strerror(error);
    if (error == TIDE_ERR_FED) {
        why = cli_fed_why(c, fed, sizeof(fed), &hint);
    } else if (error == TIDE_ERR_REFUSED) {
        why = c->writes ? "the source that feeds the domain refused it" : "no replica keeps the bound";
        hint = c->writes ? "what the process that leads it tells says why: 'tide stat %s' shows which that is" : hint;
    }
    if (error == TIDE_ERR_LOST && c->watches) {
        why = "this watch was slower than the writers by more than the ring holds, or begins too far back";
        hint = NULL;
    }
    vsnprintf(what, sizeof(what), format, args);
    snprintf(text, sizeof(text), "%s: %s", what, why);
    int code = cli_tell(c, m->code, m->name, text, j, true);
    if (hint) {
        cli_print_hint(c, hint);
    }
    return code;
}

int cli_fail(const struct cli *c, int error, const char *format, ...) {
    struct json_out j = { 0 };
    va_list args;
    json_out_open(&j, NULL, '{');
    va_start(args, format);
    int code = cli_fail_here(c, error, &j, format, args);
    va_end(args);
    return code;
}

int cli_fail_with(const struct cli *c, int error, struct json_out *j, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int code = cli_fail_here(c, error, j, format, args);
    va_end(args);
    return code;
}

int cli_complain(const struct cli *c, enum tool_code code, const char *name, const char *format, ...) {
    struct json_out j = { 0 };
    char text[600];
    va_list args;
    json_out_open(&j, NULL, '{');
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return cli_tell(c, code, name, text, &j, false);
}

/* ---- domains ---- */

void cli_log(void *ctx, enum tide_log_level level, const char *text) {
    const struct cli *c = ctx;
    if (level == TIDE_LOG_ERROR) {
        cli_keep_told(text);
    }
    if (level != TIDE_LOG_INFO || c->chatty) {
        args_say(c->tool, text);
    }
}

/* A process that may write a segment may also truncate it. That is no bug of this command, so it must not look like one. */
static void cli_on_bus_error(int number) {
    static const char TEXT[] =
        "tide: a segment was truncated, or memory for it is gone: the domain is lost, remove it\n";
    (void)number;
    if (write(STDERR_FILENO, TEXT, sizeof(TEXT) - 1) < 0) {
        _exit(TOOL_FAILED);
    }
    _exit(TOOL_FAILED);
}

#define CLI_LOOK_NS 20000000u

int cli_open(struct cli *c, const struct tide_opts *o) {
    return cli_open_within(c, o, 0);
}

int cli_open_within(struct cli *c, const struct tide_opts *o, uint64_t patience_ns) {
    struct sigaction bus = { .sa_handler = cli_on_bus_error };
    struct tide_opts opts = *o;
    sigaction(SIGBUS, &bus, NULL);
    opts.log = cli_log;
    opts.log_ctx = c;
    int error;
    while ((error = tide_open(&c->domain, c->name, &opts)) == TIDE_ERR_NO_DOMAIN && patience_ns >= CLI_LOOK_NS) {
        nanosleep(&(struct timespec){ .tv_nsec = CLI_LOOK_NS }, NULL);
        patience_ns -= CLI_LOOK_NS;
    }
    return error == 0 ? 0 : cli_fail(c, error, "domain %s", c->name);
}

int cli_end(struct cli *c, int code) {
    if (c->domain) {
        tide_close(c->domain);
    }
    c->domain = NULL;
    return stdio_finish(c->tool, code);
}

/* ---- signals ---- */

/* Atomic: a handler may run in any thread. */
static atomic_int stopped, sleeps;
static int wake_fd = -1; /* an eventfd: any thread may get the signal; this wakes the one that sleeps */

static void cli_on_signal(int number) {
    int why = errno;
    uint64_t one = 1;
    (void)number;
    if (!atomic_load(&sleeps)) {
        _exit(TOOL_OK);
    }
    atomic_store(&stopped, 1);
    if (write(wake_fd, &one, sizeof(one)) < 0) {
        (void)0; /* it is awake already */
    }
    errno = why;
}

void cli_catch_signals(void) {
    wake_fd = fd_lift(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    signals_catch(cli_on_signal, SA_RESTART);
}

int cli_sleep(uint64_t ns) {
    struct timespec t = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };
    struct pollfd wake = { wake_fd, POLLIN, 0 };
    atomic_store(&sleeps, 1);
    if (!atomic_load(&stopped)) {
        ppoll(&wake, 1, &t, NULL);
    }
    return atomic_load(&stopped);
}
