// What the person does with keys, gamepad and touch pads, as one motion.

const AXES = {
  KeyW: ["away", 1], ArrowUp: ["away", 1], KeyS: ["away", -1], ArrowDown: ["away", -1],
  KeyD: ["right", 1], ArrowRight: ["right", 1], KeyA: ["right", -1], ArrowLeft: ["right", -1],
  KeyE: ["up", 1], PageUp: ["up", 1], KeyQ: ["up", -1], PageDown: ["up", -1],
  KeyZ: ["turn", 1], KeyC: ["turn", -1],
};
const ACTIONS = {
  Space: "gripper", Enter: "primary", NumpadEnter: "primary", Backspace: "secondary", Delete: "secondary",
  KeyU: "undo", KeyP: "pause", KeyT: "takeover", KeyN: "skip",
};
const SPEEDS = { Digit1: 10, Digit2: 25, Digit3: 50, Digit4: 75, Digit5: 100 };
const DEAD_ZONE = 0.15;
const BUTTONS = { 0: "gripper", 1: "undo", 2: "secondary", 3: "takeover", 8: "pause", 9: "primary" };

const limit = (value) => Math.max(-1, Math.min(1, value));
const round = (value) => Math.round(value * 1000) / 1000;

// Some browsers offer gamepads only over https and on localhost, and pages in frames may not read them.
function gamepads() {
  try {
    return [...(navigator.getGamepads?.() ?? [])];
  } catch {
    return [];
  }
}

export class Controls {
  // handlers: action(name), speed(percent), changed()
  constructor(handlers) {
    this.handlers = handlers;
    this.pressed = new Set();
    this.touch = { right: 0, away: 0, up: 0, turn: 0 };
    this.buttons = new Set();
    this.gamepad = null;
    addEventListener("keydown", (event) => this.key(event, true));
    addEventListener("keyup", (event) => this.key(event, false));
    // A key that is released elsewhere is never reported.
    addEventListener("blur", () => this.release());
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.release(); });
  }

  release() {
    this.pressed.clear();
    this.gamepad = null;
    for (const axis of Object.keys(this.touch)) this.touch[axis] = 0;
    this.handlers.changed();
  }

  key(event, isDown) {
    const { code, target } = event;
    // Whoever goes through the page by keyboard uses buttons and lists as usual.
    const isField = target instanceof Element && target.matches("select, input, button, summary, a");
    if (isField && isDown && (["Enter", "Space"].includes(code) || target.matches("select, input"))) return;
    if (code in AXES) {
      if (isDown && (event.ctrlKey || event.metaKey || event.altKey)) return;
      if (isDown) this.pressed.add(code); else this.pressed.delete(code);
      if (!event.repeat) this.handlers.changed();
      event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || !isDown) return;
    if (code in ACTIONS || code in SPEEDS) event.preventDefault();
    if (event.repeat) return;
    if (code in ACTIONS) this.handlers.action(ACTIONS[code]);
    if (code in SPEEDS) this.handlers.speed(SPEEDS[code]);
  }

  // Makes a square follow a finger; x and y name the axes.
  addPad(pad, x, y) {
    const knob = pad.querySelector("i");
    const set = (right, up) => {
      this.touch[x] = right;
      this.touch[y] = up;
      knob.style.transform = `translate(${right * 100}%, ${-up * 100}%)`;
      this.handlers.changed();
    };
    const follow = (event) => {
      const box = pad.getBoundingClientRect();
      const part = (value, start, size) => limit((value - start - size / 2) / (size * 0.36));
      const clear = (value) => (Math.abs(value) < DEAD_ZONE ? 0 : value);
      set(clear(part(event.clientX, box.left, box.width)), clear(-part(event.clientY, box.top, box.height)));
    };
    pad.addEventListener("pointerdown", (event) => { pad.setPointerCapture(event.pointerId); follow(event); });
    pad.addEventListener("pointermove", (event) => { if (pad.hasPointerCapture(event.pointerId)) follow(event); });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) pad.addEventListener(end, () => set(0, 0));
    pad.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  // Reads the first gamepad; reports buttons that went down.
  pollGamepad() {
    const gamepad = gamepads().find((each) => each && each.connected) || null;
    this.gamepad = gamepad;
    if (!gamepad) return;
    for (const [index, name] of Object.entries(BUTTONS)) {
      const isDown = Boolean(gamepad.buttons[index]?.pressed);
      if (isDown && !this.buttons.has(index)) this.handlers.action(name);
      if (isDown) this.buttons.add(index); else this.buttons.delete(index);
    }
  }

  motion() {
    const motion = { ...this.touch };
    for (const code of this.pressed) motion[AXES[code][0]] += AXES[code][1];
    // The gamepad is not polled while the page is hidden, so its last values would persist.
    if (this.gamepad && !document.hidden) {
      const stick = (index) => { const value = this.gamepad.axes[index] || 0; return Math.abs(value) < DEAD_ZONE ? 0 : value; };
      motion.right += stick(0);
      motion.away -= stick(1);
      motion.turn -= stick(2);
      motion.up -= stick(3);
    }
    for (const axis of Object.keys(motion)) motion[axis] = round(limit(motion[axis]));
    return motion;
  }
}
