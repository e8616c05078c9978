/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A host that knows nothing of the library: it loads the plugin, calls it from threads, unloads it while they live, and again. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int (*work)(int);
static pthread_barrier_t step;

static void must(int ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "failed: %s\n", what);
        exit(1);
    }
}

static void *run(void *number) {
    for (int i = 0; i < 1000; i++) {
        must(work(*(int *)number) == 0, "plugin_work");
    }
    pthread_barrier_wait(&step); /* the host unloads the plugin */
    pthread_barrier_wait(&step);
    return NULL; /* and only now the thread ends, which closes its reader */
}

int main(void) {
    char name[32];
    for (int round = 1; round <= 2; round++) {
        void *plugin = dlopen("./plugin.so", RTLD_NOW | RTLD_LOCAL);
        must(plugin != NULL, "dlopen");
        int (*begin)(const char *), (*end)(void);
        *(void **)&begin = dlsym(plugin, "plugin_begin");
        *(void **)&work = dlsym(plugin, "plugin_work");
        *(void **)&end = dlsym(plugin, "plugin_end");
        must(begin && work && end, "dlsym");
        snprintf(name, sizeof(name), "plugin-%d-%d", (int)getpid(), round);
        must(begin(name) == 0, "plugin_begin");
        pthread_t threads[4];
        int numbers[4];
        pthread_barrier_init(&step, NULL, 5);
        for (int i = 0; i < 4; i++) {
            numbers[i] = i;
            must(pthread_create(&threads[i], NULL, run, &numbers[i]) == 0, "a thread");
        }
        pthread_barrier_wait(&step);
        must(end() == 0 && dlclose(plugin) == 0, "unloading");
        pthread_barrier_wait(&step);
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
        }
        printf("round %d: loaded, used by 4 threads, unloaded before they ended\n", round);
    }
    return 0;
}
