"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const slider = document.getElementById("position"), play = document.getElementById("play");
const updates = [];

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const number = (value) => (value < 0 ? "\u2212" : "") + Math.abs(value).toFixed(3);

// A row: name, bar, number. The bar of a signed number begins in the middle.
function bar(name, value, largest, signed = true) {
  const fill = element("i", { className: value < 0 ? "lowers" : "raises" });
  const zero = signed ? 50 : 0, share = Math.min(1, Math.abs(value) / Math.max(largest, 1e-12)) * (100 - zero);
  fill.style.width = `${share}%`;
  fill.style.left = `${value < 0 ? zero - share : zero}%`;
  return [element("span", {}, name), element("div", { className: signed ? "track signed" : "track" }, fill), element("span", { className: "number" }, number(value))];
}

function actionBars() {
  const target = document.getElementById("action");
  const flat = data.actions.map((action) => [action].flat(Infinity));
  const discrete = !Array.isArray(data.actions[0]);
  const largest = Math.max(1, ...flat.flat().map(Math.abs));
  updates.push((index) => {
    document.getElementById("step").textContent = `Step ${data.explained[index]} of ${data.steps}, ${(data.explained[index] * data.seconds_per_step).toFixed(2)} s`;
    const planned = data.decided_at[index];
    document.getElementById("decided").textContent = planned === data.explained[index] ? "Action, decided at this step:" : `Action of a chunk that was planned at step ${planned}:`;
    if (discrete) target.replaceChildren(element("span", {}, data.outputs[flat[index][0] - data.first_action] ?? `action ${flat[index][0]}`));
    else target.replaceChildren(...flat[index].flatMap((value, place) => bar(data.outputs[place] ?? `action ${place}`, value, largest)));
  });
}

function frames() {
  if (!data.frames.length) return;
  const image = document.getElementById("frame");
  updates.push((index) => { image.src = data.frames[index]; });
}

const svg = (tag, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

function curve(explained) {
  const usual = explained.facts.usual, last = Math.max(explained.steps.length - 1, 1);
  const top = 1.08 * Math.max(...explained.steps, usual ?? 0, 1e-9);
  const y = (value) => 80 - 76 * value / top;
  const drawing = svg("svg", { viewBox: "0 0 1000 84", preserveAspectRatio: "none", role: "img", "aria-label": explained.title });
  drawing.append(svg("line", { x1: 0, x2: 1000, y1: 80, y2: 80, class: "grid" }));
  if (usual !== undefined) drawing.append(svg("line", { x1: 0, x2: 1000, y1: y(usual), y2: y(usual), class: "usual" }));
  drawing.append(svg("polyline", { points: explained.steps.map((value, place) => `${1000 * place / last},${y(value)}`).join(" ") }));
  const cursor = svg("line", { y1: 0, y2: 84, class: "cursor" });
  drawing.append(cursor);
  const go = (event) => {
    const box = drawing.getBoundingClientRect();
    slider.value = Math.round(last * (event.clientX - box.left) / box.width);
    show();
  };
  drawing.addEventListener("pointerdown", go);
  drawing.addEventListener("pointermove", (event) => { if (event.buttons) go(event); });
  const value = element("b");
  updates.push((index) => {
    const x = 1000 * index / last;
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    value.textContent = number(explained.steps[index]) + (usual !== undefined && explained.steps[index] > usual ? " (unusual)" : "");
  });
  const text = usual === undefined ? explained.text : `${explained.text} It is at ${number(usual)}.`;
  return element("figure", { className: "curve" }, element("h3", {}, `${explained.title}: `, value), drawing, element("figcaption", {}, text));
}

function bars(explained) {
  const { names, outputs } = explained.facts, target = element("div", { className: "bars" });
  const choice = element("select", { ariaLabel: "Action dimension" });
  choice.append(element("option", { value: "" }, "all action dimensions (absolute values)"), ...outputs.map((name, place) => element("option", { value: place }, name)));
  if (outputs.length === 1) choice.value = "0";
  const at = (row) => choice.value === "" ? row.reduce((sum, value) => sum + Math.abs(value), 0) : row[choice.value];
  const draw = (index) => {
    const rows = explained.steps[index].map((row, place) => [names[place], at(row)]).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 14);
    const largest = Math.max(...explained.steps.flat().map((row) => Math.abs(at(row))));
    target.replaceChildren(...rows.flatMap(([name, value]) => bar(name, value, largest, choice.value !== "")));
  };
  choice.addEventListener("change", () => draw(Number(slider.value)));
  updates.push(draw);
  const note = `Relative to ${explained.facts.baseline}. The contributions add up to the difference within ${(100 * explained.facts.largest_relative_error).toFixed(2)}%.`;
  return outputs.length === 1 ? [target, element("p", { className: "small" }, note)] : [element("p", { className: "chooser" }, choice), target, element("p", { className: "small" }, note)];
}

function words(explained) {
  const list = element("ul", { className: "words" });
  const largest = Math.max(...explained.steps.flat().map(([, value]) => value), 1e-9);
  updates.push((index) => list.replaceChildren(...explained.steps[index].map(([word, value]) => {
    const mark = element("i");
    mark.style.width = `${100 * value / largest}%`;
    return element("li", {}, `${word} `, element("small", {}, number(value)), mark);
  })));
  return [list];
}

function maps(explained) {
  const figures = Object.keys(explained.steps[0]).map((camera) => {
    const canvas = element("canvas", { width: 320, height: 320, role: "img", ariaLabel: `Camera ${camera} with the regions that mattered` });
    const largest = Math.max(...explained.steps.flatMap((step) => step[camera].flat()), 1e-9);
    const image = new Image();
    let current = 0;
    const draw = () => {
      const context = canvas.getContext("2d"), grid = explained.steps[current][camera], cells = grid.length;
      if (image.width) canvas.height = Math.round(canvas.width * image.height / image.width);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      const [across, down] = [canvas.width / cells, canvas.height / cells];
      grid.forEach((row, top) => row.forEach((value, left) => {
        context.fillStyle = `rgba(255, 40, 0, ${0.75 * value / largest})`;
        context.fillRect(left * across, top * down, across, down);
      }));
    };
    image.addEventListener("load", draw);
    updates.push((index) => { current = index; image.src = data.cameras[camera][index]; });
    return element("figure", {}, element("h3", {}, camera), canvas, element("figcaption", {}, `Darkest red: ${number(largest)}.`));
  });
  return [element("div", { className: "maps" }, ...figures)];
}

function neighbors(explained) {
  const list = element("div", { className: "neighbors" });
  updates.push((index) => list.replaceChildren(...explained.steps[index].map((one) => {
    const caption = element("figcaption", {}, `episode ${one.episode}, step ${one.step}; distance ${number(one.distance)}`);
    const url = data.neighbors[one.image];
    return url ? element("figure", {}, element("img", { src: url, alt: `Episode ${one.episode}, step ${one.step}` }), caption) : element("figure", {}, caption);
  })));
  return [list];
}

function sections() {
  const kinds = { bars, words, maps, neighbors }, missing = [], target = document.getElementById("explanations");
  for (const [name, explained] of Object.entries(data.explanations)) {
    if (explained.kind === "curve") {
      document.getElementById("curves").append(curve(explained));
      continue;
    }
    if (explained.unavailable !== undefined) {
      missing.push(element("p", { className: "missing" }, `${name}: ${explained.unavailable}`));
      continue;
    }
    const content = [element("p", {}, explained.text), ...kinds[explained.kind](explained)];
    target.append(element("section", { id: name }, element("h2", {}, explained.title), ...content));
  }
  if (missing.length) target.append(element("section", { id: "missing" }, element("h2", {}, "Not available"), ...missing));
}

function show() {
  for (const update of updates) update(Number(slider.value));
}

let begun = null, from = 0;
function tick(now) {
  if (play.textContent !== "Pause") return;
  if (begun === null) { begun = now; from = Number(slider.value); }
  const stride = data.explained.length > 1 ? data.explained[1] - data.explained[0] : 1;
  const next = from + Math.floor((now - begun) / (1000 * data.seconds_per_step * stride));
  if (next !== Number(slider.value)) { slider.value = next; show(); }
  if (next >= Number(slider.max)) { play.textContent = "Play"; return; }
  requestAnimationFrame(tick);
}

play.addEventListener("click", () => {
  if (play.textContent === "Pause") { play.textContent = "Play"; return; }
  if (Number(slider.value) >= Number(slider.max)) slider.value = 0;
  begun = null;
  play.textContent = "Pause";
  requestAnimationFrame(tick);
});
slider.addEventListener("input", () => { begun = null; show(); });
actionBars();
frames();
sections();
show();
