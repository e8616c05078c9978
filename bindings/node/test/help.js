// SPDX-License-Identifier: LGPL-2.1-or-later
'use strict';
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { after } = require('node:test');

// Each file of tests is a process, and has a folder of segments of its own. The addon reads the environment of the process.
const folder = fs.mkdtempSync(path.join(process.env.TIDEMARK_TEST_DIR ?? os.tmpdir(), 'tidemark-'));
process.env.TIDE_SHM_DIR = folder;
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const tidemark = require('tidemark');
const small = { ring: 1 << 16, table: 1 << 20 };

/** A domain for one test, which is closed behind it. */
function domain(t, options = {}) {
  const d = tidemark.open(options.name ?? `d${domain.n++}`, { ...small, ephemeral: true, ...options.open });
  t.after(() => d.close());
  return d;
}
domain.n = 0;

/** Run a script in a process of its own: {status, signal, out}. */
function run(script, words = [], flags = []) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...flags, '-e', `const tidemark = require(${JSON.stringify(require.resolve('tidemark'))});\n${script}`, ...words], {
      env: process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
      killSignal: 'SIGKILL',
    });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { out += data; });
    child.on('close', (status, signal) => resolve({ status, signal, out }));
  });
}

async function until(question) {
  for (;;) {
    const found = await question();
    if (found) return found;
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
}

module.exports = { tidemark, domain, run, until, small, folder };
