// A module for `macula start --name node1@localhost:4433 --exports examples/exports.mjs`; then, in another terminal:
//   macula rpc node1@localhost:4433 exports add 1 2
//   macula rpc node1@localhost:4433 exports greet --text Ada

export const add = (a, b) => a + b;

/** Bytes and text are different things; `--text` sends text. */
export const greet = (name) => `Hello, ${name}!`;
