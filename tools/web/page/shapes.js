// SPDX-License-Identifier: LGPL-2.1-or-later
// Making elements, and the mark of each replica: a shape and a colour, the same in the picture, the charts and the tables.
import * as words from '/words.js';

const SVG = 'http://www.w3.org/2000/svg';

function fill(e, attributes, children) {
  for (const [k, v] of Object.entries(attributes || {})) if (v !== null && v !== undefined) e.setAttribute(k, v);
  for (const c of children) if (c !== null && c !== undefined) e.append(c);
  return e;
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function html(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function canvas(width, height, ...children) {
  return svg('svg', { width, height, viewBox: `0 0 ${width} ${height}` }, ...children);
}

export function color(replica) {
  return 'c' + replica.replica % 8;
}

function polygon(n, turn, r) {
  let d = '';
  for (let i = 0; i < n; i++) {
    const a = turn + (2 * Math.PI * i) / n;
    d += (i ? 'L' : 'M') + (r * Math.sin(a)).toFixed(2) + ' ' + (-r * Math.cos(a)).toFixed(2);
  }
  return d + 'Z';
}

function cross(r, turn) {
  const w = r / 2.6, p = [[-w, -r], [w, -r], [w, -w], [r, -w], [r, w], [w, w], [w, r], [-w, r], [-w, w], [-r, w], [-r, -w], [-w, -w]];
  const c = Math.cos(turn), s = Math.sin(turn);
  return p.map(([x, y], i) => (i ? 'L' : 'M') + (x * c - y * s).toFixed(2) + ' ' + (x * s + y * c).toFixed(2)).join('') + 'Z';
}

const MARKS = [
  (r) => `M${-r} 0A${r} ${r} 0 1 1 ${r} 0A${r} ${r} 0 1 1 ${-r} 0Z`,
  (r) => polygon(4, Math.PI / 4, r * 1.25),
  (r) => polygon(3, 0, r * 1.3),
  (r) => polygon(4, 0, r * 1.3),
  (r) => polygon(3, Math.PI, r * 1.3),
  (r) => cross(r * 1.15, 0),
  (r) => polygon(6, 0, r * 1.15),
  (r) => cross(r * 1.15, Math.PI / 4),
];

export function mark_path(replica, r) {
  return MARKS[replica.replica % 8](r);
}

export function mark(replica, x, y, r, hollow) {
  return svg('path', { class: 'mark ' + color(replica) + (hollow ? ' hollow' : ''), d: mark_path(replica, r), transform: `translate(${x} ${y})` });
}

export function who(replica) {
  return html('span', { class: 'who', title: words.full_name(replica) },
    fill(canvas(14, 14, mark(replica, 7, 7, 5)), { 'aria-hidden': 'true' }, []), html('bdi', {}, words.name(replica)));
}

// A swatch of a fill that has a pattern.
export function swatch(of) {
  return fill(canvas(16, 10, svg('rect', { class: 'f-' + of, width: 16, height: 10, rx: 1.5 })), { 'aria-hidden': 'true' }, []);
}
