# SPDX-License-Identifier: LGPL-2.1-or-later
# The library is an installed one, as pkg-config finds it. install.js says what to do where there is none.
{
  "targets": [
    {
      "target_name": "tidemark",
      "sources": ["src/addon.c", "src/domain.c", "src/make.c", "src/read.c", "src/snapshot.c", "src/watch.c", "src/write.c"],
      "cflags": ["-std=gnu11", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "<!@(pkg-config --cflags tidemark)"],
      # nodelete: a worker's end unloads the addon, and a watch's thread may be in it for a moment longer. The path is for a library that
      # lies where the loader does not look.
      "ldflags": ["-Wl,-z,defs,-z,nodelete,--unresolved-symbols=ignore-all", "-Wl,-rpath,<!(pkg-config --variable=libdir tidemark)"],
      "libraries": ["<!@(pkg-config --libs tidemark)"]
    }
  ]
}
