/** Puts the page together: reads the payload and the address, makes the panels, and redraws on change. */

import { chainView } from "./chain";
import type { Actions, Context, Panel } from "./context";
import { h, replaceContent, s, setText } from "./dom";
import { equationText } from "./equations";
import { savePng, saveSvg, saveTranscript, transcript } from "./export";
import { Graph } from "./graph";
import { t, useLanguage } from "./i18n";
import { Model } from "./model";
import { makeInputs } from "./panels/inputs";
import { makeLegend } from "./panels/legend";
import { makeMemory } from "./panels/memory";
import { makeNode } from "./panels/node";
import { makePaths, openingProduct } from "./panels/paths";
import { makeQuiz } from "./panels/quiz";
import { makeSearch } from "./panels/search";
import { makeSource } from "./panels/source";
import { makeStory, tellStep } from "./panels/story";
import { makeTable } from "./panels/table";
import { makeModes, makeTransport } from "./panels/transport";
import { parsePayload, type Payload, type View } from "./payload";
import { readFragment, START, Store, writeFragment, type State } from "./state";
import { Progress } from "./steps";

const PLAY_INTERVAL = 1100; // milliseconds a step, long enough to read a short equation

class Page {
  private readonly store: Store;
  private readonly start: State;
  private models: Model[] = [];
  private graphs: Graph[] = [];
  private context!: Context;
  private panels: Panel[] = [];
  private readonly graphRow = h("div", { class: "graphs" });
  private readonly live = h("div", { class: "away", "aria-live": "polite", "data-live": "step" });
  private readonly intro = h("div", { class: "intro" });
  private timer: number | null = null;
  private translatedFor: { edits: State["edits"]; cells: State["cells"]; model: Model } | null = null;

  constructor(private readonly payload: Payload, root: HTMLElement) {
    const browser = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
    this.start = { ...START, language: payload.language ?? browser };
    this.store = new Store(readFragment(location.hash, this.start));
    useLanguage(this.store.state.language);
    this.useViews(this.store.state);
    this.refresh();
    this.build(root);
    this.remakeGraphs();
    this.update();
    this.store.listen((state, before) => this.changed(state, before));
    this.listen();
  }

  private useViews(state: State): void {
    const views: View[] = state.chain === null ? this.payload.views : [chainView(state.chain)];
    this.models = views.map((view) => new Model(view, state.chain?.checkpoints ?? 0));
  }

  private refresh(): void {
    const state = this.store.state;
    const model = this.models[Math.min(state.view, this.models.length - 1)] as Model;
    if (state.edits !== this.translatedFor?.edits || state.cells !== this.translatedFor.cells || model !== this.translatedFor.model) {
      for (const each of this.models) {
        const { edits, cells } = each === model ? state : each.translate(state.edits, state.cells, model);
        each.useInputs(edits, cells);
      }
      this.translatedFor = { edits: state.edits, cells: state.cells, model };
    }
    const progress = new Progress(model, state);
    this.context = { store: this.store, state, payload: this.payload, models: this.models, model, progress, actions: this.actions };
  }

  private readonly actions: Actions = {
    setStep: (step) => this.store.set({ step: step >= this.context.progress.length ? null : step }),
    setMode: (mode) => this.store.set({ mode, step: 0 }),
    select: (node) => this.store.set({ selected: node }),
    seed: (node) => this.store.set(this.store.state.mode === "forward" ? { input: node } : { output: node }),
    togglePlay: () => this.togglePlay(),
    isPlaying: () => this.timer !== null,
    find: (node) => {
      this.openFoldsAround(node);
      this.store.set({ selected: node });
      this.graphOf(this.context.model)?.focusNode(node);
    },
    say: (text) => setText(this.live, text),
  };

  private graphOf(model: Model): Graph | undefined {
    return this.graphs[this.models.indexOf(model)];
  }

  /** A node inside a closed fold can't be shown; opens what is closed around it. */
  private openFoldsAround(node: number): void {
    const graph = this.graphOf(this.context.model);
    const closed = graph?.closedAround(node, this.store.state.toggled) ?? [];
    if (closed.length === 0) return;
    const toggled = new Set(this.store.state.toggled);
    for (const key of closed) if (!toggled.delete(key)) toggled.add(key);
    this.store.set({ toggled });
  }

  /** What changes when another of two graphs becomes the one that the panels describe. */
  private turnTo(model: Model): Partial<State> {
    if (model === this.context.model) return {};
    return { view: this.models.indexOf(model), selected: null, element: null, ...model.translate(this.store.state.edits, this.store.state.cells, this.context.model) };
  }

  /** Choosing a node in the drawing also seeds it where the sweep can start there. */
  private choose(model: Model, node: number): void {
    const state = this.store.state;
    const patch: Partial<State> = { ...this.turnTo(model), selected: node };
    if (state.mode === "forward" && model.inputs.includes(node)) patch.input = node;
    if (state.mode === "reverse" && model.outputs.includes(node)) patch.output = node;
    this.store.set(patch);
  }

  private changed(state: State, before: State): void {
    if (state.language !== before.language) useLanguage(state.language);
    const otherGraphs = state.chain !== before.chain;
    if (otherGraphs) this.useViews(state);
    this.refresh();
    if (otherGraphs) this.remakeGraphs();
    else if (state.toggled !== before.toggled || state.language !== before.language) for (const graph of this.graphs) graph.rebuild(state);
    if (state.mode !== before.mode) this.stop();
    this.update();
    if (state.step !== before.step || state.mode !== before.mode) this.announce();
    const fragment = writeFragment(state, this.start);
    try {
      history.replaceState(null, "", fragment === "" ? location.pathname + location.search : `#${fragment}`);
    } catch {
      // A page inside a notebook's frame has no address of its own; it works without one.
    }
  }

  private announce(): void {
    const story = tellStep(this.context.progress);
    this.actions.say([story.sentence, ...story.equations.slice(0, 3).map(equationText), story.after].join(" "));
  }

  private remakeGraphs(): void {
    this.graphs = [];
    const hosts = this.models.map((model) => {
      const host = h("div", { class: "canvas" });
      const graph = new Graph(model, host, {
        choose: (node) => this.choose(model, node),
        toggle: (fold) => {
          const toggled = new Set(this.store.state.toggled);
          if (!toggled.delete(fold)) toggled.add(fold);
          this.store.set({ toggled });
          graph.showFold(fold);
        },
      });
      this.graphs.push(graph);
      const control = (path: string, press: () => void, name: string): HTMLElement =>
        h("button", { type: "button", class: "icon", click: press, "data-name": name }, s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: path })));
      const tools = h("div", { class: "tools" },
        control("M7.1,3h1.8v4.1H13v1.8H8.9V13H7.1V8.9H3V7.1h4.1z", () => graph.zoom(1.3), "zoom.in"), control("M3,7.1h10v1.8H3z", () => graph.zoom(1 / 1.3), "zoom.out"), control("M2,2h5v1.8H3.8V7H2z M9,2h5v5h-1.8V3.8H9z M2,9h1.8v3.2H7V14H2z M12.2,9H14v5H9v-1.8h3.2z", () => graph.fit(true), "zoom.fit"));
      const heading = this.models.length > 1 && h("h3", {}, h("button", { type: "button", class: "tab", "data-view": this.models.indexOf(model), click: () => this.store.set(this.turnTo(model)) }, model.view.name));
      return h("div", { class: "pane" }, heading, host, tools);
    });
    this.graphRow.replaceChildren(...hosts);
    for (const graph of this.graphs) graph.rebuild(this.store.state);
    for (const graph of this.graphs) graph.fit(); // again, now that the taller of two is known
    const { selected } = this.store.state;
    if (selected !== null) this.graphOf(this.context.model)?.show(selected);
  }

  /** The other graph of a pair follows in proportion when the two are linked. */
  private progressOf(model: Model): Progress {
    const { state, progress } = this.context;
    if (model === this.context.model) return progress;
    const length = model.order(state.mode).length;
    const share = progress.length === 0 ? 1 : progress.step / progress.length;
    return new Progress(model, { ...state, selected: null }, state.linked ? Math.round(share * length) : length);
  }

  private update(): void {
    const { state, model, payload } = this.context;
    document.documentElement.lang = state.language === "zh" ? "zh-Hans" : "en";
    document.documentElement.dataset.theme = state.theme;
    document.title = `${payload.title} · wengert`;
    this.graphs.forEach((graph, i) => {
      const own = this.models[i] as Model;
      graph.paint(own === model ? state : { ...state, selected: null }, this.progressOf(own));
    });
    for (const button of this.graphRow.querySelectorAll<HTMLElement>("[data-view]")) button.setAttribute("aria-pressed", String(Number(button.dataset.view) === Math.min(state.view, this.models.length - 1)));
    for (const button of this.graphRow.querySelectorAll<HTMLElement>("[data-name]")) {
      const text = t(button.dataset.name as "zoom.in");
      button.setAttribute("aria-label", text);
      button.title = text;
    }
    for (const panel of this.panels) panel.update(this.context);
    this.updateIntro();
  }

  private updateIntro(): void {
    const { model } = this.context;
    const hiding = this.context.state.quiz && this.context.progress.step < this.context.progress.length;
    const product = hiding ? null : openingProduct(model);
    const text = t("intro", model.operators.length, model.edges.all.length);
    replaceContent(this.intro, h("p", {}, text, product === null ? "" : ` ${t("intro.product")}`), product);
  }

  private build(root: HTMLElement): void {
    const get = (): Context => this.context;
    const modes = makeModes(get);
    const transport = makeTransport(get);
    const legend = makeLegend();
    const story = makeStory();
    const source = makeSource();
    const quiz = makeQuiz(get);
    const inputs = makeInputs(get);
    const node = makeNode();
    const table = makeTable();
    const paths = makePaths(get);
    const memory = makeMemory(get);
    const header = this.makeHeader();
    const linked = this.makeLinked();
    this.panels = [header, linked, modes, transport, legend, story, source, quiz, inputs, node, table, paths, memory];
    const stage = h("section", { class: "card stage", "aria-labelledby": "stage-title" }, h("h2", { id: "stage-title", class: "away" }, "wengert"),
      modes.element, linked.element, this.graphRow, transport.element, legend.element);
    this.panels.push({ element: stage, update: () => setText(stage.firstElementChild as Element, t("stage.title")) });
    root.replaceChildren(header.element,
      h("main", {}, this.intro, h("div", { class: "top" }, h("div", { class: "rail" }, stage, inputs.element), h("div", { class: "rail" }, quiz.element, story.element, node.element, source.element)),
        paths.element, table.element, memory.element),
      this.live);
  }

  private makeHeader(): Panel {
    const search = makeSearch(() => this.context);
    const title = h("h1", {}, this.payload.title);
    const quiz = h("button", { type: "button", class: "toggle", click: () => this.store.set({ quiz: !this.store.state.quiz, ...(this.store.state.quiz ? {} : { step: 0 }) }) });
    const language = h("button", { type: "button", id: "language", click: () => this.store.set({ language: this.store.state.language === "en" ? "zh" : "en" }) });
    const theme = h("select", { id: "theme", change: () => this.store.set({ theme: theme.value as State["theme"] }) });
    const themeLabel = h("label", { for: "theme", class: "away" });
    const graph = (): Graph => this.graphOf(this.context.model) as Graph;
    const saves = [
      h("button", { type: "button", click: () => saveSvg(graph(), this.payload.title) }, "SVG"),
      h("button", { type: "button", click: () => void savePng(graph(), this.payload.title) }, "PNG"),
      h("button", { type: "button", click: () => saveTranscript(this.context) }, ""),
    ];
    const saveGroup = h("div", { class: "saves", role: "group" }, h("span", { "aria-hidden": "true" }), ...saves);
    const element = h("header", {}, h("div", { class: "brand" }, h("span", { class: "logo", "aria-hidden": "true" }, "∂"), title), search.element, quiz, saveGroup, language, themeLabel, theme);
    return {
      element,
      update: (context) => {
        search.update(context);
        const { state } = context;
        setText(title, state.chain === null ? this.payload.title : t("chain.heading"));
        setText(quiz, t("quiz.toggle"));
        quiz.setAttribute("aria-pressed", String(state.quiz));
        setText(language, state.language === "en" ? "中文" : "English");
        language.lang = state.language === "en" ? "zh-Hans" : "en";
        setText(themeLabel, t("theme.label"));
        if (theme.lang !== state.language) {
          theme.lang = state.language;
          theme.replaceChildren(...(["auto", "light", "dark"] as const).map((name) => h("option", { value: name }, t(`theme.${name}`))));
        }
        theme.value = state.theme;
        saveGroup.setAttribute("aria-label", t("save.label"));
        setText(saveGroup.firstElementChild as Element, t("save.label"));
        setText(saves[2] as Element, t("save.text"));
      },
    };
  }

  private makeLinked(): Panel {
    const box = h("input", { type: "checkbox", id: "linked", change: () => this.store.set({ linked: box.checked }) });
    const label = h("label", { for: "linked" });
    const element = h("p", { class: "linked" }, box, label);
    return {
      element,
      update: ({ state }) => {
        element.hidden = this.models.length < 2;
        box.checked = state.linked;
        setText(label, t("linked.label"));
      },
    };
  }

  private togglePlay(): void {
    if (this.timer !== null) {
      this.stop();
      this.update();
      return;
    }
    const { progress } = this.context;
    if (progress.step >= progress.length) this.actions.setStep(0);
    const pause = Math.max(120, Math.min(PLAY_INTERVAL, 60_000 / Math.max(progress.length, 1)));
    this.timer = window.setInterval(() => {
      const now = this.context.progress;
      if (now.step + 1 >= now.length) this.stop();
      this.actions.setStep(now.step + 1);
    }, pause);
    this.update();
  }

  private stop(): void {
    if (this.timer !== null) window.clearInterval(this.timer);
    this.timer = null;
  }

  private listen(): void {
    document.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const target = event.target as Element;
      if (target.closest("input:not([type=checkbox]), select, textarea")) return;
      const { progress } = this.context;
      if (event.key === " " && target.closest("button, summary, input, [role=button]")) return;
      if (event.key === "ArrowRight") this.actions.setStep(Math.min(progress.length, progress.step + 1));
      else if (event.key === "ArrowLeft") this.actions.setStep(Math.max(0, progress.step - 1));
      else if (event.key === " ") this.togglePlay();
      else if (event.key === "Home") this.actions.setStep(0);
      else if (event.key === "End") this.actions.setStep(progress.length);
      else return;
      event.preventDefault();
    });
    window.addEventListener("hashchange", () => this.store.set(readFragment(location.hash, this.start)));
    window.addEventListener("resize", () => {
      for (const graph of this.graphs) graph.fit();
    });
  }

  /** For tests and for people with a console: what the transcript button saves. */
  transcript(): string {
    return transcript(this.context);
  }
}

declare global {
  interface Window {
    wengertPage?: Page;
  }
}

function begin(): void {
  const root = document.getElementById("page") as HTMLElement;
  try {
    const payload = parsePayload(document.getElementById("payload")?.textContent ?? "");
    window.wengertPage = new Page(payload, root);
    document.getElementById("static")?.remove();
    document.documentElement.classList.add("ready");
  } catch (error) {
    // The static picture stays; the reason is said above it.
    root.replaceChildren(h("p", { class: "failure", role: "alert" }, `This page could not start: ${error instanceof Error ? error.message : String(error)}`));
    throw error;
  }
}

begin();
