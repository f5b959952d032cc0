"use strict";
// What a reader can do with a table: sort it by the heads of its columns, filter it by the names of
// its rows, and copy it as it then stands. The controls are made here, so that without scripts
// nothing is promised.

// Names are sorted with the numbers in them as numbers: DDIM-10, DDIM-50, DDIM-100.
const names = new Intl.Collator("en", { numeric: true });

const formats = { Markdown: markdown, LaTeX: latex, CSV: csv };

// What LaTeX would take for a command. A bracket or a star that begins a row would be an option of
// the end of the row before.
const commands = {
  "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}",
  "<": "\\textless{}", ">": "\\textgreater{}", "[": "{[}", "*": "{*}",
  "±": "$\\pm$", "×": "$\\times$", "·": "$\\cdot$", "µ": "\\textmu{}", "∞": "$\\infty$",
  "↑": "$\\uparrow$", "↓": "$\\downarrow$", "→": "$\\to$", "—": "---",
};

document.getElementById("tools").hidden = false;
for (const table of document.querySelectorAll("table")) {
  sortable(table);
  table.closest(".scroll").before(element("div", { class: "tools" }, ...filterable(table), copyable(table)));
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// --- Sort. ---

// A click on a column's head sorts by it, a second one the other way round.
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = element("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    // Browsers leave a button that is half beyond the edge, or under the first column, where it is.
    const nearest = { block: "nearest", inline: "nearest" };
    button.addEventListener("focus", () => button.scrollIntoView(nearest));
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      sort(table.tBodies[0], column, up ? 1 : -1);
    });
  });
}

// The real row stays first; a cell without a number is last, whichever way.
function sort(body, column, sign) {
  const text = (row) => row.cells[column].textContent;
  const number = (row) => parseFloat(row.cells[column].dataset.value ?? text(row));
  const words = column === 0 || body.rows[0]?.cells[column].matches(".words");
  const compare = (a, b) => {
    const real = isReal(b) - isReal(a);
    if (real) return real;
    if (words) return sign * names.compare(text(a), text(b));
    const [x, y] = [number(a), number(b)];
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
    return sign * (x - y);
  };
  body.append(...[...body.rows].sort(compare));
}

function isReal(row) {
  return row.classList.contains("real");
}

function nameOf(row) {
  return row.cells[0].textContent;
}

// --- Filter. ---

// The field of one table, and how many rows it leaves; nothing where there is no choice. The real row
// stays, as the floor of what is shown.
function filterable(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.filter((row) => !isReal(row)).length < 2) return [];
  const holds = (row, part) => nameOf(row).toLowerCase().includes(part);
  const field = element("input", {
    type: "search", placeholder: "part of a name, of another", autocomplete: "off", spellcheck: "false",
  });
  const count = element("output");
  const filter = () => {
    const text = field.value.trim().toLowerCase();
    // A comma separates names, unless it is part of one.
    const whole = rows.some((row) => holds(row, text));
    const parts = whole ? [text] : text.split(",").map((part) => part.trim()).filter(Boolean);
    for (const row of rows) row.hidden = !isReal(row) && !parts.some((part) => holds(row, part));
    const shown = rows.filter((row) => !row.hidden).length;
    count.value = shown < rows.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
  };
  field.addEventListener("input", filter);
  filter();
  return [element("div", { class: "filter" }, element("label", {}, "Filter rows ", field), count)];
}

// --- Copy. ---

function copyable(table) {
  const said = element("output");
  const buttons = Object.entries(formats).map(([name, written]) => {
    const button = element("button", { type: "button" }, name);
    button.addEventListener("click", async () => {
      const rows = inSight(table);
      const done = await copy(written(rows));
      button.focus({ preventScroll: true });
      said.value = done ? `copied as ${name}: ${rows.length - 1} rows` : "the browser refuses to copy";
    });
    return button;
  });
  const about = { class: "copy", role: "group", "aria-label": `Copy ${table.caption.textContent.trim()}` };
  return element("div", about, element("span", {}, "Copy as"), ...buttons, said);
}

// The head and the rows in sight, in their order.
function inSight(table) {
  const cell = (of) => ({
    text: of.textContent.replace(/\s+/g, " ").trim(),
    words: of.cellIndex === 0 || of.matches(".words"),
    bold: of.querySelector("b") !== null,
  });
  return [table.tHead.rows[0], ...table.tBodies[0].rows]
    .filter((row) => !row.hidden)
    .map((row) => ({ real: isReal(row), cells: [...row.cells].map(cell) }));
}

function markdown(rows) {
  const written = ({ text, bold }) => {
    const escaped = text.replace(/[\\|*_`~$&<>[\]]/g, "\\$&");
    return bold ? `**${escaped}**` : escaped;
  };
  const [{ cells: columns }] = rows;
  const [head, ...body] = rows.map((row) => row.cells.map(written));
  const widths = head.map((_, i) => Math.max(3, ...[head, ...body].map((cells) => cells[i].length)));
  // Padded, so that it reads as plain text too: words to the left, numbers to the right.
  const padded = (cell, i) => (columns[i].words ? cell.padEnd(widths[i]) : cell.padStart(widths[i]));
  const rule = widths.map((width, i) => "-".repeat(width - 1) + (columns[i].words ? "-" : ":"));
  return [head, rule, ...body].map((cells) => `| ${cells.map(padded).join(" | ")} |\n`).join("");
}

function latex(rows) {
  const written = ({ text, bold }) => {
    const escaped = text.replace(/[\\~^<>[*±×·µ∞↑↓→—&%$#_{}]/g, (c) => commands[c] ?? `\\${c}`);
    return bold ? `\\textbf{${escaped}}` : escaped;
  };
  const line = ({ real, cells }) => {
    const end = real ? " \\\\\n\\midrule" : " \\\\";
    return cells.map(written).join(" & ") + end;
  };
  const [head, ...body] = rows;
  const columns = head.cells.map(({ words }) => (words ? "l" : "r")).join("");
  return [
    "% \\usepackage{booktabs}",
    `\\begin{tabular}{${columns}}`,
    "\\toprule",
    line(head),
    "\\midrule",
    ...body.map(line),
    "\\bottomrule",
    "\\end{tabular}",
    "",
  ].join("\n");
}

function csv(rows) {
  const written = ({ text }) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return rows.map((row) => row.cells.map(written).join(",") + "\n").join("");
}

// Whether the text is on the clipboard.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that are files have no such clipboard in every browser: the older way.
    const field = element("textarea", { class: "aside", "aria-hidden": "true" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
