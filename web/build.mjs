// Builds the one self-contained HTML file that Python fills in and ships.
//
//   node build.mjs           writes it where the package keeps it
//   node build.mjs FILE      writes it to FILE (the check that the committed one is up to date)
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { build, transform } from "esbuild";

const here = new URL("./", import.meta.url).pathname;
const target = process.argv[2] ?? `${here}../src/wengert/explain/page/template.html`;

// The licences of what is bundled travel with it.
const licences = ["dagre", "graphlib"].map((name) => {
  const text = readFileSync(`${here}node_modules/@dagrejs/${name}/LICENSE`, "utf8").trim();
  return `@dagrejs/${name}\n\n${text}`;
});
const bundle = await build({
  banner: { js: `/*!\nThis page includes:\n\n${licences.join("\n\n")}\n*/` },
  absWorkingDir: here,
  entryPoints: ["src/main.ts"],
  bundle: true,
  minify: true,
  write: false,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
  logLevel: "warning",
});
const script = bundle.outputFiles[0].text.trim();
if (/<\/script|<!--|@@WENGERT/i.test(script)) throw new Error("the script holds text that would end or fill its element");

async function style(name) {
  const { code } = await transform(readFileSync(`${here}src/${name}`, "utf8"), { loader: "css", minify: true, charset: "utf8" });
  return code.trim();
}
const pageStyle = await style("style.css");
const graphStyle = await style("graph.css");

// The policy names the hashes of what is in the file: nothing else can run, whatever a payload holds.
const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
const parts = {
  SCRIPT_HASH: hash(script),
  STYLE_HASHES: `${hash(pageStyle)} ${hash(graphStyle)}`,
  PAGE_STYLE: pageStyle,
  GRAPH_STYLE: graphStyle,
  SCRIPT: script,
};
const page = readFileSync(`${here}src/page.html`, "utf8").replace(/%([A-Z_]+)%/g, (_, name) => parts[name]);
writeFileSync(target, page);
console.log(`${target.replace(here, "")}: ${(page.length / 1024).toFixed(0)} KiB`);
