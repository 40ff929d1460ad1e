// Makes itself known by multicast DNS under the given name, and prints what it finds, one JSON object a line.
import { monotonicNow } from "../../../dist/io/clock.js";
import { Mdns } from "../../../dist/io/mdns/index.js";
import { systemRandom } from "../../../dist/io/random.js";

const name = process.argv[2];
const mdns = new Mdns({
  service: { name: `${name}@localhost:4433`, nodeId: "a".repeat(52), realm: "test", port: 4433 },
  host: "::",
  onFound: (instance) => console.log(JSON.stringify(instance)),
  onProblem: ({ error }) => console.error(error.message),
  random: systemRandom,
  clock: monotonicNow,
});
mdns.round();
