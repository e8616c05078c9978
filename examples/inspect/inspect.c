/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain whose processes were all killed: what is left is looked at, then saved, and nothing of it is changed. The first half makes such a
 * domain; the second is what one would do with a real one, by the commands.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tidemark.h>
#include <unistd.h>

static int lead_and_die(const char *name) {
    struct tide *d;
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide_replica_opts leader = TIDE_REPLICA_OPTS_INIT;
    char key[32];
    leader.role = TIDE_LEADER;
    if (tide_open(&d, name, &opts) != 0 || tide_replica_start(d, &leader, NULL) != 0) {
        return 1;
    }
    for (int i = 0; i < 1000; i++) {
        int len = snprintf(key, sizeof(key), "order/%d", i);
        if (tide_put(d, NULL, key, (size_t)len, "paid", 4, NULL) != 0) {
            return 1;
        }
    }
    return raise(SIGKILL);
}

static int run(const char *format, const char *name) {
    char command[300];
    snprintf(command, sizeof(command), format, name);
    printf("$ %s\n", command);
    fflush(stdout);
    return system(command);
}

int main(void) {
    char name[32];
    snprintf(name, sizeof(name), "inspect-%d", (int)getpid());
    pid_t pid = fork();
    if (pid == 0) {
        _exit(lead_and_die(name));
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status)) {
        fputs("no dead domain could be made\n", stderr);
        return 1;
    }
    int failed = run("tide ls | grep -E 'NAME|%s'", name); /* dead, and one orphan: the copy that was left */
    failed |= run("tide dump --limit 3 %s", name);         /* the log, as it stands in memory; takes no lock */
    failed |= run("tide snapshot save %1$s %1$s.snapshot --json", name); /* all keys, at one index */
    failed |= run("rm %s.snapshot", name);
    failed |= run("tide rm %s", name);
    return failed != 0;
}
