#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A service manager that starts `tide serve` is told when it serves, at a socket in the file system and at one that has only a name; and
# a manager's socket that is not there keeps nothing from serving.
set -eu
build=$(cd "${TIDE_BUILD:-build}" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat >"$tmp/manager.c" <<'END'
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) { /* SOCKET PROGRAM ARGUMENT... */
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    size_t len = strlen(argv[1]);
    if (argc < 3 || len >= sizeof(at.sun_path))
        return 2;
    memcpy(at.sun_path, argv[1], len);
    if (argv[1][0] == '@')
        at.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) != 0)
        return 3;
    pid_t pid = fork();
    if (pid == 0) {
        setenv("NOTIFY_SOCKET", argv[1], 1);
        execv(argv[2], argv + 2);
        _exit(127);
    }
    char text[100] = "";
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
    int status;
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    printf("%.*s %d\n", (int)n, text, status);
    return 0;
}
END
${CC:-gcc} -D_GNU_SOURCE -Wall -Werror -o "$tmp/manager" "$tmp/manager.c"
TIDE_SHM_DIR=$tmp
export TIDE_SHM_DIR
for socket in "$tmp/socket" "@tide-notify-$$"; do
    said=$("$tmp/manager" "$socket" "$build/tide" serve notify-test --ring 64K --table 1M 2>&1 | tail -1)
    [ "$said" = "READY=1 0" ] || { echo "$socket: the manager was told: $said"; exit 1; }
done
NOTIFY_SOCKET=$tmp/nobody "$build/tide" serve notify-test --ring 64K --table 1M >"$tmp/out" &
pid=$!
while ! grep -q '^ready notify-test' "$tmp/out"; do
    kill -0 $pid
    sleep 0.05
done
kill $pid
wait $pid
