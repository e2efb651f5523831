// Bundles the unit tests with the same compiler as the page and runs them with node's own runner.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { build } from "esbuild";

const out = new URL("./node_modules/.cache/tests/", import.meta.url).pathname;
const here = new URL("./", import.meta.url).pathname;
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const entries = readdirSync(`${here}tests`).filter((name) => name.endsWith(".test.ts"));
await build({
  entryPoints: entries.map((name) => `${here}tests/${name}`),
  bundle: true,
  platform: "node",
  format: "esm",
  outdir: out,
  outExtension: { ".js": ".mjs" },
  loader: { ".json": "json" },
  logLevel: "warning",
});
const files = entries.map((name) => out + name.replace(/\.ts$/, ".mjs"));
process.exit(spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit", cwd: here }).status ?? 1);
