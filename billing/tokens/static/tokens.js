// Counts while one types: posts the form, as its button would, and shows the part of the page that answers.
"use strict";
(() => {
  const form = document.getElementById("calculator");
  const result = document.getElementById("result");
  const messages = form.querySelector(".messages");
  const known = new Set([...document.querySelectorAll("#models option")].map((option) => option.value));
  let timer, asked;

  const count = async () => {
    clearTimeout(timer);
    asked?.abort();
    asked = new AbortController();
    const body = new URLSearchParams(new FormData(form));
    try {
      const answer = await fetch(`${form.action}&part=result`, { method: "POST", body, signal: asked.signal });
      const text = await answer.text();
      if (answer.headers.get("Content-Type").startsWith("text/html")) result.innerHTML = text;
      const wait = answer.status === 503 && answer.headers.get("Retry-After");
      if (wait) timer = setTimeout(count, 1000 * wait);
    } catch (error) {
      if (error.name !== "AbortError") timer = setTimeout(count, 3000); // offline: what is shown stays
    }
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(count, 150);
  };
  const add = () => {
    const last = messages.querySelector(".message:last-of-type");
    const made = last.cloneNode(true);
    made.querySelector("textarea").value = "";
    made.querySelector("select").value = last.querySelector("select").value === "user" ? "assistant" : "user";
    last.after(made);
    made.querySelector("textarea").focus();
  };
  const remove = (message) => {
    if (messages.querySelectorAll(".message").length > 1) message.remove();
    else message.querySelector("textarea").value = "";
  };

  form.querySelector(".count").hidden = true;
  form.model.addEventListener("focus", () => form.model.select()); // so that all models are offered
  form.addEventListener("input", (event) => {
    if (event.target !== form.model || known.has(form.model.value)) soon();
  });
  form.addEventListener("change", soon);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    count();
  });
  messages.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    event.preventDefault();
    if (button.name === "add") add();
    else remove(button.closest(".message"));
    count();
  });
  // The other language takes along what is written.
  const language = document.querySelector("a.language");
  language.addEventListener("click", (event) => {
    event.preventDefault();
    form.action = language.href;
    form.submit();
  });
  const restored = [...form.querySelectorAll("textarea")].some((area) => area.value !== area.defaultValue);
  if (restored) count(); // the browser has kept what was written before a reload
})();
