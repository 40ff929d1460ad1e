import type { ZodType } from "zod";
import { MeshError } from "../base/errors.ts";
import { AdminClient, type AdminQuestion, type RunningNode } from "../node/admin/client.ts";
import type { Configuration } from "../node/configuration-schema.ts";
import { Failure, usageFailure } from "./failure.ts";
import { fullNodeName, localNodes } from "./gateway.ts";

/** What a node that is busy may take to answer what it knows. */
const answerMs = 10_000;

/**
 * The running node of this user that is meant by `wanted`, or the only one there is.
 * @throws Failure that says which nodes run here, or how to start one.
 */
export async function chooseNode(
  configuration: Configuration,
  wanted: string | undefined,
): Promise<RunningNode> {
  const running = await localNodes(configuration);
  const name = wanted === undefined ? undefined : fullNodeName(wanted);
  if (name === undefined && running.length > 1)
    throw usageFailure(`several nodes run here, say which: ${names(running)}`);
  const chosen = name === undefined ? running[0] : running.find(({ info }) => info.name === name);
  if (chosen === undefined) throw notRunning(name, running);
  return chosen;
}

/** What the node answers to `question`, as `schema` has it. @throws MeshError as `AdminClient.ask`. */
export async function askNode<Answer>(
  { path }: RunningNode,
  question: AdminQuestion,
  schema: ZodType<Answer>,
): Promise<Answer> {
  const client = await AdminClient.connect(path);
  try {
    const { success, data } = schema.safeParse(await client.ask(question, { timeoutMs: answerMs }));
    if (success) return data;
    throw new MeshError("DECODE", "the node's answer cannot be read: is it another version of macula?");
  } finally {
    client.close();
  }
}

function notRunning(wanted: string | undefined, running: readonly RunningNode[]): Failure {
  const start = `macula start --name ${wanted ?? "node1@localhost:4433"}`;
  if (wanted === undefined) return new Failure(`no node of yours is running here: start one with ${start}`);
  const others = running.length === 0 ? "" : ` (running: ${names(running)})`;
  return new Failure(`${wanted} is not running here${others}: start it with ${start}`);
}

function names(running: readonly RunningNode[]): string {
  return running.map(({ info }) => info.name).join(", ");
}
