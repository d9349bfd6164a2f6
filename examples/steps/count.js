// A step in Node: it counts the lines of a file. A dataflow names it with `programs: [count.js]`.
const fs = require("fs");
const readline = require("readline");

const send = (message) => process.stdout.write(JSON.stringify(message) + "\n");

send({
  flow: 1,
  version: process.version,
  steps: [{
    name: "count-lines",
    about: "Counts the lines of a file.",
    inputs: [{ name: "item", type: "item" }],
    outputs: [{ name: "files", type: "files" }],
  }],
});

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const call = JSON.parse(line);
  try {
    const text = fs.readFileSync(call.inputs.item.path, "utf8");
    fs.mkdirSync("out/files", { recursive: true });
    fs.writeFileSync("out/files/lines.txt", `${text.split("\n").length - 1}\n`);
    send({ call: call.call, outputs: {} });
  } catch (error) {
    send({ call: call.call, fault: { reason: error.message, kind: "broken", log: error.stack } });
  }
});
