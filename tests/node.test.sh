#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The module for Node: packed, installed by npm into an empty folder without a network, against an installed library that pkg-config
# finds; its own tests (bindings/node/test), its types where there is a compiler of them, and the example. Without the library, npm's
# error says what to do.
set -eu
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: node has no sanitizer"; exit 77; }
for command in node npm pkg-config python3; do
    command -v $command >/dev/null 2>&1 || { echo "skipped: there is no $command here"; exit 77; }
done
node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 18 ? 1 : 0)' || { echo "skipped: node is older than 18"; exit 77; }
headers=$(node -p 'require("path").resolve(process.execPath, "../../include/node/node_api.h")')
[ -r "$headers" ] || { echo "skipped: no headers of node ($headers; Debian: libnode-dev)"; exit 77; }
tree=$PWD
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
make -s install CC="${CC:-gcc}" BUILD="${TIDE_BUILD:-build}" DESTDIR= PREFIX="$tmp/usr" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
unset MAKEFLAGS MAKEOVERRIDES
HOME=$tmp npm_config_cache=$tmp/cache npm_config_update_notifier=false npm_config_offline=true npm_config_audit=false npm_config_fund=false
export HOME npm_config_cache npm_config_update_notifier npm_config_offline npm_config_audit npm_config_fund
CFLAGS=-Werror
export CFLAGS
mkdir "$tmp/pack" "$tmp/app" "$tmp/shm" "$tmp/none"
make -s node-pack NODE_PACK="$tmp/pack" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
packed=$(ls "$tmp"/pack/tidemark-*.tgz)

# Where pkg-config finds no library, it is named, and what to do.
cd "$tmp/none"
if PKG_CONFIG_LIBDIR=$tmp/none npm install --foreground-scripts "$packed" >"$tmp/log" 2>&1; then
    echo "installed without a library"
    exit 1
fi
grep -q 'libtidemark is not installed where pkg-config looks' "$tmp/log" && grep -q 'make install' "$tmp/log" || { cat "$tmp/log"; echo "the error does not say what to do"; exit 1; }

cd "$tmp/app"
PKG_CONFIG_PATH=$tmp/usr/lib/pkgconfig npm install --foreground-scripts "$packed" >"$tmp/log" 2>&1 || { cat "$tmp/log"; echo "npm install failed"; exit 1; }
built=node_modules/tidemark/build/Release/tidemark.node
[ -s "$built" ] || { cat "$tmp/log"; echo "no addon was built"; exit 1; }
readelf -dW "$built" | grep -q 'NEEDED.*\[libtidemark\.so\.0\]' || { echo "the addon does not use the installed library"; exit 1; }
unknown=$(nm -D --undefined-only "$built" | awk '{ print $2 }' | grep -vE '^(napi_|tide_|_|pthread_|[a-z]+$)|@' || :)
[ -z "$unknown" ] || { echo "names that nobody has: $unknown"; exit 1; }
node -e 'import("tidemark").then((t) => { if (t.open !== require("tidemark").open) process.exit(1); })' || { echo "import does not find open()"; exit 1; }

cp -R "$tree/bindings/node/test" test
TIDEMARK_TEST_DIR=$tmp/shm timeout 200 node --expose-gc --test test/*.test.js >"$tmp/log" 2>&1 || { grep -vE '^ *(duration_ms|type:|\.\.\.|---|ok |# Subtest)' "$tmp/log" | tail -80; exit 1; }
passed=$(sed -n 's/^# pass //p; s/^. pass //p' "$tmp/log")
[ "${passed:-0}" -ge 30 ] || { cat "$tmp/log"; echo "only ${passed:-no} tests ran"; exit 1; }

# The example: two commands, of which npm install was one.
cp "$tree/examples/node-cluster/server.js" .
TIDE_SHM_DIR=$tmp/shm timeout 60 node server.js >"$tmp/log" 2>&1 || { cat "$tmp/log"; echo "the example failed"; exit 1; }
grep -q '^200 requests, 200 counted, .*: 5 pages were made$' "$tmp/log" || { cat "$tmp/log"; echo "the example: that is not each page once"; exit 1; }
[ -z "$(ls "$tmp/shm")" ] || { echo "left behind:"; ls "$tmp/shm"; exit 1; }

# The lines of README.md, as they stand there.
{ awk '/^```js$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$tree/README.md"; echo "console.log(\`page \${await page('x')}, k \${t.get('k')}\`);"; } >readme.mjs
TIDE_SHM_DIR=$tmp/shm timeout 60 node readme.mjs >"$tmp/log" 2>&1 || { cat "$tmp/log"; echo "the lines of README.md failed"; exit 1; }
grep -q '^page x, k v$' "$tmp/log" || { cat "$tmp/log"; echo "the lines of README.md do something else"; exit 1; }

roots=
for folder in /usr/share/nodejs/@types /usr/lib/node_modules/@types "${TIDE_NODE_TYPES:-}"; do
    [ ! -d "$folder/node" ] || roots=$folder
done
if command -v tsc >/dev/null 2>&1 && [ -n "$roots" ]; then
    cp "$tree/bindings/node/test/types.ts" .
    tsc --noEmit --strict --target es2022 --lib es2022,esnext.disposable --moduleResolution node10 --module commonjs --typeRoots "$roots" types.ts ||
        { echo "the types are wrong"; exit 1; }
else
    echo "no tsc, or no @types/node: the types were not compiled"
fi
