// A node says nothing unless it is given a log: a pino logger, or any object with these four methods.
// Run: npm run build && npx tsx examples/logging.ts
import { type Log, MaculaNode } from "macula";

const write =
  (level: string) =>
  (fields: object, event: string): void =>
    console.log(level, event, JSON.stringify(fields));
const logger: Log = {
  debug: write("debug"),
  info: write("info"),
  warn: write("warn"),
  error: write("error"),
};

await using node = await MaculaNode.start({ name: "logged@localhost:0", stateDir: null, logger });
await node.connect("nobody@localhost:1");
