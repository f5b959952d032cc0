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
  const names = parts.map((part) => element("option", {}, part.dataset.baseline));
  const select = element("select", { autocomplete: "off" }, ...names);
  select.addEventListener("change", () => {
    parts.forEach((part, number) => (part.hidden = number !== select.selectedIndex));
  });
  against.prepend(element("p", { class: "choice" }, element("label", {}, "Compare with ", select)));
}
