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

// Copies what stands in an element.
for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const lines = [...document.getElementById(button.dataset.copy).children];
    await navigator.clipboard.writeText(lines.map((line) => line.textContent.trim()).join("\n"));
    button.textContent = button.dataset.copied;
  });
}

// Passkeys: what the browser gives goes into the form, which is then sent. Written out, since not every browser that
// has passkeys has toJSON().
for (const form of document.querySelectorAll("form[data-passkey]")) {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    buffer && btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const known = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));
  const say = (what) => {
    for (const one of ["trouble", "unsupported"]) document.querySelector(`[data-${one}]`).hidden = one !== what;
  };
  const ask = async () => {
    const publicKey = JSON.parse(form.dataset.options);
    publicKey.challenge = bytes(publicKey.challenge);
    if (form.dataset.passkey === "create") {
      publicKey.user.id = bytes(publicKey.user.id);
      publicKey.excludeCredentials = known(publicKey.excludeCredentials);
      return navigator.credentials.create({ publicKey });
    }
    publicKey.allowCredentials = known(publicKey.allowCredentials);
    return navigator.credentials.get({ publicKey });
  };
  const plain = ({ id, rawId, type, response, ...rest }, results) => ({
    id,
    rawId: text(rawId),
    type,
    clientExtensionResults: results,
    response: {
      clientDataJSON: text(response.clientDataJSON),
      attestationObject: text(response.attestationObject),
      transports: response.getTransports?.(),
      authenticatorData: response.signature && text(response.authenticatorData),
      signature: text(response.signature),
      userHandle: text(response.userHandle) || undefined,
    },
  });
  const field = form.elements.namedItem("credential");
  form.addEventListener(
    "submit",
    async (event) => {
      if (field.value) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      if (!window.PublicKeyCredential) return say("unsupported");
      try {
        const credential = await ask();
        field.value = JSON.stringify(plain(credential, credential.getClientExtensionResults()));
        say("");
        form.requestSubmit();
      } catch {
        say("trouble");
      }
    },
    true,
  );
}
