// SPDX-License-Identifier: LGPL-2.1-or-later
// Numbers and names as people read them. Text goes into the page as text alone, never as HTML.

export const REASONS = {
  fresh: 'fresh',
  within_bound: 'within the bound',
  waited: 'waited for a replica',
  redirected_to_leader: 'redirected to the leader',
  follower_behind_redirected_to_leader: 'behind a fence: redirected to the leader',
  stale_by_choice: 'stale by choice',
  refused: 'refused',
};
export const KEPT = ['fresh', 'within_bound', 'waited'];

export function integer(n) {
  return Math.round(n).toLocaleString('en-US');
}

function three(x) { // three digits
  return x >= 99.95 ? x.toFixed(0) : x >= 9.995 ? x.toFixed(1) : x.toFixed(2);
}

export function rate(x) {
  if (!(x > 0)) return '0';
  if (x < 9.95) return x < 0.05 ? '<0.1' : x.toFixed(1);
  if (x < 9999.5) return integer(x);
  return x < 999500 ? three(x / 1e3) + ' k' : three(x / 1e6) + ' M';
}

const TIMES = [['ns', 1], ['µs', 1e3], ['ms', 1e6], ['s', 1e9], ['min', 60e9], ['h', 3600e9]];

export function time(ns) {
  if (!(ns > 0)) return '0';
  let unit = TIMES[0];
  for (const u of TIMES) if (ns >= u[1] * (u[1] > 1e9 ? 2 : 0.9995)) unit = u;
  return unit[1] === 1 ? integer(ns) + ' ns' : three(ns / unit[1]) + ' ' + unit[0];
}

// A time that is a round number.
export function round(ns) {
  return time(ns).replace(/(\.\d*?)0+ /, (m, digits) => (digits === '.' ? ' ' : digits + ' '));
}

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  for (; n >= 1000 && unit < 4; unit++) n /= 1024;
  return (unit === 0 ? integer(n) : three(n)) + ' ' + units[unit];
}

// Never 100 % where something is missing, and never 0 % where something is there.
export function percent(x) {
  if (x === null || x === undefined || !(x >= 0)) return '–';
  if (x >= 1) return '100 %';
  if (x === 0) return '0 %';
  if (x < 0.0001) return '<0.01 %';
  const p = Math.floor(x * 10000 + 1e-7) / 100;
  return (p >= 99 || p < 1 ? p.toFixed(2) : p.toFixed(1)) + ' %';
}

// Characters that are not seen, or that turn text around, are shown as what they are.
export function visible(text) {
  return String(text).replace(/[\u0000-\u001f\u007f-\u00a0\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
    (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}

export function name(replica) {
  const plain = 'r' + replica.replica;
  const label = visible(replica.label);
  return label === '' || label === plain ? plain : label;
}

export function full_name(replica) {
  const plain = 'r' + replica.replica;
  return name(replica) === plain ? plain : name(replica) + ' (' + plain + ')';
}

export function count(n, one, many) {
  return integer(n) + ' ' + (n === 1 ? one : many);
}

// Nanoseconds since 1970 as a date, UTC; what was scribbled over need not be one.
export function date(ns) {
  const d = new Date(ns / 1e6);
  return Number.isNaN(d.getTime()) ? '?' : d.toISOString().slice(0, 19).replace('T', ' ');
}

// What a state looks like beside its word.
export const STATE_SIGNS = {
  serving: '●', joining: '◔', claimed: '◌', lapped: '▲', orphan: '○', diverged: '✕', failed: '✕', dead: '✕', stopped: '○',
};
