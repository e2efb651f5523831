/**
 * The drawing: builds SVG for a scene, paints the state of a sweep onto it, pans and zooms. Large
 * graphs keep only what is in sight in the document, and lose their text when it would be too
 * small to read.
 */

import { s } from "./dom";
import { drawBox, drawLink, paintBox, paintLink, type BoxPicture, type LinkPicture } from "./graph-parts";
import { isClosed, startsClosed } from "./fold";
import { t } from "./i18n";
import { arrange, curve, type Layout, type Place } from "./layout";
import type { Model } from "./model";
import { buildScene, type Scene, type SceneBox } from "./scene";
import type { State } from "./state";
import type { Progress } from "./steps";

export interface GraphActions {
  choose(node: number): void;
  toggle(fold: string): void;
}

const SPARSE_FROM = 300; // boxes above which only those in sight are in the document
const LEGIBLE = 0.62; // below this scale the text of the drawing is too small
const TEXT_SCALE = 0.32; // below this scale of a large graph only dots and lines

export class Graph {
  readonly svg: SVGSVGElement;
  private readonly root = s("g");
  private readonly clusterLayer = s("g");
  private readonly linkLayer = s("g");
  private readonly boxLayer = s("g");
  private scene: Scene = { boxes: [], links: [], clusters: [] };
  private layout: Layout = arrange([], [], []);
  private readonly boxes = new Map<string, BoxPicture>();
  private readonly links = new Map<string, LinkPicture>();
  private byKey = new Map<string, SceneBox>();
  private progress: Progress | null = null;
  private state: State | null = null;
  private x = 0;
  private y = 0;
  private scale = 1;
  private focusKey: string | null = null;
  private fitted = false;
  private painted = ""; // the moment last painted; the drawing follows only a change of it

  constructor(readonly model: Model, private readonly host: HTMLElement, private readonly actions: GraphActions) {
    this.svg = s("svg", { class: "graph", role: "group" }, this.root);
    this.root.append(this.clusterLayer, this.linkLayer, this.boxLayer);
    host.append(this.svg);
    this.listen();
  }

  /** New structure: after folding or another graph. */
  rebuild(state: State): void {
    this.scene = buildScene(this.model, state.toggled);
    this.layout = arrange(this.scene.boxes, this.scene.links, this.scene.clusters);
    this.byKey = new Map(this.scene.boxes.map((box) => [box.key, box]));
    this.boxes.clear();
    this.links.clear();
    this.linkLayer.replaceChildren();
    this.boxLayer.replaceChildren();
    this.drawClusters();
    if (this.focusKey === null || !this.byKey.has(this.focusKey)) this.focusKey = this.scene.boxes[0]?.key ?? null;
    if (!this.fitted) this.fit();
    this.sync();
  }

  paint(state: State, progress: Progress): void {
    this.state = state;
    this.progress = progress;
    this.svg.setAttribute("aria-label", t("graph.label", this.model.operators.length, this.scene.boxes.length));
    for (const picture of this.boxes.values()) paintBox(picture, this.model, state, progress, this.focusKey);
    for (const picture of this.links.values()) paintLink(picture, this.model, state, progress);
    const moment = `${progress.mode} ${progress.step}`;
    const moved = this.painted === "" ? state.step !== null : moment !== this.painted;
    if (moved && progress.current !== null) this.reveal(`n${progress.current}`);
    this.painted = moment;
    this.markPlace();
  }

  /** The whole graph as pictures, whatever is in sight, for export. */
  completeDrawing(): { root: SVGGElement; width: number; height: number } {
    const root = s("g");
    if (this.state === null || this.progress === null) return { root, width: 0, height: 0 };
    root.append(this.clusterLayer.cloneNode(true));
    for (const link of this.scene.links) {
      const picture = drawLink(link, this.layout.links.get(link.key));
      paintLink(picture, this.model, this.state, this.progress);
      root.append(picture.group);
    }
    for (const box of this.scene.boxes) {
      const picture = drawBox(box, this.layout.boxes.get(box.key) as Place, this.model);
      paintBox(picture, this.model, this.state, this.progress, null);
      root.append(picture.group);
    }
    return { root, width: this.layout.width, height: this.layout.height };
  }

  zoom(factor: number): void {
    const { width, height } = this.size();
    this.zoomAt(factor, width / 2, height / 2);
  }

  /** The whole graph if that leaves it readable; its beginning otherwise. */
  fit(all = false): void {
    const width = this.host.clientWidth;
    if (width === 0) return;
    this.fitted = true;
    const across = width / this.layout.width;
    const room = Math.max(230, Math.min(560, window.innerHeight * 0.56));
    this.host.style.minHeight = `${Math.max(230, Math.min(room, this.layout.height * Math.max(LEGIBLE, Math.min(1.25, across)) + 16)).toFixed(0)}px`;
    const height = this.host.clientHeight;
    const whole = Math.min(across, height / this.layout.height);
    // Rather a little smaller than with the result out of sight.
    this.scale = Math.min(1.25, all || whole > 0.8 * LEGIBLE ? whole : LEGIBLE);
    const spare = (have: number, need: number): number => (need * this.scale <= have ? (have - need * this.scale) / 2 : 0);
    this.x = spare(width, this.layout.width);
    this.y = spare(height, this.layout.height) || Math.min(0, (height - this.layout.height * this.scale) / 2);
    this.move();
  }

  /** After a fold has been opened or closed: brings its mark into sight and puts the focus on it. */
  showFold(key: string): void {
    if (this.byKey.has(key)) {
      this.focus(key);
      return;
    }
    for (const button of this.clusterLayer.querySelectorAll<SVGGElement>("[data-fold]"))
      if (button.getAttribute("data-fold") === key) button.focus({ preventScroll: true });
  }

  /** Brings a node, or what stands for it, into the middle if it is out of sight. */
  show(node: number): void {
    const box = this.byKey.get(`n${node}`);
    if (box === undefined) return;
    if (this.scene.boxes.length > SPARSE_FROM && this.scale < TEXT_SCALE) this.scale = LEGIBLE;
    this.reveal(box.key);
  }

  /** Keys of the closed folds around a node, outermost first. */
  closedAround(node: number, toggled: ReadonlySet<string>): string[] {
    const closedAtFirst = startsClosed(this.model.view);
    return (this.model.folds.around[node] ?? []).filter((fold) => isClosed(fold, closedAtFirst, toggled)).map((fold) => fold.key);
  }

  focusNode(node: number): void {
    this.show(node);
    this.focus(`n${node}`);
  }

  private reveal(key: string): void {
    const place = this.layout.boxes.get(key);
    if (place !== undefined) this.revealPoint(place.x, place.y);
  }

  private revealPoint(x: number, y: number): void {
    const { width, height } = this.size();
    if (width === 0) return;
    const [px, py] = [x * this.scale + this.x, y * this.scale + this.y];
    const margin = Math.min(90, width / 5);
    const [besides, above] = [px <= margin || px >= width - margin, py <= 30 || py >= height - 30];
    // A graph that fits is all in sight; near its border nothing has to move.
    if (besides && this.layout.width * this.scale > width) this.x += width / 2 - px;
    if (above && this.layout.height * this.scale > height) this.y += height / 2 - py;
    if (besides || above) this.move();
  }

  private size(): { width: number; height: number } {
    return { width: this.host.clientWidth, height: this.host.clientHeight };
  }

  private move(): void {
    this.root.setAttribute("transform", `translate(${this.x.toFixed(1)} ${this.y.toFixed(1)}) scale(${this.scale.toFixed(4)})`);
    if (this.scene.boxes.length > SPARSE_FROM) this.sync();
  }

  private zoomAt(factor: number, px: number, py: number): void {
    const next = Math.max(0.02, Math.min(3, this.scale * factor));
    this.x = px - ((px - this.x) * next) / this.scale;
    this.y = py - ((py - this.y) * next) / this.scale;
    this.scale = next;
    this.move();
  }

  /** Makes the document hold exactly what should be in it. */
  private sync(): void {
    const sparse = this.scene.boxes.length > SPARSE_FROM;
    const coarse = sparse && this.scale < TEXT_SCALE;
    this.drawCoarsely(coarse);
    const { width, height } = this.size();
    const [left, top] = [(-this.x - 200) / this.scale, (-this.y - 200) / this.scale];
    const [right, bottom] = [(width - this.x + 200) / this.scale, (height - this.y + 200) / this.scale];
    const inside = (x: number, y: number): boolean => x > left && x < right && y > top && y < bottom;
    const wanted = new Set<string>();
    for (const box of this.scene.boxes) {
      const place = this.layout.boxes.get(box.key) as Place;
      if (coarse || (sparse && !inside(place.x, place.y) && box.key !== this.focusKey)) continue;
      wanted.add(box.key);
      if (this.boxes.has(box.key)) continue;
      const picture = drawBox(box, place, this.model);
      this.boxes.set(box.key, picture);
      this.boxLayer.append(picture.group);
      if (this.state && this.progress) paintBox(picture, this.model, this.state, this.progress, this.focusKey);
    }
    for (const link of this.scene.links) {
      const where = this.layout.links.get(link.key);
      const ends = sparse && where ? [where.points[0], where.points.at(-1)] : [];
      if (coarse || (sparse && !ends.some((p) => p !== undefined && inside(p.x, p.y)))) continue;
      wanted.add(link.key);
      if (this.links.has(link.key)) continue;
      const picture = drawLink(link, where);
      this.links.set(link.key, picture);
      this.linkLayer.append(picture.group);
      if (this.state && this.progress) paintLink(picture, this.model, this.state, this.progress);
    }
    for (const pictures of [this.boxes, this.links])
      for (const [key, picture] of pictures)
        if (!wanted.has(key)) {
          picture.group.remove();
          pictures.delete(key);
        }
  }

  /** Far out, thousands of elements would be dust: two paths show the shape of the graph. */
  private drawCoarsely(coarse: boolean): void {
    const present = this.linkLayer.querySelector(".coarse");
    if (!coarse) {
      present?.remove();
      return;
    }
    if (present !== null) return;
    const lines = this.scene.links.map((link) => curve(this.layout.links.get(link.key)?.points ?? [])).join("");
    const blocks = this.scene.boxes.map((box) => {
      const p = this.layout.boxes.get(box.key) as Place;
      return `M${p.x - p.width / 2},${p.y - p.height / 2}h${p.width}v${p.height}h${-p.width}z`;
    });
    this.linkLayer.append(s("g", { class: "coarse" }, s("path", { class: "wire", d: lines }), s("path", { class: "dots", d: blocks.join("") })));
    this.markPlace();
  }

  /** In the coarse picture a line shows where the sweep is. */
  private markPlace(): void {
    const coarse = this.linkLayer.querySelector(".coarse");
    if (coarse === null) return;
    coarse.querySelector(".here")?.remove();
    const place = this.layout.boxes.get(`n${this.progress?.current ?? -1}`);
    if (place !== undefined) coarse.append(s("line", { class: "here", x1: place.x, x2: place.x, y1: 0, y2: this.layout.height }));
  }

  private drawClusters(): void {
    this.clusterLayer.replaceChildren();
    for (const { key, fold } of this.scene.clusters) {
      const place = this.layout.clusters.get(key);
      if (place === undefined) continue;
      const [left, top] = [place.x - place.width / 2, place.y - place.height / 2];
      const label = t("fold.close", fold.repeats > 1 ? `${fold.label} × ${fold.repeats}` : fold.label);
      const button = s("g", { class: "fold-close", role: "button", tabindex: "0", "aria-label": label, "data-fold": key },
        s("rect", { x: left, y: top - 22, width: 22, height: 22, rx: 5 }),
        s("text", { x: left + 11, y: top - 6 }, "−"),
        s("text", { class: "cluster-name", x: left + 30, y: top - 6 }, fold.repeats > 1 ? `${fold.label} × ${fold.repeats}` : fold.label));
      this.clusterLayer.append(s("rect", { class: "cluster", x: left, y: top, width: place.width, height: place.height, rx: 10 }), button);
    }
  }

  private listen(): void {
    const target = (event: Event): SceneBox | undefined => {
      const group = (event.target as Element).closest("[data-box]");
      return group === null ? undefined : this.byKey.get(group.getAttribute("data-box") ?? "");
    };
    const press = (event: Event): boolean => {
      const fold = (event.target as Element).closest("[data-fold]")?.getAttribute("data-fold");
      const box = target(event);
      if (fold) this.actions.toggle(fold);
      else if (box?.fold) this.actions.toggle(box.fold.key);
      else if (box?.node !== null && box !== undefined) {
        this.focusKey = box.key;
        this.actions.choose(box.node);
      } else return false;
      return true;
    };
    this.svg.addEventListener("keydown", (event) => {
      if ((event.key === "Enter" || event.key === " ") && press(event)) {
        event.preventDefault();
        event.stopPropagation();
      } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        this.moveFocus(event.key === "ArrowDown" ? 1 : -1);
      }
    });
    // Tab reaches the marks of open folds wherever they are; what has the focus must be in sight.
    this.clusterLayer.addEventListener("focusin", (event) => {
      const cluster = this.layout.clusters.get((event.target as Element).getAttribute("data-fold") ?? "");
      if (cluster !== undefined) this.revealPoint(cluster.x - cluster.width / 2 + 60, cluster.y - cluster.height / 2 + 20);
    });
    this.boxLayer.addEventListener("focusin", (event) => {
      const box = target(event);
      // Only for the keyboard: a box must not move away under the pointer that presses it.
      if (box !== undefined && (event.target as Element).matches(":focus-visible")) this.reveal(box.key);
    });
    let dragged = false;
    this.svg.addEventListener("click", (event) => {
      if (!dragged) press(event);
    });
    this.svg.addEventListener("pointerdown", (down) => {
      dragged = false;
      const [startX, startY, x, y] = [down.clientX, down.clientY, this.x, this.y];
      const drag = (event: PointerEvent): void => {
        const [dx, dy] = [event.clientX - startX, event.clientY - startY];
        if (!dragged && Math.hypot(dx, dy) < 5) return;
        dragged = true;
        [this.x, this.y] = [x + dx, y + dy];
        this.move();
      };
      const drop = (): void => {
        window.removeEventListener("pointermove", drag);
        window.removeEventListener("pointerup", drop);
      };
      window.addEventListener("pointermove", drag);
      window.addEventListener("pointerup", drop);
    });
    this.svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // plain scrolling belongs to the page
      event.preventDefault();
      const frame = this.svg.getBoundingClientRect();
      this.zoomAt(Math.exp(-event.deltaY / 300), event.clientX - frame.left, event.clientY - frame.top);
    }, { passive: false });
  }

  private moveFocus(by: number): void {
    const at = this.scene.boxes.findIndex((box) => box.key === this.focusKey);
    const next = this.scene.boxes[Math.max(0, Math.min(this.scene.boxes.length - 1, at + by))];
    if (next !== undefined) this.focus(next.key);
  }

  private focus(key: string): void {
    this.focusKey = key;
    this.reveal(key);
    this.sync();
    if (this.state && this.progress) for (const picture of this.boxes.values()) paintBox(picture, this.model, this.state, this.progress, key);
    this.boxes.get(key)?.press.focus({ preventScroll: true });
  }
}
