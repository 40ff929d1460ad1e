import { setTimeout as wait } from "node:timers/promises";
import type { Command } from "commander";
import type { RunningNode } from "../../node/admin/client.ts";
import { changeText, membersText } from "../../node/admin/mesh-text.ts";
import { type ListedMember, membersSchema } from "../../node/admin/protocol.ts";
import { askNode, chooseNode } from "../local-node.ts";
import { print, printJson } from "../output.ts";
import { addSettings, commandConfiguration } from "../settings.ts";

interface MembersOptions {
  readonly watch?: boolean;
  readonly json?: boolean;
}

const watchMs = 500;

export function addMembers(program: Command): void {
  const command = program
    .command("members")
    .description("list the members of the mesh, as a node that runs here knows them")
    .argument("[node]", "name of the node to ask; may be left out when only one runs here")
    .option("-w, --watch", "then print each change of state, until Ctrl-C")
    .option("--json", "print one line of JSON; with --watch one more for each change")
    .addHelpText(
      "after",
      `
Examples:
  macula members
  macula members node1@localhost:4433 --watch

alive, suspect (did not answer lately) and dead are that node's own judgement, left is what the member said itself.
Metadata is shown when it is text; in JSON it is base64.`,
    )
    .action(async (wanted: string | undefined, options: MembersOptions, self: Command) => {
      const { configuration } = commandConfiguration(self);
      const node = await chooseNode(configuration, wanted);
      const members = await listMembers(node);
      if (options.json === true) printJson(members);
      else print(membersText(members, node.info.name));
      if (options.watch === true) await watch(node, members, options.json === true);
    });
  addSettings(command, ["stateDir"]);
}

/** For ever, or until the node has gone. */
async function watch(node: RunningNode, members: readonly ListedMember[], json: boolean): Promise<never> {
  let known = new Map(members.map((member) => [member.nodeId, member]));
  for (;;) {
    await wait(watchMs);
    const now = await listMembers(node);
    for (const member of now) {
      const before = known.get(member.nodeId)?.state;
      if (before === member.state) continue;
      const at = new Date();
      if (json) printJson({ ...member, before: before ?? null, at: at.toISOString() });
      else print(`${at.toLocaleTimeString()}  ${changeText(member.name, before, member.state)}`);
    }
    known = new Map(now.map((member) => [member.nodeId, member]));
  }
}

function listMembers(node: RunningNode): Promise<ListedMember[]> {
  return askNode(node, { op: "members" }, membersSchema);
}
