// --- The page around the tables. ---

// On a telephone the list of contents is in the way of what was chosen in it.
for (const details of document.querySelectorAll(".contents details")) {
  details.addEventListener("click", (event) => {
    if (event.target.matches("a")) details.open = false;
  });
}

// One baseline at a time; without scripts it is the best entry.
for (const against of document.querySelectorAll(".against")) {
  const parts = [...against.querySelectorAll("[data-baseline]")];
  if (parts.length < 2) continue;
  const names = parts.map((part) => part.dataset.baseline);
  against.prepend(choice("Compare with ", names, (chosen) => {
    for (const part of parts) part.hidden = part.dataset.baseline !== chosen;
  }));
}

// The samples of one seed at a time; the real ones have none.
for (const panels of document.querySelectorAll(".panels")) {
  const runs = [...panels.querySelectorAll("[data-seed]")];
  const seeds = [...new Set(runs.map((run) => run.dataset.seed))].sort(names.compare);
  if (seeds.length < 2) continue;
  panels.before(choice("Seed ", seeds, (chosen) => {
    for (const run of runs) run.hidden = run.dataset.seed !== chosen;
  }));
}

// --- A picture on the whole window. ---

const large = element("dialog", { "aria-label": "Enlarged picture" });
document.body.append(large);
large.addEventListener("click", () => large.close());
large.addEventListener("close", () => large.replaceChildren());

for (const picture of document.querySelectorAll(".firsts .grid, .panels .grid, .strips .grid, .asked .grid, .panels .chart")) {
  const label = picture.getAttribute("alt") ?? picture.getAttribute("aria-label");
  const button = element("button", { type: "button", class: "enlarge", "aria-label": `Enlarge ${label}` });
  picture.replaceWith(button);
  button.append(picture);
  button.addEventListener("click", () => {
    const copied = picture.cloneNode(true);
    // What a figure refers to is found in the first one.
    for (const part of copied.querySelectorAll("[id]")) part.removeAttribute("id");
    const close = element("button", { type: "button" }, "Close");
    large.replaceChildren(element("p", {}, element("b", {}, label), close), copied);
    large.showModal();
  });
}

// A labelled list from which one is chosen.
function choice(words, options, chosen) {
  const select = element("select", { autocomplete: "off" }, ...options.map((each) => element("option", {}, each)));
  select.addEventListener("change", () => chosen(select.value));
  return element("p", { class: "choice" }, element("label", {}, words, select));
}
