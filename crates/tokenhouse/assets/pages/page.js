// What makes the pages nicer; every one of them works without.
"use strict";

// Times in the person's own zone and writing.
const page = document.documentElement.lang;
const writing = navigator.languages.find((language) => language.split("-")[0] === page.split("-")[0]) ?? page;
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.valueOf())) continue;
  const style = time.dataset.style === "date" ? { dateStyle: "long" } : { dateStyle: "long", timeStyle: "short" };
  time.title = time.textContent.trim();
  time.textContent = new Intl.DateTimeFormat(writing, style).format(at);
}

// A look at the password one has typed.
for (const input of document.querySelectorAll("input[data-show]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "reveal";
  button.textContent = input.dataset.show;
  button.setAttribute("aria-controls", input.id);
  button.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-label", input.dataset.showLabel);
  const show = (shown) => {
    input.type = shown ? "text" : "password";
    button.textContent = shown ? input.dataset.hide : input.dataset.show;
    button.setAttribute("aria-pressed", String(shown));
  };
  button.addEventListener("click", () => show(input.type === "password"));
  // What is sent is a password again, so that no browser remembers it as an ordinary text.
  input.form?.addEventListener("submit", () => show(false));
  input.parentElement.append(button);
  input.parentElement.classList.add("with-button");
}

// A form is sent once, however often its button is pressed; coming back to the page it can be sent again.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}
