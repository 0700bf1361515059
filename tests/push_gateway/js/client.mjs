// Drives an unmodified centrifuge-js: orders are JSON lines on stdin, what happens is JSON lines on stdout.
//   node client.mjs WEBSOCKET_URL                             the WebSocket alone
//   node client.mjs WEBSOCKET_URL STREAM_URL EMULATION_URL    HTTP streaming where the WebSocket is refused
// Orders: {"do":"connect","token":…} {"do":"token","token":…} (the next getToken answers with it) {"do":"kill"} (cut
// the connection) {"do":"look away"} {"do":"look back"} (stop reading the WebSocket, and go on)
// {"do":"rpc","method":…,"data":…} {"do":"subscribe","channel":…} {"do":"presence","channel":…}
// {"do":"history","channel":…,"options":…}
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

// The network under the streams: `kill` takes it away from all requests that run.
let network = new AbortController();
const cuttableFetch = (url, options) =>
  fetch(url, { ...options, signal: AbortSignal.any([options.signal, network.signal]) });

const [websocketUrl, streamUrl, emulationEndpoint] = process.argv.slice(2);
const endpoint = streamUrl
  ? [
      { transport: "websocket", endpoint: websocketUrl },
      { transport: "http_stream", endpoint: streamUrl },
    ]
  : websocketUrl;

let token = "";
const client = new Centrifuge(endpoint, {
  websocket: Remembered,
  fetch: cuttableFetch,
  ...(emulationEndpoint && { emulationEndpoint }),
  getToken: async () => {
    say("getToken");
    return token;
  },
  minReconnectDelay: 20,
  maxReconnectDelay: 200,
});

client.on("connecting", ({ code, reason }) => say("connecting", { code, reason }));
client.on("connected", ({ client: id, transport, data }) =>
  say("connected", { client: id, transport, data }),
);
client.on("disconnected", ({ code, reason }) => say("disconnected", { code, reason }));
client.on("error", ({ error }) => say("error", { error }));
client.on("subscribed", ({ channel, wasRecovering, recovered, streamPosition }) =>
  say("subscribed", { channel, wasRecovering, recovered, streamPosition }),
);
client.on("publication", ({ channel, offset, data }) => say("publication", { channel, offset, data }));

client.on("join", ({ channel, info }) => say("join", { channel, info }));
client.on("leave", ({ channel, info }) => say("leave", { channel, info }));

const orders = {
  connect: (order) => {
    token = order.token;
    client.connect();
  },
  token: (order) => {
    token = order.token;
  },
  kill: () => {
    socket._socket?.destroy();
    network.abort();
    network = new AbortController();
  },
  "look away": () => {
    socket.pause();
    say("looks away");
  },
  "look back": () => socket.resume(),
  rpc: async ({ method, data }) => say("rpc", { result: (await client.rpc(method, data)).data }),
  presence: async ({ channel }) =>
    say("presence", { clients: (await client.presence(channel)).clients, stats: await client.presenceStats(channel) }),
  history: async ({ channel, options }) => {
    const { publications, epoch, offset } = await client.history(channel, options);
    say("history", { offsets: publications.map((one) => one.offset), epoch, offset });
  },
  subscribe: ({ channel }) => {
    const subscription = client.newSubscription(channel);
    subscription.on("subscribed", () => say("client subscribed", { channel }));
    subscription.on("unsubscribed", ({ code, reason }) => say("client unsubscribed", { channel, code, reason }));
    subscription.on("publication", ({ data, offset }) => say("client publication", { channel, data, offset }));
    subscription.subscribe();
  },
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const order = JSON.parse(line);
  orders[order.do](order)?.catch?.((error) => say("failed", { code: error.code, message: error.message }));
});
lines.on("close", () => process.exit(0));
