#!/usr/bin/env node
// SPDX-License-Identifier: LGPL-2.1-or-later
'use strict';
// What does a get cost from Node, beside what one would use instead?
//
//     npm install build/node/tidemark-*.tgz lru-cache lmdb redis     # in a folder of its own
//     node .../bench/node/gets.js [--keys N] [--value BYTES] [--repetitions N] [--json FILE]
//
// 10,000 keys of 16 characters, values of 64 bytes, in random order. Contenders take turns; of each repetition the best of its slices
// counts, and the table shows the median of the repetitions, with least and greatest. The loop is a row, and is in every figure. A column is
// of the get alone, or, "and its first byte", of a get whose value is looked at: a Map hands out a pointer to what lies elsewhere.
// A Map finds a string that is the very object it was given by comparing pointers. One of the same text that was made elsewhere, as a
// server's are, is compared byte by byte: a row of its own. For the others there is no difference.
// First one process; then two that share the data and read at the same time while a third one writes 1,000 times a second; there a figure
// is the time of one reader's get. What is not installed is left out.
const { spawn, spawnSync } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const { createRequire } = require('node:module');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');

const here = createRequire(path.join(process.cwd(), 'none.js'));
const { values: given } = parseArgs({
  options: {
    keys: { type: 'string', default: '10000' }, value: { type: 'string', default: '64' }, repetitions: { type: 'string', default: '5' },
    json: { type: 'string' }, child: { type: 'string' },
  },
});
const KEYS = Number(given.keys), VALUE = Number(given.value), REPETITIONS = Number(given.repetitions);
const keyOf = (n) => `key-${String(n).padStart(12, '0')}`;
const KEY = Array.from({ length: KEYS }, (_, n) => keyOf(n)); // the objects that are put
const valueOf = (n) => crypto.createHash('sha512').update(String(n)).digest('base64').repeat(Math.ceil(VALUE / 88)).slice(0, VALUE);

// ---- contenders: fill() in the first process, use(place) in one that shares it; both give {get, put, close} ---------

const folder = (name) => fs.mkdtempSync(path.join('/dev/shm', `bench-${name}-`));

function tidemark(encoding) {
  const open = (place, more) => {
    const d = here('tidemark').open(place, { encoding, ...more });
    return { get: (key) => d.get(key), put: (key, value) => d.putSync(key, value), close: () => d.close(), place };
  };
  return { fill: () => open(`bench-${process.pid}`, { ephemeral: true }), use: (place) => open(place, { lead: false }) };
}

function lmdb(how) {
  const open = (place, made) => {
    const db = here('lmdb').open({ path: place, encoding: how === 'string' ? 'string' : 'binary', keyEncoding: 'ordered-binary', noSync: true, mapSize: 1 << 28 });
    return {
      get: how === 'fast' ? (key) => db.getBinaryFast(key) : (key) => db.get(key), put: (key, value) => db.putSync(key, how === 'string' ? String(value) : Buffer.from(value)), place,
      async close() { await db.close(); if (made) fs.rmSync(place, { recursive: true }); },
    };
  };
  return { fill: () => open(folder('lmdb'), true), use: (place) => open(place, false) };
}

const redis = {
  slow: true,
  async connect(place) {
    const client = here('redis').createClient({ socket: { path: place } });
    await client.connect();
    return { get: (key) => client.get(key), put: (key, value) => client.set(key, value), place, close: () => client.quit() };
  },
  async fill() {
    const program = ['redis-server', 'redis-check-rdb'].find((name) => spawnSync('which', [name]).status === 0);
    here('redis');
    if (program === undefined) throw Object.assign(new Error('redis-server'), { code: 'MODULE_NOT_FOUND' });
    const place = folder('redis'), socket = path.join(place, 'socket');
    const server = spawn(program, ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', place], { stdio: 'ignore', argv0: 'redis-server' });
    while (!fs.existsSync(socket)) await new Promise((resolve) => { setTimeout(resolve, 10); });
    const one = await redis.connect(socket);
    return { ...one, async close() { await one.close(); server.kill(); fs.rmSync(place, { recursive: true }); } };
  },
  use: (place) => redis.connect(place),
};

function map() {
  const m = new Map();
  return { get: (key) => m.get(key), put: (key, value) => m.set(key, Buffer.from(value)), close() {} };
}

const CONTENDERS = {
  'the loop alone: a function that does nothing': { fill: () => ({ get: (key) => key, put() {}, close() {} }) },
  'into a native function that does nothing, and back': {
    fill() {
      const { nothing } = here('tidemark/build/Release/tidemark.node');
      return { get: (key) => nothing(key) ?? key, put() {}, close() {} };
    },
  },
  Map: { fill: map },
  'Map, keys that were made elsewhere': { fill: map, anew: true },
  'lru-cache': {
    fill() {
      const { LRUCache } = here('lru-cache');
      const m = new LRUCache({ max: KEYS * 2 });
      return { get: (key) => m.get(key), put: (key, value) => m.set(key, Buffer.from(value)), close() {} };
    },
  },
  'tidemark, linearizable, a Buffer': tidemark('buffer'),
  'tidemark, linearizable, a string': tidemark('utf8'),
  'lmdb, a Buffer': lmdb('binary'),
  'lmdb, getBinaryFast: a Buffer until the next get': lmdb('fast'),
  'lmdb, a string': lmdb('string'),
  'redis over a Unix socket, a string': redis,
};

// ---- measuring ------------------------------------------------------------------------------------------------------

const SLICE = 1000;

function shuffled(anew) {
  const keys = KEY.map((key, n) => (anew ? keyOf(n) : key));
  for (let i = keys.length - 1; i > 0; i--) {
    const j = crypto.randomInt(i + 1);
    [keys[i], keys[j]] = [keys[j], keys[i]];
  }
  return keys;
}

// A function of its own for each contender and row: what V8 learns of one is not used for another.
const loop = (body) => new Function('get', 'keys', 'from', 'to', `let x = 0; for (let i = from; i < to; i++) ${body} return x;`);

/** ns a get: the best of slices so short that some of them run undisturbed. */
function read(get, keys, look) {
  const run = loop(look ? 'x ^= (v => typeof v === "string" ? v.charCodeAt(0) : v[0])(get(keys[i]));' : 'x = get(keys[i]);');
  let best = Infinity, kept = 0;
  for (let round = 0; round < 25; round++) {
    for (let from = 0; from < keys.length; from += SLICE) {
      const began = process.hrtime.bigint();
      kept = run(get, keys, from, Math.min(from + SLICE, keys.length));
      best = Math.min(best, Number(process.hrtime.bigint() - began) / Math.min(SLICE, keys.length - from));
    }
  }
  return kept === Symbol.iterator ? 0 : best;
}

async function readSlowly(get, keys, look) {
  let best = Infinity, x = 0;
  for (let from = 0; from < 1000; from += 100) {
    const began = process.hrtime.bigint();
    for (let i = from; i < from + 100; i++) {
      const value = await get(keys[i]);
      if (look) x ^= value.charCodeAt(0);
    }
    best = Math.min(best, Number(process.hrtime.bigint() - began) / 100);
  }
  return x === -1 ? 0 : best;
}

const LOOKS = [false, true];
async function readAll(contender, one) {
  const keys = shuffled(contender.anew), out = [];
  for (const key of keys.slice(0, contender.slow ? 100 : KEYS)) await one.get(key);
  for (const look of LOOKS) out.push(contender.slow ? await readSlowly(one.get, keys, look) : read(one.get, keys, look));
  return out;
}

async function fill(contender) {
  const one = await contender.fill();
  for (let n = 0; n < KEYS; n++) await one.put(KEY[n], valueOf(n));
  for (const n of [0, KEYS - 1]) {
    const value = await one.get(keyOf(n));
    if (one.place !== undefined && value.toString() !== valueOf(n)) throw new Error('that is not the value that was put');
  }
  return one;
}

/** In a process of its own: what to do comes on stdin, and the figures go to stdout. */
async function child() {
  const { name, place, writes } = JSON.parse(given.child);
  const contender = CONTENDERS[name], one = await contender.use(place);
  process.stdout.write('ready\n');
  await new Promise((resolve) => { process.stdin.once('data', resolve); });
  process.stdin.unref();
  if (writes) {
    for (let n = 0; !process.stdin.destroyed && !over; n++) {
      await one.put(keyOf(n % KEYS), valueOf(n % KEYS));
      await new Promise((resolve) => { setTimeout(resolve, 1); });
    }
  } else {
    process.stdout.write(`${JSON.stringify(await readAll(contender, one))}\n`);
  }
  await one.close();
  process.exit();
}
let over = false;
process.on('SIGTERM', () => { over = true; });

function start(name, place, writes) {
  const words = [__filename, '--keys', given.keys, '--value', given.value, '--child', JSON.stringify({ name, place, writes })];
  const made = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = [], wanted = [];
  let rest = '';
  made.stdout.on('data', (data) => {
    const parts = (rest + data).split('\n');
    rest = parts.pop();
    for (const line of parts) (wanted.shift() ?? ((one) => lines.push(one)))(line);
  });
  return {
    line: () => new Promise((resolve, reject) => {
      if (lines.length > 0) resolve(lines.shift());
      else wanted.push(resolve), made.once('exit', (status) => reject(new Error(`${name}: a process ended with ${status}`)));
    }),
    go: () => made.stdin.write('go\n'),
    end: () => new Promise((resolve) => { made.exitCode !== null ? resolve() : made.once('exit', resolve); made.kill(); }),
  };
}

async function shared(name, contender) {
  const one = await fill(contender);
  const readers = [start(name, one.place, false), start(name, one.place, false)], writer = start(name, one.place, true);
  try {
    for (const each of [...readers, writer]) await each.line();
    for (const each of [writer, ...readers]) each.go();
    const figures = (await Promise.all(readers.map((each) => each.line()))).map((line) => JSON.parse(line));
    return LOOKS.map((_, n) => (figures[0][n] + figures[1][n]) / 2);
  } finally {
    for (const each of [...readers, writer]) await each.end();
    await one.close();
  }
}

async function alone(contender) {
  const one = await fill(contender);
  try {
    return await readAll(contender, one);
  } finally {
    await one.close();
  }
}

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

async function main() {
  const figures = [new Map(), new Map()], leftOut = new Set();
  for (let repetition = 0; repetition < REPETITIONS; repetition++) {
    for (const when of [0, 1]) {
      for (const [name, contender] of Object.entries(CONTENDERS)) {
        if (leftOut.has(name) || (when === 1 && contender.use === undefined)) continue;
        try {
          const ns = await (when === 0 ? alone(contender) : shared(name, contender));
          const rows = figures[when].get(name) ?? LOOKS.map(() => []);
          rows.forEach((row, n) => row.push(ns[n]));
          figures[when].set(name, rows);
        } catch (error) {
          if (error.code !== 'MODULE_NOT_FOUND') throw error;
          leftOut.add(name);
          console.error(`left out: ${name}: ${error.message.split('\n')[0]}`);
        }
      }
    }
  }
  console.log(`Node ${process.version}, ${KEYS} keys of 16 bytes, values of ${VALUE}, ${REPETITIONS} repetitions, load ${os.loadavg()[0].toFixed(1)}`);
  const best = [new Map(), new Map()];
  for (const when of [0, 1]) {
    const base = figures[when].get(when === 0 ? 'Map' : 'tidemark, linearizable, a Buffer');
    console.log(when === 0 ? '\n| one process | ns a get | beside a Map | and its first byte | beside a Map |' : '\n| two processes that share it and read, one writes 1,000/s | ns a get | beside Tidemark | and its first byte | beside Tidemark |');
    console.log('| --- | --- | --- | --- | --- |');
    for (const [name, rows] of figures[when]) {
      best[when].set(name, rows.map(median));
      const cells = rows.map((row, n) => `${median(row).toFixed(0)} (${Math.min(...row).toFixed(0)} to ${Math.max(...row).toFixed(0)}) | ${(median(row) / median(base[n])).toFixed(1)}x`);
      console.log(`| ${name} | ${cells.join(' | ')} |`);
    }
  }
  if (given.json !== undefined) {
    fs.writeFileSync(given.json, JSON.stringify(figures.flatMap((rows, when) => [...rows].map(([name, [ns, look]]) => ({ shared: when === 1, name, ns, look }))), null, 1));
  }
  const ours = (when, encoding) => best[when].get(`tidemark, linearizable, a ${encoding}`);
  console.log();
  for (const name of ['Map', 'Map, keys that were made elsewhere']) {
    LOOKS.forEach((_, n) => {
      const ratio = ours(0, 'Buffer')[n] / best[0].get(name)[n];
      console.log(`bar: at most 6 times the get of a ${name}${n === 1 ? ', the first byte looked at' : ''}: ${ratio.toFixed(1)}x, ${ratio <= 6 ? 'kept' : 'missed'}`);
    });
  }
  const rivals = [...best[1]].filter(([name]) => !name.startsWith('tidemark')).map(([name, [ns]]) => [ns / ours(1, name.endsWith('string') ? 'string' : 'Buffer')[0], name]);
  if (rivals.length > 0) {
    const [ahead, name] = rivals.reduce((a, b) => (a[0] < b[0] ? a : b));
    console.log(`bar: ahead by 2 of all that processes can share: ${ahead.toFixed(1)}x the nearest (${name}), ${ahead >= 2 ? 'kept' : 'missed'}`);
  }
}

if (given.child !== undefined) child();
else main();
