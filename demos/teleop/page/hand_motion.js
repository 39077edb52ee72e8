// From the landmarks of a hand in camera images to a motion of the tool and commands of the gripper. Pure functions.
//
// Landmarks are those of MediaPipe: 21 points [x, y, z], x and y as fractions of the image, z in image widths. Positions
// are [right, away, up] in meters as the person in front of the camera sees them: "away" is toward the camera.

const WRIST = 0, THUMB_TIP = 4, INDEX_TIP = 8;
const PALM = [WRIST, 5, 9, 13, 17];
// Root mean square distance of the palm's points from their center, of an average hand, meters.
const PALM_METERS = 0.042;
// Focal length of a webcam with a field of view of 58 degrees, in lengths of the image's longer side.
const FOCAL = 0.9;
// Distance between the tips of thumb and index finger, in palms: below the first the gripper closes, above the second
// it opens.
const CLOSE = 0.65, OPEN = 1.0;
// A hand that is faster was confused with something else; the limits are for slow and for fast trackers.
const MAX_HAND_SPEED = 1.5, JUMP_METERS = [0.04, 0.15];
// One Euro filter (Casiez, Roussel and Vogel 2012): lowest cutoff, Hz; increase with speed; cutoff of the speed, Hz.
const POINTS_FILTER = { cutoff: 1.5, beta: 20, speedCutoff: 1 };
const SIZE_FILTER = { cutoff: 0.7, beta: 5, speedCutoff: 1 };
// Time after a result in which it moves the tool, seconds: a tracker that stops stops the tool, too.
const MAX_AGE = 0.25;
// Displacement of the tool in a step at full speed, meters.
const MAX_STEP = 0.02;
// Share of the remaining displacement that a step covers: more would overshoot, for states arrive two steps late.
const GAIN = 0.2;
// Steps that the tool is behind the hand at most; a hand that moves faster than the robot slips.
const LEAD_STEPS = 5;
// A hand is never quite still, meters.
const DEAD_ZONE = 0.003;

const STILL = Object.freeze({ right: 0, away: 0, up: 0 });
const minus = (a, b) => a.map((value, index) => value - b[index]);
const scaled = (a, factor) => a.map((value) => value * factor);
const length = (a) => Math.hypot(...a);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// hand: position; pinched: true, false, or null without a hand; gripper: command of the last frame, "open", "close" or
// null; anchor: positions of hand and tool from which displacements count, or null.
export const NO_HAND = Object.freeze({ time: null, hand: null, raw: null, points: null, pinched: null, gripper: null, anchor: null });

function smoothingFactor(cutoff, seconds) {
  return 1 / (1 + 1 / (2 * Math.PI * cutoff * seconds));
}

// Filters a number; previous is {value, speed} or null.
export function oneEuro(previous, value, seconds, { cutoff, beta, speedCutoff }) {
  if (previous === null) return { value, speed: 0 };
  const speed = previous.speed + smoothingFactor(speedCutoff, seconds) * ((value - previous.value) / seconds - previous.speed);
  const factor = smoothingFactor(cutoff + beta * Math.abs(speed), seconds);
  return { value: previous.value + factor * (value - previous.value), speed };
}

// Center and size of the palm in image widths; height is that of the image, in widths.
function palm(points) {
  const center = [0, 1, 2].map((axis) => PALM.reduce((sum, index) => sum + points[index][axis], 0) / PALM.length);
  const squares = PALM.map((index) => length(minus(points[index], center)) ** 2);
  return { center, size: Math.sqrt(squares.reduce((sum, value) => sum + value, 0) / PALM.length) };
}

function position(center, size, height) {
  const meters = PALM_METERS / size;
  // A camera faces the person: its right is the person's left.
  return [(0.5 - center[0]) * meters, -FOCAL * Math.max(1, height) * meters, (height / 2 - center[1]) * meters];
}

function isPinched(before, ratio) {
  if (before === null) return ratio < (CLOSE + OPEN) / 2;
  return before ? ratio < OPEN : ratio < CLOSE;
}

// The state after a frame. landmarks: 21 points or null without a hand; time: that of the result, seconds; height: height of the image in
// widths. A hand that appears, or that jumps, is another hand: the tool stays where it is, and so does the gripper.
export function seeHand(state, landmarks, time, height) {
  if (!landmarks) return { ...NO_HAND, time };
  const points = landmarks.map(([x, y, z]) => [x, y * height, z]);
  const seen = palm(points);
  if (!(seen.size > 0)) return { ...NO_HAND, time };
  const raw = position(seen.center, seen.size, height);
  const seconds = state.hand ? Math.max(time - state.time, 1e-3) : 0;
  if (state.hand && length(minus(raw, state.raw)) > clamp(MAX_HAND_SPEED * seconds, ...JUMP_METERS)) {
    return seeHand(NO_HAND, landmarks, time, height);
  }
  const filtered = points.map((point, index) => point.map((value, axis) => (
    oneEuro(state.points && state.points[index][axis], value, seconds, POINTS_FILTER)
  )));
  const smooth = filtered.map((point) => point.map(({ value }) => value));
  const { center, size } = palm(smooth);
  const logSize = oneEuro(state.logSize ?? null, Math.log(size), seconds, SIZE_FILTER);
  const ratio = length(minus(smooth[THUMB_TIP], smooth[INDEX_TIP])) / size;
  const pinched = isPinched(state.pinched, ratio);
  const changes = state.pinched !== null && state.pinched !== pinched;
  return {
    time, raw, logSize, pinched, ratio,
    hand: position(center, Math.exp(logSize.value), height),
    points: filtered,
    gripper: changes ? (pinched ? "close" : "open") : null,
    anchor: state.anchor,
  };
}

// The state in which the hand moves nothing until it is followed again.
export const release = (state) => (state.anchor ? { ...state, anchor: null } : state);

// The motion that brings the tool to where the hand is, and the state after it. tool: position of the tool, which
// begins at any origin; time: seconds; speed: fraction of the largest speed.
export function follow(state, tool, time, speed) {
  if (!state.hand) return { state: release(state), motion: STILL };
  if (!state.anchor) return { state: { ...state, anchor: { hand: state.hand, tool } }, motion: STILL };
  const { anchor } = state;
  let error = minus(minus(state.hand, anchor.hand), minus(tool, anchor.tool));
  const step = MAX_STEP * speed, lead = LEAD_STEPS * step + DEAD_ZONE, distance = length(error);
  if (distance > lead) {
    const slip = scaled(error, 1 - lead / distance);
    error = minus(error, slip);
    state = { ...state, anchor: { hand: anchor.hand.map((value, axis) => value + slip[axis]), tool: anchor.tool } };
  }
  const rest = Math.min(distance, lead) - DEAD_ZONE;
  if (rest <= 0 || time - state.time > MAX_AGE) return { state, motion: STILL };
  const [right, away, up] = scaled(error, Math.min(GAIN * rest / step, 1) / Math.min(distance, lead));
  return { state, motion: { right, away, up } };
}
