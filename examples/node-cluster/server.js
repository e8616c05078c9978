#!/usr/bin/env node
// SPDX-License-Identifier: LGPL-2.1-or-later
'use strict';
// A web server of cluster workers that share one cache: a page is made once, by whichever worker is asked first.
const cluster = require('node:cluster');
const http = require('node:http');
const tidemark = require('tidemark');

const WORKERS = 4;
// The primary leads, and keeps the data while workers come and go; they open the domain for themselves.
const cache = tidemark.open('node-cluster', { ephemeral: true, evict: 's3fifo', encoding: 'utf8', lead: cluster.isPrimary });

const page = cache.cached(async (path) => {
  await new Promise((resolve) => { setTimeout(resolve, 200); }); // a database, a template, another service
  return `page ${path}, made by worker ${process.pid}\n`;
}, { name: 'page', ttl: 10_000, stale: 60_000 });

async function answer(request, response) {
  const [body, count] = await Promise.all([page(request.url), cache.incr('requests')]);
  response.writeHead(200, { 'X-Worker': process.pid, 'X-Requests': count });
  response.end(body);
}

function work() {
  http.createServer((request, response) => {
    answer(request, response).catch((error) => {
      response.writeHead(500);
      response.end(`${error.message}\n`);
    });
  }).listen(Number(process.argv[2] ?? 0), '127.0.0.1');
}

async function ask(address) {
  const made = new Set(), by = new Set();
  for (let n = 0; n < 200; n += 10) {
    await Promise.all(Array.from({ length: 10 }, async (_, i) => {
      const reply = await fetch(`${address}/${(n + i) % 5}`, { headers: { connection: 'close' } }); // so that all workers have their turn
      made.add(await reply.text());
      by.add(reply.headers.get('x-worker'));
    }));
  }
  console.log(`200 requests, ${cache.get('requests')} counted, answered by ${by.size} workers: ${made.size} pages were made`);
}

async function main() {
  for (let n = 0; n < WORKERS; n++) cluster.fork();
  const address = await new Promise((resolve) => {
    let listening = 0;
    cluster.on('listening', (_, at) => {
      if (++listening === WORKERS) resolve(`http://127.0.0.1:${at.port}`);
    });
  });
  if (process.argv[2] !== undefined) {
    console.log(`serving ${address} by ${WORKERS} workers; end with Ctrl-C`);
    process.on('SIGINT', () => process.exit());
    return;
  }
  await ask(address);
  cluster.disconnect();
}

if (cluster.isPrimary) main();
else work();
