/**
 * Making elements. Text always goes through text nodes and attributes through setAttribute, never
 * through markup, so that names and strings of the user's program are inert whatever they contain.
 */

type Child = Node | string | null | undefined | false;
type Listener = (event: Event) => void;
type Properties = Record<string, string | number | boolean | null | undefined | Listener>;

const SVG = "http://www.w3.org/2000/svg";
const MATHML = "http://www.w3.org/1998/Math/MathML";

function build<E extends Element>(element: E, properties: Properties, children: Child[]): E {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, properties: Properties = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  return build(document.createElement(tag), properties, children);
}

export function s<K extends keyof SVGElementTagNameMap>(tag: K, properties: Properties = {}, ...children: Child[]): SVGElementTagNameMap[K] {
  return build(document.createElementNS(SVG, tag) as SVGElementTagNameMap[K], properties, children);
}

export function m(tag: string, properties: Properties = {}, ...children: Child[]): MathMLElement {
  return build(document.createElementNS(MATHML, tag) as MathMLElement, properties, children);
}

/** Sets text only where it changes, so that live regions and selections are left alone. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Replaces what a panel shows and puts the focus back on the control that had it, found again by
 * its data-key: without this every keystroke of a keyboard user would lose their place.
 */
export function replaceContent(panel: Element, ...children: Child[]): void {
  const active = document.activeElement;
  const key = active !== null && panel.contains(active) ? active.getAttribute("data-key") : null;
  panel.replaceChildren(...(children.filter((c) => c !== null && c !== undefined && c !== false) as (Node | string)[]));
  if (key === null) return;
  for (const element of panel.querySelectorAll<HTMLElement>("[data-key]"))
    if (element.getAttribute("data-key") === key) {
      element.focus({ preventScroll: true });
      return;
    }
}
