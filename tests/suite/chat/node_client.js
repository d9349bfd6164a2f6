// socket.io-client as it is, talking to the chat: `URL TOKEN TRANSPORT [AUTHORITY]`.
//
// It prints `restart` when the server is to be killed and started again, and `done` at the end. The transport
// `upgrade` is the library's own way: polling first, then WebSocket.
const assert = require("node:assert");
const fs = require("node:fs");
const readline = require("node:readline");
const { io } = require("socket.io-client");

const [url, token, transport, authority] = process.argv.slice(2);
const PATIENCE = 120_000;
const conversation = `node-${transport}`;
const options = {
    reconnectionDelay: 50,
    reconnectionDelayMax: 500,
    transports: transport === "upgrade" ? ["polling", "websocket"] : [transport],
    ca: authority && fs.readFileSync(authority),
};

const seen = {};
const events = [];
let wake = () => {};

function listen(socket) {
    socket.on("welcome", (said) => {
        assert.equal(said.user, "anna");
        assert.equal(said.role, "patient");
        assert(said.types.some((one) => one.type === "text"));
        events.push({ welcome: said });
        wake();
    });
    socket.on("event", (said) => {
        if (said.seq === undefined) {
            return;
        }
        assert.equal(said.seq, (seen[said.conversation] ?? 0) + 1);
        seen[said.conversation] = said.seq;
        events.push(said);
        wake();
    });
}

async function next() {
    const end = setTimeout(() => assert.fail("nothing comes"), PATIENCE);
    while (events.length === 0) {
        await new Promise((resolve) => (wake = resolve));
    }
    clearTimeout(end);
    return events.shift();
}

function forged() {
    const other = io(url, { ...options, auth: { token: token.slice(0, -4) + "AAAA" }, forceNew: true });
    return new Promise((resolve, reject) => {
        other.on("connect_error", (error) => {
            other.close();
            resolve(error);
        });
        other.on("welcome", () => reject(new Error("a forged token was let in")));
    });
}

async function main() {
    await forged();
    const socket = io(url, { ...options, auth: (give) => give({ token, seen }) });
    listen(socket);
    const send = (number, content, type = "text") =>
        socket.timeout(PATIENCE).emitWithAck("send", { id: `m${number}`, conversation, type, content });
    assert((await next()).welcome);
    if (transport === "upgrade" && socket.io.engine.transport.name !== "websocket") {
        await new Promise((resolve) => socket.io.engine.once("upgrade", resolve));
    }
    assert.equal(socket.io.engine.transport.name, transport === "upgrade" ? "websocket" : transport);
    assert.deepEqual(await send(1, { text: "Hello" }), { accepted: { id: "m1" } });
    const first = await next();
    assert.equal(first.answers, "m1");
    assert.deepEqual(first.content, { text: "Hello" });
    assert.deepEqual(await send(1, { text: "Hello" }), { accepted: { id: "m1" } });
    const wrong = (await send(2, { text: 5 })).refused;
    assert.equal(wrong.id, "m2");
    assert.equal(wrong.field, "/content/text");
    assert((await send(3, { text: "Hello" }, "no such type")).refused.reason);

    console.log("restart");
    for await (const line of readline.createInterface({ input: process.stdin })) {
        assert.equal(line, "restarted");
        break;
    }
    assert((await next()).welcome, "it comes back by itself");
    assert.deepEqual(await send(1, { text: "Hello" }), { accepted: { id: "m1" } });
    assert.deepEqual(await send(4, { text: "Back" }), { accepted: { id: "m4" } });
    const last = await next();
    assert.equal(last.answers, "m4");
    assert.equal(last.seq, 2);
    assert.equal(events.length, 0);
    socket.close();
    console.log("done");
    process.exit(0);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
