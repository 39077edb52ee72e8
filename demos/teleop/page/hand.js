// Control of the robot by a hand in front of a camera: camera, preview, messages, and the motion of the page.

import { NO_HAND, follow, release, seeHand } from "./hand_motion.js";

const byId = (id) => document.getElementById(id);
// Bones between landmarks, by their ends.
const BONES = [
  [0, 1], [1, 2], [2, 3], [3, 4], [0, 5], [5, 6], [6, 7], [7, 8], [5, 9], [9, 10], [10, 11], [11, 12], [9, 13], [13, 14],
  [14, 15], [15, 16], [13, 17], [17, 18], [18, 19], [19, 20], [0, 17],
];
const CAMERA = { video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" }, audio: false };
const FAULTS = {
  NotAllowedError: "The camera is not allowed. Allow it for this page in the browser, then start again.",
  NotFoundError: "There is no camera. Connect one, then start again.",
  NotReadableError: "The camera cannot be read. Close other programs that use it, then start again.",
};
const INSECURE = "This browser offers the camera only over https and on localhost.";
const seconds = () => performance.now() / 1000;
const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);

// Position to which the tool was last commanded, in the directions of the first camera.
function toolOf({ features, axes }) {
  const lag = features["tool/lag"];
  const tool = features["tool/position"].map((value, index) => value + (lag ? lag[index] : 0));
  return [dot(tool, axes.right), dot(tool, axes.away), tool[2]];
}

export class Hand {
  // page: what the page knows, with state; handlers: command(type, more), changed()
  constructor(page, handlers) {
    Object.assign(this, { page, handlers, stream: null, worker: null, isReady: false, isBusy: false, isOn: false, fault: "" });
    this.state = NO_HAND;
    // Episode and step of the last motion: after a step back the tool is elsewhere.
    this.moment = { seed: null, step: 0 };
    this.video = byId("hand-video");
    this.points = byId("hand-points");
    byId("hand").hidden = false;
    byId("hand-camera").addEventListener("click", (event) => {
      // The next press of the space bar works the gripper, not this button.
      if (event.detail) event.target.blur();
      if (this.stream || this.worker) this.stop(); else this.start();
    });
    byId("hand-follow").addEventListener("click", (event) => {
      if (event.detail) event.currentTarget.blur();
      this.toggle();
    });
    addEventListener("keydown", (event) => {
      const isTyped = event.target instanceof Element && event.target.matches("select, input");
      if (event.code !== "KeyH" || event.repeat || isTyped || event.ctrlKey || event.metaKey || event.altKey) return;
      if (this.worker) this.toggle();
    });
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.letGo(); });
    this.show();
  }

  // Camera

  async start() {
    this.fault = "";
    const worker = this.worker = new Worker("/hand_worker.js");
    this.show();
    worker.addEventListener("message", ({ data }) => { if (this.worker === worker) this.receive(data); });
    worker.addEventListener("error", ({ message }) => { if (this.worker === worker) this.fail(`Hand tracking failed: ${message}`); });
    try {
      if (!navigator.mediaDevices?.getUserMedia) throw new Error(INSECURE);
      const stream = await navigator.mediaDevices.getUserMedia(CAMERA);
      if (this.worker !== worker) { stream.getTracks().forEach((track) => track.stop()); return; }
      this.stream = stream;
      stream.getTracks().forEach((track) => track.addEventListener("ended", () => this.fail(FAULTS.NotFoundError)));
      this.video.srcObject = stream;
      await this.video.play();
      this.next();
    } catch (error) {
      if (this.worker === worker) this.fail(FAULTS[error.name] ?? error.message);
    }
  }

  stop() {
    this.worker?.terminate();
    this.stream?.getTracks().forEach((track) => track.stop());
    this.video.srcObject = null;
    Object.assign(this, { stream: null, worker: null, isReady: false, isBusy: false, isOn: false, state: NO_HAND });
    this.draw(null);
    this.show();
    this.handlers.changed();
  }

  fail(text) {
    this.stop();
    this.fault = text;
    this.show();
  }

  // Sends an image to the worker as soon as it and the camera are ready.
  next() {
    const { worker, video } = this;
    if (!worker || !this.isReady || !this.stream || this.isBusy) return;
    this.isBusy = true;
    const send = async () => {
      if (this.worker !== worker) return;
      try {
        const image = await createImageBitmap(video);
        worker.postMessage({ image }, [image]);
      } catch (error) {
        if (this.worker === worker) this.fail(`Hand tracking failed: ${error.message}`);
      }
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(send); else requestAnimationFrame(send);
  }

  receive(message) {
    if (message.error) {
      this.fail(`Hand tracking failed: ${message.error}`);
      return;
    }
    if (message.ready) this.isReady = true;
    if (message.landmarks !== undefined) {
      this.isBusy = false;
      this.see(message.landmarks);
    }
    this.next();
  }

  see(landmarks) {
    const { videoWidth: width, videoHeight: height } = this.video;
    this.state = seeHand(this.state, landmarks, seconds(), height / width);
    this.draw(landmarks);
    this.show();
    if (this.state.gripper && this.state.anchor && this.obstacle() === "") this.handlers.command("gripper", { do: this.state.gripper });
    // A hand that is lost stops the robot at once.
    this.handlers.changed();
  }

  // Motion

  toggle() {
    this.isOn = !this.isOn;
    this.letGoUnless(this.isOn);
  }

  letGo() {
    this.isOn = false;
    this.letGoUnless(false);
  }

  letGoUnless(isOn) {
    if (!isOn) this.state = release(this.state);
    this.show();
    this.handlers.changed();
  }

  // Reason why the hand moves nothing, as a text; empty if it may.
  obstacle() {
    const { state, isOpen } = this.page;
    if (!isOpen) return "No connection to the robot.";
    if (state?.phase !== "driving") return "Your hand moves the tool once the episode has started.";
    if (state.driver === "policy") return "The policy acts. Take over (T) to move the tool with your hand.";
    if (state.hold === "paused") return "Paused.";
    return "";
  }

  // Adds the motion of the hand to that of the other inputs, which come first.
  addTo(motion, speed) {
    const { state } = this.page;
    const isMoved = motion.right || motion.away || motion.up;
    const { seed, step } = this.moment;
    const isElsewhere = state && (state.seed !== seed || state.step < step);
    if (state) this.moment = { seed: state.seed, step: state.step };
    if (!this.isOn || isMoved || isElsewhere || this.obstacle()) {
      this.state = release(this.state);
      return motion;
    }
    const followed = follow(this.state, toolOf(state), seconds(), speed);
    this.state = followed.state;
    const rounded = Object.entries(followed.motion).map(([axis, value]) => [axis, Math.round(value * 1000) / 1000]);
    return { ...motion, ...Object.fromEntries(rounded) };
  }

  // What is shown

  message() {
    if (this.fault) return this.fault;
    if (!this.worker) return "The camera is off. Its images stay on this computer.";
    if (!this.stream) return "Waiting for the camera. Allow it if the browser asks.";
    if (!this.isReady || this.state.time === null) return "Loading hand tracking.";
    if (!this.state.hand) return "No hand detected. Hold one hand up in front of the camera.";
    if (!this.isOn) return "Hand detected. Press Follow, or H, and the tool follows it.";
    return this.obstacle() || `The tool follows your hand. ${this.state.pinched ? "Spread thumb and finger to open." : "Pinch to close the gripper."}`;
  }

  show() {
    const text = this.message(), message = byId("hand-message"), button = byId("hand-follow");
    if (message.textContent !== text) message.textContent = text;
    message.classList.toggle("bad", Boolean(this.fault));
    byId("hand-preview").hidden = !this.stream;
    byId("hand-camera").textContent = this.worker ? "Stop camera" : "Start camera";
    button.hidden = !this.worker;
    button.querySelector("span").textContent = this.isOn ? "Let go" : "Follow";
    byId("hand-preview").classList.toggle("follows", this.isOn && Boolean(this.state.hand) && !this.obstacle());
  }

  draw(landmarks) {
    const { points, video } = this, context = points.getContext("2d");
    points.width = video.videoWidth || 4;
    points.height = video.videoHeight || 3;
    if (!landmarks) return;
    const place = ([x, y]) => [x * points.width, y * points.height];
    context.lineWidth = points.width / 90;
    context.lineCap = "round";
    context.strokeStyle = context.fillStyle = getComputedStyle(points).color;
    context.beginPath();
    for (const [start, end] of BONES) { context.moveTo(...place(landmarks[start])); context.lineTo(...place(landmarks[end])); }
    context.stroke();
    for (const landmark of landmarks) { context.beginPath(); context.arc(...place(landmark), points.width / 70, 0, 7); context.fill(); }
  }
}
