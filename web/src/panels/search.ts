/** Search: by name, operator, value's name or source line; choosing a match shows it in the graph. */

import type { Context, Panel } from "../context";
import { h, setText } from "../dom";
import { nodeName } from "../expr";
import { nameText } from "../format";
import { t } from "../i18n";
import type { Model } from "../model";

const MATCHES = 12;

export function search(model: Model, query: string): number[] {
  const words = query.toLowerCase().split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) return [];
  const phrase = query.trim().toLowerCase();
  const scored: [number, number][] = [];
  for (const node of model.view.nodes) {
    const name = nodeName(node).toLowerCase();
    const folds = (model.folds.around[node.id] ?? []).map((fold) => fold.label).join(" ");
    const hay = `${name} ${node.op} ${node.label} ${node.kind} ${folds} ${node.line === null ? "" : `line:${node.line}`}`.toLowerCase();
    const rank = name === phrase ? 0 : name.startsWith(phrase) ? 1 : hay.includes(phrase) ? 2 : words.every((word) => hay.includes(word)) ? 3 : 4;
    if (rank < 4) scored.push([rank, node.id]);
  }
  // Words found apart count only where the phrase is found nowhere.
  const asPhrase = scored.filter(([rank]) => rank < 3);
  return (asPhrase.length > 0 ? asPhrase : scored)
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
    .map(([, id]) => id);
}

export function makeSearch(get: () => Context): Panel {
  const label = h("label", { for: "search", class: "away" });
  const box = h("input", { type: "search", id: "search", autocomplete: "off", spellcheck: "false", input: () => list() });
  const status = h("p", { class: "away", role: "status" });
  const matches = h("ul", { class: "matches", hidden: true });
  const element = h("div", { class: "search", role: "search" }, label, box, status, matches);
  const close = (): void => {
    matches.hidden = true;
  };
  const list = (): void => {
    const { model, actions } = get();
    const found = search(model, box.value);
    matches.hidden = found.length === 0;
    setText(status, box.value.trim() === "" ? "" : t("search.found", found.length));
    matches.replaceChildren(...found.slice(0, MATCHES).map((id) => {
      const node = model.node(id);
      const text = `${nameText(nodeName(node))} · ${node.op || t(node.kind === "input" ? "kind.input" : "kind.constant")}`;
      return h("li", {}, h("button", { type: "button", click: () => {
        actions.find(id);
        close();
      } }, text));
    }));
    if (found.length > MATCHES) matches.append(h("li", { class: "note" }, t("search.more", found.length - MATCHES)));
  };
  element.addEventListener("keydown", (event) => {
    const items = [...matches.querySelectorAll("button")];
    const at = items.indexOf(document.activeElement as HTMLButtonElement);
    if (event.key === "Escape") {
      close();
      box.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const next = event.key === "ArrowDown" ? items[at + 1] : at <= 0 ? box : items[at - 1];
      next?.focus();
      event.preventDefault();
    } else if (event.key === "Enter" && document.activeElement === box) items[0]?.click();
    else return;
    event.stopPropagation();
  });
  return {
    element,
    update() {
      setText(label, t("search.label"));
      box.placeholder = t("search.label");
    },
  };
}
