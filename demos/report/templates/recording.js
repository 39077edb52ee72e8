"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("person"), robot = document.getElementById("robot");
const slider = document.getElementById("position"), play = document.getElementById("play");
const total = data.person_events[data.person_events.length - 1];
const images = data.person.map((url) => { const image = new Image(); image.src = url; return image; });

// Time of the person at each event, as a fraction of the slider.
const fractions = data.person_events.map((time) => time / total);
for (const [index, name] of data.names.entries()) {
  const mark = document.createElement("button");
  mark.type = "button";
  mark.textContent = name;
  mark.title = `go to ${name}`;
  mark.style.left = `${100 * fractions[index]}%`;
  mark.addEventListener("click", () => { slider.value = 1000 * fractions[index]; show(); });
  document.getElementById("marks").append(mark);
}

function nearest(times, time) {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time) low = middle; else high = middle - 1;
  }
  return low;
}

// Both play from event to event.
function stepOfRobot(time) {
  let part = 0;
  while (part < data.person_events.length - 2 && time >= data.person_events[part + 1]) part += 1;
  const start = data.person_events[part], end = data.person_events[part + 1];
  const fraction = end > start ? (time - start) / (end - start) : 0;
  const from = data.robot_events[part], to = data.robot_events[part + 1];
  return Math.max(0, Math.min(data.robot.length - 1, Math.round(from + fraction * (to - from))));
}

function draw(index) {
  const context = canvas.getContext("2d"), style = getComputedStyle(document.body);
  const image = images[index];
  if (image) {
    // The canvas has the shape of the video.
    const height = Math.round(canvas.width * image.height / Math.max(image.width, 1));
    if (height && canvas.height !== height) canvas.height = height;
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return;
  }
  context.clearRect(0, 0, canvas.width, canvas.height);
  const points = data.hands[index];
  if (!points) {
    context.fillStyle = style.getPropertyValue("--soft");
    context.font = "28px system-ui, sans-serif";
    context.textAlign = "center";
    context.fillText("No hand detected.", canvas.width / 2, canvas.height / 2);
    return;
  }
  const factor = canvas.width / 1000;
  context.lineWidth = 5;
  context.lineCap = "round";
  for (let finger = 0; finger < 5; finger += 1) {
    context.strokeStyle = style.getPropertyValue(`--c${finger}`);
    const chain = [0, 1, 2, 3, 4].map((joint) => points[joint ? 4 * finger + joint : 0]).filter((point) => point.length);
    context.beginPath();
    for (const [number, [x, y]] of chain.entries()) {
      if (number) context.lineTo(x * factor, y * factor); else context.moveTo(x * factor, y * factor);
    }
    context.stroke();
    for (const [x, y] of chain) {
      context.fillStyle = context.strokeStyle;
      context.beginPath();
      context.arc(x * factor, y * factor, 6, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

function show() {
  const time = slider.value / 1000 * total, step = stepOfRobot(time);
  draw(nearest(data.times, time));
  robot.src = data.robot[step];
  document.getElementById("person-time").textContent = `${time.toFixed(2)} s`;
  document.getElementById("robot-time").textContent = `step ${step * data.stride}`;
}

let last = null;
function tick(now) {
  if (play.textContent !== "Pause") { last = null; return; }
  if (last !== null) slider.value = Number(slider.value) + (now - last) / total;
  last = now;
  show();
  if (Number(slider.value) >= 1000) { play.textContent = "Play"; last = null; return; }
  requestAnimationFrame(tick);
}

play.addEventListener("click", () => {
  if (play.textContent === "Pause") { play.textContent = "Play"; return; }
  if (Number(slider.value) >= 1000) slider.value = 0;
  play.textContent = "Pause";
  requestAnimationFrame(tick);
});
slider.addEventListener("input", show);
for (const image of images) image.addEventListener("load", show);
show();
