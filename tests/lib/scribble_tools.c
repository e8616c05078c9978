/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/scribble_tools.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/scribble_roles.h"

#define WORDS 12 /* of a command */
#define CODES 8  /* tide help: 0 to 7 */
#define WATCH_NAPS 200u

/* A sanitizer needs much more memory. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MOST_KIB (2048l << 10)
#else
#define MOST_KIB (192l << 10)
#endif

/* %n: the domain; %k: one of its keys; %f: a file of the process. */
static const char *const commands[] = {
    "get %n %k",
    "get %n %k --max-staleness any --fallback stale --json",
    "get %n %k count none --json",
    "get %n %k --wait 5ms --fallback wait",
    "put %n %k value --timeout 50ms",
    "put %n %k value --ttl 20ms --timeout 50ms",
    "cas %n %k value --expect 0 --timeout 50ms",
    "touch %n %k 50ms --timeout 50ms",
    "ttl %n %k",
    "incr %n count --timeout 50ms",
    "del %n %k --timeout 50ms",
    "del %n --prefix key0000001 --timeout 50ms",
    "clear %n --prefix key0000002 --timeout 50ms",
    "scan %n",
    "scan %n --json --prefix key --max-staleness any --fallback stale",
    "watch %n --initial --count 100",
    "stat %n",
    "stat %n --json",
    "metrics %n",
    "verify %n",
    "verify %n --json",
    "dump %n",
    "dump %n --json",
    "dump %n.r0",
    "dump %n.r1 --full",
    "dump %n --summary",
    "dump %n --html %f",
    "dump %n --at 100",
    "top %n --once --interval 100ms",
    "diff %n.r0 %n.r1",
    "diff %n %n.r0 --json",
    "ls --wide",
    "stat %n --wide",
    "gc %n",
    "snapshot save %n %f",
    "snapshot load %n %f --timeout 50ms",
    "step-down %n",
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

struct tool {
    const char *template;
    char text[WORDS][64];
    char *argv[WORDS + 2];
};

static void fill(struct tool *t, const struct scribble_scene *s, uint64_t random) {
    static char program[256];
    char copy[128], *rest = NULL;
    const char *build = getenv("TIDE_BUILD");
    int n = 0;
    snprintf(program, sizeof(program), "%s/tide", build != NULL ? build : "build");
    snprintf(copy, sizeof(copy), "%s", t->template);
    t->argv[0] = program;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL && n < WORDS; word = strtok_r(NULL, " ", &rest), n++) {
        if (strncmp(word, "%n", 2) == 0) {
            snprintf(t->text[n], sizeof(t->text[n]), "%.40s%s", s->name, word + 2);
        } else if (strcmp(word, "%k") == 0) {
            snprintf(t->text[n], sizeof(t->text[n]), "key%08u", (unsigned)(random % 600));
        } else if (strcmp(word, "%f") == 0) {
            snprintf(t->text[n], sizeof(t->text[n]), "/tmp/%.40s.snap", s->name);
        } else {
            snprintf(t->text[n], sizeof(t->text[n]), "%s", word);
        }
        t->argv[n + 1] = t->text[n];
    }
    t->argv[n + 1] = NULL;
}

static void become(const struct scribble_scene *s, struct tool *t) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("ASAN_OPTIONS", "abort_on_error=1:detect_leaks=0", 0);
    setenv("UBSAN_OPTIONS", "abort_on_error=1", 0);
    dup2(null, 0);
    dup2(null, 1);
    if (!s->verbose) {
        dup2(null, 2);
    }
    execv(t->argv[0], t->argv);
    _exit(127);
}

static bool look(const struct tool *t, bool asked, int status, const struct rusage *usage) {
    char what[64] = "";
    if (WIFSIGNALED(status) && asked && WTERMSIG(status) == SIGTERM) {
        return true; /* on a busy machine the command had not yet installed its handler */
    }
    if (WIFSIGNALED(status)) {
        snprintf(what, sizeof(what), "died of signal %d", WTERMSIG(status));
    } else if (WEXITSTATUS(status) >= CODES) {
        snprintf(what, sizeof(what), "ended with %d", WEXITSTATUS(status));
    } else if (usage->ru_maxrss > MOST_KIB) {
        snprintf(what, sizeof(what), "had %ld MiB of memory", usage->ru_maxrss >> 10);
    }
    if (what[0] != 0) {
        fprintf(stderr, "VIOLATION: 'tide %s' %s\n", t->template, what);
    }
    return what[0] == 0;
}

/* A watch does not end by itself where nobody writes any more. Ask it to end; true. */
static bool await(pid_t pid, const char *template, int *status, struct rusage *usage) {
    bool asked = false;
    for (uint32_t naps = 0; wait4(pid, status, WNOHANG, usage) == 0; naps++) {
        if (naps == WATCH_NAPS && strncmp(template, "watch", 5) == 0) {
            kill(pid, SIGTERM);
            asked = true;
        }
        scribble_nap(1000000);
    }
    return asked;
}

bool scribble_run_tools(struct scribble_scene *s, uint64_t *random, bool (*at)(const char *where)) {
    bool ok = true;
    for (uint64_t n = scribble_draw(random) % COMMANDS; ok; n = (n + 1) % COMMANDS) {
        struct tool t = { .template = commands[n] };
        struct rusage usage;
        int status = 0;
        if (s->without != NULL && strncmp(t.template, s->without, strlen(s->without)) == 0) {
            continue;
        }
        if (!at(t.template)) {
            break;
        }
        fill(&t, s, scribble_draw(random));
        pid_t pid = fork();
        if (pid == 0) {
            become(s, &t);
        }
        if (pid > 0) {
            bool asked = await(pid, t.template, &status, &usage);
            ok = look(&t, asked, status, &usage);
        }
    }
    char file[64];
    snprintf(file, sizeof(file), "/tmp/%.40s.snap", s->name);
    unlink(file);
    return ok;
}
