// Prints a JSON line for every request, as Node's parser has read it. Argument: the socket to listen on.
"use strict";

const http = require("node:http");

const say = (record) => process.stdout.write(JSON.stringify(record) + "\n");

const server = http.createServer((request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    const body = Buffer.concat(pieces).toString("latin1");
    const { method, url, rawHeaders, rawTrailers } = request;
    say({ method, target: url, fields: rawHeaders, body, trailers: rawTrailers });
    response.end("ok");
  });
});
server.on("clientError", (error, socket) => {
  if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
});
server.listen(process.argv[2], () => say({ listening: true }));
