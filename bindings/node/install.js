// SPDX-License-Identifier: LGPL-2.1-or-later
'use strict';
// `npm install` runs this: it builds the addon with node-gyp against an installed libtidemark. Node's headers are those beside the running
// node, where there are some; only else would node-gyp fetch them.
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

function fail(...lines) {
  console.error(['', ...lines, ''].join('\ntidemark: '));
  process.exit(1);
}

function works(command, ...words) {
  return spawnSync(command, words, { encoding: 'utf8' });
}

if (works('pkg-config', '--version').error) fail('pkg-config is not here, and finds the library: apt-get install pkg-config');
const found = works('pkg-config', '--print-errors', '--exists', 'tidemark >= 0.1');
if (found.status !== 0) {
  fail('libtidemark is not installed where pkg-config looks.', ...found.stderr.trim().split('\n'),
    'In its tree: `make && sudo make install && sudo ldconfig`, or install the package libtidemark-dev that `make deb` builds.',
    'Where it is installed elsewhere: PKG_CONFIG_PATH=PREFIX/lib/pkgconfig npm install ...');
}

function nodeGyp() {
  const roots = [path.resolve(process.execPath, '../../lib/node_modules/npm'), '/usr/share/nodejs/npm', '/usr/lib/node_modules/npm'];
  const places = [process.env.npm_config_node_gyp, ...roots.map((root) => path.join(root, 'node_modules/node-gyp/bin/node-gyp.js')),
    '/usr/share/nodejs/node-gyp/bin/node-gyp.js'];
  return places.find((place) => place && fs.existsSync(place));
}

const gyp = nodeGyp();
const words = ['rebuild'];
const prefix = path.resolve(process.execPath, '../..');
if (!process.env.npm_config_nodedir && fs.existsSync(path.join(prefix, 'include/node/node_api.h'))) words.push(`--nodedir=${prefix}`);
const built = gyp ? spawnSync(process.execPath, [gyp, ...words], { stdio: 'inherit', cwd: __dirname })
  : spawnSync('node-gyp', words, { stdio: 'inherit', cwd: __dirname });
if (built.error) fail('node-gyp is not here: it comes with npm (Debian: apt-get install node-gyp)');
if (built.status !== 0) fail('the addon was not built: node-gyp has said why. It needs a C compiler, make and python3.');
