import { spawn } from "node:child_process";
import { expect, test } from "vitest";

test("the demo does all of it, and says so with exit code 0", async () => {
  const child = spawn(process.execPath, ["dist/cli/demo/main.js"], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (chunk) => (output += String(chunk)));
  child.stderr.on("data", (chunk) => (output += String(chunk)));
  const code = await new Promise((resolve) => child.once("close", resolve));
  expect({ code, output }).toMatchObject({ code: 0 });
  for (const wanted of [
    /nodes\(\) is \[<<"node1@localhost:\d+">>\]/,
    /node1 got it, from #Pid<node2@/,
    /answered \{welcome,node1\}/,
    /its pid is #Pid<node1@/,
    /the link gave \{'EXIT',#Pid<node1@.*,noconnection\} after/,
    /the monitor gave \{'DOWN',.*,noconnection\} after/,
    /the node gave \{nodedown,'node1@localhost:\d+'\} after/,
    /n06 … n10 have found the others by mDNS/,
    /each of the 25 knows the 24 others/,
    /a ring: each has links to its three nearest/,
    /n\d\d( → n\d\d){2,}: \d hops/,
    /the process greeter on n\d\d answered \{welcome,'n\d\d@127\.0\.0\.1:\d+'\}/,
    /all 20 survivors know that all 5 are dead after/,
    /the ring is closed again after/,
    /each half holds the other to be dead after/,
    /all 20 know each other again after/,
    /All of it happened\./,
  ]) {
    expect(output).toMatch(wanted);
  }
}, 200_000);
