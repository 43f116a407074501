// Loaded by every Node process of a stack: writes down each connection it tries to make off the loopback.
const fs = require("fs");
const net = require("net");
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : typeof args[0] === "object" ? args[0] : { port: args[0], host: args[1] };
  const host = options.host || "localhost";
  if (!options.path && process.env.REFLUENT_FENCE_LOG && !/^(127\.|::1$|localhost$)/.test(host)) {
    fs.appendFileSync(process.env.REFLUENT_FENCE_LOG, `connect ${host} by ${process.argv.slice(1, 3).join(" ")}\n`);
  }
  return connect.apply(this, args);
};
