
"use strict";
// The review desk: a person says what each image is, by keyboard; answers stay in this browser
// until they are downloaded as corrections.csv. Without this script the images are a plain list.
(() => {
  const section = document.getElementById("review");
  if (!section) return;
  const find = (selector) => section.querySelector(selector);
  const bench = find(".bench");
  const tiles = [...section.querySelectorAll(".shots > li")];
  let answers = {}; // by the number of the tile: "0" .. "9", "none" or "skip"
  let trail = []; // the numbers answered, in order, with what they were before
  let current = 0;

  const say = { none: "not a digit", skip: "skipped" };
  const open = (number) => answers[number] === undefined;
  const visible = (number) => !tiles[number].hidden;

  function load() {
    try {
      const kept = JSON.parse(localStorage.getItem(section.dataset.key) ?? "{}");
      answers = kept.answers ?? {};
      trail = kept.trail ?? [];
    } catch (error) {
      warn(error);
    }
  }

  function keep() {
    try {
      localStorage.setItem(section.dataset.key, JSON.stringify({ answers, trail }));
    } catch (error) {
      warn(error);
    }
  }

  function warn(error) {
    find(".warning").textContent =
      `This browser does not keep your answers (${error.name}): download them before you leave.`;
  }

  function build() {
    tiles.forEach((tile, number) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "pick";
      const seen = tile.querySelector(".digit")?.cloneNode();
      if (seen) {
        seen.alt = "";
        seen.className = "digit";
        button.append(seen);
      }
      button.append(document.createElement("span"));
      button.addEventListener("click", () => {
        show(number);
        bench.focus();
      });
      tile.append(button);
    });
    find(".desk").hidden = false;
    section.classList.add("live");
  }

  function draw() {
    tiles.forEach((tile, number) => {
      const answer = answers[number];
      const button = tile.querySelector(".pick");
      tile.classList.toggle("answered", answer !== undefined);
      tile.classList.toggle("changed", answer !== undefined && answer !== tile.dataset.digit);
      button.lastChild.textContent = answer === undefined ? `${tile.dataset.digit}?` : (say[answer] ?? answer);
      button.setAttribute("aria-label", `Image ${number + 1}, read as ${tile.dataset.digit}${answer === undefined ? "" : `, answered: ${say[answer] ?? answer}`}`);
      if (number === current) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      const wanted = find("[data-filter=state]").value;
      const digit = find("[data-filter=digit]").value;
      tile.hidden =
        (wanted === "open" && answer !== undefined && number !== current) ||
        (wanted === "done" && answer === undefined) ||
        (digit !== "" && digit !== tile.dataset.digit);
    });
    const left = tiles.filter((_, number) => open(number)).length;
    find("progress").value = tiles.length - left;
    find(".remaining").textContent = left ? `${left} of ${tiles.length} remain` : `All ${tiles.length} looked at: download the corrections`;
    find("[data-act=undo]").disabled = trail.length === 0;
    find("[data-act=download]").disabled = !Object.values(answers).some((answer) => answer !== "skip");
  }

  function show(number) {
    current = number;
    const figure = tiles[number].querySelector("figure").cloneNode(true);
    find(".current").replaceChildren(figure);
    // Whoever knew how sure the model was would look at its sure answers with less care.
    find(".current").classList.toggle("told", !open(number));
    draw();
  }

  // The next image without an answer, from the current one on and round; else stay.
  function next() {
    for (let step = 1; step <= tiles.length; step += 1) {
      const number = (current + step) % tiles.length;
      if (open(number) && visible(number)) return number;
    }
    return current;
  }

  function answer(value) {
    trail.push([current, answers[current] ?? null]);
    answers[current] = value;
    keep();
    show(next());
  }

  function undo() {
    const last = trail.pop();
    if (!last) return;
    const [number, before] = last;
    if (before === null) delete answers[number];
    else answers[number] = before;
    keep();
    show(number);
  }

  function move(step) {
    for (let number = current + step; number >= 0 && number < tiles.length; number += step) {
      if (visible(number)) return show(number);
    }
    return undefined;
  }

  // A name that a spreadsheet would take for a formula means the same file with ./ before it.
  const field = (text) => `"${text.replaceAll('"', '""')}"`;
  const formula = /^(?:[\t\r\n]|[\s\p{Cf}]*[=+\-@\uff1d\uff0b\uff0d\uff20])/u;
  const path = (text) => (formula.test(text) ? `./${text}` : text);

  function corrections() {
    const lines = ["id,file,digit,note,read,confidence,run"];
    tiles.forEach(({ dataset }, number) => {
      const answer = answers[number];
      if (answer === undefined || answer === "skip") return;
      const [digit, note] = answer === "none" ? ["", "not-a-digit"] : [answer, ""];
      lines.push([dataset.id, field(path(dataset.file)), digit, note, dataset.digit, dataset.confidence, field(section.dataset.run)].join(","));
    });
    return lines.map((line) => `${line}\r\n`).join("");
  }

  function download() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([corrections()], { type: "text/csv" }));
    link.download = "corrections.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  const acts = { skip: () => answer("skip"), undo, download };
  const keys = {
    n: () => answer("none"), s: acts.skip, u: undo, Backspace: undo,
    ArrowLeft: () => move(-1), ArrowRight: () => move(1),
  };

  section.addEventListener("click", (event) => {
    const { answer: value, act } = event.target.closest("button")?.dataset ?? {};
    if (value !== undefined) answer(value);
    else if (act) acts[act]();
  });
  // Keys count only while the desk has the focus, so that they never surprise elsewhere.
  section.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
    const act = /^[0-9]$/.test(event.key) ? () => answer(event.key) : keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  for (const select of section.querySelectorAll("select")) select.addEventListener("change", draw);

  load();
  build();
  show(Math.max(0, tiles.findIndex((_, number) => open(number))));
})();
