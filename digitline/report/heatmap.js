
"use strict";
// A cell of the confusion table shows its images beside the table; arrow keys walk the cells.
// Without this script the links still jump to their images.
(() => {
  const galleries = document.querySelector(".galleries");
  if (!galleries) return;
  const links = [...document.querySelectorAll('a[href^="#cell-"]')];

  function open(id, { scroll }) {
    const gallery = document.getElementById(id);
    if (!gallery) return;
    for (const other of galleries.children) other.classList.toggle("open", other === gallery);
    for (const link of links) {
      if (link.hash === `#${id}`) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    galleries.scrollTop = 0;
    if (scroll) gallery.scrollIntoView({ block: "nearest" });
  }

  function step(link, key) {
    const cell = link.closest("td");
    const rows = [...cell.closest("tbody").rows];
    let row = rows.indexOf(cell.parentElement);
    let column = cell.cellIndex;
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[key];
    for (;;) {
      row += down;
      column += right;
      const next = rows[row]?.cells[column];
      if (!next || column < 1) return null;
      const target = next.querySelector("a");
      if (target) return target;
    }
  }

  galleries.classList.add("live");
  const asked = location.hash.slice(1);
  const first = galleries.querySelector(".first") ?? galleries.firstElementChild;
  if (asked.startsWith("cell-")) open(asked, { scroll: true });
  else if (first) open(first.id, { scroll: false });

  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#cell-"]');
    if (!link) return;
    event.preventDefault();
    open(link.hash.slice(1), { scroll: true });
  });
  document.addEventListener("keydown", (event) => {
    const link = event.target.closest?.(".heat td a");
    if (!link || !event.key.startsWith("Arrow") || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = step(link, event.key);
    event.preventDefault();
    if (next) {
      next.focus();
      open(next.hash.slice(1), { scroll: false });
    }
  });
})();
