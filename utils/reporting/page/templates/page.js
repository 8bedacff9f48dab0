"use strict";
// The page's own script. It draws the figures that Python defined, fills their patterns for a cluster or a row,
// and searches the rows. Texts of users only ever become text nodes.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("page-data").textContent);
  const figures = JSON.parse($("figures").textContent);
  const ROW_HEIGHT = 32;
  const PANELS = 12;
  const MOST_LINES = 30; // of a cluster's figure, chosen and not
  const MOST_TEXTS = 6; // of these beside it
  const pause = () => new Promise((resolve) => setTimeout(resolve, 0));

  // Opening what was packed

  async function inflate(id) {
    const element = $(id);
    const binary = atob(element.textContent);
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const content = new Uint8Array(await new Response(stream).arrayBuffer());
    const type = element.dataset.type;
    element.remove();
    return type === "text" ? new TextDecoder().decode(content) : asArray(content, type);
  }

  const TYPES = {
    int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array,
    int32: Int32Array, uint32: Uint32Array, float32: Float32Array, float16: Uint16Array,
  };

  // The bytes of equal significance stand together.
  function asArray(planes, type) {
    const Kind = TYPES[type];
    const width = Kind.BYTES_PER_ELEMENT;
    const length = planes.length / width;
    const bytes = new Uint8Array(planes.length);
    for (let byte = 0; byte < width; byte++) {
      for (let place = 0, from = byte * length; place < length; place++) bytes[place * width + byte] = planes[from + place];
    }
    const array = new Kind(bytes.buffer);
    return type === "float16" ? fromHalf(array) : array;
  }

  function fromHalf(halves) {
    const known = new Float32Array(65536);
    for (let half = 0; half < 65536; half++) {
      const sign = half & 0x8000 ? -1 : 1;
      const exponent = (half >> 10) & 31;
      const fraction = half & 1023;
      known[half] = exponent === 31 ? (fraction ? NaN : sign * Infinity)
        : exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -24 * fraction;
    }
    return Float32Array.from(halves, (half) => known[half]);
  }

  // Small parts of the page

  function make(tag, text, attributes = {}) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  const count = (number) => number.toLocaleString("en-US");
  const countRows = (number) => `${count(number)} ${number === 1 ? "row" : "rows"}`;
  const short = (number) => (Number.isFinite(number) ? Number(number.toPrecision(4)).toString() : "–");
  const sourceName = (code) => data.sources[code] || "(no source)";

  function fillTable(table, heading, lines) {
    const head = make("tr");
    for (const cell of heading) head.append(make("th", cell, { scope: "col" }));
    const body = make("tbody");
    for (const [first, ...others] of lines) {
      const line = make("tr");
      line.append(make("th", first, { scope: "row" }));
      for (const cell of others) line.append(make("td", cell));
      body.append(line);
    }
    const group = make("thead");
    group.append(head);
    table.replaceChildren(group, body);
  }

  // Figures

  const config = {
    responsive: true, displaylogo: false, staticPlot: false,
    modeBarButtons: [["toImage"]], toImageButtonOptions: { format: "svg" }, displayModeBar: "hover",
  };

  function draw(element, figure, more = {}) {
    const key = element.dataset.figure || element.id;
    const options = { ...config, ...more, toImageButtonOptions: { format: "svg", filename: key } };
    return Plotly.react(element, figure.data, { ...figure.layout, height: element.offsetHeight > 40 && figure.keep ? element.offsetHeight : figure.layout.height }, options);
  }

  // The cells of the map grow with the room there is, until the largest touch.
  function fitted(figure, width) {
    const cells = figure.data.find((trace) => trace.customdata && trace.marker && Array.isArray(trace.marker.size));
    if (!cells) return figure;
    const gap = (values) => {
      const places = [...new Set(values)].sort((one, other) => one - other);
      const gaps = places.slice(1).map((place, at) => place - places[at]);
      return gaps.length ? Math.min(...gaps) / (places[places.length - 1] - places[0] + Math.min(...gaps)) : 1;
    };
    const room = Math.min((width - 70) * gap(cells.x), (figure.layout.height - 130) * gap(cells.y));
    const factor = Math.min(2.1, Math.max(0.3, room / Math.max(...cells.marker.size)));
    return { ...figure, data: [{ ...cells, marker: { ...cells.marker, size: cells.marker.size.map((size) => size * factor) } }] };
  }

  async function drawAll() {
    for (const element of document.querySelectorAll(".plot[data-figure]")) {
      const figure = figures[element.dataset.figure];
      await draw(element, fitted(figure, element.clientWidth));
      if (element.dataset.figure === "map") {
        element.on("plotly_click", (event) => go({ cell: data.cells[event.points[0].customdata] }, "rows"));
      }
      await pause();
    }
  }

  // The state is the part of the address behind #, so that back, forward and links work.

  function state() {
    const hash = location.hash.slice(1);
    return new URLSearchParams(hash.includes("=") ? hash : "");
  }

  let target = null;
  function go(changes, then, replace = false) {
    const next = state();
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === "") next.delete(name);
      else next.set(name, value);
    }
    const hash = "#" + (next.toString() || then || "rows");
    target = then || null;
    if (hash === location.hash) return show();
    if (replace) {
      history.replaceState(null, "", hash);
      show();
    } else location.hash = hash;
  }

  // Clusters

  const clusters = { order: [], page: 0 };

  async function openClusters() {
    if (!$("panels")) return;
    for (const name of ["number", "size", "taken", "source", "slope", "mean", "low", "high"]) {
      clusters[name] = await inflate("clusters-" + name);
    }
    const T = data.checkpoints.length;
    clusters.place = new Map(Array.from(clusters.number, (number, place) => [number, place]));
    clusters.of = (name, place) => Array.from(clusters[name].subarray(place * T, (place + 1) * T));
    const present = [...new Set(clusters.source)].sort((one, other) => sourceName(one).localeCompare(sourceName(other)));
    if (present.length > 1) {
      for (const code of present) $("cluster-source").append(make("option", sourceName(code), { value: code }));
    } else $("cluster-source").parentElement.hidden = true;
    for (const id of ["cluster-sort", "cluster-source", "cluster-reverse"]) {
      $(id).addEventListener("change", () => { clusters.page = 0; orderClusters(); });
    }
    $("cluster-back").addEventListener("click", () => { clusters.page--; showPanels(); });
    $("cluster-next").addEventListener("click", () => { clusters.page++; showPanels(); });
    $("cluster-rows").addEventListener("click", (event) => { event.preventDefault(); go({}, "rows"); });
    await orderClusters();
  }

  function orderClusters() {
    const T = data.checkpoints.length;
    const keys = {
      size: (place) => -clusters.size[place],
      taken: (place) => -clusters.taken[place] / clusters.size[place],
      final: (place) => -clusters.mean[place * T + T - 1],
      slope: (place) => -clusters.slope[place],
    };
    const key = keys[$("cluster-sort").value];
    const source = $("cluster-source").value;
    const sign = $("cluster-reverse").checked ? -1 : 1;
    clusters.order = Array.from(clusters.number.keys())
      .filter((place) => source === "" || clusters.source[place] === Number(source))
      .sort((one, other) => sign * (key(one) - key(other)) || one - other);
    return showPanels();
  }

  // A band is the closed line around it: its upper end, then its lower end backwards.
  function withBand(trace, places, low, high) {
    return { ...trace, x: [...places, ...[...places].reverse()], y: [...high, ...[...low].reverse()] };
  }

  async function showPanels() {
    const last = Math.max(0, Math.ceil(clusters.order.length / PANELS) - 1);
    clusters.page = Math.min(Math.max(clusters.page, 0), last);
    $("cluster-back").disabled = clusters.page === 0;
    $("cluster-next").disabled = clusters.page === last;
    const shown = clusters.order.slice(clusters.page * PANELS, (clusters.page + 1) * PANELS);
    const first = clusters.page * PANELS + 1;
    $("cluster-page").textContent = `${count(first)}–${count(first + shown.length - 1)} of ${count(clusters.order.length)}`;
    const pattern = figures.panel;
    const places = data.checkpoints.map((_, place) => place);
    const panels = shown.map((place) => {
      const panel = make("a", undefined, { class: "panel", href: "#cluster=" + clusters.number[place] });
      panel.addEventListener("click", (event) => { event.preventDefault(); go({ cluster: clusters.number[place], row: null }, "cluster"); });
      const title = make("span");
      title.append(make("b", `Cluster ${clusters.number[place]}`), ` · ${countRows(clusters.size[place])}, ${count(clusters.taken[place])} taken`);
      const mean = clusters.of("mean", place);
      panel.append(title);
      if (data.sources.length > 1) {
        const source = sourceName(clusters.source[place]);
        panel.append(make("span", source, { class: "one-line", title: source }));
      }
      panel.append(make("span", `Loss ${mean[0].toPrecision(3)} to ${mean[mean.length - 1].toPrecision(3)}`), make("div", undefined, { class: "plot", "aria-hidden": "true" }));
      panel.dataset.cluster = clusters.number[place];
      return panel;
    });
    $("panels").replaceChildren(...panels);
    markPanel();
    // The same scale in all that are shown, so that they can be compared. Beyond them lie a few odd clusters.
    const ends = shown.flatMap((place) => [...clusters.of("low", place), ...clusters.of("high", place)]).filter(Number.isFinite);
    const [lowest, highest] = ends.length ? [Math.min(...ends), Math.max(...ends)] : [0, 1];
    const margin = 0.05 * (highest - lowest) || 0.5;
    const range = [lowest - margin, highest + margin];
    for (const [number, place] of shown.entries()) {
      const [band, mean] = pattern.data;
      const traces = [
        withBand(band, places, clusters.of("low", place), clusters.of("high", place)),
        { ...mean, x: places, y: clusters.of("mean", place), hoverinfo: "skip" },
      ];
      const narrow = { ...pattern.layout.xaxis, tickvals: [0, places.length - 1], ticktext: [data.checkpoints[0], data.checkpoints[places.length - 1]] };
      const layout = { ...pattern.layout, xaxis: places.length > 1 ? narrow : pattern.layout.xaxis, margin: { l: 4, r: 16, t: 4, b: 4 }, yaxis: { ...pattern.layout.yaxis, range, autorange: false, nticks: 4 } };
      if (!panels[number].isConnected) return;
      await Plotly.newPlot(panels[number].querySelector(".plot"), traces, layout, { ...config, staticPlot: true });
      await pause();
    }
  }

  // On paper a figure keeps the width that it was drawn with, so no panel may be narrower.
  addEventListener("beforeprint", () => {
    const panel = document.querySelector(".panel");
    if (panel) $("panels").style.setProperty("--drawn", `${panel.offsetWidth}px`);
  });

  function markPanel() {
    const chosen = state().get("cluster");
    for (const panel of document.querySelectorAll(".panel")) {
      if (panel.dataset.cluster === chosen) panel.setAttribute("aria-current", "true");
      else panel.removeAttribute("aria-current");
    }
  }

  function showCluster(number) {
    const section = $("cluster");
    if (!section) return;
    markPanel();
    const place = clusters.place ? clusters.place.get(Number(number)) : undefined;
    section.hidden = number === null || place === undefined;
    if (section.hidden) return;
    const size = clusters.size[place];
    $("cluster-title").textContent = `Cluster ${number}: ${countRows(size)}, ${count(clusters.taken[place])} taken (${(100 * clusters.taken[place] / size).toFixed(1)} %)`;
    const entries = data.clusterSources[place];
    fillTable($("cluster-sources"), ["source", "rows", "taken"], entries.map(([source, members, taken]) => [source || "(no source)", count(members), count(taken)]));
    const places = data.checkpoints.map((_, each) => each);
    const [others, chosen, band, mean] = figures.members.data;
    const low = clusters.of("low", place);
    const high = clusters.of("high", place);
    const rowsOf = (isChosen) => {
      const found = [];
      for (let at = 0; rows.number && at < rows.number.length; at++) {
        if (rows.cluster[at] === Number(number) && Boolean(rows.chosen[at] & data.explainedBit) === isChosen) found.push(at);
      }
      return someOf(found, MOST_LINES, Number(number));
    };
    const lines = (found) => ({ x: found.flatMap(() => [...places, null]), y: found.flatMap((at) => [...rows.losses(at), null]) });
    const [chosenRows, otherRows] = [rowsOf(true), rowsOf(false)];
    const traces = [
      { ...others, ...lines(otherRows) }, { ...chosen, ...lines(chosenRows) },
      withBand(band, places, low, high), { ...mean, x: places, y: clusters.of("mean", place) },
    ];
    draw($("cluster-plot"), { data: traces, layout: figures.members.layout });
    fillTexts($("cluster-chosen"), chosenRows);
    fillTexts($("cluster-others"), otherRows);
  }

  // A draw that is the same each time: mulberry32, a small generator, begins with the seed.
  function someOf(found, most, seed) {
    const left = found.slice();
    const number = Math.min(most, left.length);
    let word = seed;
    for (let place = 0; place < number; place++) {
      word = (word + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(word ^ (word >>> 15), word | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      const share = ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
      const other = place + Math.floor(share * (left.length - place));
      [left[place], left[other]] = [left[other], left[place]];
    }
    return left.slice(0, number);
  }

  function fillTexts(list, found) {
    const some = found.slice(0, MOST_TEXTS).sort((one, other) => one - other);
    const items = some.map((at) => {
      const item = make("li");
      const text = make("div", undefined, { dir: "auto" });
      if (rows.prompt) text.append(...laidOut(rows.prompt(at).trim().replace(/\n\s*\n/g, "\n")));
      item.append(rowLink(at), text);
      return item;
    });
    list.replaceChildren(...(items.length ? items : [make("li", "None among the rows that this page holds.")]));
  }

  // A line of JSON runs from left to right, each of its strings in its own direction, whatever letter comes first.
  const JSON_LINE = /^\s*(?:[{[]\s*(?:["{[\]}\d-]|$)|[}\]],?\s*$|"(?:[^"\\]|\\.)*"\s*:)/;

  function laidOut(text) {
    return text.split("\n").flatMap((line, number) => {
      const end = number ? ["\n"] : [];
      if (!JSON_LINE.test(line)) return [...end, line];
      const json = make("bdi", undefined, { dir: "ltr" });
      const parts = line.split(/("(?:[^"\\]|\\.)*")/);
      json.append(...parts.map((part, place) => (place % 2 ? make("bdi", part) : part)));
      return [...end, json];
    });
  }

  function rowLink(at) {
    const link = make("a", count(rows.number[at]), { href: "#row=" + rows.number[at] });
    link.addEventListener("click", (event) => { event.preventDefault(); go({ row: rows.number[at] }, "row"); });
    return link;
  }

  // Rows

  const rows = { found: [] };

  async function openRows() {
    if (!$("table")) return;
    const gaps = await inflate("rows-gap");
    const N = gaps.length;
    rows.number = gaps;
    for (let at = 1; at < N; at++) gaps[at] += gaps[at - 1];
    const optional = async (name) => ($("rows-" + name) ? inflate("rows-" + name) : null);
    rows.chosen = await optional("chosen");
    const losses = await optional("losses");
    rows.tokens = await optional("tokens");
    rows.cluster = await optional("cluster");
    rows.cell = await optional("cell");
    rows.source = await optional("source");
    rows.reason = await optional("reason");
    const T = data.checkpoints.length;
    rows.losses = (at) => Array.from({ length: losses ? T : 0 }, (_, t) => losses[t * N + at]);
    rows.last = (at) => (losses ? losses[(T - 1) * N + at] : NaN);
    await pause();
    const text = await optional("text");
    if (text !== null) {
      const starts = new Uint32Array(N + 1);
      for (let at = 0, from = 0; at < N; at++) {
        from = text.indexOf("\x00", from) + 1;
        starts[at + 1] = from;
      }
      rows.starts = starts;
      rows.lower = lowered(text);
      rows.parts = (at) => text.slice(starts[at], starts[at + 1] - 1).split("\x01");
      rows.prompt = (at) => rows.parts(at)[0];
    }
    for (const [place, name] of data.subsets.entries()) {
      $("row-chosen").append(make("option", `in ${name}`, { value: `in${place}` }), make("option", `not in ${name}`, { value: `out${place}` }));
    }
    $("row-chosen").parentElement.hidden = !data.subsets.length;
    let typing = 0;
    $("search").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => go({ q: $("search").value.trim(), row: null }, null, state().has("q")), 150);
    });
    $("row-tools").addEventListener("submit", (event) => event.preventDefault());
    $("row-chosen").addEventListener("change", () => go({ in: $("row-chosen").value }));
    $("table").addEventListener("scroll", () => requestAnimationFrame(showRows));
    addEventListener("resize", () => requestAnimationFrame(showRows));
  }

  // Lower case of the same length, so that places in it are places in the text.
  function lowered(text) {
    const lower = text.toLowerCase();
    if (lower.length === text.length) return lower;
    return Array.from(text, (character) => {
      const small = character.toLowerCase();
      return small.length === character.length ? small : character;
    }).join("");
  }

  function search(query) {
    const found = new Set();
    const digits = query.replace(/[,\s]/g, "");
    if (/^\d+$/.test(digits)) {
      const at = placeOf(Number(digits));
      if (at >= 0) found.add(at);
    }
    if (rows.lower) {
      const small = lowered(query);
      let at = 0;
      for (let place = rows.lower.indexOf(small); place >= 0; place = rows.lower.indexOf(small, rows.starts[at + 1])) {
        let low = at;
        let high = rows.number.length - 1;
        while (low < high) {
          const middle = (low + high + 1) >> 1;
          if (rows.starts[middle] <= place) low = middle;
          else high = middle - 1;
        }
        at = low;
        found.add(at);
      }
    }
    return Array.from(found);
  }

  function placeOf(number) {
    let low = 0;
    let high = rows.number.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (rows.number[middle] === number) return middle;
      if (rows.number[middle] < number) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  function filterRows(params) {
    const query = params.get("q") || "";
    const [cluster, cell, subset] = [params.get("cluster"), params.get("cell"), params.get("in") || ""];
    const started = performance.now();
    let found = query ? search(query) : Array.from(rows.number.keys());
    if (cluster !== null && rows.cluster) found = found.filter((at) => rows.cluster[at] === Number(cluster));
    if (cell !== null && rows.cell) found = found.filter((at) => rows.cell[at] === Number(cell));
    if (subset) {
      const bit = 1 << Number(subset.replace(/\D/g, ""));
      found = found.filter((at) => Boolean(rows.chosen[at] & bit) === subset.startsWith("in"));
    }
    rows.found = found;
    document.documentElement.dataset.searchMs = (performance.now() - started).toFixed(1);
    if (document.activeElement !== $("search")) $("search").value = query;
    $("row-chosen").value = subset;
    $("row-count").textContent = `${count(found.length)} of ${count(rows.number.length)} rows`;
    const filters = [["cluster", cluster, `cluster ${cluster}`], ["cell", cell, "a cell of the map"]].filter(([, value]) => value !== null);
    $("filters").replaceChildren(...filters.map(([name, , words]) => {
      const button = make("button", `${words} ×`, { type: "button", "aria-label": `Remove the filter: ${words}` });
      button.addEventListener("click", () => go({ [name]: null }));
      return button;
    }));
    $("table").setAttribute("aria-rowcount", found.length + 1);
    $("rows-body").style.height = `${found.length * ROW_HEIGHT}px`;
    $("table").scrollTop = 0;
    showRows();
  }

  function showRows() {
    const table = $("table");
    const first = Math.max(0, Math.floor(table.scrollTop / ROW_HEIGHT) - 6);
    const last = Math.min(rows.found.length, first + Math.ceil(table.clientHeight / ROW_HEIGHT) + 14);
    const current = state().get("row");
    const lines = [];
    for (let place = first; place < last; place++) {
      const at = rows.found[place];
      const line = make("div", undefined, { class: "row", role: "row", "aria-rowindex": place + 2 });
      line.style.transform = `translateY(${place * ROW_HEIGHT}px)`;
      if (String(rows.number[at]) === current) line.setAttribute("aria-current", "true");
      const marks = data.subsets.filter((_, number) => rows.chosen[at] & (1 << number));
      const cells = [
        rowLink(at),
        make("span", marks.length ? (data.subsets.length === 1 ? "● in" : "● " + marks.join(", ")) : "○", marks.length ? { class: "in" } : {}),
        make("span", rows.source ? sourceName(rows.source[at]) : ""),
        make("span", rows.cluster && rows.cluster[at] >= 0 ? String(rows.cluster[at]) : "–"),
        make("span", short(rows.last(at))),
        make("span"),
      ];
      if (rows.prompt) cells.at(-1).append(...laidOut(rows.prompt(at).slice(0, 300)));
      for (const cell of cells) {
        const holder = make("span", undefined, { role: "cell", class: cell.className, dir: "auto" }); // the cut is at the text's own end
        holder.append(cell);
        line.append(holder);
      }
      lines.push(line);
    }
    $("rows-body").replaceChildren(...lines);
  }

  function showRow(number) {
    const section = $("row");
    if (!section) return;
    section.hidden = number === null;
    if (section.hidden) return;
    const isNumber = /^\d+$/.test(number);
    const at = isNumber ? placeOf(Number(number)) : -1;
    $("row-title").textContent = `Row ${isNumber ? count(Number(number)) : number}`;
    section.classList.toggle("unknown", at < 0);
    if (at < 0) {
      $("row-facts").replaceChildren(make("dt", "not here"), make("dd", "This page does not hold the row. It is beyond the pool, or was left out of the sample."));
      return;
    }
    const facts = [];
    for (const [place, name] of data.subsets.entries()) facts.push([name, rows.chosen[at] & (1 << place) ? "● in" : "○ out"]);
    if (rows.source) facts.push(["source", sourceName(rows.source[at])]);
    if (rows.cluster && rows.cluster[at] >= 0) facts.push(["cluster", String(rows.cluster[at])]);
    if (rows.tokens) facts.push(["response tokens", count(rows.tokens[at])]);
    if (data.subsets.length) facts.push([data.subsets.length > 1 ? `why, of ${data.explained}` : "why", why(at)]);
    const words = data.contamination[number];
    if (words !== undefined) facts.push(["shares with a question", words]);
    $("row-facts").replaceChildren(...facts.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
    const [prompt, response, turns] = rows.parts ? rows.parts(at) : ["(no texts on this page)", ""];
    const isChat = turns !== undefined;
    $("row-prompt-title").textContent = isChat ? "Conversation" : "Prompt";
    $("row-prompt").replaceChildren(...laidOut(isChat ? turns : prompt));
    $("row-answer").hidden = isChat;
    $("row-response").replaceChildren(...laidOut(response));
    if ($("row-explain")) $("row-explain").querySelector("code").textContent = data.explain + number;
    if (!$("row-plot")) return;
    const losses = rows.losses(at);
    fillTable($("row-losses"), ["checkpoint", "loss"], losses.map((loss, place) => [data.checkpoints[place], short(loss)]));
    const places = losses.map((_, place) => place);
    const traces = figures.row.data.slice();
    traces[traces.length - 1] = { ...traces[traces.length - 1], x: places, y: losses };
    const cluster = rows.cluster && clusters.place ? clusters.place.get(rows.cluster[at]) : undefined;
    if (traces.length > 1 && cluster !== undefined) {
      traces[0] = withBand(traces[0], places, clusters.of("low", cluster), clusters.of("high", cluster));
      traces[1] = { ...traces[1], x: places, y: clusters.of("mean", cluster) };
    } else traces.splice(0, traces.length - 1);
    draw($("row-plot"), { data: traces, layout: figures.row.layout });
  }

  // Why a row is in the subset that is explained or not, as far as the files say.
  function why(at) {
    const isIn = Boolean(rows.chosen[at] & data.explainedBit);
    const reason = rows.reason ? data.reasons[rows.reason[at]] : null;
    if (!isIn && rows.reason && rows.reason[at]) return `Could not be chosen: ${reason}.`;
    const number = rows.cluster ? rows.cluster[at] : -1;
    const place = clusters.place ? clusters.place.get(number) : undefined;
    if (place !== undefined) {
      const words = `${count(clusters.taken[place])} of the ${countRows(clusters.size[place])} of cluster ${number} were taken`;
      return isIn ? `${words}, this one among them.` : `${words}; this one comes later in the order of its cluster.`;
    }
    return isIn ? `Taken by ${data.method}.` : `Not among the rows that ${data.method} took.`;
  }

  // All together

  let opened = false;
  function show() {
    if (!opened) return;
    const params = state();
    if ($("table")) filterRows(params);
    if ($("panels")) showCluster(params.get("cluster"));
    showRow(params.get("row"));
    if (!location.hash.includes("=")) return;
    const place = target || (params.has("row") ? "row" : params.has("cluster") && !params.has("q") ? "cluster" : "rows");
    const wanted = target !== null || document.activeElement === document.body;
    target = null;
    if (!wanted || !$(place)) return;
    $(place).scrollIntoView({ block: "start" });
    const title = $(place + "-title");
    if (title) title.focus({ preventScroll: true });
  }

  // What was searched for stays.
  for (const link of document.querySelectorAll(".close")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      go({ [link.closest(".detail").id]: null }, link.hash.slice(1));
    });
  }

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code); // where the clipboard is out of reach
        button.textContent = "Press Ctrl+C";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  async function open() {
    const started = performance.now();
    if (Object.keys(figures).length) {
      const source = await inflate("plotly");
      const script = document.createElement("script");
      script.textContent = source; // its sha256 is in the page's policy
      document.head.append(script);
      await drawAll();
    }
    await openClusters();
    await openRows();
    opened = true;
    addEventListener("hashchange", show);
    show();
    document.documentElement.dataset.readyMs = (performance.now() - started).toFixed(0);
    document.documentElement.dataset.ready = "true";
  }

  open();
})();
