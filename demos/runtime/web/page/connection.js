// Connection to the server: JSON messages both ways, and binary messages with a state and its images.

const RETRY_MS = 1000;
const REFUSED = 4009;

// Splits a binary message into its parts, each of which follows its length.
function split(buffer) {
  const view = new DataView(buffer), parts = [];
  for (let offset = 0; offset + 4 <= buffer.byteLength;) {
    const length = view.getUint32(offset);
    parts.push(new Uint8Array(buffer, offset + 4, length));
    offset += 4 + length;
  }
  return parts;
}

export class Connection {
  // handlers: state(state, blobs), message(message), link(text, isOpen)
  constructor(handlers) {
    this.handlers = handlers;
    this.socket = null;
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    let refusal = "";
    socket.addEventListener("open", () => this.handlers.link("connected", true));
    socket.addEventListener("message", (event) => {
      if (typeof event.data === "string") {
        const message = JSON.parse(event.data);
        if (message.type === "refused") refusal = message.text; else this.handlers.message(message);
        return;
      }
      const [header, ...images] = split(event.data);
      this.handlers.state(
        JSON.parse(new TextDecoder().decode(header)), images.map((image) => new Blob([image], { type: "image/jpeg" })),
      );
    });
    socket.addEventListener("close", (event) => {
      const text = event.code === REFUSED ? refusal || "another page controls the robot" : "disconnected: the robot has stopped";
      this.handlers.link(text, false);
      setTimeout(() => this.open(), RETRY_MS);
    });
  }

  send(message) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }
}
