/** The elements of one array input: a grid to choose from, a box to type in, and the checks of each. */

import { MOST_CELLS, cellKey } from "../arrays";
import { isHiding, type Context } from "../context";
import { h, replaceContent, setText } from "../dom";
import { titleOf } from "../equations";
import { formatExact, formatNumber, formatShape, nameText } from "../format";
import { heatColour, inkOn } from "../heat";
import { t } from "../i18n";
import type { Model, Quantity } from "../model";
import type { NodeRecord } from "../payload";
import { parseNumber, quantityCell, verdict } from "./inputs";

const SLOW = 150; // milliseconds without typing, before 400 rows of checks are made again

/** [0, 2] for position 5 of a 2 × 3 array. */
function indexOf(shape: readonly number[], position: number): number[] {
  const index: number[] = [];
  for (let axis = shape.length - 1, rest = position; axis >= 0; axis--) {
    const n = shape[axis] as number;
    index.unshift(rest % n);
    rest = Math.floor(rest / n);
  }
  return index;
}

export function elementName(node: NodeRecord, position: number): string {
  return `${titleOf(node)}[${indexOf(node.shape, position).join(", ")}]`;
}

export interface Elements {
  element: HTMLElement;
  /** The fields of array inputs: a button where the elements can be edited, a note where not. */
  field(model: Model, node: NodeRecord): HTMLElement;
  update(context: Context): void;
}

export function makeElements(get: () => Context): Elements {
  const title = h("h3", { id: "elements-title" });
  const help = h("p", { class: "note", id: "elements-help" });
  const grid = h("table", { class: "elements-grid", role: "grid", "aria-labelledby": "elements-title", "aria-describedby": "elements-help", keydown: (event) => move(event as KeyboardEvent), click: (event) => choose(event) });
  const label = h("label", { for: "edit-element" });
  const box = h("input", { id: "edit-element", type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false", input: () => edit(), keydown: (event) => leave(event as KeyboardEvent) });
  const close = h("button", { type: "button", click: () => shut() });
  const checks = h("div", { class: "scroll", tabindex: "0", role: "group" });
  const every = h("details", { toggle: () => every.open && listAll(get()) }, h("summary", { "data-key": "every-element" }));
  const everyRows = h("div", { class: "scroll", tabindex: "0", role: "group" });
  every.append(everyRows);
  const element = h("div", { class: "elements", role: "group", "aria-labelledby": "elements-title" },
    title, help, h("div", { class: "scroll" }, grid), h("p", { class: "field" }, label, box, close), checks, every);
  let buttons = new Map<number, HTMLButtonElement>();
  let shown: { model: Model; node: number; position: number } | null = null;
  let cells: HTMLTableCellElement[] = [];
  let later: number | null = null;

  const chosen = (context: Context): { node: NodeRecord; position: number } | null => {
    const { element: at } = context.state;
    const node = at === null ? undefined : context.model.view.nodes[at.node];
    return at !== null && node !== undefined && context.model.canEditElements(node.id) && at.position < node.size ? { node, position: at.position } : null;
  };

  const go = (position: number): void => {
    const now = chosen(get());
    if (now !== null && position >= 0 && position < now.node.size) get().store.set({ element: { node: now.node.id, position } });
  };

  const shut = (): void => {
    const node = get().state.element?.node;
    get().store.set({ element: null });
    if (node !== undefined) buttons.get(node)?.focus();
  };

  const edit = (): void => {
    const now = chosen(get());
    const x = parseNumber(box.value);
    box.setAttribute("aria-invalid", String(x === null));
    if (x === null || now === null) return;
    get().store.set({ cells: new Map(get().state.cells).set(cellKey(now.node.id, now.position), x) });
  };

  /** Where an arrow key leads from a position; null for keys that don't move. */
  const target = (key: string, node: NodeRecord, position: number): number | null => {
    const columns = node.shape.at(-1) as number;
    const start = position - (position % columns);
    switch (key) {
      case "ArrowRight": return Math.min(position + 1, start + columns - 1);
      case "ArrowLeft": return Math.max(position - 1, start);
      case "ArrowDown": return position + columns;
      case "ArrowUp": return position - columns;
      case "Home": return start;
      case "End": return start + columns - 1;
      default: return null;
    }
  };

  const move = (event: KeyboardEvent): void => {
    const now = chosen(get());
    if (now === null || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = target(event.key, now.node, now.position);
    if (to !== null) {
      go(to);
      cells[get().state.element?.position ?? 0]?.focus();
    } else if (event.key === "Enter" || event.key === "F2") {
      box.focus();
      box.select();
    } else if (/^[-−+.\d]$/.test(event.key)) {
      box.focus();
      box.value = ""; // the key itself follows into the box
      event.stopPropagation();
      return;
    } else if (event.key === "Escape") shut();
    else if (event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
  };

  /** In the box, up and down go on to the next element of the column, Escape back to the grid. */
  const leave = (event: KeyboardEvent): void => {
    const now = chosen(get());
    if (now === null) return;
    if (event.key === "Escape" || event.key === "Enter") cells[now.position]?.focus();
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      go(target(event.key, now.node, now.position) as number);
      box.select();
    } else return;
    event.preventDefault();
  };

  const choose = (event: Event): void => {
    const position = cells.indexOf((event.target as Element).closest("td") as HTMLTableCellElement);
    if (position < 0) return;
    go(position);
    cells[position]?.focus();
  };

  /** Made once for an array, then only filled, so that the focus stays where it is. */
  const makeGrid = (node: NodeRecord): void => {
    const columns = node.shape.at(-1) as number;
    cells = Array.from({ length: node.size }, () => h("td", { role: "gridcell" }));
    const head = h("tr", {}, h("th", { scope: "col" }, titleOf(node)), ...Array.from({ length: columns }, (_, j) => h("th", { scope: "col" }, String(j))));
    const rows = Array.from({ length: node.size / columns }, (_, i) => {
      const index = indexOf(node.shape, i * columns).slice(0, -1);
      return h("tr", {}, h("th", { scope: "row" }, index.length === 0 ? titleOf(node) : index.join(", ")), ...cells.slice(i * columns, (i + 1) * columns));
    });
    grid.replaceChildren(h("thead", {}, head), h("tbody", {}, ...rows));
  };

  const fillGrid = (context: Context, node: NodeRecord, position: number): void => {
    const { data } = context.model.elements(node.id);
    const top = data.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 1e-300);
    cells.forEach((cell, i) => {
      const x = data[i] as number;
      const edited = context.state.cells.has(cellKey(node.id, i));
      const colour = heatColour(x, top);
      cell.style.backgroundColor = colour;
      cell.style.color = inkOn(colour);
      const figure = `${formatNumber(x, 4)}${edited ? "*" : ""}`;
      setText(cell, figure);
      cell.setAttribute("aria-label", `${elementName(node, i)} = ${figure}${edited ? `, ${t("elements.edited")}` : ""}`);
      cell.setAttribute("aria-selected", String(i === position));
      cell.setAttribute("tabindex", i === position ? "0" : "-1");
    });
  };

  const checkTable = (context: Context, node: NodeRecord, positions: number[]): HTMLElement => {
    const { model, progress } = context;
    const output = progress.seeds.output as number;
    const adjoint = model.adjointArrays(output)?.[node.id] ?? null;
    const finite = node.differentiable ? model.finiteArray(output, node.id) : null;
    const total = (x: Float64Array | undefined): Quantity => x?.reduce((sum, y) => sum + y, 0) ?? null;
    const rows = positions.map((i) => {
      const sweep = model.tangentArrays(node.id, i);
      const forward = sweep === null ? undefined : total(sweep[output]?.data);
      const reverse = adjoint === null ? null : adjoint.data[i];
      return h("tr", {}, h("th", { scope: "row" }, `∂${nameText(model.outputName(output))}/∂${elementName(node, i)}`),
        h("td", {}, quantityCell(forward, "", "tangent")), h("td", {}, quantityCell(reverse, "", "adjoint")),
        h("td", {}, quantityCell(finite?.data[i], "", "value-plain")), h("td", {}, verdict(forward, reverse, finite?.data[i])));
    });
    const head = ["derivatives.what", "mode.forward", "mode.reverse", "derivatives.finite", "derivatives.check"] as const;
    return h("table", {}, h("thead", {}, h("tr", {}, ...head.map((key) => h("th", { scope: "col" }, t(key))))), h("tbody", {}, ...rows));
  };

  const listAll = (context: Context): void => {
    const now = chosen(context);
    if (now !== null && context.progress.seeds.output !== null && !isHiding(context))
      replaceContent(everyRows, checkTable(context, now.node, Array.from({ length: now.node.size }, (_, i) => i)));
  };

  return {
    element,
    field(model, node) {
      if (!model.canEditElements(node.id)) return h("span", { class: "field" }, `${titleOf(node)}: ${formatShape(node.dtype, node.shape)}`);
      const button = h("button", { type: "button", "data-key": `elements-${node.id}`, "aria-expanded": "false", click: () => (get().state.element?.node === node.id ? shut() : get().store.set({ element: { node: node.id, position: 0 } })) });
      buttons.set(node.id, button);
      return h("span", { class: "field" }, button);
    },
    update(context) {
      const { model, state } = context;
      for (const [id, button] of buttons) {
        const node = model.view.nodes[id];
        if (node === undefined || !button.isConnected) {
          buttons.delete(id);
          continue;
        }
        setText(button, `${titleOf(node)}: ${formatShape(node.dtype, node.shape)} · ${t("elements.open")}`);
        button.setAttribute("aria-expanded", String(state.element?.node === id));
      }
      const now = chosen(context);
      element.hidden = now === null;
      if (now === null) {
        shown = null;
        return;
      }
      const { node, position } = now;
      if (shown?.model !== model || shown.node !== node.id) makeGrid(node);
      const moved = shown?.node !== node.id || shown.position !== position;
      shown = { model, node: node.id, position };
      setText(title, t("elements.title", titleOf(node), formatShape(node.dtype, node.shape)));
      setText(help, t("elements.help"));
      setText(close, t("elements.close"));
      setText(label, `${elementName(node, position)} =`);
      setText(every.firstElementChild as Element, t("elements.every"));
      everyRows.setAttribute("aria-label", t("elements.every"));
      checks.setAttribute("aria-label", t("derivatives.title"));
      fillGrid(context, node, position);
      const x = model.elements(node.id).data[position] as number;
      const typed = parseNumber(box.value);
      if (moved || document.activeElement !== box || (typed !== null && !Object.is(typed, x))) {
        box.value = formatExact(x);
        box.removeAttribute("aria-invalid");
      }
      const ready = context.progress.seeds.output !== null && !isHiding(context) && node.differentiable;
      every.hidden = !ready;
      replaceContent(checks, ready ? checkTable(context, node, [position]) : null);
      if (!ready || !every.open) everyRows.replaceChildren();
      else {
        if (later !== null) window.clearTimeout(later);
        later = window.setTimeout(() => listAll(get()), SLOW);
      }
    },
  };
}

/** Why some arrays of a graph have no grid: "" when all of them do. */
export function tooManyText(model: Model): string {
  const many = model.view.nodes.filter((node) => node.kind === "input" && node.shape.length > 0 && model.engine !== null && !model.canEditElements(node.id));
  return many.length === 0 ? "" : t("elements.many", many.map(titleOf).join(", "), MOST_CELLS);
}
