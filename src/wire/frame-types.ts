/** The message types of protocol v1. 0x20–0x3F belong to the mesh, 0x40–0xFF are free for applications. */
export const frameType = {
  handshake: 0x01,
  heartbeat: 0x02,
  send: 0x03,
  regSend: 0x04,
  exit: 0x05,
  link: 0x06,
  unlink: 0x07,
  monitor: 0x08,
  demonitor: 0x09,
  groupLeader: 0x0a,
  rpc: 0x0b,
  spawnRequest: 0x0c,
  spawnReply: 0x0d,
  probe: 0x20,
  members: 0x21,
} as const;
