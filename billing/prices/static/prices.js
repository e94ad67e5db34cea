// Filters the models while one types. Without it the form asks the server, which filters the same way.
"use strict";
(() => {
  const field = document.querySelector("input[type=search]");
  const nothing = document.getElementById("nothing");
  if (!document.querySelector("main[data-whole]")) return; // the server has filtered this page
  const bodies = [...document.querySelectorAll("tbody")].map((body) => {
    const names = [...body.querySelectorAll(".n")].map((name) => name.textContent);
    return { body, text: names.join(" ").toLowerCase() };
  });
  const says = nothing.querySelector("span");
  const boxes = [...document.querySelectorAll("main table, main section:not(#notes)")];

  const filter = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { body, text } of bodies) body.hidden = !words.every((word) => text.includes(word));
    for (const box of boxes) box.hidden = !box.querySelector("tbody:not([hidden])");
    says.textContent = says.dataset.says.replace("{q}", () => words.join(" "));
    nothing.hidden = !words.length || boxes.some((box) => !box.hidden);
    for (const link of [location, document.querySelector("a.language")]) remember(link, words.join(" "));
  };
  // The search stays in the address and in the link to the other language.
  const remember = (link, query) => {
    const url = new URL(link.href);
    if (query) url.searchParams.set("q", query);
    else url.searchParams.delete("q");
    if (link === location) history.replaceState(null, "", url);
    else link.href = url;
  };

  field.addEventListener("input", filter);
  field.form.addEventListener("submit", (event) => event.preventDefault());
  filter();
})();
