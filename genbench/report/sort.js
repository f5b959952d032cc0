"use strict";
// A click on a column's head sorts by it, a second one the other way round; the real row stays first.
// Names are sorted with the numbers in them as numbers: DDIM-10, DDIM-50, DDIM-100.
const names = new Intl.Collator("en", { numeric: true });
document.getElementById("sorting").hidden = false;
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
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

function sort(body, column, sign) {
  const number = (row) => parseFloat(row.cells[column].dataset.value);
  const compare = (a, b) => {
    const real = b.classList.contains("real") - a.classList.contains("real");
    if (real) return real;
    if (column === 0) return sign * names.compare(a.cells[0].textContent, b.cells[0].textContent);
    const [x, y] = [number(a), number(b)];
    // A cell without a number is last, whichever way.
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
    return sign * (x - y);
  };
  body.append(...[...body.rows].sort(compare));
}
