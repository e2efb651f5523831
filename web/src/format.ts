/** Numbers and names as text. */

const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";
const SUPERSCRIPTS: Record<string, string> = Object.fromEntries([..."0123456789−"].map((c, i) => [c, "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"[i] as string]));

/** A number as people write it, to six significant digits; the minus sign is a real one. */
export function formatNumber(x: number, digits = 6): string {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0"; // the sign of a zero is in formatExact, where it doesn't distract
  const size = Math.abs(x);
  let text: string;
  if (size !== 0 && (size < 1e-4 || size >= 10 ** Math.max(digits, 6))) {
    const [mantissa = "", exponent = ""] = x.toExponential(digits - 1).split("e");
    text = `${trim(mantissa)}e${Number(exponent)}`;
  } else text = trim(x.toPrecision(digits));
  return text.replaceAll("-", "−");
}

function trim(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** All seventeen digits, for titles and transcripts. */
export function formatExact(x: number): string {
  if (Number.isNaN(x)) return "NaN";
  return Object.is(x, -0) ? "-0.0" : Number.isFinite(x) ? String(x) : x > 0 ? "inf" : "-inf";
}

export function formatCount(n: number | bigint): string {
  const text = String(n);
  return text.length > 4 ? text.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f") : text;
}

/** "h12" as "h" and "12": a trailing number is a subscript. */
export function splitName(name: string): [base: string, index: string] {
  const found = /^(\D+?)_?(\d{1,5})$/.exec(name);
  return found === null ? [name, ""] : [found[1] as string, found[2] as string];
}

export function nameText(name: string): string {
  const [base, index] = splitName(name);
  return base + [...index].map((digit) => SUBSCRIPTS[Number(digit)]).join("");
}

export function superscript(text: string): string | null {
  const digits = [...text].map((c) => SUPERSCRIPTS[c]);
  return digits.every((c) => c !== undefined) ? digits.join("") : null;
}

export function formatShape(dtype: string, shape: number[]): string {
  const short = dtype.replace("float", "f").replace("uint", "u").replace("int", "i").replace("complex", "c");
  return shape.length === 0 ? short : `${short}[${shape.join(", ")}]`;
}

/** Cut for the drawing; the whole text stays in titles and panels. */
export function shorten(text: string, length: number): string {
  const letters = [...text];
  return letters.length <= length ? text : letters.slice(0, length - 1).join("") + "…";
}
