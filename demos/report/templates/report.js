"use strict";
// Draws the paths of the tool; they turn with the pointer or the arrow keys.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const canvas = document.getElementById("stage");
  const context = canvas.getContext("2d");
  const [low, high] = bounds();
  const middle = low.map((value, axis) => (value + high[axis]) / 2);
  const size = Math.hypot(...low.map((value, axis) => high[axis] - value));
  const view = { turn: -0.65, tilt: 0.42, zoom: 1 };
  let grouping = Object.keys(data.groupings)[0];

  // Whole steps of 10 cm around all paths, down to the table.
  function bounds() {
    const ends = [[0, 1, 2].map(() => Infinity), [0, 1, 2].map(() => -Infinity)];
    for (const numbers of data.points) {
      numbers.forEach((value, place) => {
        ends[0][place % 3] = Math.min(ends[0][place % 3], value);
        ends[1][place % 3] = Math.max(ends[1][place % 3], value);
      });
    }
    const floor = ends[0].map((value) => Math.floor(value / 100) * 100);
    const ceiling = ends[1].map((value, axis) => Math.max(Math.ceil(value / 100) * 100, floor[axis] + 100));
    return [[floor[0], floor[1], Math.min(0, floor[2])], ceiling];
  }

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function project(x, y, z) {
    const [dx, dy, dz] = [x - middle[0], y - middle[1], z - middle[2]];
    const across = dx * Math.cos(view.turn) - dy * Math.sin(view.turn);
    const away = dx * Math.sin(view.turn) + dy * Math.cos(view.turn);
    const up = dz * Math.cos(view.tilt) + away * Math.sin(view.tilt);
    const depth = away * Math.cos(view.tilt) - dz * Math.sin(view.tilt);
    const room = Math.min(canvas.clientWidth, 1.25 * canvas.clientHeight);
    const scale = (2 * view.zoom * room) / (2.5 * size + depth);
    return [canvas.clientWidth / 2 + across * scale, 0.47 * canvas.clientHeight - up * scale];
  }

  function line(points) {
    context.beginPath();
    points.forEach((point, number) => context[number ? "lineTo" : "moveTo"](...project(...point)));
    context.stroke();
  }

  function drawTable() {
    context.lineWidth = 1;
    context.strokeStyle = color("line");
    for (let x = low[0]; x <= high[0]; x += 100) line([[x, low[1], 0], [x, high[1], 0]]);
    for (let y = low[1]; y <= high[1]; y += 100) line([[low[0], y, 0], [high[0], y, 0]]);
    context.strokeStyle = context.fillStyle = color("soft");
    context.font = "12px system-ui, sans-serif";
    context.textAlign = "center";
    const [left, front] = [[low[0], low[1], 0], [high[0], low[1], 0]];
    const edges = [["x", left, front], ["y", front, [high[0], high[1], 0]], ["z", left, [low[0], low[1], high[2]]]];
    for (const [name, start, end] of edges) {
      line([start, end]);
      const beyond = end.map((value, axis) => value + 0.08 * (value - start[axis]));
      const [x, y] = project(...beyond);
      context.fillText(`${name} = ${end["xyz".indexOf(name)] / 1000} m`, x, y + 4);
    }
  }

  function drawPaths() {
    const names = data.groupings[grouping];
    const many = data.points.length;
    const opacity = many > 100 ? 0.45 : many > 40 ? 0.6 : 0.8;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    data.points.forEach((numbers, place) => {
      const points = [];
      for (let at = 0; at < numbers.length; at += 3) points.push(numbers.slice(at, at + 3));
      context.strokeStyle = context.fillStyle = color(data.colors[names[place]]);
      context.globalAlpha = 0.15 * opacity;
      line(points.map(([x, y]) => [x, y, 0]));
      context.globalAlpha = opacity;
      line(points);
      context.beginPath();
      context.arc(...project(...points[0]), 3, 0, 2 * Math.PI);
      context.fill();
    });
    context.globalAlpha = 1;
  }

  let waiting = false;
  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      const sharpness = window.devicePixelRatio || 1;
      canvas.width = Math.round(canvas.clientWidth * sharpness);
      canvas.height = Math.round(canvas.clientHeight * sharpness);
      context.setTransform(sharpness, 0, 0, sharpness, 0, 0);
      drawTable();
      drawPaths();
    });
  }

  function turn(across, down) {
    view.turn += across;
    view.tilt = Math.min(Math.PI / 2, Math.max(-0.2, view.tilt + down));
    draw();
  }

  function zoom(factor) {
    view.zoom = Math.min(4, Math.max(0.5, view.zoom * factor));
    draw();
  }

  function showKeys() {
    const names = data.groupings[grouping];
    const counts = new Map();
    for (const name of names) counts.set(name, (counts.get(name) || 0) + 1);
    const items = [...counts.keys()].sort().map((name) => {
      const item = document.createElement("li");
      const square = document.createElement("i");
      square.style.color = `var(--${data.colors[name]})`;
      item.append(square, `${name} (${counts.get(name)})`);
      return item;
    });
    document.getElementById("keys").replaceChildren(...items);
  }

  function addButtons() {
    const names = Object.keys(data.groupings);
    const buttons = names.map((name) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.setAttribute("aria-pressed", String(name === grouping));
      button.addEventListener("click", () => {
        grouping = name;
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
        showKeys();
        draw();
      });
      return button;
    });
    if (names.length > 1) document.getElementById("groupings").append(...buttons);
  }

  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons) turn(event.movementX / 120, event.movementY / 120);
  });
  canvas.addEventListener("keydown", (event) => {
    const keys = {
      ArrowLeft: () => turn(-0.1, 0), ArrowRight: () => turn(0.1, 0),
      ArrowUp: () => turn(0, -0.1), ArrowDown: () => turn(0, 0.1),
      "+": () => zoom(1.15), "-": () => zoom(1 / 1.15),
    };
    if (keys[event.key]) {
      keys[event.key]();
      event.preventDefault();
    }
  });
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addButtons();
  showKeys();
})();
