/**
 * Places for boxes and edges. Small graphs go to dagre, which is thorough; large ones to a linear
 * layered layout, since a page of thousands of nodes must answer at once.
 */

import * as dagre from "@dagrejs/dagre";

export interface Box {
  key: string;
  width: number;
  height: number;
  /** Cluster around it, if any (dagre only). */
  parent: string | null;
}

export interface Link {
  key: string;
  from: string;
  to: string;
  /** Size of its label. */
  width: number;
  height: number;
}

export interface Point {
  x: number;
  y: number;
}

export interface Place extends Point {
  width: number;
  height: number;
}

export interface Layout {
  boxes: Map<string, Place>;
  clusters: Map<string, Place>;
  /** Control points from box to box, and the middle of the label. */
  links: Map<string, { points: Point[]; label: Point }>;
  width: number;
  height: number;
}

export interface Cluster {
  key: string;
  parent: string | null;
}

const THOROUGH_LIMIT = 160;

export function arrange(boxes: Box[], links: Link[], clusters: Cluster[]): Layout {
  return boxes.length <= THOROUGH_LIMIT ? arrangeThoroughly(boxes, links, clusters) : arrangeFast(boxes, links);
}

function arrangeThoroughly(boxes: Box[], links: Link[], clusters: Cluster[]): Layout {
  const graph = new dagre.graphlib.Graph({ multigraph: true, compound: true });
  graph.setGraph({ rankdir: "LR", nodesep: 44, edgesep: 18, ranksep: 18, marginx: 24, marginy: 24 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const box of boxes) graph.setNode(box.key, { width: box.width, height: box.height });
  const used = new Set<string>();
  const parentOf = new Map(clusters.map((cluster) => [cluster.key, cluster.parent]));
  for (const box of boxes) for (let key = box.parent; key !== null; key = parentOf.get(key) ?? null) used.add(key);
  for (const { key } of clusters) if (used.has(key)) graph.setNode(key, {});
  for (const { key, parent } of clusters) if (used.has(key) && parent !== null) graph.setParent(key, parent);
  for (const box of boxes) if (box.parent !== null) graph.setParent(box.key, box.parent);
  for (const link of links) graph.setEdge(link.from, link.to, { width: link.width, height: link.height, labelpos: "c", weight: 1 }, link.key);
  dagre.layout(graph);
  const result: Layout = { boxes: new Map(), clusters: new Map(), links: new Map(), width: 0, height: 0 };
  const place = (key: string): Place => {
    const { x, y, width, height } = graph.node(key) as Place;
    return { x, y, width, height };
  };
  for (const box of boxes) result.boxes.set(box.key, place(box.key));
  for (const { key } of clusters) if (used.has(key)) result.clusters.set(key, place(key));
  for (const link of links) {
    const edge = graph.edge(link.from, link.to, link.key) as { points: Point[]; x: number; y: number };
    result.links.set(link.key, { points: edge.points, label: { x: edge.x, y: edge.y } });
  }
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  return Object.assign(result, { width, height });
}

/**
 * Ranks by longest path, inputs moved next to their first use, and each rank ordered by the mean
 * place of its neighbours, once forwards and once backwards. Linear in the size of the graph but
 * for sorting. Edges go backwards only where folding has closed a cycle.
 */
function arrangeFast(boxes: Box[], links: Link[]): Layout {
  const index = new Map(boxes.map((box, i) => [box.key, i]));
  const into: number[][] = boxes.map(() => []);
  const outOf: number[][] = boxes.map(() => []);
  for (const link of links) {
    const [from, to] = [index.get(link.from) as number, index.get(link.to) as number];
    if (from >= to) continue; // boxes come in evaluation order
    into[to]?.push(from);
    outOf[from]?.push(to);
  }
  const rank = boxes.map(() => 0);
  for (let i = 0; i < boxes.length; i++) for (const from of into[i] ?? []) rank[i] = Math.max(rank[i] ?? 0, (rank[from] ?? 0) + 1);
  for (let i = boxes.length - 1; i >= 0; i--)
    if (into[i]?.length === 0 && outOf[i]?.length) rank[i] = Math.min(...(outOf[i] as number[]).map((to) => rank[to] ?? 0)) - 1;
  const lowest = rank.reduce((low, r) => Math.min(low, r), 0);
  const ranks: number[][] = [];
  rank.forEach((r, i) => (ranks[r - lowest] ??= []).push(i));

  const label = links.reduce((widest, link) => Math.max(widest, link.width), 0);
  const column = Math.max(...boxes.map((box) => box.width)) + Math.min(label, 220) + 70;
  const row = Math.max(...boxes.map((box) => box.height)) + 64; // room for the labels of two operands
  const y = boxes.map(() => 0);
  const settle = (members: number[], neighbours: number[][]): void => {
    const wish = new Map(members.map((i) => {
      const near = neighbours[i] as number[];
      return [i, near.length === 0 ? (y[i] as number) : near.reduce((sum, j) => sum + (y[j] as number), 0) / near.length];
    }));
    members.sort((a, b) => (wish.get(a) as number) - (wish.get(b) as number));
    const middle = members.reduce((sum, i) => sum + (wish.get(i) as number), 0) / members.length;
    members.forEach((i, k) => (y[i] = middle + (k - (members.length - 1) / 2) * row));
  };
  for (const members of ranks) if (members) settle(members, into);
  for (let r = ranks.length - 1; r >= 0; r--) if (ranks[r]) settle(ranks[r] as number[], outOf);

  const top = y.reduce((low, v) => Math.min(low, v), Infinity) - row;
  const bottom = y.reduce((high, v) => Math.max(high, v), -Infinity) + row;
  const result: Layout = { boxes: new Map(), clusters: new Map(), links: new Map(), width: ranks.length * column, height: bottom - top };
  boxes.forEach((box, i) => {
    const x = ((rank[i] as number) - lowest + 0.5) * column;
    result.boxes.set(box.key, { x, y: (y[i] as number) - top, width: box.width, height: box.height });
  });
  const incoming = new Map<string, Link[]>();
  for (const link of [...links].sort((a, b) => (result.boxes.get(a.from)?.y ?? 0) - (result.boxes.get(b.from)?.y ?? 0)))
    incoming.set(link.to, [...(incoming.get(link.to) ?? []), link]);
  for (const link of links) {
    const from = result.boxes.get(link.from) as Place;
    const to = result.boxes.get(link.to) as Place;
    // Each operand arrives at a place of its own, so that labels don't lie upon each other.
    const arrivals = incoming.get(link.to) as Link[];
    const port = arrivals.indexOf(link) - (arrivals.length - 1) / 2;
    const start = { x: from.x + from.width / 2, y: from.y };
    const end = { x: to.x - to.width / 2, y: to.y + port * Math.min(14, 36 / arrivals.length) };
    const label = { x: end.x - 18 - link.width / 2, y: to.y + port * 44 };
    const points = [start, { x: start.x + 30, y: start.y }, { x: label.x - link.width / 2, y: label.y }, label, { x: end.x - 16, y: label.y }, end];
    result.links.set(link.key, { points, label });
  }
  return result;
}

/** A smooth path through control points (uniform cubic B-spline, clamped at both ends). */
export function curve(points: Point[]): string {
  const [first, ...rest] = points;
  if (first === undefined) return "";
  if (rest.length < 2) return `M${first.x},${first.y}` + rest.map((p) => `L${p.x},${p.y}`).join("");
  const last = points.at(-1) as Point;
  const mix = (a: number, b: number, t: number): number => Math.round((a + (b - a) * t) * 10) / 10;
  let path = `M${mix(first.x, first.x, 0)},${mix(first.y, first.y, 0)}`;
  const second = points[1] as Point;
  path += `L${mix(first.x, second.x, 1 / 6)},${mix(first.y, second.y, 1 / 6)}`;
  for (let i = 1; i < points.length; i++) {
    const [a, b, c] = [points[i - 1] as Point, points[i] as Point, points[i + 1] ?? last];
    const end = (u: number, v: number, w: number): number => Math.round(((u + 4 * v + w) / 6) * 10) / 10;
    path += `C${mix(a.x, b.x, 1 / 3)},${mix(a.y, b.y, 1 / 3)} ${mix(a.x, b.x, 2 / 3)},${mix(a.y, b.y, 2 / 3)} `;
    path += `${end(a.x, b.x, c.x)},${end(a.y, b.y, c.y)}`;
  }
  return `${path}L${last.x},${last.y}`;
}
