// --- The page around the tables. ---

// On a telephone the list of contents is in the way of what was chosen in it.
for (const details of document.querySelectorAll(".contents details")) {
  details.addEventListener("click", (event) => {
    if (event.target.matches("a")) details.open = false;
  });
}
