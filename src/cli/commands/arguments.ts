import { InvalidArgumentError } from "commander";

/** Reads an option's value: a whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= min && number <= max) return number;
    throw new InvalidArgumentError(`A whole number from ${min} to ${max} is needed.`);
  };
}

/** Help of `--via`. */
export const viaHelp =
  "local node to go through (default: one that runs here); none: start one for this command";
