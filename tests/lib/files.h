/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a test left behind. */
#ifndef TIDE_TESTS_FILES_H
#define TIDE_TESTS_FILES_H

#include <dirent.h>

#include "tests/lib/help.h"

/* How many files a directory has; asserts that it is there. */
static inline int files_in(const char *dir) {
    int count = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        count += e->d_name[0] != '.';
    }
    closedir(d);
    return count;
}

#endif
