import { MeshError, toError } from "../../base/errors.ts";
import { atom, format, Pid, Tuple, tuple } from "../../etf/index.ts";
import { createLog } from "../../node/log.ts";
import { MaculaNode } from "../../node/macula-node.ts";
import { any, type Self } from "../../process/index.ts";
import type { FromMeshProcess, MeshAnswers, MeshQuestion, NodePlan, ToMeshProcess } from "./messages.ts";

/*
 * One operating-system process of the demo's mesh, with some of its nodes. It does what its parent asks over the IPC channel, and tells
 * all news that its nodes have of members.
 */

const answerMs = 5_000;
const nodes = new Map<string, MaculaNode>();
const tell = (message: FromMeshProcess): void => void process.send?.(message);

async function startNode(plan: NodePlan, realm: string, cookie: string): Promise<MaculaNode> {
  const node = await MaculaNode.start({
    name: plan.name,
    // Others find it at the port of its name, from where the demo's network leads here.
    port: 0,
    host: "127.0.0.1",
    realm,
    cookie,
    stateDir: null,
    bootstrap: [...plan.bootstrap],
    discovery: { mdns: plan.mdns },
    logger: createLog({ level: "error" }),
  });
  nodes.set(node.name, node);
  for (const news of ["memberUp", "memberSuspect", "memberDown", "memberChanged"] as const) {
    node.on(news, ({ name, state }) => tell({ type: "news", news, node: node.name, member: name, state }));
  }
  node.registerName("greeter", node.spawn(greet));
  return node;
}

/** Answers `{hello, From}` with `{welcome, Node}`. */
async function greet(self: Self): Promise<never> {
  for (;;) {
    const message = await self.receive();
    if (!(message instanceof Tuple)) continue;
    const [hello, from] = message.elements;
    if (hello === atom("hello") && from instanceof Pid)
      self.send(from, tuple(atom("welcome"), atom(self.pid.node)));
  }
}

const answers: {
  readonly [Op in MeshQuestion["op"]]: (
    question: Extract<MeshQuestion, { op: Op }>,
  ) => Promise<MeshAnswers[Op]>;
} = {
  start: async ({ realm, cookie, nodes: plans }) => {
    const started = await Promise.all(plans.map((plan) => startNode(plan, realm, cookie)));
    return started.map(({ name, nodeId, address: { port } }) => ({ name, nodeId, port }));
  },
  join: ({ to }) => {
    for (const node of nodes.values()) node.join(to);
    return Promise.resolve(null);
  },
  links: () => {
    const links = [...nodes.values()].map((node): [string, string[]] => [
      node.name,
      node.routes().flatMap(({ node: other, way }) => (way === "link" ? [other] : [])),
    ]);
    return Promise.resolve(Object.fromEntries(links));
  },
  ways: ({ node }) => {
    const by = (wanted: "link" | "mesh" | "none"): string[] =>
      named(node)
        .routes()
        .flatMap(({ node: other, way }) => (way === wanted ? [other] : []));
    return Promise.resolve({ link: by("link"), mesh: by("mesh"), none: by("none") });
  },
  trace: async ({ node, to }) => {
    const { hops, rttMs } = await named(node).trace(to);
    return { hops: hops.map((hop) => hop.node ?? "?"), rttMs };
  },
  greet: ({ node, to }) =>
    new Promise((resolve, reject) => {
      named(node).spawn(async (self) => {
        const sentAt = performance.now();
        self.send({ name: "greeter", node: to }, tuple(atom("hello"), self.pid));
        await self
          .receive(tuple(atom("welcome"), any), { timeoutMs: answerMs })
          .then((answer) => resolve({ answer: format(answer), tookMs: performance.now() - sentAt }), reject);
      });
    }),
  close: async () => {
    await Promise.all([...nodes.values()].map((node) => node.close()));
    return null;
  },
};

function named(name: string): MaculaNode {
  const node = nodes.get(name);
  if (node === undefined) throw new MeshError("NO_PROCESS", `${name} is not here`);
  return node;
}

async function answer(question: ToMeshProcess): Promise<void> {
  const { id, op } = question;
  try {
    const value = await (answers[op] as (asked: MeshQuestion) => Promise<unknown>)(question);
    tell({ type: "answer", id, value });
  } catch (thrown) {
    tell({ type: "failure", id, message: toError(thrown).message });
  }
}

process.on("message", (question) => void answer(question as ToMeshProcess));
// A parent that is gone leaves no node behind.
process.on("disconnect", () => process.exit(0));
