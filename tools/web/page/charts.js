// SPDX-License-Identifier: LGPL-2.1-or-later
// Lines over time, histograms, bars.
import { svg, canvas, color, mark } from '/shapes.js';
import * as words from '/words.js';

export const BUCKETS = 113;

// The ends of the buckets that /state.json counts in, in ns; the last bucket has no end.
export function bucket_end(i) {
  return (4 + (i % 4)) * 2 ** (6 + Math.floor(i / 4)) - 1;
}

// Of a histogram of [bucket, entries]: which share is at most `bound`? Between two ends it is interpolated. null: it is empty.
export function share_within(histogram, bound) {
  let all = 0, within = 0;
  for (const [bucket, n] of histogram) {
    const low = bucket === 0 ? 0 : bucket_end(bucket - 1), high = bucket < BUCKETS ? bucket_end(bucket) : Infinity;
    all += n;
    if (bound >= high) within += n;
    else if (bound > low && high < Infinity) within += (n * (bound - low)) / (high - low);
  }
  return all === 0 ? null : within / all;
}

// The end of the bucket by which this share is reached.
export function quantile(histogram, share) {
  const all = histogram.reduce((sum, [, n]) => sum + n, 0);
  let sum = 0;
  for (const [bucket, n] of histogram) {
    sum += n;
    if (sum >= share * all) return bucket < BUCKETS ? bucket_end(bucket) : Infinity;
  }
  return null;
}

// ---- time on a logarithmic axis

export const LEAST_NS = 1e3, MOST_NS = 1e10;

export function log_x(ns, width) {
  const x = Math.log10(Math.max(LEAST_NS, Math.min(MOST_NS, ns)) / LEAST_NS) / Math.log10(MOST_NS / LEAST_NS);
  return x * width;
}

export function decades(from, to) {
  const all = [];
  for (let ns = from; ns <= to * 1.001; ns *= 10) all.push(ns);
  return all;
}

// One follower's histogram; what a bound would not have kept is hatched.
export function histogram(replica, counts, bound, width, height) {
  const root = canvas(width, height), most = Math.max(1, ...counts.map(([, n]) => n)), cut = log_x(bound, width);
  for (const ns of decades(LEAST_NS, MOST_NS)) root.append(svg('path', { class: 'grid', d: `M${log_x(ns, width)} 0V${height}` }));
  root.append(svg('path', { class: 'grid', d: `M0 ${height - 0.5}H${width}` }));
  const g = svg('g', { class: color(replica) });
  for (const [bucket, n] of counts) {
    const x = log_x(bucket === 0 ? LEAST_NS : bucket_end(bucket - 1), width), end = log_x(bucket < BUCKETS ? bucket_end(bucket) : MOST_NS, width);
    const h = Math.max(2, (n / most) * (height - 3)), y = height - h;
    const left = Math.max(1.2, Math.min(end, cut) - x), right = end - Math.max(x, cut);
    if (x < cut) g.append(svg('rect', { class: 'bar', x, y, width: left, height: h }));
    if (right > 0 || x >= cut) g.append(svg('rect', { fill: 'url(#p-missed)', stroke: 'currentColor', 'stroke-width': 0.6, x: Math.max(x, cut), y, width: Math.max(1.6, right), height: h }));
  }
  root.append(g, svg('path', { class: 'bound', d: `M${cut} -4V${height + 4}` }));
  return root;
}

export function time_axis(width) {
  const root = canvas(width, 18), step = width < 250 ? 3 : width < 400 ? 2 : 1;
  decades(LEAST_NS, MOST_NS).forEach((ns, i, all) => {
    if (i % step) return;
    const anchor = i === 0 ? '' : i === all.length - 1 ? 'end' : 'middle';
    root.append(svg('text', { class: 'soft ' + anchor, x: log_x(ns, width), y: 13 }, words.round(ns)));
  });
  return root;
}

// ---- over time

// Values of one figure, null where it is not known: a line with gaps, and the area below.
function line_path(values, x, y) {
  let d = '', open = false;
  values.forEach((v, i) => {
    if (v === null || v === undefined) open = false;
    else {
      d += (open ? 'L' : 'M') + x(i).toFixed(1) + ' ' + y(v).toFixed(1);
      if (!open && (values[i + 1] === null || values[i + 1] === undefined)) d += 'h0.01';
      open = true;
    }
  });
  return d;
}

export function spark(values, room, width, height, kind, most) {
  const root = canvas(width, height), top = Math.max(most || 0, ...values.map((v) => v || 0));
  const x = (i) => width - ((values.length - 1 - i) / (room - 1)) * width, y = (v) => height - 1.5 - (top > 0 ? v / top : 0) * (height - 3);
  const d = line_path(values, x, y);
  root.append(svg('path', { class: 'grid', d: `M0 ${height - 0.5}H${width}` }));
  const first = values.findIndex((v) => v !== null && v !== undefined);
  if (d && first >= 0 && !values.slice(first).some((v) => v === null || v === undefined)) {
    root.append(svg('path', { class: 'area ' + kind, d: `${d}V${height}H${x(first).toFixed(1)}Z` }));
  }
  if (d) root.append(svg('path', { class: 'line ' + kind, d }));
  return root;
}

// Lag of all followers over time on a logarithmic scale. series: [{ replica, values }], times in ms.
export function lag_lines(series, times, room, bound, width, height) {
  const left = 52, right = 76, bottom = 20, top = 8, root = canvas(width, height);
  const known = series.flatMap((s) => s.values.filter((v) => v > 0));
  const low = 10 ** Math.floor(Math.log10(Math.min(bound, 1e5, ...known))), high = 10 ** Math.ceil(Math.log10(Math.max(bound * 1.3, 1e6, ...known)));
  const w = width - left - right, h = height - top - bottom;
  const x = (i) => left + w - ((times.length - 1 - i) / (room - 1)) * w;
  const y = (v) => top + h - (Math.log10(Math.max(v, low) / low) / Math.log10(high / low)) * h;
  for (const ns of decades(low, high)) {
    root.append(svg('path', { class: 'grid', d: `M${left} ${y(ns)}H${left + w}` }),
      svg('text', { class: 'soft end', x: left - 7, y: y(ns) + 4 }, words.round(ns)));
  }
  const seconds = room - 1;
  for (const [part, anchor] of [[0, ''], [0.5, 'middle'], [1, 'end']]) {
    const back = Math.round(seconds * (1 - part));
    root.append(svg('text', { class: 'soft ' + anchor, x: left + w * part, y: height - 4 }, back === 0 ? 'now' : back >= 60 ? back / 60 + ' min ago' : back + ' s ago'));
  }
  root.append(svg('path', { class: 'bound', d: `M${left} ${y(bound)}H${left + w}` }));
  const ends = [{ y: y(bound), text: 'bound', bound: true }];
  for (const s of series) {
    const d = line_path(s.values, x, y), last = s.values[s.values.length - 1];
    if (d) root.append(svg('path', { class: 'line ' + color(s.replica), d }));
    if (last > 0) {
      root.append(mark(s.replica, left + w, y(last), 4));
      ends.push({ y: y(last), text: words.time(last), replica: s.replica });
    }
  }
  // Labels that would overlap are moved apart.
  ends.sort((a, b) => a.y - b.y);
  ends.forEach((e, i) => { e.at = Math.max(e.y, i ? ends[i - 1].at + 15 : top + 4); });
  const over = ends.length ? ends[ends.length - 1].at - (height - bottom) : 0;
  for (let i = ends.length - 1, limit = height - bottom; over > 0 && i >= 0; i--, limit -= 15) ends[i].at = Math.min(ends[i].at, limit);
  for (const e of ends) {
    if (e.replica) root.append(mark(e.replica, left + w + 14, e.at, 4));
    root.append(svg('text', { class: e.bound ? 'soft' : '', x: left + w + (e.bound ? 9 : 22), y: e.at + 4 }, e.text));
  }
  if (known.length === 0) root.append(svg('text', { class: 'soft middle', x: left + w / 2, y: top + h / 2 }, 'nothing was applied yet'));
  return root;
}

// ---- bars

// parts: [{ of, value }]; `whole` is as long as the bar may be.
export function stacked(parts, whole, width, height) {
  const root = canvas(width, height);
  root.append(svg('rect', { class: 'track', x: 0, y: height - 2, width, height: 1 }));
  let x = 0;
  for (const { of, value } of parts) {
    if (!(value > 0) || !(whole > 0)) continue;
    const w = Math.max(2, (value / whole) * width);
    root.append(svg('rect', { class: 'f-' + of, x, y: 0, width: Math.max(0.5, Math.min(w, width - x) - 1), height: height - 1, rx: 1 }, svg('title', {}, of.replaceAll('_', ' '))));
    x += w;
  }
  return root;
}
