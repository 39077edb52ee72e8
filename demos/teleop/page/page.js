// The page: what it shows of the robot, and what its buttons do.

import { Connection } from "./connection.js";
import { Controls } from "./controls.js";

const STEP_SECONDS = 0.05;
const MOTION_MS = 50;
const NOTICE_MS = 6000;
const byId = (id) => document.getElementById(id);

// What scripts and tests may read.
const page = { state: null, about: null, episodes: [], link: "connecting", isOpen: false, frames: 0 };
globalThis.teleop = page;

// The token is in a cookie now.
if (location.search) history.replaceState(null, "", "/");

let speed = 50;
// Control by hand, where the server offers it.
let hand = null;
const controls = new Controls({ action: act, speed: setSpeed, changed: sendMotion });
const connection = new Connection({ state: showState, message: receive, link: showLink });

// Messages

function sendMotion(frame) {
  const motion = controls.motion();
  page.motion = { ...(hand ? hand.addTo(motion, speed / 100) : motion), speed: speed / 100 };
  const message = { type: "motion", ...page.motion };
  if (typeof frame === "number") message.frame = frame;
  connection?.send(message);
}

function command(type, more = {}) {
  if (!connection.send({ type, ...more })) notice("not connected: nothing was sent", true);
}

function receive(message) {
  if (message.type === "about") showAbout(message);
  else if (message.type === "episodes") showEpisodes(message.episodes);
  else if (message.type === "notice") notice(message.text, message.error);
}

// Actions of keys, buttons and gamepad

const keeps = () => Boolean(page.state.flags.is_success || page.about.keep_failures);
const PRIMARY = { ready: () => "start", driving: () => "finish", review: () => (keeps() ? "keep" : "discard") };

function act(name) {
  const { state } = page;
  if (!state) return;
  const { phase } = state;
  if (name === "primary") command(PRIMARY[phase]());
  else if (name === "secondary") command(phase === "ready" ? "skip" : "discard");
  else if (name === "gripper") { if (phase === "driving") command("gripper", { do: "toggle" }); }
  else if (name === "pause") { if (phase === "driving") command(state.hold && state.hold !== "silent" ? "resume" : "pause"); }
  else if (name === "takeover") { if (phase === "driving") command(state.driver === "policy" ? "take" : "give"); }
  else if (name === "skip") { if (phase === "ready") command("skip"); }
  // Separate commands: a quick second press of undo cannot rewind the episode that the first one restored.
  else if (name === "undo") command(phase === "ready" ? "undo" : "rewind");
}

function setSpeed(percent) {
  speed = Number(percent);
  byId("speed").value = speed;
  byId("speed-value").textContent = `${speed}%`;
  sendMotion();
}

// What is shown

function showLink(text, isOpen) {
  Object.assign(page, { link: text, isOpen });
  const link = byId("link");
  link.textContent = text;
  link.classList.toggle("bad", !isOpen);
  if (!isOpen) {
    document.body.dataset.phase = "connecting";
    byId("banner").textContent = text;
  }
}

function options(select, names, chosen) {
  if (select.options.length !== names.length) {
    select.replaceChildren(...names.map((name) => new Option(name, name)));
  }
  if (chosen !== undefined && document.activeElement !== select) select.value = chosen;
}

function showAbout(about) {
  page.about = about;
  document.title = `Drive ${about.environment}`;
  byId("environment").textContent = about.environment;
  byId("folder").textContent = about.folder;
  options(byId("format"), about.formats);
  for (const index of [0, 1]) options(byId(`camera-${index}`), about.all_cameras);
  byId("takeover").hidden = !about.policy;
  if (about.hand_tracking && !page.hand) page.hand = import("./hand.js").then(({ Hand }) => (hand = new Hand(page, { command, changed: sendMotion })));
  showCount();
}

function showCount() {
  if (page.about) byId("count").textContent = `${page.episodes.length} of ${page.about.episodes}`;
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function showEpisodes(episodes) {
  page.episodes = episodes;
  showCount();
  byId("empty").hidden = episodes.length > 0;
  byId("export").disabled = episodes.length === 0;
  const items = episodes.map((episode, number) => {
    const item = element("li"), image = element("img"), text = element("div"), remove = element("button", "×");
    image.src = episode.thumbnail ? `data:image/jpeg;base64,${episode.thumbnail}` : "/icon.svg";
    image.alt = "";
    const own = episode.by_person === episode.steps ? "" : `, ${episode.by_person} steps by you`;
    text.append(
      element("strong", `Episode ${number + 1}`),
      element("span", `${(episode.steps * STEP_SECONDS).toFixed(1)} s${own}`),
      element("span", episode.success ? "success" : "failure", episode.success ? "good" : "bad"),
    );
    remove.type = "button";
    remove.title = remove.ariaLabel = `Remove episode ${number + 1}`;
    remove.addEventListener("click", () => { remove.blur(); command("remove", { seed: episode.seed }); });
    item.append(image, text, remove);
    return item;
  });
  byId("episodes").replaceChildren(...items.reverse());
}

function notice(text, isError) {
  const shown = element("p", text, isError ? "bad" : "good");
  byId("notices").append(shown);
  while (byId("notices").children.length > 4) byId("notices").firstChild.remove();
  setTimeout(() => shown.remove(), NOTICE_MS);
}

const HOLDS = { motion: "Move to begin", paused: "Paused", silent: "Waiting for this page" };

const isTouch = matchMedia("(pointer: coarse)").matches;

function bannerOf(state) {
  if (isTouch && state.phase === "review") return state.flags.is_success ? "Success" : "No success";
  if (state.phase === "ready") return isTouch ? "Tap Start" : "Enter to start";
  if (state.phase === "review") {
    if (state.flags.is_success) return "Success: Enter to keep";
    return page.about.keep_failures ? "No success: Enter to keep it anyway" : "No success: Enter for the next scene";
  }
  if (state.hold === "motion" && state.step) return "Move to continue";
  if (state.hold === "asks") return askText(state);
  return state.hold ? HOLDS[state.hold] : "";
}

// The policy requests help
function askText(state) {
  return `The policy requests help (failure probability ${Math.round(100 * state.asks)}%). Move to take over, or Continue`;
}

const draws = [null, null];

async function draw(index, blob) {
  if (!blob) return;
  // A newer image replaces one that is still being decoded.
  const turn = draws[index] = {};
  const bitmap = await createImageBitmap(blob);
  if (draws[index] === turn) {
    const canvas = byId(`image-${index}`);
    if (canvas.width !== bitmap.width) { canvas.width = bitmap.width; canvas.height = bitmap.height; }
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
  }
  bitmap.close();
}

function showState(state, images) {
  page.state = state;
  // First the receipt: the robot waits for it.
  sendMotion(state.frame);
  page.frames += 1;
  images.forEach((image, index) => draw(index, image));
  document.body.dataset.phase = state.phase;
  document.body.classList.toggle("turns", "tool/yaw" in state.features || "tool/rotation" in state.features);
  document.body.classList.toggle("succeeded", state.flags.is_success);
  byId("instruction").textContent = state.instruction;
  byId("banner").textContent = bannerOf(state);
  byId("elapsed").style.width = `${100 * state.step / state.limit}%`;
  for (const index of [0, 1]) {
    if (state.cameras[index]) options(byId(`camera-${index}`), page.about.all_cameras, state.cameras[index]);
  }
  showFacts(state);
  showActions(state);
  if (document.querySelector("details").open) showFeatures(state);
}

function showFacts(state) {
  const facts = [
    [`${(state.step * STEP_SECONDS).toFixed(1)} s of ${(state.limit * STEP_SECONDS).toFixed(0)} s`, ""],
    [`gripper ${Math.round(1000 * state.features["gripper/width"][0])} mm`, ""],
    ...Object.entries(state.flags).map(([name, value]) => [name.replace("is_", ""), value ? "good" : "off"]),
    ...Object.entries(state.counts).map(([name, value]) => [`${name} ${value}`, ""]),
  ];
  if (page.about.policy) {
    facts.splice(1, 0, [state.driver === "policy" ? `controlled by ${page.about.policy}` : "controlled by you", "driver"]);
  }
  if (state.phase === "driving" && !state.hold) facts.push([`${state.hz.toFixed(0)} steps/s`, ""]);
  byId("facts").replaceChildren(...facts.map(([text, kind]) => element("li", text, kind)));
}

function label(id, text) {
  const button = byId(id);
  button.hidden = !text;
  if (text) button.querySelector("span").textContent = text;
}

function showActions(state) {
  const { phase } = state, driving = phase === "driving";
  label("primary", { ready: "Start", driving: "Finish", review: keeps() ? "Keep" : "Next scene" }[phase]);
  label("secondary", { ready: "Another scene", driving: "Discard", review: keeps() ? "Discard" : "" }[phase]);
  label("undo", phase === "ready" ? "Undo" : "Back 1 s");
  byId("undo").disabled = !state.can_undo;
  label("pause", driving ? (state.hold && state.hold !== "silent" ? "Continue" : "Pause") : "");
  label("takeover", driving && page.about.policy ? (state.driver === "policy" ? "Take over" : "Give back") : "");
  byId("gripper").querySelector("span").textContent = state.gripper === "open" ? "Close" : "Open";
  byId("gripper").disabled = !driving;
}

function showFeatures(state) {
  byId("features").replaceChildren(...Object.entries(state.features).map(([name, values]) => {
    const row = element("tr");
    row.append(element("th", name), element("td", values.map((value) => value.toFixed(3)).join("  ")));
    return row;
  }));
}

async function download() {
  const format = byId("format").value;
  byId("export").disabled = true;
  try {
    const answer = await fetch(`/export/${format}`);
    if (!answer.ok) throw new Error(await answer.text());
    const link = element("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = /filename="(.+)"/.exec(answer.headers.get("Content-Disposition"))[1];
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    notice(`exported as ${link.download}`, false);
  } catch (error) {
    notice(`export: ${error.message}`, true);
  } finally {
    byId("export").disabled = page.episodes.length === 0;
  }
}

// Buttons

for (const name of ["primary", "secondary", "undo", "pause", "takeover", "gripper"]) {
  byId(name).addEventListener("click", (event) => {
    // The next press of the space bar works the gripper, not this button.
    if (event.detail) byId(name).blur();
    act(name);
  });
}
for (const index of [0, 1]) {
  byId(`camera-${index}`).addEventListener("change", (event) => {
    const names = [...page.state.cameras];
    const other = 1 - index;
    if (names[other] === event.target.value) names[other] = names[index];
    names[index] = event.target.value;
    event.target.blur();
    command("cameras", { names });
  });
}
byId("speed").addEventListener("input", (event) => setSpeed(event.target.value));
byId("speed").addEventListener("change", (event) => event.target.blur());
byId("format").addEventListener("change", (event) => event.target.blur());
byId("export").addEventListener("click", download);
byId("show-pads").checked = isTouch;
const showPads = () => document.body.classList.toggle("touches", byId("show-pads").checked);
byId("show-pads").addEventListener("change", (event) => { event.target.blur(); showPads(); });
showPads();
controls.addPad(byId("pad-plane"), "right", "away");
controls.addPad(byId("pad-height"), "turn", "up");

function poll() {
  controls.pollGamepad();
  const none = navigator.getGamepads ? "none" : "none; this browser needs https or localhost for it";
  const name = controls.gamepad ? controls.gamepad.id.slice(0, 40) : none;
  const text = `Gamepad: ${name}. Sticks: move, A: gripper, Start: continue.`;
  if (byId("gamepad").textContent !== text) byId("gamepad").textContent = text;
  requestAnimationFrame(poll);
}
setInterval(() => { if (page.state?.phase === "driving") sendMotion(); }, MOTION_MS);
poll();
