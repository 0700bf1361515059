// A socket.io server as its documentation shows it, with rooms: `node server.js PORT REDIS_URL`.
// A tab says in its handshake whose it is. What is published in Redis goes to the room, or to everybody.
import { createServer } from "node:http";
import { createClient } from "redis";
import { Server } from "socket.io";

const [port, redisUrl] = process.argv.slice(2);
const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false, serveClient: false });
io.on("connection", (socket) => socket.join(socket.handshake.auth.login));
const redis = createClient({ url: redisUrl });
await redis.connect();
await redis.pSubscribe("bench:*", (message, channel) => {
  const room = channel.slice("bench:".length);
  const to = room === "everybody" ? io : io.to(room);
  to.emit("push", JSON.parse(message));
});
http.listen(Number(port), "127.0.0.1");
