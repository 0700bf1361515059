// An unmodified centrifuge-js that says its token in `data`, as Centrifugo's connect proxy needs it. Orders are JSON lines
// on stdin, what happens is JSON lines on stdout: node in-data.mjs WEBSOCKET_URL
// Orders: {"do":"connect","token":…} {"do":"token","token":…} (the next getData answers with it) {"do":"kill"}
// {"do":"rpc","method":…,"data":…}
import { createInterface } from "node:readline";
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";

const say = (event, fields = {}) => console.log(JSON.stringify({ event, ...fields }));

let socket;
class Remembered extends WebSocket {
  constructor(...args) {
    super(...args);
    socket = this;
  }
}

let token = "";
const client = new Centrifuge(process.argv[2], {
  websocket: Remembered,
  getData: async () => {
    say("getData");
    return { token };
  },
  minReconnectDelay: 20,
  maxReconnectDelay: 200,
});
client.on("connecting", ({ code, reason }) => say("connecting", { code, reason }));
client.on("connected", ({ data }) => say("connected", { data }));
client.on("disconnected", ({ code, reason }) => say("disconnected", { code, reason }));
client.on("error", ({ error }) => say("error", { error }));
client.on("subscribed", ({ channel, recovered }) => say("subscribed", { channel, recovered }));
client.on("publication", ({ offset, data }) => say("publication", { offset, data }));

const orders = {
  connect: (order) => {
    token = order.token;
    client.connect();
  },
  token: (order) => {
    token = order.token;
  },
  kill: () => socket._socket?.destroy(),
  rpc: async ({ method, data }) => say("rpc", { result: (await client.rpc(method, data)).data }),
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const order = JSON.parse(line);
  orders[order.do](order)?.catch?.((error) => say("failed", { code: error.code, message: error.message }));
});
lines.on("close", () => process.exit(0));
