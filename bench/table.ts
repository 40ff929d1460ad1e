/** One measured thing. */
export interface BenchRow {
  readonly name: string;
  /** What was measured, by column, with the unit in its name. */
  readonly figures: Readonly<Record<string, number | string>>;
  /** What the issue asks for, in words. */
  readonly target?: string;
  readonly met?: boolean;
}

/** What one bench found out. */
export interface BenchTable {
  readonly title: string;
  readonly rows: readonly BenchRow[];
}

/** Shows a table on the terminal: a line for each row, a column for each figure that any row has. */
export function printTable({ title, rows }: BenchTable): void {
  console.log(`\n${title}`);
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row.figures)))];
  const lines = [
    ["", ...columns, "target"],
    ...rows.map((row) => [
      row.name,
      ...columns.map((column) => String(row.figures[column] ?? "")),
      row.target === undefined ? "" : `${row.target} ${verdict(row.met)}`,
    ]),
  ];
  const widths = (lines[0] as string[]).map((_, column) =>
    Math.max(...lines.map((line) => (line[column] ?? "").length)),
  );
  for (const line of lines) {
    console.log(
      `  ${line.map((cell, column) => pad(cell, widths[column] as number, column)).join("  ")}`.trimEnd(),
    );
  }
}

function verdict(met: boolean | undefined): string {
  if (met === undefined) return "";
  return met ? "(met)" : "(NOT met)";
}

/** Names to the left, figures to the right. */
function pad(cell: string, width: number, column: number): string {
  return column === 0 ? cell.padEnd(width) : cell.padStart(width);
}
