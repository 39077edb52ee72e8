// The page: instructions of a person, answers, and live images of the scene.

import { Connection } from "./connection.js";

const NOTICE_MS = 6000;
const RESULTS = {
  done: ["Done", "good"], failed: ["Not done", "bad"], stopped: ["Stopped", ""], refused: ["Not followed", "bad"],
};
const byId = (id) => document.getElementById(id);

// What scripts and tests may read.
const page = { state: null, about: null, scene: null, log: [], link: "connecting", isOpen: false, frames: 0 };
globalThis.talk = page;

// The token is in a cookie now.
if (location.search) history.replaceState(null, "", "/");

const connection = new Connection({ state: showState, message: receive, link: showLink });

function command(type, more = {}) {
  const sent = connection.send({ type, ...more });
  if (!sent) notice("not connected: nothing was sent", true);
  return sent;
}

function receive(message) {
  if (message.type === "about") showAbout(message);
  else if (message.type === "log") showLog(message.entries);
  else if (message.type === "scene") showScene(message);
  else if (message.type === "notice") notice(message.text, message.error);
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function notice(text, isError) {
  const line = element("p", text, isError ? "bad" : "good");
  byId("notices").append(line);
  setTimeout(() => line.remove(), NOTICE_MS);
}

function showLink(text, isOpen) {
  Object.assign(page, { link: text, isOpen });
  const link = byId("link");
  link.textContent = text;
  link.classList.toggle("bad", !isOpen);
  for (const id of ["send", "scene"]) byId(id).disabled = !isOpen;
  if (isOpen) return;
  document.body.dataset.phase = "connecting";
  byId("stop").disabled = true;
  banner(text, "bad");
}

function showAbout(about) {
  page.about = about;
  document.title = `Talk to ${about.title}`;
  byId("title").textContent = `Talk to ${about.title}`;
  for (const index of [0, 1]) {
    byId(`camera-${index}`).replaceChildren(...about.all_cameras.map((name) => new Option(name, name)));
  }
}

function showScene(scene) {
  page.scene = scene;
  byId("objects").textContent = `The scene has: ${scene.objects.join(", ")}`;
  byId("suggestions").replaceChildren(...scene.suggestions.map((text) => {
    const button = element("button", text);
    button.type = "button";
    button.addEventListener("click", () => command("instruct", { text }));
    return button;
  }));
}

function showLog(entries) {
  page.log = entries;
  byId("empty").hidden = entries.length > 0;
  const log = byId("log");
  log.replaceChildren(...entries.map(({ who, text, kind }) => {
    const line = element("li", undefined, `${who} ${kind}`);
    line.append(element("span", who === "person" ? "You: " : "Robot: ", "hidden-text"), text);
    return line;
  }));
  log.scrollTop = log.scrollHeight;
}

function banner(text, kind) {
  const shown = byId("banner");
  if (shown.textContent !== text) shown.textContent = text;
  shown.className = `banner ${kind}`;
}

const draws = [null, null];

async function draw(index, blob) {
  const canvas = byId(`image-${index}`);
  canvas.closest("figure").hidden = !blob;
  if (!blob) return;
  // A newer image replaces one that is still being decoded.
  const turn = draws[index] = {};
  const bitmap = await createImageBitmap(blob);
  if (draws[index] === turn) {
    if (canvas.width !== bitmap.width) { canvas.width = bitmap.width; canvas.height = bitmap.height; }
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
  }
  bitmap.close();
}

function showState(state, images) {
  connection.send({ type: "received", frame: state.frame });
  page.state = state;
  page.frames += 1;
  for (const index of [0, 1]) draw(index, images[index]);
  document.body.dataset.phase = state.is_working ? "working" : "idle";
  document.body.classList.toggle("succeeded", state.result === "done");
  byId("stop").disabled = !state.is_working;
  byId("elapsed").style.width = `${state.is_working ? 100 * state.step / state.limit : 0}%`;
  if (state.is_working) banner(`Working: ${state.instruction}`, "");
  else if (state.result) banner(`${RESULTS[state.result][0]}: ${state.instruction}`, RESULTS[state.result][1]);
  else banner("", "");
  state.cameras.forEach((name, index) => {
    const select = byId(`camera-${index}`);
    if (select && document.activeElement !== select) select.value = name;
  });
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = byId("text"), text = field.value.trim();
  if (text && command("instruct", { text })) field.value = "";
});
byId("stop").addEventListener("click", () => command("stop"));
byId("scene").addEventListener("click", () => command("scene"));
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && page.state?.is_working) command("stop");
});
for (const index of [0, 1]) {
  byId(`camera-${index}`).addEventListener("change", (event) => {
    const names = [...page.state.cameras], other = 1 - index;
    if (names[other] === event.target.value) names[other] = names[index];
    names[index] = event.target.value;
    event.target.blur();
    command("cameras", { names });
  });
}
byId("text").focus();
